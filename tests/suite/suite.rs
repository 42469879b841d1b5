//! Tests of the whole system, one module a subject: real processes, sockets and disks.

#![allow(clippy::unwrap_used, reason = "a helper of a test may stop where it stands, as a test may")]

mod cli_bad_input;
mod cli_config;
mod cli_demo;
mod cli_guard;
mod cli_mail;
mod cli_pages;
mod cli_top;
mod lab_link_cut;
mod lab_nat;
mod mesh_agents;
mod mesh_attachments;
mod mesh_before_meeting;
mod mesh_defence;
mod mesh_divergence;
mod mesh_hostile;
mod mesh_join;
mod mesh_lease_races;
mod mesh_leases;
mod mesh_mail;
mod mesh_members;
mod mesh_placement;
mod mesh_voters;
mod node_api_tcp;
mod node_backup;
mod node_clone;
mod node_containers;
mod node_disk;
mod node_doctor;
mod node_gpu;
mod node_killed;
mod node_metrics;
mod node_power;
mod node_service;
mod node_watch;
mod power_loss;
mod support;
mod tidy;
