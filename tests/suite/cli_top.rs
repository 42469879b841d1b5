//! The screen that shows the mesh, one frame at a time, and cards that are watched; on a terminal and without one.

use std::process::Output;

use serde_json::Value;

use super::support::{Node, Terminal, settle, until};

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

/// Three machines with cards that are made up: the one that is asked, one that stands still, and one that is gone.
fn faring() -> (Node, Node, Node) {
    let [mut ada, mut bob, mut cyd] = ["ada", "bob", "cyd"].map(Node::new);
    for node in [&mut ada, &mut bob, &mut cyd] {
        node.up_with(&["--gpu-backend", "demo"]);
    }
    bob.join(&ada);
    cyd.join(&ada);
    settle(&[&ada, &bob, &cyd]);
    until("a word of all machines", || {
        let lines = nodes(&ada, SIZES[0]);
        let is_known = |name: &&str| {
            let row = row(&lines, name);
            row.get(1).is_some_and(|state| state == "ok") && row.iter().any(|word| word == "demo")
        };
        ["bob", "cyd"].iter().all(is_known)
    });
    cyd.kill();
    until("cyd to be offline", || row(&nodes(&ada, SIZES[0]), "cyd")[1] == "offline");
    // What stands still keeps its link for a while.
    bob.freeze();
    (ada, bob, cyd)
}

#[test]
fn a_frame_shows_which_machines_are_there_which_are_stale_and_which_are_offline() {
    let (ada, bob, _cyd) = faring();
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
        assert!(lines.iter().any(|line| line.contains("Demo, cards that are made up: ada, bob, cyd.")), "{lines:#?}");
    }
    bob.thaw();
    until("bob to be back", || row(&nodes(&ada, SIZES[0]), "bob")[1] == "ok");
}

/// Returns for how long a machine was not heard, as cards that are watched say, in seconds.
fn silent_s(lines: &[String], of: &str) -> Option<f64> {
    let rest = lines.iter().find_map(|line| line.strip_prefix(&format!("{of}: not heard for ")))?;
    let (number, unit) = rest.split_once(";")?.0.split_once(' ')?;
    Some(number.parse::<f64>().unwrap() * if unit == "min" { 60.0 } else { 1.0 })
}

#[test]
fn cards_that_are_watched_fit_the_terminal_and_say_who_is_not_heard_and_for_how_long() {
    let (ada, bob, _cyd) = faring();
    for (columns, rows) in SIZES {
        let size = (columns.try_into().unwrap(), rows.try_into().unwrap());
        let mut terminal = Terminal::of(&ada.command(&["gpu", "--watch"]), size);
        let are_silent = |lines: &[String]| ["bob", "cyd"].iter().all(|name| silent_s(lines, name).is_some());
        let first = terminal.until("both to be silent", are_silent);
        let before = age_s(&ada, "cyd");
        let lines = terminal.until("another look", |lines| silent_s(lines, "cyd") > silent_s(&first, "cyd"));
        let (shown, after) = (silent_s(&lines, "cyd").unwrap(), age_s(&ada, "cyd"));
        // From two minutes on an age is told in minutes.
        let slack = if shown < 120.0 { 1.0 } else { 31.0 };
        // What was shown may be as old as a look.
        assert!((before - 2.0 - slack..=after + slack).contains(&shown), "{before} {shown} {after}: {lines:#?}");
        for column in ["NODE", "GPU", "NAME", "BUSY", "MEMORY", "POWER", "TEMP", "STATE"] {
            assert!(lines[0].split_whitespace().any(|found| found == column), "{column}: {lines:#?}");
        }
        for (name, state) in [("ada", "demo"), ("bob", "stale"), ("cyd", "stale")] {
            let rows: Vec<&String> = lines.iter().filter(|line| line.starts_with(&format!("{name} "))).collect();
            let is_so = |line: &&String| line.split_whitespace().any(|word| word == state);
            assert!(rows.len() == 2 && rows.iter().all(is_so), "{name} {state}: {lines:#?}");
        }
        assert!(lines.iter().any(|line| line == "cyd: demo, these cards are made up."), "{lines:#?}");
        terminal.press("\u{3}");
        let (code, screen) = terminal.ended();
        assert_eq!((code, screen.overlong, screen.scrolled), (Some(0), false, false), "{:#?}", screen.lines());
    }
    bob.thaw();
}

#[test]
fn the_terminal_is_given_back_as_it_was() {
    let ada = Node::running("ada");
    // As its user ends it, and as whoever shuts the machine down does.
    for end in ["q", "\u{3}", ""] {
        let mut terminal = Terminal::of(&ada.command(&["top"]), (80, 24));
        terminal.until("the screen", |lines| lines.iter().any(|line| line.starts_with("> ada")));
        terminal.press("7");
        terminal.until("links", |lines| lines.iter().any(|line| line.contains("No other node is in this mesh")));
        match end {
            "" => terminal.terminate(),
            keys => terminal.press(keys),
        }
        let (code, screen) = terminal.ended();
        let untidy = screen.taken || screen.hidden || screen.overlong || screen.scrolled;
        assert!(code == Some(0) && !untidy, "{end:?} {code:?} {screen:?}");
    }
}

#[test]
fn every_view_is_a_frame_of_its_size_and_without_a_node_that_is_said() {
    let mut node = Node::running("ada");
    let bead = node.create(&["日本語の題名はとても長いので切り詰められるべきです、そうでしょう、そうに違いない"]);
    node.json(&["bead", "claim", &bead]);
    for (view, holds) in [
        ("nodes", "here"),
        ("gpus", "No NVIDIA driver: ada."),
        ("containers", "Not looked at: ada (`containers.watch`)."),
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
