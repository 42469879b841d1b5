//! The cable between two nodes is pulled while both write: they notice, go on, and are equal once it is back.

use std::collections::BTreeSet;

use super::support::{Cable, Node, granted, settle, until};

/// Beads that each node makes while the cable is pulled.
const BEADS: usize = 10;

#[test]
fn nodes_write_on_while_the_cable_is_pulled_and_are_equal_once_it_is_back() {
    let Some(cable) = granted(Cable::lay()) else { return };
    let [ada, bob] = cable.ends();
    let (mut ada, mut bob) = (Node::placed("ada", ada), Node::placed("bob", bob));
    ada.up();
    bob.up();
    bob.join(&ada);
    let mut made = BTreeSet::from([ada.create(&["Before"])]);
    settle(&[&ada, &bob]);

    // Pulled for a moment, the link outlives it; pulled for long, the nodes give the link up.
    for is_long in [false, true] {
        let least = u64::try_from(BEADS).unwrap();
        cable.pull();
        for number in 0..BEADS {
            made.extend([&ada, &bob].map(|node| node.create(&[&format!("Apart {number}, {is_long}")])));
        }
        until("the lag of both", || lag(&ada) >= least && lag(&bob) >= least);
        assert_ne!(ada.status()["digest"], bob.status()["digest"]);
        if is_long {
            until("both to miss each other", || [&ada, &bob].iter().all(|node| !is_connected(node)));
            assert!(lag(&ada) >= least && lag(&bob) >= least, "lag is known without a link, too");
        }
        cable.plug();
        settle(&[&ada, &bob]);
        assert_eq!(ada.export(), bob.export());
        assert_eq!(ada.export().lines().count(), made.len());
    }
}

/// Returns how many entries the other node is behind.
fn lag(node: &Node) -> u64 {
    node.status()["peers"][0]["lag_entries"].as_u64().unwrap()
}

fn is_connected(node: &Node) -> bool {
    node.status()["peers"][0]["connected"] == true
}
