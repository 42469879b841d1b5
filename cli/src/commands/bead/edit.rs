//! Changes of beads: fields, status, dependencies, labels, scopes, comments and conflicts.

use std::collections::BTreeMap;

use beadmesh_node::api::model::{
    Bead, BeadBody, ByRequest, CloseRequest, CommentRequest, DepRequest, EditRequest, ResolveRequest, Scalar,
    UndepRequest, WordsRequest, own_status,
};
use serde::Serialize;

use super::super::Context;
use super::super::input::Input;
use super::{answer, changed, found, path};
use crate::args::{self, CloseArgs, CommentArgs, DepCommand, IdArgs, ResolveArgs, UpdateArgs, WordsArgs, WordsCommand};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::text;

/// Sets fields of a bead.
pub(super) async fn update(context: &mut Context, args: UpdateArgs) -> Result<(), Failure> {
    let path = path(&args.id, "")?;
    let needs = args.needs.clone();
    let set = fields(args)?;
    let own_status = match set.get("status") {
        Some(Scalar::Text(word)) => own_status(word),
        _ => None,
    };
    let (mut client, by) = context.acting_client().await?;
    let wish = EditRequest { by, set, needs };
    let body: BeadBody = client.patch(&path, &wish).await?;
    changed(&mut context.printer, &body, |name| format!("Updated {name}."))?;
    own_status.map_or(Ok(()), |told| context.printer.urgent(&format!("Warning: {}", text::clean_line(&told))))
}

/// Returns the fields to set; texts that are `-` come from standard input.
fn fields(args: UpdateArgs) -> Result<BTreeMap<String, Scalar>, Failure> {
    let mut input = Input::default();
    let mut long = |value: Option<Scalar>| match value {
        Some(Scalar::Text(text)) => {
            let text = input.text(text)?;
            Ok(Some(if text.is_empty() { Scalar::Absent } else { Scalar::Text(text) }))
        }
        other => Ok(other),
    };
    let given = [
        ("title", args.title),
        ("status", args.status),
        ("priority", args.priority),
        ("type", args.kind),
        ("description", long(args.description)?),
        ("design", long(args.design)?),
        ("acceptance", long(args.acceptance)?),
        ("notes", long(args.notes)?),
        ("assignee", args.assignee),
        ("estimate_minutes", args.estimate),
        ("due_at", args.due),
        ("defer_until", args.defer),
        ("external_ref", args.external_ref),
        ("alias", args.alias),
    ];
    let set: BTreeMap<_, _> = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    if set.is_empty() && args.needs.is_none() {
        let failure = Failure::usage("nothing is said about what to change");
        return Err(failure.hint("name a field, such as --status in_progress; an empty value clears one"));
    }
    Ok(set)
}

/// Closes beads.
pub(super) async fn close(context: &mut Context, args: CloseArgs) -> Result<(), Failure> {
    each(context, &args.ids, "/close", |by| CloseRequest { by, reason: args.reason }, "Closed").await
}

/// Opens closed beads again.
pub(super) async fn reopen(context: &mut Context, args: IdArgs) -> Result<(), Failure> {
    each(context, &args.ids, "/reopen", |by| ByRequest { by }, "Reopened").await
}

/// Deletes beads.
pub(super) async fn delete(context: &mut Context, args: CloseArgs) -> Result<(), Failure> {
    each(context, &args.ids, "/delete", |by| CloseRequest { by, reason: args.reason }, "Deleted").await
}

/// Sends one wish, made by who acts, for each of several beads, once every one of them was found.
///
/// The first that fails ends it: what was done before is told, and printed as a success of its own.
async fn each<W: Serialize>(
    context: &mut Context,
    ids: &[String],
    below: &str,
    wish: impl FnOnce(String) -> W,
    did: &str,
) -> Result<(), Failure> {
    let (mut client, by) = context.acting_client().await?;
    let found = found(&mut client, ids).await?;
    let (done, outcome) = send(&mut client, &found, below, &wish(by), did).await;
    if context.printer.json {
        if !done.is_empty() {
            answer(&mut context.printer, done, ids)?;
        }
        return outcome;
    }
    for bead in done {
        let held = held_on(&bead);
        changed(&mut context.printer, &BeadBody { bead }, |name| format!("{did} {name}."))?;
        if let Some(held) = held {
            context.printer.urgent(&held)?;
        }
    }
    outcome
}

/// Says who else still holds a bead that is done now; whoever closes a bead has let its own claim go by that.
fn held_on(bead: &Bead) -> Option<String> {
    let holder = text::clean_line(bead.holder.as_deref()?);
    let (name, is_done) = (text::clean_line(&bead.alias), matches!(&*bead.status, "closed" | "tombstone"));
    is_done.then(|| format!("Warning: {holder} holds {name}; write to it with `beadmesh mail send --to {holder}`."))
}

