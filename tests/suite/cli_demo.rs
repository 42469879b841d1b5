//! The demo: a story that ends well, and leaves nothing behind however it ends.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::support::{Agent, Node, Process, until};

/// Returns the names of what is in a folder.
fn inside(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn the_demo_ends_with_three_equal_nodes_and_leaves_nothing_behind() {
    let node = Node::new("ada");
    let temp = tempfile::tempdir().unwrap();
    let output = node.run_with_env(&["demo", "--json"], &[("TMPDIR", temp.path().to_str().unwrap())]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stderr, "");
    let body: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&body["schema"], &body["equal"]), (&1.into(), &true.into()), "{body}");
    assert_eq!((&body["beads"], &body["letters"]), (&15.into(), &3.into()), "{body}");
    assert!(body["seconds"].as_f64().unwrap() > 0.0 && body["kept"].is_null(), "{body}");
    let steps = body["steps"].as_array().unwrap();
    let told = |what: &str| steps.iter().filter(|step| step["said"].as_str().unwrap().contains(what)).count();
    assert_eq!((told("closes rollout."), told("closes rollout:")), (14, 1), "{body}");
    for what in [
        "loses its network",
        "has the letter of BlueLake@laptop once",
        "has both labels",
        "is shown",
        "claim rollout.1 in the same moment",
        "holds it, token",
        ": both cover release/changes.md",
        "claims image/cache/**: tentative",
        "holds image/cache/**",
        "gives docs/handbook/** up, and has a letter of the system: AmberFox@workstation has docs/handbook/**",
    ] {
        assert_eq!(told(what), 1, "{what}: {body}");
    }
    // Of three that race for one bead two hear who has it, by whatever name that is.
    assert_eq!(told(": both cover rollout.1"), 2, "{body}");
    assert_eq!(inside(temp.path()), [""; 0]);
    assert!(!node.home().exists(), "the demo touches no home but its own");
}

#[test]
fn homes_that_are_kept_can_be_looked_into() {
    let node = Node::new("ada");
    let temp = tempfile::tempdir().unwrap();
    let variables = [("TMPDIR", temp.path().to_str().unwrap())];
    let output = node.run_with_env(&["demo", "--keep"], &variables);
    let (told, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}{stderr}");
    assert!(told.contains("All three nodes hold the same") && !told.contains('\u{1b}'), "{told}");
    let [folder] = &inside(temp.path())[..] else { panic!("{told}") };
    let home = temp.path().join(folder).join("laptop");
    let home = home.to_str().unwrap();
    assert!(told.contains(home), "{told}");
    let listed = node.json(&["--home", home, "bead", "list", "--all", "--all-projects"]);
    assert_eq!(listed["beads"].as_array().unwrap().len(), 15);
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    let node = Node::new("ada");
    let temp = tempfile::tempdir().unwrap();
    // Who acts elsewhere means nothing here.
    let nobody = Agent { name: "nobody".to_owned(), token: "bma1none".to_owned() };
    let mut command = node.command_as(&nobody, &["demo"]);
    command.env("TMPDIR", temp.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process(command.spawn().unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    // Early in the story, so that it cannot be over before the signal comes.
    let begun = lines.find(|line| line.as_ref().unwrap().contains("founds the mesh"));
    assert!(begun.is_some(), "the story is told while it happens");
    let pid = rustix::process::Pid::from_child(&process.0);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    until("the end of the demo", || process.0.try_wait().unwrap().is_some());
    assert_eq!(process.0.wait().unwrap().code(), Some(1), "{rest:?}");
    assert_eq!(inside(temp.path()), [""; 0]);
    assert!(!node.home().exists());
}
