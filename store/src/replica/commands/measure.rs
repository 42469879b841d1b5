//! The numbers that a node is watched by: what can be told without reading beads or letters.

use std::collections::BTreeMap;

use beadmesh_protocol::bead::Status;

use super::count;
use crate::command::{Answer, ClaimState, MeasuresAnswer};
use crate::replica::{Failure, Replica};

/// The states of claims that a node's own can be in: each is told, also where there is none.
const CLAIM_STATES: [&str; 4] = ["asking", "held", "tentative", "lapsed"];

/// The statuses that are told, also where there is none.
const STATUSES: [Status; 8] = [
    Status::Open,
    Status::InProgress,
    Status::Blocked,
    Status::Hooked,
    Status::Pinned,
    Status::Deferred,
    Status::Closed,
    Status::Tombstone,
];

impl Replica {
    /// Counts what is worth watching.
    pub(super) fn measure(&mut self) -> Result<Answer, Failure> {
        let hello = self.entries.hello();
        let peers = self.peers(hello.control.count + hello.data.count)?;
        let wall = self.now.wall;
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let ready = count(index.graph.ready_count(wall));
        let mut beads: BTreeMap<String, u64> =
            STATUSES.iter().map(|status| (status.as_str().to_owned(), 0)).chain([("custom".to_owned(), 0)]).collect();
        for (status, number) in index.rows.by_status() {
            let word = if matches!(status, Status::Custom(_)) { "custom" } else { status.as_str() };
            *beads.entry(word.to_owned()).or_default() += number;
        }
        let mut claims: BTreeMap<&'static str, u64> = CLAIM_STATES.iter().map(|state| (*state, 0)).collect();
        for (_, own) in self.leases.all() {
            let state = match self.own_state(own) {
                ClaimState::Held { .. } | ClaimState::Shown { .. } => "held",
                ClaimState::Tentative { .. } => "tentative",
                ClaimState::Lapsed { .. } => "lapsed",
                ClaimState::Asking => "asking",
                // It is about to be forgotten.
                ClaimState::Ended { .. } => continue,
            };
            *claims.entry(state).or_default() += 1;
        }
        let here = self.entries.node();
        let (mut agents, mut unread) = (0, 0);
        for (id, _) in self.mesh.directory().all().filter(|(_, agent)| agent.node == here && !agent.retired) {
            agents += 1;
            unread += self.mail.unread(&self.stage, id)?;
        }
        Ok(Answer::Measured(Box::new(MeasuresAnswer {
            control_entries: hello.control.count,
            data_entries: hello.data.count,
            entries_from_future: self.entries.future_count(),
            beads,
            ready,
            agents,
            unread,
            claims,
            peers,
        })))
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::bead::Field;

    use super::*;
    use crate::command::{Command, NewLetter};
    use crate::testing::Net;

    fn measures(net: &mut Net, at: usize) -> MeasuresAnswer {
        match net.ask(at, Command::Measure) {
            Ok(Answer::Measured(measures)) => *measures,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn beads_are_counted_by_status_and_words_of_a_project_together() {
        let mut net = Net::alone(1);
        for alias in ["one", "two", "three", "four"] {
            net.create(0, alias);
        }
        for (alias, status) in [("two", "closed"), ("three", "in review"), ("four", "parked")] {
            net.set(0, alias, Field::Status, status);
        }
        let MeasuresAnswer { beads, ready, .. } = measures(&mut net, 0);
        let counted: Vec<(&str, u64)> =
            beads.iter().filter(|(_, count)| **count > 0).map(|(status, count)| (status.as_str(), *count)).collect();
        assert_eq!(counted, [("closed", 1), ("custom", 2), ("open", 1)]);
        assert_eq!((beads.len(), beads["blocked"], ready), (9, 0, 1));
    }

    #[test]
    fn entries_peers_and_unread_letters_are_counted() {
        let mut net = Net::joined(2);
        net.link(0, 1);
        net.settle();
        let (lea, _) = (net.register(0, "Lea"), net.register(0, "Bob"));
        let before = measures(&mut net, 0);
        let letter = NewLetter { to: vec!["Bob".to_owned()], subject: "s".to_owned(), ..NewLetter::default() };
        net.ask_as(0, &lea, Command::MailSend(Box::new(letter))).unwrap();
        let after = measures(&mut net, 0);
        assert_eq!((after.agents, before.unread, after.unread), (2, 0, 1));
        assert_eq!(after.data_entries, before.data_entries + 1);
        assert_eq!(after.control_entries, before.control_entries);
        assert_eq!(after.peers.iter().map(|peer| peer.connected).collect::<Vec<_>>(), [true]);
        assert_eq!(after.claims, BTreeMap::from(CLAIM_STATES.map(|state| (state, 0))));
    }
}