/// Sends a wish for each bead until one fails; returns the beads as they are now, and how it ended.
async fn send(
    client: &mut Client,
    beads: &[Bead],
    below: &str,
    wish: &impl Serialize,
    did: &str,
) -> (Vec<Bead>, Result<(), Failure>) {
    let mut done: Vec<Bead> = Vec::new();
    for bead in beads {
        let sent = match path(&bead.id, below) {
            Ok(path) => client.post::<BeadBody>(&path, wish).await,
            Err(failure) => Err(failure),
        };
        match sent {
            Ok(body) => done.push(body.bead),
            Err(failure) if beads.len() == 1 => return (done, Err(failure)),
            Err(failure) => {
                let failure = partly(failure, bead, &done, did);
                return (done, Err(failure));
            }
        }
    }
    (done, Ok(()))
}

/// Adds to a failure which bead it is about, and what was done before it.
fn partly(failure: Failure, bead: &Bead, done: &[Bead], did: &str) -> Failure {
    let message = format!("{}: {}", bead.alias, failure.message);
    let before = match done {
        [] => "nothing was changed".to_owned(),
        done => {
            let names: Vec<&str> = done.iter().map(|bead| bead.alias.as_str()).collect();
            format!("{} before that: {}", did.to_lowercase(), names.join(", "))
        }
    };
    let hint = match &failure.hint {
        Some(hint) => format!("{before}; {hint}"),
        None => before,
    };
    Failure { message, ..failure }.hint(hint)
}

/// Settles a field that several people set at once.
pub(super) async fn resolve(context: &mut Context, args: ResolveArgs) -> Result<(), Failure> {
    let path = path(&args.id, "/resolve")?;
    let value = args.value.map(|text| scalar(&args.field, &text)).transpose()?;
    let (mut client, by) = context.acting_client().await?;
    let wish = ResolveRequest { by, field: args.field.clone(), value };
    let body: BeadBody = client.post(&path, &wish).await?;
    let field = text::clean_line(&args.field);
    let left = body.bead.conflicts.len();
    changed(&mut context.printer, &body, |name| match left {
        0 => format!("Settled {field} of {name}."),
        1 => format!("Settled {field} of {name}; 1 conflict is left."),
        left => format!("Settled {field} of {name}; {left} conflicts are left."),
    })
}

/// Reads a value for a field by its name.
fn scalar(field: &str, value: &str) -> Result<Scalar, Failure> {
    let read = match field {
        "priority" => args::priority_field(value),
        "estimate_minutes" => args::minutes_field(value),
        _ => args::text_field(value),
    };
    read.map_err(|problem| Failure::usage(format!("{field}: {problem}")).field(field))
}

/// Adds or removes a dependency.
pub(super) async fn dep(context: &mut Context, command: DepCommand) -> Result<(), Failure> {
    let (mut client, by) = context.acting_client().await?;
    let (body, told): (BeadBody, _) = match command {
        DepCommand::Add(args) => {
            let kind = args.kind.unwrap_or_else(|| "blocks".to_owned());
            let told = (" now depends on ", args.on.clone(), kind.clone());
            let wish = DepRequest { by, on: args.on, kind };
            (client.post(&path(&args.id, "/deps")?, &wish).await?, told)
        }
        DepCommand::Remove(args) => {
            let told = (" no longer depends on ", args.on.clone(), args.kind.clone().unwrap_or_default());
            let wish = UndepRequest { by, on: args.on, kind: args.kind };
            (client.delete(&path(&args.id, "/deps")?, &wish).await?, told)
        }
    };
    let (does, target, kind) = told;
    let kind = if kind.is_empty() { String::new() } else { format!(" ({})", text::clean_line(&kind)) };
    changed(&mut context.printer, &body, |name| format!("{name}{does}{}{kind}.", text::clean_line(&target)))
}

/// Adds or removes labels or scopes.
pub(super) async fn words(context: &mut Context, command: WordsCommand, what: &str) -> Result<(), Failure> {
    let (id, add, remove) = match command {
        WordsCommand::Add(WordsArgs { id, words }) => (id, words, Vec::new()),
        WordsCommand::Remove(WordsArgs { id, words }) => (id, Vec::new(), words),
    };
    let path = path(&id, &format!("/{what}"))?;
    let (mut client, by) = context.acting_client().await?;
    let wish = WordsRequest { by, add, remove };
    let body: BeadBody = client.post(&path, &wish).await?;
    let now = if what == "labels" { body.bead.labels.join(", ") } else { body.bead.scopes.join(", ") };
    let now = if now.is_empty() { "none".to_owned() } else { text::clean_line(&now) };
    let heading = if what == "labels" { "Labels" } else { "Scopes" };
    changed(&mut context.printer, &body, |name| format!("{heading} of {name}: {now}."))
}

/// Adds a comment.
pub(super) async fn comment(context: &mut Context, args: CommentArgs) -> Result<(), Failure> {
    let path = path(&args.id, "/comments")?;
    let text = Input::default().text(args.text)?;
    let (mut client, by) = context.acting_client().await?;
    let wish = CommentRequest { by, text };
    let body: BeadBody = client.post(&path, &wish).await?;
    changed(&mut context.printer, &body, |name| format!("Commented on {name}."))
}

#[cfg(test)]
mod tests;
