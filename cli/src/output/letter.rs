//! Letters: as lines of a list, and as pages that fit 80 columns.

use beadmesh_node::api::model::{Importance, Letter, Receipt};
use jiff::Timestamp;

use super::paint::Paint;
use super::table::{self, Column, Painted};
use super::{text, time};

/// The columns of a list.
const LAYOUT: [Column; 7] = [
    Column::new("ID"),
    Column::new("STATE").spare(1),
    Column::new("LEVEL").spare(2),
    Column::new("FROM"),
    Column::new("SUBJECT").flexible(),
    Column::new("THREAD").spare(4),
    Column::new("WHEN").spare(3),
];

/// Returns the lines of a list of letters.
pub(crate) fn list(letters: &[Letter], columns: Option<u16>, now: Timestamp) -> Vec<String> {
    let rows: Vec<Vec<Painted>> = letters.iter().map(|letter| row(letter, now)).collect();
    table::lines(&LAYOUT, &rows, columns)
}

/// Returns the lines of a letter in full, at most `columns` wide: what it says of itself, then its body.
pub(crate) fn page(letter: &Letter, columns: usize, now: Timestamp) -> Vec<String> {
    let mut lines = head(letter, columns);
    let mut facts = vec![("From", letter.from.clone()), ("To", letter.to.join(", "))];
    if !letter.cc.is_empty() {
        facts.push(("Copy", letter.cc.join(", ")));
    }
    facts.push(("Sent", format!("{} ({})", time::minute(&letter.sent_at), time::ago(&letter.sent_at, now))));
    facts.push(("Thread", letter.thread.clone()));
    if let Some(answered) = &letter.in_reply_to {
        facts.push((if letter.system { "About" } else { "Answers" }, answered.clone()));
    }
    for attachment in &letter.attachments {
        facts.push(("File", format!("{} {} ({} bytes)", attachment.index, attachment.name, attachment.bytes)));
    }
    for receipt in &letter.receipts {
        facts.push(("Read", told(receipt, now)));
    }
    for (name, value) in facts {
        let rows = text::wrap(&text::clean_line(&value), columns.saturating_sub(9).max(10));
        for (at, row) in rows.iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            lines.push(format!("{}  {row}", Paint::Faint.on(&format!("{name:7}"))));
        }
    }
    if let Some(body) = &letter.body {
        lines.push(String::new());
        lines.extend(text::wrap(body, columns));
    }
    lines
}

/// Returns the letter's id and subject, and what is to be known of it at once.
fn head(letter: &Letter, columns: usize) -> Vec<String> {
    let id = text::clean_line(&letter.short);
    let indent = text::width(&id) + 2;
    let rows = text::wrap(&text::clean_line(&letter.subject), columns.saturating_sub(indent).max(10));
    let mut lines = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let lead = if at == 0 { format!("{}  ", Paint::Name.on(&id)) } else { " ".repeat(indent) };
        lines.push(format!("{lead}{}", Paint::Strong.on(row)));
    }
    if lines.is_empty() {
        lines.push(Paint::Name.on(&id));
    }
    let marks = [pressing(letter.importance), state(letter)].into_iter().filter(|(_, word)| !word.is_empty());
    let marks: Vec<String> = marks.map(|(paint, word)| paint.on(word)).collect();
    lines.extend(text::flow(&marks, &Paint::Faint.on(" · "), columns));
    lines
}

fn row(letter: &Letter, now: Timestamp) -> Vec<Painted> {
    let (pressing_paint, pressing) = pressing(letter.importance);
    let (state_paint, state) = state(letter);
    vec![
        (Paint::Name, letter.short.clone()),
        (state_paint, state.to_owned()),
        (pressing_paint, pressing.to_owned()),
        (Paint::Plain, letter.from.clone()),
        (if letter.unread { Paint::Strong } else { Paint::Plain }, letter.subject.clone()),
        (Paint::Faint, letter.thread.clone()),
        (Paint::Faint, time::ago(&letter.sent_at, now)),
    ]
}

/// Returns what who asks has still to do with a letter.
fn state(letter: &Letter) -> (Paint, &'static str) {
    match letter {
        Letter { ack_due: true, unread: true, .. } => (Paint::Slow, "new, ack due"),
        Letter { ack_due: true, .. } => (Paint::Slow, "ack due"),
        Letter { unread: true, .. } => (Paint::Good, "new"),
        _ => (Paint::Plain, ""),
    }
}

/// Returns how pressing a letter is, where that is worth a word.
fn pressing(importance: Importance) -> (Paint, &'static str) {
    match importance {
        Importance::Low => (Paint::Faint, "low"),
        Importance::Normal => (Paint::Plain, ""),
        Importance::High => (Paint::Slow, "high"),
        Importance::Urgent => (Paint::Bad, "urgent"),
    }
}

