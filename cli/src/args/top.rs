//! Arguments of `top`.

use clap::Args;

use super::value;
use crate::top::View;

/// Arguments of `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// What to list first.
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    pub(crate) view: View,
    /// Print one frame as text, and end; without a terminal that is all there is. With --json it is what the API says.
    #[arg(long)]
    pub(crate) once: bool,
    /// Columns of that frame; those of the terminal, or 80, where nothing is said.
    #[arg(long, value_name = "N", value_parser = value::frame)]
    pub(crate) width: Option<u16>,
    /// Lines of that frame; those of the terminal, or 24, where nothing is said.
    #[arg(long, value_name = "N", value_parser = value::frame)]
    pub(crate) height: Option<u16>,
}
