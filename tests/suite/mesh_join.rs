//! One node imports a task graph, another joins by ticket: both then hold every byte of it.

use serde_json::{Value, json};

use super::support::{Node, jsonl, records, settle};

/// Records of the graph.
const RECORDS: usize = 200;

#[test]
fn a_node_that_joins_holds_the_same_bytes() {
    let (ada, bob) = (Node::running("ada"), Node::running("bob"));
    let report = ada.import(&graph());
    assert_eq!((&report["created"], &report["rejected"]), (&json!(RECORDS), &json!([])));
    assert_eq!(records(&ada.export()), records(&graph()));
    let ticket = ada.ticket();
    bob.json(&["join", &ticket]);
    settle(&[&ada, &bob]);
    assert_eq!(bob.export(), ada.export());
    let late = Node::running("late");
    let output = late.run(&["join", &ticket, "--json"]);
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &error["error"]["code"]), (Some(6), &json!("ticket_used")));
}

#[test]
fn importing_an_edited_file_again_changes_one_bead() {
    let node = Node::new("ada");
    node.import(&graph());
    let mut edited: Vec<Value> = graph().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    edited[7]["title"] = json!("Task 7, and more of it");
    edited[7]["updated_at"] = json!("2026-03-01T10:00:00Z");
    let report = node.import(&jsonl(&edited));
    let counts = (&report["created"], &report["updated"], &report["unchanged"]);
    assert_eq!(counts, (&json!(0), &json!(1), &json!(RECORDS - 1)), "{report}");
    let mut exported = records(&node.export());
    // The merge is an edit made here and now, so the date is that of the import.
    exported.get_mut("bd-0007").unwrap()["updated_at"] = edited[7]["updated_at"].clone();
    assert_eq!(exported, records(&jsonl(&edited)));
}

/// Returns a graph with every shape of record that `bd` writes.
fn graph() -> String {
    let records: Vec<Value> = (0..RECORDS).map(record).collect();
    jsonl(&records)
}

fn record(number: usize) -> Value {
    let id = format!("bd-{number:04}");
    let kind = ["task", "bug", "epic", "molecule"][number % 4];
    let mut record = json!({
        "id": id, "title": format!("Task {number}: \u{201e}Grüße\u{201c} \"quoted\""), "status": "open",
        "priority": number % 5, "issue_type": kind,
        "created_at": "2025-11-02T21:58:07.295058-08:00", "updated_at": "2025-11-03T20:56:22.700641-08:00",
    });
    if number.is_multiple_of(3) {
        record["description"] = json!(format!("Line one\n\n- a list\n\ttabs and \u{1f41d}, {number}"));
    }
    if number % 4 == 1 {
        record["labels"] = json!(["area/net", "gh:788"]);
        record["assignee"] = json!("beads/crew/giles");
        record["external_ref"] = json!(format!("gh-{number}"));
    }
    if number > 0 && number.is_multiple_of(2) {
        let dep = |target: usize, kind: &str| {
            json!({"issue_id": id, "depends_on_id": format!("bd-{target:04}"), "type": kind,
                   "created_at": "2025-11-02T22:23:49.475356-08:00", "created_by": "stevey"})
        };
        record["dependencies"] = json!([dep(number - 1, "blocks"), dep(number / 2, "related")]);
    }
    if number % 10 == 5 {
        record["comments"] = json!([{"id": number, "issue_id": id, "author": "ada", "text": "One.\n\n```go\n```",
                                     "created_at": "2025-12-01T10:00:00Z"}]);
    }
    match number % 7 {
        3 => {
            record["status"] = json!("tombstone");
            record["deleted_at"] = json!("2025-12-25T01:21:01.952723-08:00");
            record["deleted_by"] = json!("batch delete");
            record["delete_reason"] = json!("batch delete");
            record["original_type"] = json!("bug");
        }
        5 => {
            record["status"] = json!("closed");
            record["closed_at"] = json!("2025-11-03T20:56:22.700641-08:00");
            record["close_reason"] = json!("done");
        }
        6 => {
            record["owner"] = json!("uc6a298@example.invalid");
            record["ephemeral"] = json!(true);
            record["timeout"] = json!(1_800_000_000_000_u64);
            record["unheard_of"] = json!({"deep": [1, null, {"x": "y"}]});
        }
        _ => {}
    }
    record
}
