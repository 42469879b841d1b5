//! Cards of machines as their node tells of them, with a library that answers as NVML does (`tests/nvml-double`) in the
//! place of NVIDIA's, under its true name.

use std::fs::{self, File};

use serde_json::Value;

use super::support::{Driver, Node, Watch, check, until};

/// Returns what a node tells of the cards of one machine.
fn standing(told: &Value, of: &str) -> Value {
    let nodes = told["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["node"]["name"] == of).cloned().unwrap_or_else(|| panic!("{of}: {told}"))
}

/// Waits until a machine fares so, as a node tells, and returns all that it tells of cards.
fn fares(node: &Node, of: &str, state: &str) -> Value {
    let mut told = Value::Null;
    until(&format!("{of} to be {state} on {}", node.name()), || {
        told = node.json(&["gpu"]);
        standing(&told, of)["state"] == state
    });
    told
}

/// Returns the node's advice, which is one line where there is any.
fn advice(node: &Node, state: &str) -> Option<String> {
    let advice = standing(&fares(node, node.name(), state), node.name())["advice"].as_str().map(str::to_owned);
    assert!(advice.as_ref().is_none_or(|advice| !advice.is_empty() && !advice.contains('\n')));
    advice
}

#[test]
fn cards_of_one_machine_are_shown_on_another() {
    let (_driver, ada) = Driver::running("ada", "healthy");
    let bob = Node::running("bob");
    bob.join(&ada);
    until("bob to know ada's cards", || {
        let told = bob.json(&["gpu", "--node", "ada"]);
        let gpus = told["gpus"].as_array().unwrap();
        gpus.len() == 2 && gpus.iter().all(|gpu| gpu["name"].is_string() && gpu["processes"].is_array())
    });
    let told = fares(&bob, "ada", "ok");
    let gpu = &told["gpus"][1];
    assert_eq!(
        (gpu["node"].as_str(), gpu["index"].as_u64(), gpu["health"].as_str()),
        (Some("ada"), Some(1), Some("ok"))
    );
    assert_eq!(gpu["name"], "NVIDIA H100 80GB HBM3");
    assert_eq!((gpu["busy_percent"].as_u64(), gpu["temperature_celsius"].as_u64()), (Some(97), Some(62)));
    assert_eq!((gpu["power_watts"].as_f64(), gpu["power_limit_watts"].as_f64()), (Some(412.345), Some(700.0)));
    assert_eq!(gpu["memory_used_bytes"].as_u64(), Some(20 << 30));
    assert_eq!(gpu["ecc_corrected"].as_u64(), Some(12));
    assert_eq!(
        gpu["remapped"],
        serde_json::json!({"corrected": 2, "uncorrected": 1, "pending": true, "failed": false})
    );
    assert_eq!(gpu["throttle"], serde_json::json!(["power_cap"]));
    assert_eq!((gpu["pcie"]["generation"].as_u64(), gpu["pcie"]["replays"].as_u64()), (Some(5), Some(3)));
    assert!(gpu.get("fan_percent").is_none(), "it has none: {gpu}");
    let process = &gpu["processes"][0];
    assert!(process["owner"].is_string() && process["name"].as_str().unwrap().starts_with("beadmesh"), "{process}");
    assert_eq!(standing(&told, "ada")["driver"], "570.133.20");
    assert_eq!((&standing(&told, "bob")["state"], &standing(&told, "bob")["stale"]), (&"absent".into(), &false.into()));
    // What people see fits their terminal, and numbers over time come along.
    let table = String::from_utf8(bob.run(&["gpu"]).stdout).unwrap();
    assert!(
        table.contains("97%") && table.contains("20/80 GiB") && table.contains("No NVIDIA driver: bob."),
        "{table}"
    );
    let nodes = bob.json(&["nodes"]);
    let ada_there = standing(&nodes, "ada");
    assert!(ada_there["host"]["memory_total_bytes"].as_u64() > Some(1 << 20), "{ada_there}");
    assert!(ada_there["host"]["os"].is_string() && ada_there["host"]["disk_free_bytes"].is_u64(), "{ada_there}");
    assert_eq!(ada_there["gpus"].as_array().unwrap().len(), 2);
    let power = bob.json(&["history", "ada", "gpu1.power"]);
    assert_eq!((&power["unit"], &power["node"]["name"]), (&"watts".into(), &"ada".into()));
    assert!(power["recent"].as_array().unwrap().iter().any(|point| point["value"].as_f64() > Some(412.0)), "{power}");
    let drawing = bob.work().join("power.svg");
    assert!(bob.run(&["history", "ada", "gpu1.power", "--svg", drawing.to_str().unwrap()]).status.success());
    assert!(fs::read_to_string(drawing).unwrap().starts_with("<svg"));
    // A machine is named in one way everywhere.
    let id = ada_there["node"]["id"].as_str().unwrap();
    for name in ["ADA", id, &id[..8]] {
        assert_eq!(bob.json(&["history", name, "gpu1.power"])["node"]["name"], "ada", "{name}");
        for list in ["gpu", "containers"] {
            let told = bob.json(&[list, "--node", name]);
            assert_eq!(told["nodes"].as_array().unwrap().len(), 1, "{name}: {told}");
            assert_eq!(told["nodes"][0]["node"]["name"], "ada", "{name}: {told}");
        }
    }
    for (args, exit) in [
        (["history", "ada", "gpu1.colour"], 2),
        (["history", "eve", "cpu"], 5),
        (["history", "ada", "gpu9.busy"], 5),
        (["gpu", "--node", "eve"], 5),
    ] {
        assert_eq!(bob.run(&args).status.code(), Some(exit), "{args:?}");
    }
}

#[test]
fn every_way_in_which_a_driver_fails_has_its_state_and_its_advice() {
    let told: Vec<String> = ["driver_not_loaded", "version_mismatch", "no_devices", "no_permission"]
        .into_iter()
        .map(|scenario| {
            let (_driver, node) = Driver::running("ada", scenario);
            let advice = advice(&node, scenario).unwrap();
            let doctor = node.doctor(&[]);
            assert_eq!(check(&doctor, "gpu.state"), "warn", "{scenario}");
            advice
        })
        .collect();
    assert!(told.iter().all(|advice| told.iter().filter(|other| *other == advice).count() == 1), "{told:?}");
}

#[test]
fn without_a_driver_cards_are_absent_and_that_is_said_once() {
    let node = Node::running("ada");
    advice(&node, "absent");
    assert_eq!(node.json(&["gpu"])["gpus"], serde_json::json!([]));
    assert_eq!(check(&node.doctor(&[]), "gpu.state"), "ok");
    until("two more samples", || node.json(&["history", "ada", "load"])["recent"].as_array().unwrap().len() >= 3);
    assert_eq!(node.logged().matches("no NVIDIA driver").count(), 1);
}

#[test]
fn a_driver_that_comes_later_is_found() {
    let (driver, node) = Driver::running("ada", "driver_not_loaded");
    fares(&node, "ada", "driver_not_loaded");
    driver.turns("healthy");
    assert_eq!(fares(&node, "ada", "ok")["gpus"].as_array().unwrap().len(), 2);
}

#[test]
fn a_call_that_hangs_stalls_the_cards_and_nothing_else() {
    let (driver, ada) = Driver::running("ada", "healthy");
    let bob = Node::running("bob");
    bob.join(&ada);
    fares(&bob, "ada", "ok");
    let events = Watch::of(&bob);
    let gate = driver.gate();
    driver.turns(&format!("hung:{}", gate.display()));
    let told = fares(&bob, "ada", "stalled");
    assert!(standing(&told, "ada")["advice"].as_str().unwrap().contains("does not answer"));
    let gpu = &told["gpus"][0];
    assert_eq!(
        (&gpu["health"], gpu.get("busy_percent")),
        (&"unknown".into(), None),
        "what was measured before is over"
    );
    assert!(gpu["name"].is_string(), "what it is stays: {gpu}");
    let event = events.await_event("the state of ada", |event| event["event"] == "gpu_state");
    assert_eq!((&event["state"], &event["was"]), (&"stalled".into(), &"ok".into()));
    let bead = ada.create(&["Written while the driver hangs"]);
    until("the bead on bob", || bob.run(&["bead", "show", &bead]).status.success());
    assert!(standing(&ada.json(&["nodes"]), "ada")["host"]["load"].is_array());
    // The driver answers again: whoever waits is let go, and nobody waits any more.
    driver.turns("healthy");
    drop(File::options().write(true).open(gate).unwrap());
    let told = fares(&bob, "ada", "ok");
    assert_eq!(told["gpus"][0]["busy_percent"], 97);
}

#[test]
fn a_node_ends_in_time_though_a_call_hangs() {
    let (driver, mut node) = Driver::running("ada", "healthy");
    fares(&node, "ada", "ok");
    driver.turns(&format!("hung:{}", driver.gate().display()));
    fares(&node, "ada", "stalled");
    node.down();
}

#[test]
fn a_lost_card_and_its_errors_are_told_everywhere_and_it_may_come_back() {
    let (driver, ada) = Driver::running("ada", "healthy");
    let bob = Node::running("bob");
    bob.join(&ada);
    fares(&bob, "ada", "ok");
    let events = Watch::of(&bob);
    driver.turns("xid");
    let xid = events.await_event("the error", |event| event["event"] == "xid");
    assert_eq!((xid["gpu"].as_u64(), xid["code"].as_u64()), (Some(1), Some(79)));
    driver.turns("lost");
    let told = fares(&bob, "ada", "lost");
    let health = |told: &Value, at: usize| told["gpus"][at]["health"].as_str().unwrap().to_owned();
    assert_eq!((health(&told, 0), health(&told, 1)), ("ok".to_owned(), "lost".to_owned()));
    assert_eq!(told["gpus"][0]["busy_percent"], 97, "the other goes on");
    assert_eq!(told["gpus"][1]["xid"], serde_json::json!({"code": 79, "count": 1}));
    assert!(told["gpus"][1]["name"].is_string(), "it is still known which one it was: {told}");
    let lost = events.await_event("the loss", |event| event["event"] == "gpu");
    assert_eq!((lost["gpu"].as_u64(), lost["health"].as_str()), (Some(1), Some("lost")));
    let table = String::from_utf8(bob.run(&["gpu"]).stdout).unwrap();
    assert!(table.contains("lost, Xid 79") && table.contains("ada: lost: a card fell off the bus"), "{table}");
    driver.turns("healthy");
    assert_eq!(health(&fares(&bob, "ada", "ok"), 1), "ok");
}

#[test]
fn errors_of_cards_are_waited_for_again_where_that_has_failed() {
    let (driver, ada) = Driver::running("ada", "healthy");
    fares(&ada, "ada", "ok");
    let events = Watch::of(&ada);
    driver.turns("deaf");
    // A wait lasts for less than the time between two samples.
    let samples = || ada.json(&["history", "ada", "load"])["recent"].as_array().map_or(0, Vec::len);
    let before = samples();
    until("two more samples", || samples() > before + 1);
    driver.turns("xid");
    let xid = events.await_event("the error", |event| event["event"] == "xid");
    assert_eq!((xid["gpu"].as_u64(), xid["code"].as_u64()), (Some(1), Some(79)));
}

#[test]
fn a_card_that_the_driver_forgets_is_lost_and_a_machine_that_is_gone_is_stale() {
    let (driver, mut ada) = Driver::running("ada", "healthy");
    let bob = Node::running("bob");
    bob.join(&ada);
    fares(&bob, "ada", "ok");
    driver.turns("gone");
    let told = fares(&bob, "ada", "lost");
    assert_eq!((&told["gpus"][0]["health"], &told["gpus"][1]["health"]), (&"ok".into(), &"lost".into()));
    assert!(told["gpus"][1]["uuid"].is_string(), "it is still known which one it was: {told}");
    ada.kill();
    until("ada to be stale", || standing(&bob.json(&["nodes"]), "ada")["stale"] == true);
    let table = String::from_utf8(bob.run(&["gpu"]).stdout).unwrap();
    assert!(table.contains("ada: not heard for"), "{table}");
    assert!(String::from_utf8(bob.run(&["nodes"]).stdout).unwrap().contains(" s ago"));
}

#[test]
fn cards_that_are_split_show_their_parts_also_when_that_changes() {
    let (driver, node) = Driver::running("ada", "mig");
    let parts = |told: &Value| told["gpus"][0]["slices"].as_array().map_or(0, Vec::len);
    until("two parts", || parts(&node.json(&["gpu"])) == 2);
    let told = node.json(&["gpu"]);
    assert_eq!((&told["gpus"][0]["mig"], &told["gpus"][1]["mig"]), (&true.into(), &false.into()));
    assert_eq!(told["gpus"][0]["slices"][1]["memory_total_bytes"].as_u64(), Some(10 << 30));
    driver.turns("healthy");
    until("no parts", || {
        let told = node.json(&["gpu"]);
        parts(&told) == 0 && told["gpus"][0]["mig"] == false
    });
}

#[test]
fn a_card_that_tells_little_is_well_and_one_that_is_slow_is_read() {
    let (driver, node) = Driver::running("ada", "partial");
    let told = fares(&node, "ada", "ok");
    let gpu = &told["gpus"][0];
    assert!(gpu["memory_used_bytes"].is_u64() && gpu["name"].is_string(), "{gpu}");
    for unknown in ["busy_percent", "power_watts", "temperature_celsius", "ecc_corrected", "pstate", "mig", "throttle"]
    {
        assert!(gpu.get(unknown).is_none(), "{unknown}: {gpu}");
    }
    driver.turns("slow");
    until("a reading", || node.json(&["gpu"])["gpus"][0]["busy_percent"] == 97);
    fares(&node, "ada", "ok");
}

#[test]
fn cards_that_are_made_up_are_called_so_everywhere_and_none_are_looked_for_when_told_so() {
    let mut node = Node::new("ada");
    node.up_with(&["--gpu-backend", "demo"]);
    let told = fares(&node, "ada", "ok");
    assert_eq!(standing(&told, "ada")["backend"], "demo");
    assert!(told["gpus"].as_array().unwrap().iter().all(|gpu| gpu["backend"] == "demo"), "{told}");
    let table = String::from_utf8(node.run(&["gpu"]).stdout).unwrap();
    assert!(table.contains("ada: demo, these cards are made up."), "{table}");
    assert_eq!(check(&node.doctor(&[]), "gpu.state"), "warn");
    node.down();
    let driver = Driver::new("healthy");
    let library = driver.folder().display().to_string();
    node.up_in(&[("LD_LIBRARY_PATH", &library), ("BEADMESH_GPU_BACKEND", "off")]);
    assert_eq!(fares(&node, "ada", "off")["gpus"], serde_json::json!([]));
}
