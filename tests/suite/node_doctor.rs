//! The doctor: its exit codes, what it says when things are broken, and a bundle without secrets.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use beadmesh_node::config::KEYS;
use serde_json::{Value, json};

use super::support::{Node, check, until};

#[test]
fn all_is_well_is_0_a_warning_is_1_and_a_failure_is_2() {
    let mut node = Node::running("ada");
    let told = node.doctor(&[]);
    // Nobody has seen the key of a mesh that was founded without a terminal.
    assert_eq!((&told["grade"], check(&told, "keys.recovery")), (&json!("warn"), "warn"));
    node.json(&["recovery", "show", "--once"]);
    let told = node.doctor(&[]);
    for id in [
        "node.running",
        "store.opens",
        "net.listen",
        "net.dial",
        "net.relay",
        "voters.count",
        "store.checksum",
        "store.views",
        "store.mail",
        "store.cloned",
        "store.restored",
        "clock.skew",
        "beads.cycle",
        "home.mode",
        "keys.mode",
        "keys.recovery",
        "store.writable",
        "config.valid",
    ] {
        assert_eq!(check(&told, id), "ok", "{id}: {told}");
    }
    fs::write(node.home().join("config.toml"), "[net]\nmdsn = true\n").unwrap();
    let told = node.doctor(&[]);
    assert_eq!((&told["grade"], check(&told, "config.valid")), (&json!("fail"), "fail"));
    fs::remove_file(node.home().join("config.toml")).unwrap();
    node.down();
    let told = node.doctor(&[]);
    assert_eq!((&told["grade"], check(&told, "node.running")), (&json!("warn"), "warn"));
    let shown = node.run(&["doctor"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("warn  node.running") && shown.contains("→ start it with `beadmesh up`"), "{shown}");
}

#[test]
fn what_is_broken_is_told_even_where_the_store_does_not_open() {
    let node = Node::new("ada");
    node.create(&["First"]);
    let key = node.home().join("node.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let told = node.doctor(&[]);
    assert_eq!((check(&told, "store.opens"), check(&told, "keys.mode")), ("fail", "fail"));
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(check(&node.doctor(&[]), "keys.mode"), "ok");
    let nothing = Node::new("bob").run(&["doctor", "--json"]);
    assert_eq!(nothing.status.code(), Some(3), "where nothing is, nothing is examined");
}

#[test]
fn a_peer_that_is_away_is_named_with_the_reason() {
    let (ada, mut bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    super::support::settle(&[&ada, &bob]);
    assert_eq!(check(&ada.doctor(&[]), "net.dial"), "ok");
    bob.down();
    until("ada to notice", || ada.status()["peers"][0]["connected"] == false);
    let told = ada.doctor(&[]);
    let row = told["checks"].as_array().unwrap().iter().find(|row| row["id"] == "net.dial").unwrap();
    assert_eq!(row["grade"], "warn");
    assert!(row["found"].as_str().unwrap().contains("bob is not reached at /ip4/127.0.0.1/tcp/"), "{row}");
}

#[test]
fn a_bundle_holds_no_secret_of_the_home_and_no_text_of_beads_and_letters() {
    let mut node = Node::new("ada");
    // Somebody pastes a key where a name belongs, so that it stands in the status, in what is set and in the log.
    let pasted = format!("bmr1{}", "q".repeat(52));
    node.up_in(&[("BEADMESH_MESH_NAME", &pasted)]);
    let agent = node.register("BlueLake");
    let ticket = node.ticket();
    node.create(&["Title-of-a-bead", "--description", "Words-of-a-bead"]);
    let letter = ["mail", "send", "--to", "keeper", "--subject", "Subject-of-a-letter", "Body-of-a-letter"];
    let sent = node.run_with_as(&agent, &letter, "");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let file = node.work().join("bundle.json");
    let output = node.run(&["doctor", "--bundle", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    for (what, is_there) in [
        ("checks", told["doctor"]["checks"].is_array()),
        ("what is set", told["config"].as_array().is_some_and(|keys| keys.len() == KEYS.len())),
        ("status", told["status"]["entries"].is_u64()),
        ("members", told["members"]["members"][0]["name"] == "ada"),
        ("log", text.contains("node started")),
        ("files", text.contains("node.key  32 bytes  mode 0600")),
    ] {
        assert!(is_there, "{what}: {text}");
    }
    let read = |name: &str| fs::read(node.home().join(name)).unwrap();
    let key = read("node.key");
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let (human, recovery) = (read("human.token"), read("recovery.key"));
    let [human, recovery] = [human, recovery].map(|bytes| String::from_utf8(bytes).unwrap().trim().to_owned());
    let base32 = beadmesh_protocol::id::base32(&key);
    // In the status, and in the log.
    assert!(text.matches("bmr1[redacted]").count() >= 2, "{text}");
    let secrets = [&agent.token, &ticket, &human, &recovery, &hex, &base32, &pasted];
    for secret in secrets.map(String::as_str).into_iter().chain([
        "Title-of-a-bead",
        "Words-of-a-bead",
        "Subject-of-a-letter",
        "Body-of-a-letter",
    ]) {
        // Neither whole nor in parts.
        let part = &secret[secret.len() / 2..];
        assert!(!text.contains(part), "{secret}");
    }
    let again = node.run(&["doctor", "--bundle", file.to_str().unwrap(), "--json"]);
    assert_eq!(again.status.code(), Some(4), "a file that is there is not replaced");
}
