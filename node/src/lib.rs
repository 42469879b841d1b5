//! One node of the mesh: the replica on its thread, and the drivers round it.

pub mod api;
pub mod clock;
pub mod core;
pub mod home;
pub mod logs;
pub mod net;
pub mod turn;
