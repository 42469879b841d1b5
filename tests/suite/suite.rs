//! Suite.

mod power_loss;
