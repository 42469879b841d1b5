//! A scope: the path patterns that a piece of work touches inside one project.
//!
//! Only the patterns themselves are here; whether two scopes clash is decided on top of them.

pub mod pattern;

pub use pattern::{Pattern, PatternError, fold};
