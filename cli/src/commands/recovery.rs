//! `beadmesh recovery`: the key that can take the mesh over, shown one time.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use beadmesh_node::api::model::{Empty, OwnerRequest, RecoveryBody, SecretText};

use super::input::Input;
use super::{Context, members};
use crate::args::{KeyArgs, RecoveryCommand};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::text;

/// Bytes read of a file that holds a recovery key.
const KEY_BYTES_MAX: u64 = 4 * 1024;

/// Carries out what is to be done with the key.
pub(super) async fn run(context: &mut Context, command: RecoveryCommand) -> Result<(), Failure> {
    match command {
        // The flag is required; that it was typed is all it says.
        RecoveryCommand::Show(_) => show(context).await,
        RecoveryCommand::Take(KeyArgs { key_file }) => {
            let wish = OwnerRequest { node: None, recovery_key: Some(read_key(&key_file)?) };
            members::owned(context, &wish).await
        }
    }
}

/// Reads a recovery key, which comes by no argument that others could see.
pub(super) fn read_key(file: &Path) -> Result<SecretText, Failure> {
    let text = if file.as_os_str() == "-" {
        Input::default().text("-".to_owned())?
    } else {
        let mut text = String::new();
        let read = File::open(file).and_then(|file| file.take(KEY_BYTES_MAX).read_to_string(&mut text));
        read.map_err(|error| Failure::io(format!("{} cannot be read", file.display()), &error))?;
        text
    };
    Ok(SecretText::new(text.trim().to_owned()))
}

/// Prints the key; it alone goes to stdout, so that it can be piped into a safe.
async fn show(context: &mut Context) -> Result<(), Failure> {
    let mut client = context.client().await?;
    let body: RecoveryBody = client.post("/v1/recovery", &Empty {}).await?;
    let printer = &mut context.printer;
    if printer.json {
        printer.answer(&body)?;
    } else {
        printer.line(body.recovery_key.reveal())?;
    }
    printer.flush()?;
    forget(&mut client, &body).await?;
    printer.note("Keep it where you keep passwords. It will not be shown again.")
}

/// Has the node forget the key; only once it is written where a person reads it, for it is kept nowhere else.
pub(super) async fn forget(client: &mut Client, shown: &RecoveryBody) -> Result<(), Failure> {
    let Empty {} = client.delete("/v1/recovery", shown).await?;
    Ok(())
}

/// Returns a frame that shows the key to whoever founded a mesh just now; without its lines where they do not fit.
pub(super) fn frame(key: &SecretText, columns: Option<u16>) -> String {
    let lines = [
        "RECOVERY KEY",
        "",
        key.reveal(),
        "",
        "It can take this mesh over when its owner is lost.",
        "Keep it where you keep passwords: it is not shown again.",
    ];
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    if columns.is_some_and(|columns| usize::from(columns) < width + 6) {
        let room = columns.map_or(usize::MAX, usize::from);
        // The key is left to the terminal, so that it is copied in one piece.
        let rows = lines.iter().flat_map(|line| match *line {
            "" => vec![String::new()],
            line if line == key.reveal() => vec![line.to_owned()],
            line => text::wrap(line, room),
        });
        return rows.collect::<Vec<_>>().join("\n");
    }
    let rule = "─".repeat(width + 4);
    let mut frame = format!("┌{rule}┐\n");
    for line in lines {
        let space = " ".repeat(width - line.chars().count());
        frame.push_str(&format!("│  {line}{space}  │\n"));
    }
    frame.push_str(&format!("└{rule}┘"));
    frame
}

#[cfg(test)]
mod tests {
    use super::frame;
    use beadmesh_node::api::model::SecretText;

    #[test]
    fn the_key_stands_in_a_frame() {
        insta::assert_snapshot!(frame(&SecretText::new("bmr1abcdefgh".into()), Some(80)), @r"
        ┌────────────────────────────────────────────────────────────┐
        │  RECOVERY KEY                                              │
        │                                                            │
        │  bmr1abcdefgh                                              │
        │                                                            │
        │  It can take this mesh over when its owner is lost.        │
        │  Keep it where you keep passwords: it is not shown again.  │
        └────────────────────────────────────────────────────────────┘
        ");
        insta::assert_snapshot!(frame(&SecretText::new("bmr1abcdefgh".into()), Some(40)), @r"
        RECOVERY KEY

        bmr1abcdefgh

        It can take this mesh over when its
        owner is lost.
        Keep it where you keep passwords: it is
        not shown again.
        ");
    }
}
