//! Tests of the whole system, one module a subject: real processes, sockets and disks.

#![allow(clippy::unwrap_used, reason = "a helper of a test may stop where it stands, as a test may")]

mod power_loss;
mod tidy;
