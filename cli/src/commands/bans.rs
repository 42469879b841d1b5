//! `beadmesh peers ban` and `unban`: whom this node has nothing to do with.

use beadmesh_node::api::model::{BanRequest, BansBody, UnbanRequest};

use super::Context;
use crate::args::{BanArgs, PeersCommand, UnbanArgs};
use crate::failure::Failure;
use crate::output::{text, time};

/// Keeps a node out, or lets it in again.
pub(super) async fn run(context: &mut Context, command: PeersCommand) -> Result<(), Failure> {
    let mut client = context.node().await?;
    let (body, sentence): (BansBody, &str) = match command {
        PeersCommand::Ban(BanArgs { node, span }) => {
            let wish = BanRequest { node, for_s: span.map(|span| span.as_secs()) };
            (client.post("/v1/bans", &wish).await?, "Kept out of this node; others may still be linked with it.")
        }
        PeersCommand::Unban(UnbanArgs { node }) => {
            (client.delete("/v1/bans", &UnbanRequest { node }).await?, "Let in again.")
        }
    };
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    printer.note(sentence)?;
    for line in lines(&body) {
        printer.line(line)?;
    }
    Ok(())
}

/// Returns a line for each node that is kept out.
pub(super) fn lines(body: &BansBody) -> Vec<String> {
    let line = |ban: &beadmesh_node::api::model::Ban| {
        let until = ban
            .until
            .as_deref()
            .map_or_else(|| "for good".to_owned(), |until| format!("until {}", time::minute(until)));
        let name = text::clean_line(ban.name.as_deref().unwrap_or("no member"));
        format!("{name}  {}  kept out {until}", ban.id)
    };
    body.bans.iter().map(line).collect()
}
