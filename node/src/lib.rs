//! One node of the mesh: the replica on its thread, and the drivers round it.
//!
//! It acts and decides nothing: what is right is said by the protocol, what is remembered by the store.

mod alarms;
pub mod api;
mod attachments;
mod bans;
pub mod clock;
pub mod config;
mod containers;
pub mod core;
pub mod doctor;
mod driver;
pub mod home;
mod human;
pub mod local;
pub mod logs;
mod metrics;
pub mod net;
pub mod network;
mod opening;
mod pace;
pub mod refusals;
pub mod restore;
pub mod service;
pub mod systemd;
mod telemetry;
mod ticket_file;
pub mod turn;

pub use config::Config;
pub use local::Local;
pub use opening::OpeningError;
pub use service::{Options, Running, Service, ServiceError};
