//! `beadmesh mail`: letters between agents.

use beadmesh_node::api::model::{
    Empty, InboxQuery, LETTER_BODY_BYTES_MAX, Letter, LetterBody, LetterRequest, LettersBody, LettersQuery, ShowQuery,
    ThreadBody, ThreadQuery, encode_segment,
};
use jiff::Timestamp;

use super::Context;
use super::input::Input;
use crate::args::{
    AckArgs, InboxArgs, LetterArgs, MailCommand, PageArgs, ReplyArgs, SearchArgs, SendArgs, ShowArgs, ThreadArgs,
};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::paint::Paint;
use crate::output::{Printer, letter, text};

mod attachment;
mod files;
mod wait;

use files::Files;

/// Letters that people are shown unless they ask for more.
const SHOWN_DEFAULT: usize = 20;

/// What is said while lists may change without a letter coming or going.
const SETTLING: &str = "Letters are just being judged anew: some may be missing or about to go. Ask again in a while.";

/// What is said where a search does not reach all letters.
const TRUNCATED: &str = "The oldest letters were not looked through: memory holds the words of the newest alone.";

/// Carries out what is to be done with letters.
pub(super) async fn run(context: &mut Context, command: MailCommand) -> Result<(), Failure> {
    match command {
        MailCommand::Send(args) => send(context, *args).await,
        MailCommand::Reply(args) => reply(context, *args).await,
        MailCommand::Inbox(args) => inbox(context, args).await,
        MailCommand::Show(args) => show(context, args).await,
        MailCommand::Attachment(args) => attachment::run(context, args).await,
        MailCommand::Thread(args) => thread(context, args).await,
        MailCommand::Ack(args) => ack(context, args).await,
        MailCommand::Search(args) => search(context, args).await,
        MailCommand::Wait(args) => wait::run(context, args).await,
    }
}

/// Writes a letter.
async fn send(context: &mut Context, args: SendArgs) -> Result<(), Failure> {
    let SendArgs { to, cc, subject, thread, common } = args;
    let project = context.project()?.known();
    let (wish, files) = written(common)?;
    post(context, LetterRequest { to, cc, subject: Some(subject), thread, project, ..wish }, files).await
}

/// Answers a letter.
async fn reply(context: &mut Context, args: ReplyArgs) -> Result<(), Failure> {
    let ReplyArgs { letter, all, common } = args;
    let (wish, files) = written(common)?;
    post(context, LetterRequest { in_reply_to: Some(letter), reply_all: all, ..wish }, files).await
}

/// Returns what letters of all kinds say, and the files that go with one; a reply is about the project of the letter it
/// answers.
fn written(args: LetterArgs) -> Result<(LetterRequest, Files), Failure> {
    let LetterArgs { importance, ack, attach, allow_credentials, body } = args;
    let files = Files::open(&attach)?;
    let wish = LetterRequest {
        body: Input::default().bounded(body, "body", LETTER_BODY_BYTES_MAX)?,
        importance: importance.into(),
        ack_required: ack,
        allow_credentials,
        ..LetterRequest::default()
    };
    Ok((wish, files))
}

async fn post(context: &mut Context, mut wish: LetterRequest, files: Files) -> Result<(), Failure> {
    let mut client = context.proven_client().await?;
    wish.attachments = files.upload(&mut client, &context.printer).await?;
    let body: LetterBody = client.post("/v1/letters", &wish).await?;
    let is_local = client.is_local();
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    if printer.quiet {
        return printer.line(text::clean_line(&body.letter.short));
    }
    let stored = if is_local { "Stored here; no node is running." } else { "Stored here." };
    printer.line(format!("Wrote {} to {}. {stored}", name(&body.letter), recipients(&body.letter)))
}

/// Returns whom a letter goes to, in a few words.
fn recipients(letter: &Letter) -> String {
    match (&letter.to[..], letter.cc.len()) {
        ([one], 0) => text::clean_line(one),
        (to, copies) => format!("{} agents", to.len() + copies),
    }
}

/// Lists the letters to who asks.
async fn inbox(context: &mut Context, args: InboxArgs) -> Result<(), Failure> {
    let InboxArgs { unread, urgent, since, page } = args;
    let limit = limit(&context.printer, &page);
    let query = InboxQuery { unread, urgent, since, after: page.after, limit: None };
    let mut client = context.proven_client().await?;
    let body = pages(&mut client, limit, |after, limit| {
        let query = InboxQuery { after: after.or_else(|| query.after.clone()), limit, ..query.clone() };
        format!("/v1/inbox{}", query.to_query())
    });
    let body = body.await?;
    let is_plain = !query.unread && !query.urgent && query.since.is_none();
    print(&mut context.printer, &body, if is_plain { "No letters." } else { "No such letters." })
}

