//! `beadmesh mail attachment`: saves a file that came with a letter.
//!
//! What a letter calls a file was chosen by somebody else: it never leads out of the current folder.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use axum::body::Body;
use beadmesh_node::api::model::{Attachment, Letter, LetterBody, ShowQuery};
use http_body_util::BodyExt;
use serde::Serialize;

use super::super::Context;
use super::super::target::{Target, unwritable};
use super::path;
use crate::args::AttachmentArgs;
use crate::client;
use crate::failure::{Exit, Failure};
use crate::output::progress::Progress;
use crate::output::text;

/// What saving an attachment says.
#[derive(Debug, Serialize)]
struct SavedBody {
    /// Where it was written.
    file: PathBuf,
    /// What came.
    attachment: Attachment,
}

/// Saves an attachment.
pub(super) async fn run(context: &mut Context, args: AttachmentArgs) -> Result<(), Failure> {
    let AttachmentArgs { letter, which, output, force } = args;
    let is_piped = output.as_deref().is_some_and(|output| output.as_os_str() == "-");
    if is_piped && io::stdout().is_terminal() {
        let failure = Failure::usage("what came with a letter is not shown on a terminal: it may be anything");
        return Err(failure.hint("name a file with --output, or pipe it into a program such as `less`"));
    }
    let shown = path("letters", &letter)?;
    let mut client = context.proven_client().await?;
    let query = ShowQuery { peek: true };
    let LetterBody { letter } = client.get(&format!("{shown}{}", query.to_query())).await?;
    let attachment = picked(&letter, which.as_deref())?.clone();
    let place = match output {
        _ if is_piped => None,
        Some(output) => Some(free(output, force)?),
        None => Some(own_place(&attachment.name, force)?),
    };
    let address = format!("/v1/letters/{}/attachments/{}", letter.id, attachment.index);
    let body = client.download_slow(&address).await?;
    let progress = Progress::bytes(&context.printer, "Saving", Some(attachment.bytes));
    let mut copy = Copy { body, progress, bytes: 0, expected: attachment.bytes };
    let Some(place) = place else {
        let copied = copy.run(|bytes| context.printer.raw(bytes)).await;
        copy.progress.clear();
        return copied;
    };
    let saved = save(&mut copy, &place, force).await;
    copy.progress.clear();
    saved?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&SavedBody { file: place, attachment });
    }
    if printer.quiet {
        return printer.line(text::clean_line(&place.display().to_string()));
    }
    let (name, place) = (text::clean_line(&attachment.name), text::clean_line(&place.display().to_string()));
    printer.line(format!("Saved {name} ({} bytes) to {place}.", attachment.bytes))
}

/// Finds the attachment that a person means.
fn picked<'a>(letter: &'a Letter, which: Option<&str>) -> Result<&'a Attachment, Failure> {
    let all = &letter.attachments;
    let short = text::clean_line(&letter.short);
    let listed = || {
        let names = all.iter().map(|attachment| format!("{} {}", attachment.index, text::clean_line(&attachment.name)));
        names.collect::<Vec<_>>().join(", ")
    };
    let none = |message: String| Failure::new(Exit::NotFound, "not_found", message);
    let Some(which) = which else {
        return match all.as_slice() {
            [one] => Ok(one),
            [] => Err(none(format!("no file came with the letter {short}"))
                .hint(format!("`beadmesh mail show {short}` shows the letter"))),
            several => {
                let failure =
                    Failure::usage(format!("{} files came with the letter {short}: {}", several.len(), listed()));
                Err(failure.hint("say which, by its number or its name"))
            }
        };
    };
    let numbered = which.parse().ok().and_then(|index: usize| all.iter().find(|one| one.index == index));
    if let Some(one) = numbered {
        return Ok(one);
    }
    let mut named = all.iter().filter(|one| one.name == which);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => {
            let message = format!("several files of that name came with the letter {short}: {}", listed());
            Err(Failure::new(Exit::Conflict, "ambiguous", message).hint("say which, by its number"))
        }
        (None, _) if all.is_empty() => Err(none(format!("no file came with the letter {short}"))),
        (None, _) => {
            let shown: String = which.chars().take(80).collect();
            let failure = none(format!("no file {shown:?} came with the letter {short}"));
            Err(failure.hint(format!("there is {}", listed())))
        }
    }
}

/// Returns where a file goes under the name that the letter gives it: into this folder, as a file that can be seen.
fn own_place(name: &str, force: bool) -> Result<PathBuf, Failure> {
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
    if !is_plain || name.contains(char::is_control) {
        let failure = Failure::new(Exit::Refused, "refused", format!("{name:?} is not a name to save a file under"));
        return Err(failure.hint("name a file with --output"));
    }
    let path = PathBuf::from(name);
    // Whatever else bears the name, such as a link that leads elsewhere, is not for a letter to write to.
    if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
        let failure = Failure::new(Exit::Conflict, "exists", format!("{name} is there already, and is no plain file"));
        return Err(failure.hint("name a file with --output"));
    }
    free(path, force)
}

