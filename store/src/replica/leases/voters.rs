//! Choosing voters: those chosen must answer now, so that their names are known, and then take over from those before.

use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::id::{NodeId, VoterId};
use beadmesh_protocol::lease::message::Here;
use beadmesh_protocol::lease::succession::RECOVERY_STEP;
use beadmesh_protocol::lease::{Ask, Epoch, Message, Proposal, Recovery, Seat};
use beadmesh_protocol::op::{Op, Role};
use ed25519_dalek::SigningKey;

use super::super::{Failure, Output, Replica, RequestId};
use crate::command::{Answer, CommandError, NewVoters, SeatAnswer, VotersAnswer};
use crate::stage::StoreError;

/// How long those chosen may take to answer, and those before to hand over.
const CHOICE_MAX: Duration = Duration::from_secs(10);

/// Voters being chosen.
#[derive(Debug)]
pub(super) struct Choice {
    asked_by: RequestId,
    hold: Duration,
    recovery: Option<SigningKey>,
    /// Who is chosen, with the voter it runs once it has said so.
    chosen: BTreeMap<NodeId, Option<VoterId>>,
    /// The epoch that was proposed.
    proposed: Option<u64>,
    deadline: Instant,
}

impl Choice {
    pub(super) fn asked_by(&self) -> RequestId {
        self.asked_by
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Replica {
    /// Begins to choose other voters; whoever asked is answered later.
    pub(in super::super) fn choose_voters(&mut self, new: &NewVoters) -> Result<Answer, Failure> {
        let chosen = self.chosen_nodes(new)?;
        let hold = new.hold.unwrap_or_else(|| self.mesh.epoch().0.hold());
        let recovery = new.recovery.clone();
        self.check_choice(&chosen, hold, recovery.as_ref())?;
        let asked_by = self.asking.take().expect("a command is being carried out");
        let deadline = self.now.mono.after(CHOICE_MAX);
        let chosen_nodes = chosen.iter().map(|node| (*node, None)).collect();
        self.leases.choice = Some(Choice { asked_by, hold, recovery, chosen: chosen_nodes, proposed: None, deadline });
        let here = self.entries.node();
        for node in chosen {
            if node == here {
                let own = self.voting.voter().map(|voter| voter.here());
                if let Some(own) = own {
                    self.on_voter_here(here, &own)?;
                }
            } else {
                self.say(node, Message::Ask(Ask::Probe));
            }
        }
        Ok(Answer::Done)
    }

    /// Returns the nodes that are named, each a member that may write.
    fn chosen_nodes(&self, new: &NewVoters) -> Result<Vec<NodeId>, Failure> {
        let mut chosen = Vec::new();
        for name in &new.nodes {
            let shown: String = name.chars().take(80).collect();
            let node = self.mesh.member_called(name)?;
            if self.mesh.roster().role(node) == Some(Role::Observer) {
                let hint = "choose members; what an observer says has no effect".to_owned();
                return Err(CommandError::Refused { problem: format!("{shown} is an observer"), hint }.into());
            }
            chosen.push(node);
        }
        Ok(chosen)
    }

    fn check_choice(&self, chosen: &[NodeId], hold: Duration, recovery: Option<&SigningKey>) -> Result<(), Failure> {
        let refused =
            |problem: String, hint: &str| Failure::Command(CommandError::Refused { problem, hint: hint.to_owned() });
        let conflict =
            |problem: String, hint: &str| Failure::Command(CommandError::Conflict { problem, hint: hint.to_owned() });
        let (roster, here) = (self.mesh.roster(), self.entries.node());
        if !self.config.votes {
            return Err(refused("no node is running here".to_owned(), "start the node with `beadmesh up`"));
        }
        match recovery {
            Some(key) if key.verifying_key().to_bytes() != roster.recovery => {
                return Err(refused(
                    "this is not the recovery key of this mesh".to_owned(),
                    "it was shown once, when the mesh was founded",
                ));
            }
            None if roster.owner != here => {
                let owner = roster.display_name(roster.owner);
                return Err(refused(
                    "only the owner of the mesh chooses voters".to_owned(),
                    &format!("run it on {owner}"),
                ));
            }
            Some(_) | None => {}
        }
        let seats = chosen.iter().map(|node| Seat { node: *node, voter: VoterId::from_bytes([0; 16]) }).collect();
        Epoch::new(1, seats, hold).map_err(|error| CommandError::Invalid {
            field: "nodes".to_owned(),
            problem: error.to_string(),
            hint: "choose nodes on machines that stay up".to_owned(),
        })?;
        if self.leases.choice.is_some() {
            return Err(conflict("voters are being chosen already".to_owned(), "wait for that"));
        }
        let is_proposed = self.mesh.succession().proposed(self.mesh.epoch().0).is_some();
        if is_proposed && recovery.is_none() {
            let problem = "other voters have been chosen, and those before have not handed over yet".to_owned();
            return Err(conflict(problem, "see `beadmesh voters list`; a majority of the voters has to be reached"));
        }
        if let Some(node) = chosen.iter().find(|node| !self.is_voter_reached(**node)) {
            let problem = format!("{} can not be reached now", roster.display_name(*node));
            return Err(conflict(problem, "start it, or choose another"));
        }
        Ok(())
    }

    /// Takes what a voter says of itself for those being chosen.
    pub(super) fn on_voter_here(&mut self, from: NodeId, here: &Here) -> Result<(), StoreError> {
        let Some(choice) = &mut self.leases.choice else { return Ok(()) };
        let Some(voter) = choice.chosen.get_mut(&from) else { return Ok(()) };
        *voter = Some(here.voter);
        let named = choice.chosen.iter().filter_map(|(node, voter)| Some(Seat { node: *node, voter: (*voter)? }));
        let seats: Vec<Seat> = named.collect();
        if seats.len() < choice.chosen.len() || choice.proposed.is_some() {
            return Ok(());
        }
        let (mesh, current) = (self.entries.mesh(), self.mesh.epoch().0.number);
        let number = if choice.recovery.is_some() { current + RECOVERY_STEP } else { current + 1 };
        let epoch = Epoch::new(number, seats, choice.hold).expect("the choice has been checked");
        choice.proposed = Some(number);
        let op = match &choice.recovery {
            Some(key) => Op::Recovery(Recovery::sign(epoch, mesh, key)),
            None => Op::Proposal(Proposal { epoch }),
        };
        self.author(vec![op.encode()]).map(|_| ())
    }

    /// Answers who chose voters once these are in force.
    pub(super) fn on_choice_in_force(&mut self, epoch: &Epoch) -> Result<(), StoreError> {
        let is_there = |choice: &mut Choice| choice.proposed.is_some_and(|number| epoch.number >= number);
        if let Some(choice) = self.leases.choice.take_if(is_there) {
            let answer = self.voters();
            self.outputs.push(Output::Reply(choice.asked_by, Box::new(Ok(Answer::Voters(answer)))));
        }
        Ok(())
    }

    /// Answers who chose voters when that takes too long.
    pub(super) fn on_choice_due(&mut self) -> Result<(), StoreError> {
        let now = self.now.mono;
        let Some(choice) = self.leases.choice.take_if(|choice| choice.deadline <= now) else { return Ok(()) };
        let reply = if choice.proposed.is_some() {
            // What is proposed stands, and comes about once a majority of the voters before can be reached.
            Ok(Answer::Voters(self.voters()))
        } else {
            let silent = choice.chosen.iter().find(|(_, voter)| voter.is_none());
            let name = silent.map(|(node, _)| self.mesh.roster().display_name(*node)).unwrap_or_default();
            let hint = "see `beadmesh peers`, or choose another".to_owned();
            Err(CommandError::Conflict { problem: format!("{name} does not answer"), hint })
        };
        self.outputs.push(Output::Reply(choice.asked_by, Box::new(reply)));
        Ok(())
    }

    /// Describes the voters.
    pub(in super::super) fn voters(&self) -> VotersAnswer {
        let (epoch, roster, here) = (self.mesh.epoch().0, self.mesh.roster(), self.entries.node());
        let sealed = self.mesh.succession().sealed(epoch);
        let seat = |seat: &Seat| {
            let is_here = seat.node == here;
            SeatAnswer {
                node: seat.node,
                node_name: roster.display_name(seat.node),
                voter: seat.voter,
                here: is_here,
                reached: self.is_voter_reached(seat.node),
                note: self.seat_note(*seat, &sealed),
            }
        };
        let next = self.mesh.succession().proposed(epoch);
        let names = |epoch: &Epoch| epoch.seats.iter().map(|seat| roster.display_name(seat.node)).collect();
        let live = self.voting.voter().filter(|voter| voter.epoch().1);
        VotersAnswer {
            epoch: epoch.number,
            hold: epoch.hold(),
            seats: epoch.seats.iter().map(seat).collect(),
            reached: self.voters_in_reach(),
            quorum: epoch.quorum(),
            next: next.map(names),
            leases: live.map(|voter| voter.live(self.now.mono).count()),
        }
    }

    /// Says what is to be known of a voter, where this node knows.
    fn seat_note(&self, seat: Seat, sealed: &[Seat]) -> Option<String> {
        if sealed.contains(&seat) {
            return Some("has handed over".to_owned());
        }
        if seat.node != self.entries.node() {
            return None;
        }
        let voter = self.voting.voter()?;
        if voter.id() != seat.voter {
            let told = "its disk was lost, copied or turned back: choose voters anew with `beadmesh voters set`";
            return Some(told.to_owned());
        }
        let until = voter.quiet_until(self.now.mono)?;
        Some(format!("has just started and grants nothing for {} s more", until.since(self.now.mono).as_secs() + 1))
    }
}