/// Finds letters by words.
async fn search(context: &mut Context, args: SearchArgs) -> Result<(), Failure> {
    let limit = limit(&context.printer, &args.page);
    let query = LettersQuery { query: args.words.join(" "), after: args.page.after, limit: None };
    let mut client = context.proven_client().await?;
    let body = pages(&mut client, limit, |after, limit| {
        let query = LettersQuery { after: after.or_else(|| query.after.clone()), limit, ..query.clone() };
        format!("/v1/letters{}", query.to_query())
    });
    let body = body.await?;
    print(&mut context.printer, &body, "No letter holds all of that.")
}

/// Shows a letter.
async fn show(context: &mut Context, args: ShowArgs) -> Result<(), Failure> {
    let query = ShowQuery { peek: args.peek };
    let path = format!("{}{}", path("letters", &args.letter)?, query.to_query());
    let mut client = context.proven_client().await?;
    let body: LetterBody = client.get(&path).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    in_full(printer, std::slice::from_ref(&body.letter))
}

/// Shows a thread.
async fn thread(context: &mut Context, args: ThreadArgs) -> Result<(), Failure> {
    let path = path("threads", &args.thread)?;
    let mut client = context.proven_client().await?;
    let mut body: ThreadBody = client.get(&path).await?;
    while let Some(after) = body.next.take() {
        let query = ThreadQuery { after: Some(after), limit: None };
        let page: ThreadBody = client.get(&format!("{path}{}", query.to_query())).await?;
        body.letters.extend(page.letters);
        (body.next, body.settling) = (page.next, body.settling || page.settling);
    }
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    in_full(printer, &body.letters)?;
    if body.settling { printer.note(SETTLING) } else { Ok(()) }
}

/// Acknowledges a letter.
async fn ack(context: &mut Context, args: AckArgs) -> Result<(), Failure> {
    let path = format!("{}/ack", path("letters", &args.letter)?);
    let mut client = context.proven_client().await?;
    let body: LetterBody = client.post(&path, &Empty {}).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    if printer.quiet { Ok(()) } else { printer.line(format!("Acknowledged {}.", name(&body.letter))) }
}

/// Asks for pages until there are as many letters as are wanted, or all for 0: the node bounds each page.
///
/// `path` is given what to go on after, if that is not the beginning, and how many are still wanted.
async fn pages(
    client: &mut Client,
    wanted: usize,
    path: impl Fn(Option<String>, Option<usize>) -> String,
) -> Result<LettersBody, Failure> {
    let mut all: LettersBody = client.get(&path(None, Some(wanted))).await?;
    while all.next.is_some() && (wanted == 0 || all.letters.len() < wanted) {
        let left = wanted.saturating_sub(all.letters.len());
        let page: LettersBody = client.get(&path(all.next.take(), Some(left))).await?;
        all.letters.extend(page.letters);
        all.next = page.next;
        all.settling |= page.settling;
        all.truncated |= page.truncated;
    }
    Ok(all)
}

/// Prints a list of letters, and how to go on where there are more.
fn print(printer: &mut Printer, body: &LettersBody, none: &str) -> Result<(), Failure> {
    if printer.json {
        return printer.answer(body);
    }
    if body.settling {
        printer.note(SETTLING)?;
    }
    if body.truncated {
        printer.note(TRUNCATED)?;
    }
    if body.letters.is_empty() {
        return printer.note(none);
    }
    for line in letter::list(&body.letters, printer.columns, Timestamp::now()) {
        printer.line(line)?;
    }
    match (&body.next, body.letters.last()) {
        (Some(_), Some(last)) => {
            let (shown, last) = (body.letters.len(), text::clean_line(&last.short));
            printer
                .note(format!("{shown} shown, there are more. Add --after {last} to go on, or --limit 0 to see all."))
        }
        _ => Ok(()),
    }
}

/// Prints letters in full, with a rule between them.
fn in_full(printer: &mut Printer, letters: &[Letter]) -> Result<(), Failure> {
    for (at, letter) in letters.iter().enumerate() {
        if at > 0 {
            let rule = "─".repeat(printer.text_columns());
            printer.line(format!("\n{}\n", Paint::Faint.on(&rule)))?;
        }
        for line in letter::page(letter, printer.text_columns(), Timestamp::now()) {
            printer.line(line)?;
        }
    }
    Ok(())
}

/// Returns how many letters to ask for.
fn limit(printer: &Printer, page: &PageArgs) -> usize {
    page.limit.unwrap_or(if printer.json { 0 } else { SHOWN_DEFAULT })
}

/// Returns the path of a letter or a thread.
fn path(what: &str, name: &str) -> Result<String, Failure> {
    if name.is_empty() || matches!(name, "." | "..") {
        return Err(Failure::usage(format!("{name:?} names none of the {what}")));
    }
    Ok(format!("/v1/{what}/{}", encode_segment(name)))
}

/// Returns the start of a letter's id, ready to be printed.
fn name(letter: &Letter) -> String {
    Paint::Name.on(&text::clean_line(&letter.short))
}