/// Returns a place unless it is taken.
fn free(path: PathBuf, force: bool) -> Result<PathBuf, Failure> {
    let is_taken = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() || found.is_symlink());
    if is_taken && !force {
        let failure = Failure::new(Exit::Conflict, "exists", format!("{} is there already", path.display()));
        return Err(failure.hint("name another file with --output, or replace it with --force"));
    }
    Ok(path)
}

/// Writes what comes to a file, whole or not at all.
async fn save(copy: &mut Copy, place: &Path, force: bool) -> Result<(), Failure> {
    let cannot = |error: io::Error| unwritable(place, &error);
    let mut target = Target::open_unless_taken(place, force).map_err(cannot)?;
    let copied = copy.run(|bytes| target.file.write_all(bytes).map_err(cannot));
    tokio::select! {
        copied = copied => copied,
        _ = tokio::signal::ctrl_c() => {
            Err(Failure::new(Exit::Failed, "interrupted", format!("interrupted; {} is as it was", place.display())))
        }
    }?;
    target.keep().map_err(cannot)
}

/// A content that is being copied.
struct Copy {
    body: Body,
    progress: Progress,
    bytes: u64,
    expected: u64,
}

impl Copy {
    async fn run(&mut self, mut write: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| client::cut_short(&error))?;
            let Some(bytes) = frame.data_ref() else { continue };
            self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.progress.add(bytes.len());
            write(bytes)?;
        }
        if self.bytes == self.expected {
            Ok(())
        } else {
            Err(client::cut_short(&io::Error::from(io::ErrorKind::UnexpectedEof)))
        }
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_node::api::model::{Attachment, Importance, Letter};

    use super::{own_place, picked};
    use crate::failure::Exit;

    fn letter(names: &[&str]) -> Letter {
        let attachment = |(index, name): (usize, &&str)| Attachment {
            index: index + 1,
            hash: "00".repeat(32),
            name: (*name).to_owned(),
            bytes: 1,
        };
        Letter {
            id: "k7f3qxabcdefghijklmnopqrst".into(),
            short: "k7f3qx".into(),
            thread: "t".into(),
            from: "a".into(),
            to: vec![],
            cc: vec![],
            subject: "s".into(),
            body: None,
            importance: Importance::Normal,
            ack_required: false,
            in_reply_to: None,
            project: None,
            attachments: names.iter().enumerate().map(attachment).collect(),
            sent_at: "2026-03-01T10:00:00Z".into(),
            node: "n".into(),
            unread: false,
            ack_due: false,
            system: false,
            kind: None,
            receipts: vec![],
        }
    }

    #[test]
    fn a_file_is_picked_by_number_or_name_and_by_itself_where_there_is_one() {
        let index = |names: &[&str], which| picked(&letter(names), which).map(|one| one.index);
        assert_eq!(index(&["a"], None), Ok(1));
        assert_eq!(index(&["a", "b"], Some("2")), Ok(2));
        assert_eq!(index(&["a", "b"], Some("b")), Ok(2));
        assert_eq!(index(&["a", "7"], Some("7")), Ok(2), "a number beyond the last may be a name");
        for (names, which, exit, says) in [
            (&["a", "b"][..], None, Exit::Usage, "2 files came with the letter k7f3qx: 1 a, 2 b"),
            (&[], None, Exit::NotFound, "no file came"),
            (&[], Some("1"), Exit::NotFound, "no file came"),
            (&["a"], Some("2"), Exit::NotFound, "no file \"2\" came"),
            (&["a", "a"], Some("a"), Exit::Conflict, "1 a, 2 a"),
        ] {
            let failure = index(names, which).unwrap_err();
            assert_eq!(failure.exit, exit, "{failure:?}");
            assert!(failure.message.contains(says), "{failure:?}");
        }
    }

    #[test]
    fn what_a_letter_calls_a_file_leads_nowhere_else() {
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".bashrc", "a\u{1b}b", "a\nb"] {
            let failure = own_place(name, true).unwrap_err();
            assert_eq!(failure.exit, Exit::Refused, "{name:?}");
            assert!(failure.hint.is_some_and(|hint| hint.contains("--output")));
        }
        assert!(own_place("a name that nobody has taken.txt", false).is_ok());
        // A folder of that name is there while tests run.
        assert_eq!(own_place("src", true).unwrap_err().exit, Exit::Conflict);
    }
}
