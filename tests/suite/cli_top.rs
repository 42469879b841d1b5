//! The screen that shows the mesh, one frame at a time.

use std::process::Output;

use serde_json::Value;

use super::support::{Node, settle, until};

/// Sizes of terminals: the smallest that is usual, and a large one.
const SIZES: [(usize, usize); 2] = [(80, 24), (200, 50)];

/// Returns the lines of a frame of that size, having looked that it has it.
fn frame(output: &Output, (width, height): (usize, usize)) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<String> = String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), height, "{lines:#?}");
    for line in &lines {
        assert!(line.chars().count() <= width && !line.contains('\u{1b}'), "{line:?}");
    }
    lines
}

/// Prints the machines as a terminal of that size would show them.
fn nodes(node: &Node, size: (usize, usize)) -> Vec<String> {
    let (columns, lines) = (size.0.to_string(), size.1.to_string());
    frame(&node.run_with_env(&["top", "--once"], &[("COLUMNS", &columns), ("LINES", &lines)]), size)
}

/// Returns the words of the row of a machine, without the mark of the chosen one.
fn row(lines: &[String], of: &str) -> Vec<String> {
    let words = |line: &String| -> Vec<String> {
        line.trim_start_matches(['>', ' ']).split_whitespace().map(str::to_owned).collect()
    };
    let found = lines.iter().skip(3).map(words).find(|words| words.first().is_some_and(|word| word == of));
    found.unwrap_or_else(|| panic!("no row of {of}: {lines:#?}"))
}

/// Returns how long ago a machine was heard, in seconds, as the API says.
fn age_s(node: &Node, of: &str) -> f64 {
    let told = node.json(&["top", "--once"]);
    let nodes = told["nodes"].as_array().unwrap();
    let found: Option<&Value> = nodes.iter().find(|node| node["node"]["name"] == of);
    found.unwrap()["age_s"].as_f64().unwrap()
}

#[test]
fn a_frame_shows_which_machines_are_there_which_are_stale_and_which_are_offline() {
    let (mut ada, bob, mut cyd) = (Node::new("ada"), Node::running("bob"), Node::running("cyd"));
    ada.up_with(&["--gpu-backend", "demo"]);
    bob.join(&ada);
    cyd.join(&ada);
    settle(&[&ada, &bob, &cyd]);
    until("a word of all machines", || {
        let lines = nodes(&ada, SIZES[0]);
        ["bob", "cyd"].iter().all(|name| row(&lines, name).get(1).is_some_and(|state| state == "ok"))
    });
    cyd.kill();
    until("cyd to be offline", || row(&nodes(&ada, SIZES[0]), "cyd")[1] == "offline");
    // What stands still keeps its link for a while.
    bob.freeze();
    until("bob to be stale", || row(&nodes(&ada, SIZES[0]), "bob")[1] == "stale");
    for size in SIZES {
        let before = age_s(&ada, "cyd");
        let lines = nodes(&ada, size);
        let after = age_s(&ada, "cyd");
        for column in ["NODE", "STATE", "HEARD", "CPU", "MEMORY", "GPUS"] {
            assert!(lines[2].contains(column), "{column}: {lines:#?}");
        }
        assert_eq!(row(&lines, "ada")[1..3], ["here", "now"], "{lines:#?}");
        let cyd = row(&lines, "cyd");
        let shown: f64 = cyd[2].parse().unwrap();
        assert!((before - 1.0..=after + 1.0).contains(&shown) && cyd[3..5] == ["s", "ago"], "{before} {after} {cyd:?}");
        assert_eq!(row(&lines, "bob")[3..5], ["s", "ago"], "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("Demo, cards that are made up: ada.")), "{lines:#?}");
    }
    bob.thaw();
    until("bob to be back", || row(&nodes(&ada, SIZES[0]), "bob")[1] == "ok");
}

#[test]
fn every_view_is_a_frame_of_its_size_and_without_a_node_that_is_said() {
    let mut node = Node::running("ada");
    let bead = node.create(&["日本語の題名はとても長いので切り詰められるべきです、そうでしょう、そうに違いない"]);
    node.json(&["bead", "claim", &bead]);
    for (view, holds) in [
        ("nodes", "here"),
        ("gpus", "No NVIDIA driver: ada."),
        ("beads", bead.as_str()),
        ("leases", bead.as_str()),
        ("mail", "No letters."),
        ("peers", "No other node is in this mesh"),
    ] {
        let output = node.run(&["top", "--once", "--view", view, "--width", "60", "--height", "10"]);
        let lines = frame(&output, (60, 10));
        assert!(lines[1].contains(&format!("{view}]")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains(holds)), "{view}: {lines:#?}");
    }
    // Nothing is a terminal here, so that a frame is all there is.
    assert!(node.run(&["top"]).status.success());
    node.down();
    assert_eq!(node.run(&["top", "--once"]).status.code(), Some(3));
}
