//! systemd: the unit that a node runs under, and what the node tells the manager while it does.

mod control;
mod notify;
mod unit;

pub use control::{Control, ControlError, Start, State};
pub use notify::Notifier;
pub(crate) use notify::attend;
pub use unit::{NAME, Scope, Unit, UnitError};
