//! `beadmesh voters`: the nodes whose majority decides who holds a lease.

use std::time::Duration;

use beadmesh_node::api::model::{VotersBody, VotersRequest};

use super::Context;
use super::recovery::read_key;
use crate::args::{RecoverArgs, SetArgs, VotersCommand};
use crate::failure::Failure;
use crate::output::lease;

/// How long it may take until other voters vote: those that just started wait for two minutes before they do.
const CHANGE_PATIENCE: Duration = Duration::from_secs(180);

/// Carries out what is to be done with voters.
pub(super) async fn run(context: &mut Context, command: VotersCommand) -> Result<(), Failure> {
    match command {
        VotersCommand::List => list(context).await,
        VotersCommand::Set(SetArgs { nodes, hold }) => {
            let hold_s = hold.map(|hold| hold.as_secs());
            choose(context, VotersRequest { nodes, hold_s, recovery_key: None }).await
        }
        VotersCommand::Recover(RecoverArgs { nodes, key_file }) => {
            let recovery_key = Some(read_key(&key_file)?);
            choose(context, VotersRequest { nodes, hold_s: None, recovery_key }).await
        }
    }
}

async fn list(context: &mut Context) -> Result<(), Failure> {
    let body: VotersBody = context.client().await?.get("/v1/voters").await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    for line in lease::voters(&body, printer.columns) {
        printer.line(line)?;
    }
    Ok(())
}

async fn choose(context: &mut Context, wish: VotersRequest) -> Result<(), Failure> {
    let mut node = context.node().await?;
    let body: VotersBody = node.post_within("/v1/voters", &wish, CHANGE_PATIENCE).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    printer.line(chosen(&body))?;
    if body.next.is_some() {
        return printer.note("`beadmesh voters list` shows when they do; until then, those before decide.");
    }
    Ok(())
}

/// Says who votes now, or is to.
fn chosen(body: &VotersBody) -> String {
    let names: Vec<String> = body.voters.iter().map(|seat| seat.name.clone()).collect();
    match &body.next {
        Some(next) => format!("Chosen, and not voting yet: {}.", lease::listed(next)),
        None => {
            let are = if names.len() == 1 { "The voter is" } else { "The voters are" };
            format!("{are} {}: {}", lease::listed(&names), lease::reach(body))
        }
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_node::api::model::Seat;

    use super::*;

    #[test]
    fn those_who_vote_are_told_from_those_who_are_to() {
        let seat = Seat { node: "n".into(), name: "desk".into(), here: true, reached: true, note: None };
        let body = VotersBody {
            epoch: 1,
            hold_ms: 90_000,
            voters: vec![seat],
            reached: 1,
            quorum: 1,
            next: None,
            leases: None,
        };
        assert_eq!(chosen(&body), "The voter is desk: 1 of 1 in reach.");
        let next = VotersBody { next: Some(vec!["a".into(), "b".into(), "c".into()]), ..body };
        assert_eq!(chosen(&next), "Chosen, and not voting yet: a, b, c.");
    }

    #[test]
    fn a_recovery_key_is_read_from_a_file_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "bmr1secret\n").unwrap();
        let key = read_key(&file).unwrap();
        assert_eq!((key.reveal(), format!("{key:?}")), ("bmr1secret", "SecretText(..)".to_owned()));
        assert!(read_key(&folder.path().join("none")).unwrap_err().message.contains("cannot be read"));
    }
}
