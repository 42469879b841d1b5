//! Two nodes import overlapping copies of one file before they know of each other; when they meet, they hold the union.

use serde_json::{Value, json};

use super::support::{Node, jsonl, records, settle};

#[test]
fn copies_imported_before_meeting_are_united() {
    let (mut ada, mut bob) = (Node::new("ada"), Node::new("bob"));
    assert_eq!(ada.import(&copy(0..30, "ada", 1))["created"], 30);
    assert_eq!(bob.import(&copy(10..40, "bob", 2))["created"], 30);
    ada.up();
    bob.up();
    bob.join(&ada);
    settle(&[&ada, &bob]);
    assert_eq!(ada.export(), bob.export());

    let united = records(&ada.export());
    assert_eq!(united.len(), 40);
    for (number, record) in (0..40).zip(united.values()) {
        let writers = match number {
            0..10 => vec![("ada", 1)],
            10..30 => vec![("ada", 1), ("bob", 2)],
            _ => vec![("bob", 2)],
        };
        let of_each = |key: &str, field: &str| -> Vec<Value> {
            let items = record[key].as_array().unwrap();
            let mut values: Vec<_> = items.iter().map(|item| item[field].clone()).collect();
            values.sort_by_key(Value::to_string);
            values
        };
        let names: Vec<Value> = writers.iter().map(|(writer, _)| json!(writer)).collect();
        assert_eq!(record["labels"], json!(names), "{record}");
        assert_eq!(of_each("comments", "author"), names, "{record}");
        let targets: Vec<Value> = writers.iter().map(|(_, step)| json!(alias(number + step))).collect();
        assert_eq!(of_each("dependencies", "depends_on_id"), targets, "{record}");
    }
}

/// Returns the copy of one writer, who has added a label, a comment and a dependency to each record.
fn copy(numbers: std::ops::Range<usize>, writer: &str, step: usize) -> String {
    let record = |number: usize| {
        let id = alias(number);
        json!({
            "id": id, "title": format!("Task {number}"), "status": "open", "priority": 2, "issue_type": "task",
            "created_at": "2025-11-02T21:58:07Z", "updated_at": "2025-11-03T20:56:22Z", "labels": [writer],
            "dependencies": [{"issue_id": id, "depends_on_id": alias(number + step), "type": "blocks",
                              "created_at": "2025-11-02T22:23:49Z", "created_by": writer}],
            "comments": [{"id": 1, "issue_id": id, "author": writer, "text": format!("By {writer}"),
                          "created_at": "2025-12-01T10:00:00Z"}],
        })
    };
    let records: Vec<Value> = numbers.map(record).collect();
    jsonl(&records)
}

fn alias(number: usize) -> String {
    format!("bd-{number:04}")
}