/// Says what a recipient did, and when.
fn told(receipt: &Receipt, now: Timestamp) -> String {
    let Receipt { agent, read_at, acknowledged_at } = receipt;
    match acknowledged_at {
        Some(date) => format!("{agent}, acknowledged {}", time::ago(date, now)),
        None => format!("{agent}, {}", time::ago(read_at, now)),
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_node::api::model::{Attachment, Importance, Letter, Receipt};
    use jiff::Timestamp;

    use super::{list, page};
    use crate::output::text;

    fn letter() -> Letter {
        Letter {
            id: "k7f3qxabcdefghijklmnopqrst".into(),
            short: "k7f3qx".into(),
            thread: "api-rework".into(),
            from: "BlueLake@gpu-box".into(),
            to: vec!["GreenCastle@laptop".into(), "tim@desk".into()],
            cc: vec!["RedFox@vps".into()],
            subject: "The schema of answers changes on Monday, and every client has to be ready by then".into(),
            body: Some("Please look at these:\n\n- the field `total` goes away, and with it everything that counts pages\n- \u{1b}[31mnext\u{1b}[0m stays\n\n```\ncargo test --workspace\n```\n".into()),
            importance: Importance::Urgent,
            ack_required: true,
            in_reply_to: Some("abcdefghijklmnopqrstuvwxyz".into()),
            project: None,
            attachments: vec![Attachment { index: 1, hash: "00".repeat(32), name: "plan.md".into(), bytes: 1_204 }],
            sent_at: "2026-03-01T10:00:00Z".into(),
            node: "n".into(),
            unread: true,
            ack_due: true,
            system: false,
            kind: None,
            receipts: vec![Receipt {
                agent: "tim@desk".into(),
                read_at: "2026-03-01T10:30:00Z".into(),
                acknowledged_at: Some("2026-03-01T11:00:00Z".into()),
            }],
        }
    }

    fn plain(lines: &[String]) -> String {
        anstream::adapter::strip_str(&lines.join("\n")).to_string()
    }

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_letter_reads_well_in_80_columns() {
        let lines = page(&letter(), 80, now());
        insta::assert_snapshot!(plain(&lines), @r"
        k7f3qx  The schema of answers changes on Monday, and every client has to be
                ready by then
        urgent · new, ack due
        From     BlueLake@gpu-box
        To       GreenCastle@laptop, tim@desk
        Copy     RedFox@vps
        Sent     2026-03-01 10:00 UTC (2 h ago)
        Thread   api-rework
        Answers  abcdefghijklmnopqrstuvwxyz
        File     1 plan.md (1204 bytes)
        Read     tim@desk, acknowledged 1 h ago

        Please look at these:

        - the field `total` goes away, and with it everything that counts pages
        - �[31mnext�[0m stays

        ```
        cargo test --workspace
        ```
        ");
        for columns in [20, 40, 80] {
            for line in plain(&page(&letter(), columns, now())).lines() {
                assert!(text::width(line) <= columns.max(26), "{columns}: {line}");
            }
        }
    }

    #[test]
    fn what_a_letter_holds_does_not_steer_the_terminal() {
        let evil = "\u{1b}]0;x\u{7}\u{202e}".to_owned();
        let letter = Letter {
            subject: evil.clone(),
            body: Some(evil.clone()),
            thread: evil.clone(),
            from: evil.clone(),
            to: vec![evil.clone()],
            ..letter()
        };
        let shown = plain(&page(&letter, 80, now())) + &plain(&list(&[letter], Some(80), now()));
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
    }

    #[test]
    fn an_inbox_is_one_line_a_letter() {
        let read = Letter {
            short: "m2z4aa".into(),
            subject: "Re: keys".into(),
            unread: false,
            ack_due: false,
            importance: Importance::Normal,
            sent_at: "2026-02-28T09:00:00Z".into(),
            ..letter()
        };
        insta::assert_snapshot!(plain(&list(&[letter(), read.clone()], Some(80), now())), @r"
        ID      STATE         LEVEL   FROM              SUBJECT
        k7f3qx  new, ack due  urgent  BlueLake@gpu-box  The schema of answers changes o…
        m2z4aa                        BlueLake@gpu-box  Re: keys
        ");
        insta::assert_snapshot!(plain(&list(&[read], Some(80), now())), @r"
        ID      FROM              SUBJECT   THREAD      WHEN
        m2z4aa  BlueLake@gpu-box  Re: keys  api-rework  yesterday
        ");
    }
}
