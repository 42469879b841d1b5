//! Containers of a real engine, as another node sees them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::support::{Node, granted, left_out, settle, until};

/// What runs in the containers: one program that waits, checks itself, fails, or fills its memory.
const PROGRAM: &str = r#"
use std::{env, process, thread, time::Duration};

fn main() {
    match env::args().nth(1).as_deref() {
        // Not for ever, should whoever started it forget to end it.
        Some("wait") => thread::sleep(Duration::from_secs(600)),
        Some("well") => {}
        Some("fill") => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            // What is written to is really taken.
            (0..64 * 1024).for_each(|_| all.push(vec![1; 1 << 20]));
        }
        _ => process::exit(7),
    }
}
"#;

/// What checks a container unless it is started without.
const CHECK: &str = "HEALTHCHECK --interval=1s --retries=1 CMD [\"/program\", \"well\"]";

/// What leaves the check out.
const UNCHECKED: &str = "--no-healthcheck";

/// Runs a program to its end.
fn run(program: &str, args: &[&str]) -> Result<Output, String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("{program} can not be run: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// An image of one program, and containers made from it; they go with the test.
struct Engine {
    /// What the names of image and containers begin with, unlike those of any other test.
    name: String,
}

impl Engine {
    /// Returns whether an engine answers. It is no privilege that can be asked for: where none runs, no run fails for it.
    fn is_there() -> bool {
        let asked = run("docker", &["version", "--format", "{{.Server.Version}}"]);
        asked.inspect_err(|error| left_out(error)).is_ok()
    }

    /// Makes the image, where a program can be built without libraries.
    fn new(folder: &Path) -> Result<Self, String> {
        let (source, program): (PathBuf, PathBuf) = (folder.join("program.rs"), folder.join("program"));
        fs::write(&source, PROGRAM).unwrap();
        let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let (source, built) = (source.to_str().unwrap(), program.to_str().unwrap());
        run(
            &compiler,
            &["--edition", "2024", "-C", "target-feature=+crt-static", "-C", "strip=symbols", source, "-o", built],
        )?;
        let tar = folder.join("image.tar");
        run("tar", &["-cf", tar.to_str().unwrap(), "-C", folder.to_str().unwrap(), "program"])?;
        let name = format!("beadmesh-test-{}", std::process::id());
        run("docker", &["import", "--change", CHECK, tar.to_str().unwrap(), &format!("{name}:1")])?;
        Ok(Self { name })
    }

    fn named(&self, container: &str) -> String {
        format!("{}-{container}", self.name)
    }

    /// Starts a container with these flags, in which the program does what the word says.
    fn start(&self, container: &str, flags: &[&str], word: &str) {
        let (name, image) = (self.named(container), format!("{}:1", self.name));
        let mut args = vec!["run", "--detach", "--network", "none", "--name", &name];
        args.extend(flags);
        args.extend([image.as_str(), "/program", word]);
        run("docker", &args).unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for container in ["well", "ill", "done", "eater", "late"] {
            let _ = run("docker", &["rm", "--force", &self.named(container)]);
        }
        let _ = run("docker", &["rmi", "--force", &format!("{}:1", self.name)]);
    }
}

/// Returns a container as a node sees it; null where it does not.
fn seen(node: &Node, name: &str) -> Value {
    let body = node.json(&["containers"]);
    let mut containers = body["containers"].as_array().unwrap().iter();
    containers.find(|container| container["name"] == name).cloned().unwrap_or_default()
}

#[test]
fn containers_of_one_machine_are_seen_on_another_as_they_stand() {
    if !Engine::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(engine) = granted(Engine::new(folder.path())) else { return };
    let (mut ada, bob) = (Node::new("ada"), Node::running("bob"));
    ada.up_with(&["--containers"]);
    bob.join(&ada);
    settle(&[&ada, &bob]);
    let labels = ["--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web"];
    engine.start("well", &[&labels[..], &["--memory", "64m"]].concat(), "wait");
    // Nothing in the image is called so, nor is there a shell to look for it.
    engine.start("ill", &["--health-cmd", "nothing"], "wait");
    engine.start("done", &[UNCHECKED], "fail");
    engine.start("eater", &[UNCHECKED, "--memory", "32m"], "fill");

    until("the containers, on the other node", || {
        let [well, ill, done, eater] = ["well", "ill", "done", "eater"].map(|name| seen(&bob, &engine.named(name)));
        well["health"] == "healthy"
            && well["memory_bytes"].is_u64()
            && well["cpu_percent"].is_u64()
            && ill["health"] == "unhealthy"
            && done["exit_code"] == 7
            && eater["oom_killed"] == true
    });
    let well = seen(&bob, &engine.named("well"));
    assert_eq!((&well["node"], &well["project"], &well["service"]), (&"ada".into(), &"shop".into(), &"web".into()));
    assert_eq!((&well["status"], &well["memory_max_bytes"]), (&"running".into(), &(64 << 20).into()));
    assert_eq!(well["image"], format!("{}:1", engine.name));
    let done = seen(&bob, &engine.named("done"));
    assert_eq!((&done["status"], &done["oom_killed"]), (&"exited".into(), &false.into()));
    let body = bob.json(&["containers"]);
    let standing = |name: &str| {
        let nodes = body["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["node"]["name"] == name).unwrap()["engine"].clone()
    };
    assert_eq!((standing("ada"), standing("bob")), ("ok".into(), "unknown".into()));

    let frame = bob.run(&["top", "--once", "--view", "containers", "--width", "80", "--height", "24"]);
    let frame = String::from_utf8(frame.stdout).unwrap();
    assert!(frame.contains("[3 containers]") && frame.contains("Not looked at: bob"), "{frame}");
    for told in [engine.named("eater"), "exited 7".to_owned(), "running, unhealthy".to_owned()] {
        assert!(frame.contains(&told), "{told}: {frame}");
    }

    // What is expected is counted, and what happens is seen.
    let file = folder.path().join("expected");
    let all = format!("{}@ada healthy\n{}@ada\n", engine.named("well"), engine.named("late"));
    fs::write(&file, all).unwrap();
    let expect = ["containers", "expect", file.to_str().unwrap(), "--json"];
    let before = bob.run(&expect);
    assert_eq!(before.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&before.stdout).unwrap();
    assert_eq!((&told["met"], &told["expected"]), (&1.into(), &2.into()), "{told}");
    assert_eq!(told["containers"][1]["found"], "missing");
    engine.start("late", &[UNCHECKED], "wait");
    until("what was missing", || bob.run(&expect).status.code() == Some(0));
    let text = bob.run(&["containers", "expect", file.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&text.stdout).starts_with("2/2 as expected.\n"), "{text:?}");
    run("docker", &["rm", "--force", &engine.named("late")]).unwrap();
    until("that it is gone", || seen(&bob, &engine.named("late")).is_null());
}

#[test]
fn a_machine_without_an_engine_says_so_and_one_that_does_not_look_says_nothing() {
    let (mut ada, bob) = (Node::new("ada"), Node::running("bob"));
    let nowhere = format!("unix://{}", ada.home().join("no.sock").display());
    ada.up_in(&[("BEADMESH_CONTAINERS", "true"), ("DOCKER_HOST", &nowhere)]);
    bob.join(&ada);
    settle(&[&ada, &bob]);
    let text = || String::from_utf8(bob.run(&["containers"]).stdout).unwrap();
    until("what ada says", || text().contains("ada: absent: "));
    assert!(text().contains("Not looked at: bob (`containers.watch`)."), "{}", text());
    assert_eq!(bob.json(&["containers"])["containers"], Value::Array(Vec::new()));
    assert_eq!(bob.run(&["containers", "--node", "nobody"]).status.code(), Some(5));
}
