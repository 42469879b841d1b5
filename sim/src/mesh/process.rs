//! Processes: what they are handed, the batches they take, and what they let out after each flush.

use std::collections::VecDeque;

use beadmesh_protocol::op::Role;
use beadmesh_protocol::wire::Frame;
use beadmesh_store::Membership;
use beadmesh_store::command::{Answer, Command, CommandError};
use beadmesh_store::memory::Crash;
use beadmesh_store::open::Origin;
use beadmesh_store::replica::{Event as Change, Input, LinkId, Output, RequestId};

use super::links::Parting;
use super::{Event, MILLI, Mesh, SECOND, at};
use crate::journal::{Deed, Fate, MailEffect};
use crate::network::Load;
use crate::node::{Armed, Purpose};
use crate::outcome::Life;
use crate::plan::WishKind;
use crate::random::Stream;
use crate::sometimes;
use crate::workload::{self, Sight};

/// How long a process thinks before it has handled a batch, in microseconds.
const TURN_US: u64 = 20;

/// How long a machine that stopped by itself is left alone before somebody starts it again.
const NOTICED_US: u64 = 5 * SECOND;

impl Mesh<'_> {
    pub(super) fn on_wish(&mut self, wish: usize) {
        let plan = self.plan;
        let wished = &plan.wishes[wish];
        let place = self.asked(wish);
        let node = &self.nodes[at(place)];
        if !node.is_awake() {
            self.figures.unasked += 1;
            return;
        }
        let linked = self.linked_names(place);
        let wall = node.clock.read(self.now_us).wall;
        let sight = Sight { known: &node.known, desk: &node.desk, linked: &linked, wall };
        for asked in workload::commands(plan.seed, wish, wished, &sight) {
            let deed = self.journal.deeds.len();
            self.journal.deeds.push(Deed {
                wish,
                node: place,
                asked_us: self.now_us,
                effects: asked.effects,
                mail: asked.mail,
                agent: asked.agent,
                fate: Fate::Unknown,
                excused: false,
            });
            self.ask(place, asked.command, Purpose::Deed(deed));
        }
    }

    /// Returns the names of the nodes that a node is linked to.
    fn linked_names(&self, place: u32) -> Vec<String> {
        let links = self.network.links.values().filter(|link| link.up == [true; 2] && link.ends.contains(&place));
        let peers = links.map(|link| link.ends[usize::from(link.ends[0] == place)]);
        peers.filter(|peer| self.nodes[at(*peer)].copy_of.is_none()).map(|peer| format!("n{peer}")).collect()
    }

    /// Returns whom a wish is asked of: its node, or half of the time a copy of that node, where one runs.
    fn asked(&self, wish: usize) -> u32 {
        let node = self.plan.wishes[wish].node;
        let mut copies = self.copies.values().filter(|copy| self.nodes[at(**copy)].copy_of == Some(node));
        let Some(copy) = copies.next() else { return node };
        let mut stream = Stream::keyed(self.plan.seed, "asked", wish as u64, 0);
        if stream.chance(500) { *copy } else { node }
    }

    /// Asks a process that runs for something.
    pub(super) fn ask(&mut self, node: u32, command: Command, purpose: Purpose) {
        let request = self.next_request();
        let Some(process) = &mut self.nodes[at(node)].process else { return };
        process.asked.insert(request, purpose);
        self.hand_in(node, Input::Command(request, command), 0);
    }

    /// Puts an input before a process, if it runs.
    pub(super) fn hand_in(&mut self, node: u32, input: Input, bytes: usize) {
        let machine = &mut self.nodes[at(node)];
        let generation = machine.generation;
        let Some(process) = &mut machine.process else { return };
        process.inbox.push_back((input, bytes));
        if !std::mem::replace(&mut process.busy, true) {
            self.schedule(self.now_us + TURN_US, Event::Turn { node, generation });
        }
    }

    pub(super) fn on_turn(&mut self, node: u32) {
        let now_us = self.now_us;
        let machine = &mut self.nodes[at(node)];
        let Some(process) = &mut machine.process else { return };
        let inputs = process.turn(&machine.clock, now_us);
        let (took, generation) = (machine.flush_us(), machine.generation);
        self.trace.fold(4, now_us, node.into(), inputs as u64);
        self.schedule(now_us + took, Event::Flush { node, generation });
    }

    pub(super) fn on_flush(&mut self, node: u32) {
        let Some(process) = &mut self.nodes[at(node)].process else { return };
        match process.replica.flush() {
            Ok(outputs) => self.obey(node, outputs),
            Err(error) => return self.on_store_failed(node, &error.to_string()),
        }
        let machine = &mut self.nodes[at(node)];
        let generation = machine.generation;
        let Some(process) = &mut machine.process else { return };
        machine.desk.note(std::mem::take(&mut process.brought));
        // What a node leased in a mesh of its own, before it joined, is nobody else's concern.
        if process.replica.mesh() == self.id {
            self.tenures.note(node, (&machine.clock, self.now_us), &process.replica);
        }
        process.busy = !process.inbox.is_empty();
        if process.busy {
            self.schedule(self.now_us, Event::Turn { node, generation });
            return;
        }
        let due = process.replica.next_wakeup().map(|due| machine.clock.when(due).max(self.now_us + MILLI));
        if let Some(due) = due
            && process.wake_us.is_none_or(|wake| wake > due || wake <= self.now_us)
        {
            process.wake_us = Some(due);
            self.schedule(due, Event::Wake { node, generation });
        }
    }

    pub(super) fn on_wake(&mut self, node: u32) {
        let now_us = self.now_us;
        let Some(process) = &mut self.nodes[at(node)].process else { return };
        if process.wake_us.take_if(|wake| *wake <= now_us).is_some() {
            self.hand_in(node, Input::Wakeup, 0);
        }
    }

    /// Does what a replica orders, in order.
    pub(super) fn obey(&mut self, node: u32, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Frame(link, frame) => {
                    let load = match &frame {
                        _ if self.nodes[at(node)].rogue => Load::Rogue,
                        Frame::Entries(_) => Load::Entries,
                        _ => Load::Other,
                    };
                    self.send(node, link, frame.encode(), load);
                }
                Output::Reply(request, answer) => self.on_reply(node, request, *answer),
                Output::Close { link, reason, violation } => self.on_close(node, link, &reason, violation),
                Output::Members(members) => {
                    let machine = &mut self.nodes[at(node)];
                    machine.members = members.into_iter().map(|(member, _)| member).collect();
                    self.hurry(node);
                }
                Output::Event(change) => self.on_change(node, &change),
                Output::Notice(bytes) => self.publish(node, bytes),
                Output::Lease(to, message) => self.say(node, to, &message),
                Output::Mesh(_) | Output::JoinOpen(_) => {}
            }
        }
    }

    fn on_close(&mut self, node: u32, link: LinkId, reason: &str, violation: bool) {
        let peer = self.network.links.get(&link).map(|state| state.ends[usize::from(state.ends[0] == node)]);
        if let Some(peer) = peer
            && violation
        {
            let honest = !self.nodes[at(peer)].rogue && !self.nodes[at(node)].rogue;
            if honest {
                self.violate("manners", Some(node), format!("it accuses node {peer}: {reason}"));
            }
        }
        self.close_link(link);
    }

    fn on_change(&mut self, node: u32, change: &Change) {
        match change {
            Change::Bead { bead, .. } => {
                if self.nodes[at(node)].known.insert(*bead) && self.nodes[at(node)].copy_of.is_none() {
                    // Whoever joins later counts from then on.
                    let members = self.nodes.iter().filter(|node| node.joined && node.copy_of.is_none());
                    let members = members.filter(|node| !node.retired).count() as u64;
                    self.spread.heard(*bead, self.now_us, members);
                }
            }
            Change::Applicant { fingerprint, .. } => {
                self.ask(node, Command::Approve(fingerprint.clone()), Purpose::Approve);
            }
            Change::Roster => self.ask(node, Command::Membership, Purpose::Membership),
            Change::Agents => self.ask(node, Command::AgentList { all: false }, Purpose::Agents),
            Change::Letter { letter, to, .. } => {
                let early = self.nodes[at(node)].desk.hear(*letter, to);
                sometimes!(self.coverage, "letter-before-its-agent", early.letter);
                sometimes!(self.coverage, "receipt-before-its-letter", early.receipt);
            }
            Change::Claim { claim, state, .. } => {
                sometimes!(self.coverage, "claim-yielded", *state == "yielded");
                sometimes!(self.coverage, "lease-lapsed", *state == "lapsed");
                if matches!(*state, "yielded" | "done" | "expired") {
                    self.nodes[at(node)].desk.drop_claim(*claim);
                }
            }
            Change::Voters => sometimes!(self.coverage, "voters-changed", true),
            Change::PeerUp(_) | Change::PeerDown(_) | Change::PeerSettled(_) => {}
        }
    }

    fn on_reply(&mut self, node: u32, request: RequestId, answer: Result<Answer, CommandError>) {
        let Some(process) = &mut self.nodes[at(node)].process else { return };
        let Some(purpose) = process.asked.remove(&request) else { return };
        match (purpose, answer) {
            (Purpose::Deed(deed), answer) => self.on_deed(node, deed, answer),
            (Purpose::Membership, Ok(Answer::Membership(membership))) => {
                self.nodes[at(node)].membership = Some(membership.encode());
            }
            (Purpose::Agents, Ok(agents)) => self.nodes[at(node)].desk.meet(agents),
            (Purpose::Invite(joiner), Ok(Answer::Invited(ticket))) => self.on_ticket(node, joiner, &ticket),
            (Purpose::Welcome(joiner), Ok(Answer::JoinDecision(decision))) => {
                self.on_join_decided(node, joiner, decision);
            }
            (Purpose::Enter, Ok(Answer::Joined { .. })) => self.on_entered(node),
            (Purpose::Approve, Ok(Answer::Member(_))) => sometimes!(self.coverage, "join-approved", true),
            // By the time it is approved the invite has run out, or who made it is an admin no more.
            (Purpose::Approve, Err(CommandError::Conflict { .. } | CommandError::Refused { .. }))
            | (Purpose::Announce, _) => {}
            (purpose, Err(error)) => {
                self.violate("refusal", Some(node), format!("{purpose:?} was refused: {error}"));
            }
            (purpose, Ok(answer)) => {
                self.violate("refusal", Some(node), format!("{purpose:?} was answered {answer:?}"));
            }
        }
    }

    fn on_deed(&mut self, node: u32, deed: usize, answer: Result<Answer, CommandError>) {
        let now_us = self.now_us;
        let observer = self.nodes[at(node)].role == Role::Observer && self.nodes[at(node)].joined;
        let token_lost = self.nodes[at(node)].desk.learn(self.journal.deeds[deed].agent.as_deref(), &answer);
        sometimes!(self.coverage, "token-refused", token_lost);
        sometimes!(self.coverage, "agent-retired", matches!(&answer, Ok(Answer::Agent(agent)) if agent.retired));
        let is_apart = self.links_of(node).is_empty() && self.plan.nodes.len() > 1;
        match answer {
            Ok(answer) => {
                self.note_answer(&answer);
                let kind = self.plan.wishes[self.journal.deeds[deed].wish].kind;
                let shown = matches!(answer, Answer::Bead(_));
                sometimes!(self.coverage, "resolve-settled", kind == WishKind::Resolve && shown);
                sometimes!(self.coverage, "rebuild-equal", kind == WishKind::Rebuild);
                let deed = &mut self.journal.deeds[deed];
                workload::learn(&mut deed.effects, &mut deed.mail, &answer);
                if let (true, [MailEffect::Sent { letter, .. }]) = (is_apart, deed.mail.as_slice()) {
                    self.apart.insert(*letter);
                }
                deed.fate = Fate::Done(now_us);
                self.figures.acknowledged += 1;
                for effect in &deed.effects {
                    if let crate::journal::Effect::Created { bead, .. } = effect {
                        let calm = self.active.is_empty() && self.healed_us.is_none();
                        self.spread.born(*bead, now_us, calm);
                        if observer {
                            self.outlawed.insert(*bead);
                        }
                    }
                }
            }
            Err(error) => {
                self.note_refusal(&error);
                if matches!(error, CommandError::Store(_)) {
                    return;
                }
                self.journal.deeds[deed].fate = Fate::Refused(error.code());
                self.figures.refused += 1;
            }
        }
    }

    /// The replica has stopped for good: something armed its disk, or its store is damaged, or it should not have.
    fn on_store_failed(&mut self, node: u32, error: &str) {
        let machine = &mut self.nodes[at(node)];
        match machine.armed.take() {
            Some(Armed::PowerCut) => {
                sometimes!(self.coverage, "crash-while-writing", true);
                self.tell(Some(node), "lost power while it wrote");
                self.cut_power(node, Crash::KeepSome);
                return;
            }
            Some(Armed::Refusal(crash)) => {
                machine.crash = crash;
                self.tell(Some(node), format!("stopped: {error}"));
            }
            None if machine.damaged => {
                sometimes!(self.coverage, "disk-corrupt-noticed", true);
                self.tell(Some(node), format!("stopped at damage: {error}"));
            }
            None => self.violate("stopped", Some(node), format!("it stopped without a fault: {error}")),
        }
        self.stop(node, Parting::Told);
        let generation = self.nodes[at(node)].generation;
        self.schedule(self.now_us + NOTICED_US, Event::Restart { node, generation });
    }

    /// Ends a process.
    pub(super) fn stop(&mut self, node: u32, parting: Parting) {
        let now_us = self.now_us;
        let machine = &mut self.nodes[at(node)];
        let slept = machine.asleep;
        let Some(process) = machine.stop() else { return };
        self.tenures.end(node, now_us);
        sometimes!(self.coverage, "crash-lost-unflushed", process.busy);
        drop(process);
        let (from_ms, to_ms) = (machine.started_us / MILLI, now_us / MILLI);
        self.lives.push(Life { node, from_ms, to_ms });
        self.postponed.remove(&node);
        self.part(node, parting);
        if slept {
            // What sleep held up goes on; the one who wakes it finds it awake.
            self.network.unclog(node);
            self.release_held();
        }
    }

    /// Takes a machine's power away.
    pub(super) fn cut_power(&mut self, node: u32, crash: Crash) {
        self.stop(node, Parting::Silent);
        let machine = &mut self.nodes[at(node)];
        machine.disk.lock().crash(crash);
        machine.reboot(self.now_us);
    }

    pub(super) fn on_dark(&mut self, node: u32, generation: u32) {
        if self.nodes[at(node)].generation == generation {
            self.go_dark(node);
        }
    }

    /// Takes a machine's power away if that is still to come.
    pub(super) fn go_dark(&mut self, node: u32) {
        if self.nodes[at(node)].armed.take_if(|armed| *armed == Armed::PowerCut).is_some() {
            self.tell(Some(node), "lost power");
            self.cut_power(node, Crash::LoseAll);
        }
    }

    pub(super) fn on_restart(&mut self, node: u32, generation: u32) {
        let machine = &self.nodes[at(node)];
        if machine.generation == generation && machine.process.is_none() && !machine.retired {
            if machine.damaged { self.replace_disk(node) } else { self.start(node) }
        }
    }

    /// Starts a machine's process, on what is on its disk or, where that can not be read, on what its peers have.
    pub(super) fn start(&mut self, node: u32) {
        let now_us = self.now_us;
        let machine = &mut self.nodes[at(node)];
        if machine.process.is_some() || machine.retired {
            return;
        }
        machine.armed = None;
        let crash = std::mem::replace(&mut machine.crash, Crash::LoseAll);
        let origin = machine.disk.lock().crash(crash);
        sometimes!(self.coverage, "store-copied", matches!(origin, Origin::Copied { .. }));
        let started = machine.start(&origin, now_us);
        if let Err(error) = started {
            if !machine.damaged {
                self.violate("stopped", Some(node), format!("it does not start: {error}"));
                return;
            }
            sometimes!(self.coverage, "disk-corrupt-noticed", true);
            self.tell(Some(node), format!("finds its store damaged: {error}"));
            self.replace_disk(node);
            return;
        }
        self.begin(node);
    }

    /// Has a process that was just opened let out what it has to, and say where it can be reached.
    pub(super) fn begin(&mut self, node: u32) {
        let machine = &mut self.nodes[at(node)];
        let generation = machine.generation;
        let Some(process) = &mut machine.process else { return };
        process.busy = true;
        let moved = machine.joined && machine.stream.chance(250);
        self.trace.fold(5, self.now_us, node.into(), generation.into());
        self.schedule(self.now_us + TURN_US, Event::Flush { node, generation });
        if moved {
            let port = 4_000 + generation;
            self.ask(
                node,
                Command::Announce(vec![format!("/ip4/10.0.0.{}/tcp/{port}", node % 250)]),
                Purpose::Announce,
            );
        }
        self.hurry(node);
    }

    /// Hands a command to a process and flushes at once: for what happens outside time, before and after a run.
    pub(super) fn ask_now(&mut self, node: u32, command: Command) -> Result<Answer, CommandError> {
        let request = self.next_request();
        let now = self.nodes[at(node)].clock.read(self.now_us);
        let machine = &mut self.nodes[at(node)];
        let stopped = || CommandError::Store("the process is not running".to_owned());
        let process = machine.process.as_mut().ok_or_else(stopped)?;
        process.replica.handle(now, Input::Command(request, command));
        let mut outputs: VecDeque<Output> = match process.replica.flush() {
            Ok(outputs) => outputs.into(),
            Err(error) => return Err(CommandError::Store(error.to_string())),
        };
        let mut reply = Err(stopped());
        let mut others = Vec::new();
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Reply(id, answer) if id == request => reply = *answer,
                output => others.push(output),
            }
        }
        self.obey(node, others);
        reply
    }

    /// Keeps beside a store, at once, what its mesh is found again by.
    pub(super) fn keep_membership(&mut self, node: u32) {
        if let Ok(Answer::Membership(membership)) = self.ask_now(node, Command::Membership) {
            let membership: Membership = membership;
            self.nodes[at(node)].membership = Some(membership.encode());
        }
    }
}
