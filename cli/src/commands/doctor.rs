//! `beadmesh doctor`: checks what is stored, and says what to do about what it finds.

use beadmesh_node::api::model::{DoctorBody, DoctorRequest};

use super::Context;
use crate::args::DoctorArgs;
use crate::failure::{Exit, Failure};
use crate::output::paint::Paint;
use crate::output::text;

/// Checks, and prints the findings; any finding is a failure.
pub(super) async fn run(context: &mut Context, args: DoctorArgs) -> Result<(), Failure> {
    let mut client = context.client().await?;
    let wish = DoctorRequest { rebuild: args.rebuild, accept: args.accept };
    let body: DoctorBody = client.post_slow("/v1/doctor", &wish).await?;
    let printer = &mut context.printer;
    if printer.json {
        printer.answer(&body)?;
        return found(&body);
    }
    if let Some(rebuilt) = body.rebuilt {
        printer.line(format!("Derived {} beads anew from {} entries.", rebuilt.beads, rebuilt.entries))?;
    }
    for finding in &body.findings {
        printer.line(format!("{}  {}", Paint::Bad.on(&finding.check), text::clean_line(&finding.message)))?;
        printer.line(format!("  {}", text::clean_line(&finding.remedy)))?;
    }
    if body.findings.is_empty() {
        printer.line("All is well.")?;
    }
    found(&body)
}

fn found(body: &DoctorBody) -> Result<(), Failure> {
    match body.findings.len() {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Failed, "findings", "1 finding")),
        count => Err(Failure::new(Exit::Failed, "findings", format!("{count} findings"))),
    }
}
