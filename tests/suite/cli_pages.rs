//! Lists that are longer than a page of the API: the command line asks for page after page.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::support::{Node, jsonl};

/// More than the API hands out at one time, which is 1,000.
const BEADS: usize = 1_100;

#[test]
fn a_list_of_all_is_whole_though_the_node_bounds_its_pages() {
    let node = Node::running("ada");
    let at = "2026-01-01T00:00:00Z";
    let record = |number: usize| {
        json!({ "id": format!("p-{number:04}"), "title": "t", "status": "open", "priority": 2,
            "issue_type": "task", "created_at": at, "updated_at": at })
    };
    let records: Vec<Value> = (0..BEADS).map(record).collect();
    assert_eq!(node.import(&jsonl(&records))["created"], BEADS);
    let names = |page: &Value| -> BTreeSet<String> {
        page["beads"].as_array().unwrap().iter().map(|bead| bead["alias"].as_str().unwrap().to_owned()).collect()
    };
    for what in ["list", "ready"] {
        let all = node.json(&["bead", what]);
        assert!(names(&all).into_iter().eq((0..BEADS).map(|number| format!("p-{number:04}"))), "{what}");
        assert!(all.get("next").is_none_or(Value::is_null), "{what}");
        let most = node.json(&["bead", what, "-n", "1050"]);
        assert!(names(&most).len() == 1_050 && most["next"].is_string(), "{what}");
    }
}

#[test]
fn a_pipe_has_no_colours_on_a_build_server_either() {
    let node = Node::new("ada");
    node.create(&["A bead"]);
    let listed = |color: &str| node.run_with_env(&["bead", "list", "--color", color], &[("CI", "true")]).stdout;
    assert!(!listed("auto").contains(&0x1b));
    assert!(listed("always").contains(&0x1b));
}
