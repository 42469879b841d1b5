use std::collections::BTreeMap;

use beadmesh_node::api::model::{Bead, Comment, Conflict, Dep, Scalar};

use serde_json::json;

use super::lines;
use crate::output::list::{self, Kind};
use crate::output::text;

pub(crate) fn bead() -> Bead {
    Bead {
        id: "ABCDEFGH".into(),
        alias: "bm-k7f3".into(),
        project: None,
        title: "Rotate the signing keys before the old ones lapse".into(),
        description: Some("Every node keeps its key for a year.\n\n- make the new key\n- let the mesh know it".into()),
        design: None,
        acceptance: None,
        notes: None,
        status: "in_progress".into(),
        priority: 1,
        kind: "task".into(),
        assignee: Some("ada".into()),
        estimate_minutes: Some(90),
        created_at: Some("2026-03-01T09:00:00Z".into()),
        created_by: Some("bob".into()),
        updated_at: Some("2026-03-01T11:00:00Z".into()),
        closed_at: None,
        close_reason: None,
        due_at: Some("2026-04-01".into()),
        defer_until: None,
        external_ref: None,
        labels: vec!["keys".into(), "security".into()],
        scopes: vec!["src/keys/**".into()],
        criteria: vec!["no node signs with an old key".into()],
        deps: vec![
            Dep { kind: "blocks".into(), target: "bm-2aaa".into(), status: Some("open".into()) },
            Dep { kind: "related".into(), target: "bm-9zzz".into(), status: None },
        ],
        comments: vec![Comment {
            author: "bob".into(),
            created_at: Some("2026-03-01T11:30:00Z".into()),
            text: "The vault is ready.".into(),
        }],
        needs: [("gpu".into(), "1".into())].into(),
        metadata: [("sprint".into(), json!("spring")), ("sizes".into(), json!([1, "two"]))].into(),
        extra: BTreeMap::new(),
        ready: false,
        blocked_by: vec!["bm-2aaa".into()],
        parent: Some("bm-epic".into()),
        children: vec!["bm-k7f3.10".into(), "bm-k7f3.2".into()],
        dependents: vec!["bm-7ccc".into()],
        statuses: [("bm-7ccc", "open"), ("bm-k7f3.2", "closed")].map(|(a, s)| (a.into(), s.into())).into(),
        stale_close: None,
        holder: None,
        conflicts: vec![
            Conflict {
                field: "assignee".into(),
                shown: Scalar::Text("ada".into()),
                others: vec![Scalar::Text("carol".into()), Scalar::Absent],
            },
            Conflict { field: "priority".into(), shown: Scalar::Number(1), others: vec![Scalar::Number(3)] },
            Conflict {
                field: "metadata.sprint".into(),
                shown: Scalar::Text("spring".into()),
                others: vec![Scalar::Text("summer".into())],
            },
        ],
    }
}

fn plain(lines: &[String]) -> String {
    anstream::adapter::strip_str(&lines.join("\n")).to_string()
}

#[test]
fn a_bead_reads_as_a_page() {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    insta::assert_snapshot!(plain(&lines(&bead(), 60, now)), @r#"
    bm-k7f3  Rotate the signing keys before the old ones lapse
    in_progress · P1 · task · @ada
    Created 3 h ago by bob · Updated 1 h ago

    Labels    keys, security
    Estimate  1 h 30 min
    Due       2026-04-01
    Needs     gpu:1

    Description
      Every node keeps its key for a year.

      - make the new key
      - let the mesh know it

    Criteria
      - no node signs with an old key

    Depends on
      bm-2aaa  blocks (open, holds it up)
      bm-9zzz  related (not known here)

    Part of
      bm-epic

    Parts
      bm-k7f3.2  (closed)
      bm-k7f3.10

    Needed by
      bm-7ccc  (open)

    Scopes
      - src/keys/**

    Metadata
      sizes: [1,"two"]
      sprint: spring

    Comments
      bob, 30 min ago
      The vault is ready.

    Changed in two places at once
      assignee
        shown  ada
        other  carol
        other  (nothing)
        keep   beadmesh bead resolve bm-k7f3 assignee
        set    beadmesh bead resolve bm-k7f3 assignee --value VALUE
      priority
        shown  P1
        other  P3
        keep   beadmesh bead resolve bm-k7f3 priority
        set    beadmesh bead resolve bm-k7f3 priority --value VALUE
      metadata.sprint
        shown  spring
        other  summer
    "#);
}

#[test]
fn who_holds_a_bead_is_named_unless_it_is_assigned_to_that_agent() {
    let meta = |assignee: Option<&str>, holder: Option<&str>| {
        let bead = Bead { assignee: assignee.map(Into::into), holder: holder.map(Into::into), ..bead() };
        plain(&lines(&bead, 80, "2026-03-01T12:00:00Z".parse().unwrap())).lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(meta(Some("ada"), None), "in_progress · P1 · task · @ada");
    assert_eq!(meta(Some("ada"), Some("ada@desk")), "in_progress · P1 · task · @ada");
    assert_eq!(meta(Some("ada@desk"), Some("ada@desk")), "in_progress · P1 · task · ada@desk");
    assert_eq!(meta(Some("ada@desk"), Some("ada@laptop")), "in_progress · P1 · task · ada@desk · held by ada@laptop");
    assert_eq!(meta(None, Some("bob@laptop")), "in_progress · P1 · task · held by bob@laptop");
}

#[test]
fn a_page_keeps_to_its_width() {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let mut bead = bead();
    bead.conflicts.truncate(1);
    bead.conflicts[0].field = "metadata.sprint".into();
    bead.conflicts[0].others.push(Scalar::Text("word ".repeat(40)));
    bead.title = "word ".repeat(40);
    bead.description = Some("x".repeat(300));
    for columns in [30, 40, 80, 200] {
        for line in plain(&lines(&bead, columns, now)).lines() {
            assert!(text::width(line) <= columns, "{columns}: {line}");
        }
    }
}

#[test]
fn a_list_shows_one_line_a_bead() {
    let mut second = bead();
    second.alias = "bm-2aaa".into();
    second.conflicts.clear();
    second.assignee = None;
    second.status = "open".into();
    let beads = [bead(), second];
    insta::assert_snapshot!(plain(&list::lines(&beads, Kind::All, Some(80))), @r"
    ID       PRI  TYPE  STATUS           TITLE                              ASSIGNEE
    bm-k7f3  P1   task  in_progress (!)  Rotate the signing keys before…    ada
    bm-2aaa  P1   task  open             Rotate the signing keys before…
    ");
    insta::assert_snapshot!(plain(&list::lines(&beads, Kind::Blocked, Some(60))), @r"
    ID       PRI  TITLE                                WAITS FOR
    bm-k7f3  P1   Rotate the signing keys before the…  bm-2aaa
    bm-2aaa  P1   Rotate the signing keys before the…  bm-2aaa
    ");
    insta::assert_snapshot!(plain(&list::lines(&beads, Kind::Ready, Some(40))), @r"
    ID       PRI  TITLE
    bm-k7f3  P1   Rotate the signing keys…
    bm-2aaa  P1   Rotate the signing keys…
    ");
}
