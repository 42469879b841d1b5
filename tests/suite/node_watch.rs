//! What a node tells its user of a machine that idles or spends a budget, with a library in the place of NVIDIA's.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::support::{Driver, Node, Watch, check, until};

/// Returns what is an alarm on a node now.
fn alarms(node: &Node) -> Vec<String> {
    let told = node.status()["alarms"].take();
    told.as_array().unwrap().iter().map(|told| told.as_str().unwrap().to_owned()).collect()
}

/// Returns the subjects of the system letters that a node has written to its user of alarms, the newest first.
fn letters(node: &Node) -> Vec<String> {
    let told = node.json(&["mail", "inbox"]);
    let alarms = told["letters"].as_array().unwrap().iter().filter(|letter| letter["kind"] == "alarm");
    alarms.map(|letter| letter["subject"].as_str().unwrap().to_owned()).collect()
}

/// Sets what a node watches, and returns a file to which its command adds a line.
fn watching(node: &Node, text: &str) -> std::path::PathBuf {
    node.json(&["init", "--name", "demo"]);
    let ran = node.work().join("ran");
    let command = json!(["sh", "-c", format!("echo ran >> '{}'", ran.display())]);
    fs::write(node.home().join("config.toml"), format!("[watch]\n{text}\nstop_command = {command}\n")).unwrap();
    ran
}

#[test]
fn cards_that_nobody_uses_are_told_of_and_the_command_runs_once_until_they_work_again() {
    let (driver, mut node) = (Driver::new("healthy"), Node::new("ada"));
    let ran = watching(&node, "gpu_idle = \"2s\"");
    driver.up(&mut node);
    until("the first look", || check_of(&node, "watch.gpu_idle").is_some());
    assert_eq!((check(&node.doctor(&[]), "watch.gpu_idle"), alarms(&node).len(), ran.exists()), ("ok", 0, false));
    let events = Watch::of(&node);
    driver.turns("idle");
    let mut told: Vec<u64> = Vec::new();
    while told.len() < 2 {
        let event = events.await_event("an idle card", |event| event["event"] == "alarm");
        assert_eq!((&event["kind"], event.get("percent")), (&"gpu_idle".into(), None), "{event}");
        assert!(event["told"].as_str().unwrap().contains("has been used by nobody for 2 s"), "{event}");
        told.push(event["gpu"].as_u64().unwrap());
    }
    assert_eq!(told, [0, 1]);
    until("the end of the command", || node.logged().contains("watch.stop_command has ended well"));
    assert_eq!(alarms(&node), ["gpu0, gpu1 have been used by nobody for 2 s and more."]);
    assert_eq!(check(&node.doctor(&[]), "watch.gpu_idle"), "warn");
    assert!(String::from_utf8(node.run(&["status"]).stdout).unwrap().contains("Alarm   gpu0, gpu1 have been"));
    let letters = letters(&node);
    assert_eq!(letters, ["gpu1 has been used by nobody for 2 s", "gpu0 has been used by nobody for 2 s"]);
    driver.turns("healthy");
    until("the end of the alarm", || alarms(&node).is_empty());
    assert_eq!(fs::read_to_string(&ran).unwrap(), "ran\n");
    driver.turns("idle");
    until("the command to run again", || fs::read_to_string(&ran).unwrap() == "ran\nran\n");
}

#[test]
fn shares_of_a_budget_are_told_once_each_and_a_restart_forgets_nothing() {
    let mut node = Node::new("ada");
    let ran = watching(&node, "cost_per_hour = 3600\nbudget = 12");
    node.up();
    let budget = |event: &Value| event["event"] == "alarm" && event["kind"] == "budget";
    let half = Watch::of(&node).await_event("half of the budget", budget);
    assert_eq!((&half["percent"], half.get("gpu")), (&50.into(), None), "{half}");
    assert!(!ran.exists());
    node.down();
    node.up();
    let events = Watch::of(&node);
    for percent in [80, 100] {
        assert_eq!(events.await_event("more of the budget", budget)["percent"], percent);
    }
    until("the end of the command", || node.logged().contains("watch.stop_command has ended well"));
    // Killed, for a machine that its command stops does not always end well.
    node.kill();
    node.up();
    until("the first look", || check_of(&node, "watch.budget").is_some());
    assert_eq!(check(&node.doctor(&[]), "watch.budget"), "warn");
    assert!(alarms(&node)[0].contains("of the budget of 12 is spent, at 3600 an hour."), "{:?}", alarms(&node));
    assert_eq!(node.logged().matches("running watch.stop_command").count(), 1);
    assert_eq!(fs::read_to_string(&ran).unwrap(), "ran\n");
    let letters = letters(&node);
    let shares: Vec<&str> = letters.iter().map(|subject| subject.split(' ').next().unwrap()).collect();
    assert_eq!(shares, ["100%", "80%", "50%"], "{letters:?}");
}

#[test]
fn a_command_that_fails_and_money_that_can_not_be_counted_are_told_of() {
    let mut node = Node::new("ada");
    node.json(&["init", "--name", "demo"]);
    let text = "[watch]\ncost_per_hour = 3600\nbudget = 1\nstop_command = [\"false\"]\n";
    fs::write(node.home().join("config.toml"), text).unwrap();
    let spent = node.home().join("spent");
    fs::write(&spent, "much\n").unwrap();
    fs::set_permissions(&spent, fs::Permissions::from_mode(0o600)).unwrap();
    node.up();
    until("the command to fail", || check_of(&node, "watch.stop_command").is_some());
    assert_eq!(check(&node.doctor(&[]), "watch.stop_command"), "warn");
    let told = alarms(&node).join(" ");
    assert!(told.contains("false ended with exit status: 1. It is run again after 1 min"), "{told}");
    assert!(told.contains("counts as nothing"), "{told}");
    assert_eq!(fs::read_to_string(node.home().join("spent.damaged")).unwrap(), "much\n");
    until("a letter on each", || {
        let letters = letters(&node).join(" ");
        letters.contains("watch.stop_command has failed") && letters.contains("What was spent before")
    });
    // That it ran is taken back, so that it runs again after a restart, too.
    until("that to be written", || fs::read_to_string(&spent).is_ok_and(|kept| kept.ends_with(" 100 0\n")));
}

/// Returns how a check went, once the doctor knows it.
fn check_of(node: &Node, id: &str) -> Option<Value> {
    node.doctor(&[])["checks"].as_array().unwrap().iter().find(|row| row["id"] == id).cloned()
}
