//! Faults: how each begins, and how it ends.

use std::collections::BTreeSet;

use beadmesh_protocol::entry::{Entry, Sealed};
use beadmesh_protocol::id::{AgentId, BeadId, LetterId, MeshId};
use beadmesh_protocol::op::Op;
use beadmesh_store::memory::{Crash, MemoryKv, Refusal, SharedKv};
use beadmesh_store::open::Origin;

use super::links::{Parting, SILENCE_MAX_US};
use super::{Event, MILLI, Mesh, SECOND, at};
use crate::disk;
use crate::journal::{Deed, MailEffect};
use crate::node::{Armed, Node};
use crate::outcome::Life;
use crate::plan::{Cut, Trouble};
use crate::sometimes;

/// How long a power cut waits for a write to fall into before it comes anyway.
const DARK_US: u64 = SECOND;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// A wall clock this far off is far off: a day.
const FAR_MS: i64 = 24 * 3_600 * 1_000;

impl Mesh<'_> {
    pub(super) fn on_fault_begins(&mut self, fault: usize) {
        if self.healed_us.is_some() {
            return;
        }
        let plan = self.plan;
        let planned = &plan.faults[fault];
        self.trace.fold(8, self.now_us, fault as u64, 0);
        self.schedule(self.now_us + planned.for_ms * MILLI, Event::End(fault));
        self.active.insert(fault);
        match &planned.trouble {
            Trouble::Partition { side, cut, bridge } => self.partition(side, *cut, *bridge, true),
            Trouble::Clog { node } => {
                self.network.clog(*node);
                self.watch_cut_links();
            }
            Trouble::Rough { node, loss_per_mille, delay_us } => {
                self.network.roughen(*node, *loss_per_mille, *delay_us);
            }
            Trouble::Narrow { node, bytes_per_s } => self.network.narrow(*node, Some(*bytes_per_s)),
            Trouble::SlowDisk { node, flush_us } => self.nodes[at(*node)].slow_us = Some(*flush_us),
            Trouble::WallStep { node, by_ms } => {
                sometimes!(self.coverage, "wall-far-ahead", *by_ms > FAR_MS);
                sometimes!(self.coverage, "wall-far-behind", *by_ms < -FAR_MS);
                self.nodes[at(*node)].clock.step(*by_ms);
            }
            Trouble::Rogue { node, misdeed, salt } => self.do_ill(*node, *misdeed, *salt),
            trouble => self.hit(fault, trouble),
        }
    }

    /// Lets a fault begin that befalls one machine's process or disk.
    fn hit(&mut self, fault: usize, trouble: &Trouble) {
        match trouble {
            Trouble::Kill { node } => {
                self.tell(Some(*node), "was killed");
                self.kill(*node);
            }
            Trouble::PowerCut { node, writing: true } => self.arm(*node, Armed::PowerCut),
            Trouble::PowerCut { node, writing: false } => {
                self.tell(Some(*node), "lost power");
                self.cut_power(*node, Crash::KeepSome);
            }
            Trouble::DiskFull { node } => self.refuse(*node, (0, Refusal::Full), Crash::LoseAll),
            // Of what a failed sync was to bring to the disk it may have got something.
            Trouble::SyncError { node } => self.refuse(*node, (1, Refusal::Io), Crash::KeepSome),
            Trouble::Pause { node, clock_stops } => self.sleep(*node, *clock_stops),
            Trouble::Corrupt { node } => {
                self.kill(*node);
                let key = self.nodes[at(*node)].disk.lock().corrupt();
                self.nodes[at(*node)].damaged = key.is_some();
                self.tell(Some(*node), "was stopped, and a value on its disk is damaged");
            }
            Trouble::LoseDisk { node } => {
                self.tell(Some(*node), "lost its disk");
                self.kill(*node);
                self.strike(*node, None);
                let machine = &mut self.nodes[at(*node)];
                machine.disk = SharedKv::new(MemoryKv::seeded(0));
                self.lost.insert(machine.id);
            }
            Trouble::Restore { node } => {
                let machine = &self.nodes[at(*node)];
                let snapshot = machine.disk.lock().snapshot();
                self.snapshots.insert(fault, (snapshot, machine.damaged));
            }
            Trouble::Clone { node, moved } => self.copy(fault, *node, *moved),
            _ => unreachable!("the others befall ways and clocks"),
        }
    }

    pub(super) fn on_fault_ends(&mut self, fault: usize) {
        if !self.active.remove(&fault) {
            return;
        }
        let plan = self.plan;
        self.trace.fold(9, self.now_us, fault as u64, 0);
        match &plan.faults[fault].trouble {
            Trouble::Partition { side, cut, bridge } => {
                let apart = side.len() == 1 && *cut == Cut::Both && plan.faults[fault].for_ms >= DAY_MS;
                sometimes!(self.coverage, "offline-for-a-day", apart);
                self.partition(side, *cut, *bridge, false);
            }
            Trouble::Clog { node } => {
                self.network.unclog(*node);
                self.release_held();
            }
            Trouble::Rough { node, .. } => self.network.roughen(*node, 0, 0),
            Trouble::Narrow { node, .. } => self.network.narrow(*node, None),
            Trouble::SlowDisk { node, .. } => self.nodes[at(*node)].slow_us = None,
            Trouble::WallStep { node, by_ms } => self.nodes[at(*node)].clock.step(-*by_ms),
            Trouble::Pause { node, .. } => {
                let long = plan.faults[fault].for_ms > SILENCE_MAX_US / MILLI;
                sometimes!(self.coverage, "paused-over-timeout", long && self.nodes[at(*node)].asleep);
                self.wake_up(*node);
            }
            Trouble::PowerCut { node, .. } => {
                // The write that it waited for has not come.
                self.go_dark(*node);
                self.start(*node);
            }
            Trouble::Kill { node } | Trouble::Corrupt { node } => self.start(*node),
            Trouble::DiskFull { node } | Trouble::SyncError { node } => self.end_refusal(*node),
            Trouble::LoseDisk { node } => self.replace_disk(*node),
            Trouble::Restore { node } => self.restore(fault, *node),
            Trouble::Clone { .. } => {
                if let Some(copy) = self.copies.remove(&fault) {
                    self.retire(copy);
                }
            }
            Trouble::Rogue { .. } => {}
        }
    }

    /// Cuts the ways between a side and the others, or mends them.
    fn partition(&mut self, side: &[u32], cut: Cut, bridge: Option<u32>, begins: bool) {
        let side: BTreeSet<u32> = side.iter().copied().collect();
        sometimes!(self.coverage, "bridge-used", begins && bridge.is_some());
        for (low, high) in self.plan.ways() {
            let crosses = side.contains(&low) != side.contains(&high);
            if !crosses || bridge.is_some_and(|bridge| bridge == low || bridge == high) {
                continue;
            }
            let (inside, outside) = if side.contains(&low) { (low, high) } else { (high, low) };
            for (from, to, is_cut) in [(inside, outside, cut != Cut::In), (outside, inside, cut != Cut::Out)] {
                match (is_cut, begins) {
                    (false, _) => {}
                    (true, true) => self.network.cut(from, to),
                    (true, false) => self.network.mend(from, to),
                }
            }
        }
        if begins { self.watch_cut_links() } else { self.release_held() }
    }

    /// Ends a process as SIGKILL does: what it had not flushed was in its memory still, and is gone.
    fn kill(&mut self, node: u32) {
        self.stop(node, Parting::Told);
        self.nodes[at(node)].disk.lock().crash(Crash::LoseAll);
    }

    fn arm(&mut self, node: u32, armed: Armed) {
        let machine = &mut self.nodes[at(node)];
        if machine.process.is_none() {
            return;
        }
        machine.armed = Some(armed);
        let (writes, generation) = (machine.stream.below(2), machine.generation);
        machine.disk.lock().refuse_after(writes, Refusal::Io);
        self.schedule(self.now_us + DARK_US, Event::Dark { node, generation });
    }

    fn refuse(&mut self, node: u32, (writes, refusal): (u64, Refusal), crash: Crash) {
        let machine = &mut self.nodes[at(node)];
        if machine.process.is_none() {
            return;
        }
        machine.armed = Some(Armed::Refusal(crash));
        machine.disk.lock().refuse_after(writes, refusal);
    }

    /// Makes room on a disk again, and starts the process anew.
    fn end_refusal(&mut self, node: u32) {
        self.nodes[at(node)].armed = None;
        self.stop(node, Parting::Told);
        self.start(node);
    }

    fn sleep(&mut self, node: u32, clock_stops: bool) {
        let now_us = self.now_us;
        let machine = &mut self.nodes[at(node)];
        if machine.process.is_none() || std::mem::replace(&mut machine.asleep, true) {
            return;
        }
        if clock_stops {
            machine.clock.stop(now_us);
            self.unsound.entry(machine.id).or_insert(now_us);
        }
        self.tell(Some(node), "sleeps");
        self.network.clog(node);
        self.watch_cut_links();
    }

    fn wake_up(&mut self, node: u32) {
        let now_us = self.now_us;
        let machine = &mut self.nodes[at(node)];
        machine.clock.go(now_us);
        if !std::mem::replace(&mut machine.asleep, false) {
            return;
        }
        self.tell(Some(node), "wakes");
        self.network.unclog(node);
        for event in self.postponed.remove(&node).unwrap_or_default() {
            self.schedule(now_us, event);
        }
        self.release_held();
        self.hurry(node);
    }

    /// Starts a machine on an empty disk, from what lies beside the store and what its peers hold.
    pub(super) fn replace_disk(&mut self, node: u32) {
        let now_us = self.now_us;
        self.strike(node, None);
        self.nodes[at(node)].desk.lose_tokens();
        let machine = &mut self.nodes[at(node)];
        if machine.process.is_some() || machine.retired {
            return;
        }
        self.lost.insert(machine.id);
        let seed = self.plan.seed ^ u64::from(node) ^ (u64::from(machine.generation) << 32);
        machine.disk = SharedKv::new(MemoryKv::seeded(seed));
        machine.damaged = false;
        let origin = Origin::Replaced { kept: "(lost)".into(), reason: "it was lost".to_owned() };
        if let Err(error) = machine.start(&origin, now_us) {
            self.violate("stopped", Some(node), format!("it does not recover: {error}"));
            return;
        }
        self.tell(Some(node), "begins anew, with what its peers hold");
        self.begin(node);
    }

    /// Puts a store back to what it was.
    fn restore(&mut self, fault: usize, node: u32) {
        let Some((snapshot, damaged)) = self.snapshots.remove(&fault) else { return };
        self.kill(node);
        self.strike(node, Some(&snapshot));
        let machine = &mut self.nodes[at(node)];
        let seed = self.plan.seed ^ fault as u64;
        *machine.disk.lock() = snapshot;
        machine.damaged = damaged;
        machine.disk.lock().reseed(seed);
        self.forked.insert(machine.id);
        self.unsound.entry(machine.id).or_insert(self.now_us);
        sometimes!(self.coverage, "restored-older", true);
        self.tell(Some(node), "had its store put back to an older state");
        self.start(node);
        if self.nodes[at(node)].mesh().is_some_and(|mesh| mesh != self.id) {
            // That was before it joined: its owner asks for another ticket.
            let machine = &mut self.nodes[at(node)];
            (machine.joined, machine.ticket) = (false, None);
            self.schedule(self.now_us, Event::Join { node });
        }
    }

    /// Starts a copy of a machine.
    fn copy(&mut self, fault: usize, node: u32, moved: bool) {
        let place = u32::try_from(self.nodes.len()).expect("copies are few");
        let machine = &self.nodes[at(node)];
        if machine.damaged {
            return;
        }
        let copy: Node = machine.copied(place, moved);
        // A store that finds itself on other hardware counts anew, so that none of its numbers is given twice.
        if moved { &mut self.moved } else { &mut self.forked }.insert(copy.id);
        self.unsound.entry(copy.id).or_insert(self.now_us);
        self.copies.insert(fault, place);
        self.network.add();
        for other in self.pairs.of(node) {
            self.pairs.add((other.min(place), other.max(place)));
        }
        self.nodes.push(copy);
        sometimes!(self.coverage, "clone-moved", moved);
        sometimes!(self.coverage, "clone-same-machine", !moved);
        self.tell(Some(place), format!("begins as a copy of n{node}"));
        self.start(place);
    }

    /// Switches a copy off for good.
    pub(super) fn retire(&mut self, node: u32) {
        self.tell(Some(node), "is switched off");
        self.kill(node);
        self.strike(node, None);
        self.nodes[at(node)].retired = true;
    }

    /// Ends what still goes on: from here on nothing is wrong.
    pub(super) fn heal(&mut self) {
        let active: Vec<usize> = self.active.iter().copied().collect();
        active.into_iter().for_each(|fault| self.on_fault_ends(fault));
        for node in 0..u32::try_from(self.nodes.len()).expect("copies are few") {
            self.nodes[at(node)].clock.mend();
            let pending = self.nodes[at(node)].armed.take().is_some();
            if pending {
                self.stop(node, Parting::Told);
            }
            if self.nodes[at(node)].damaged {
                // Damage that nobody met yet is what `doctor` finds.
                self.stop(node, Parting::Told);
                self.replace_disk(node);
            }
            self.start(node);
            if !self.nodes[at(node)].joined && self.nodes[at(node)].copy_of.is_none() {
                self.schedule(self.now_us, Event::Join { node });
            }
            self.hurry(node);
        }
        self.healed_us = Some(self.now_us);
        self.tell(None, "everything is healed");
    }

    /// Excuses the deeds on beads of which some entry lay on a disk that is gone and on no other.
    fn strike(&mut self, victim: u32, kept: Option<&MemoryKv>) {
        let mut lost = disk::entries(&self.nodes[at(victim)].disk.lock().snapshot());
        let others = self.nodes.iter().filter(|node| node.place != victim && !node.retired && !node.damaged);
        let elsewhere = others.map(|node| disk::entries(&node.disk.lock().snapshot())).chain(kept.map(disk::entries));
        for held in elsewhere {
            lost.retain(|id, _| !held.contains_key(id));
        }
        let mesh = self.id;
        let mut gone = Gone::default();
        lost.into_values().for_each(|sealed| gone.take(mesh, sealed));
        let damaged = self.nodes[at(victim)].damaged;
        for deed in &mut self.journal.deeds {
            // Behind a damaged value there may be entries that could not be read any more.
            if gone.concerns(deed) || (damaged && deed.node == victim) {
                deed.excused = true;
            }
        }
    }

    /// Notes when the machines that still run began.
    pub(super) fn end_lives(&mut self) {
        for machine in self.nodes.iter().filter(|machine| machine.process.is_some()) {
            let (from_ms, to_ms) = (machine.started_us / MILLI, self.now_us / MILLI);
            self.lives.push(Life { node: machine.place, from_ms, to_ms });
        }
    }
}

/// What entries were about that are gone.
#[derive(Debug, Default)]
struct Gone {
    beads: BTreeSet<BeadId>,
    agents: BTreeSet<AgentId>,
    letters: BTreeSet<LetterId>,
    receipts: BTreeSet<(LetterId, AgentId)>,
}

impl Gone {
    fn take(&mut self, mesh: MeshId, sealed: Sealed) {
        let Ok(entry) = Entry::open_trusted(mesh, sealed) else { return };
        let author = entry.content().author;
        for op in entry.content().ops.iter().filter_map(|raw| Op::decode(raw).ok()) {
            match op {
                Op::Bead(change) => drop(self.beads.insert(change.bead)),
                Op::Agent(facts) => drop(self.agents.insert(AgentId::of(author, &facts.name))),
                Op::Letter(letter) => drop(self.letters.insert(letter.id())),
                Op::Receipt(receipt) => drop(self.receipts.insert((receipt.letter, receipt.agent))),
                _ => {}
            }
        }
    }

    /// Returns whether what a deed came to may be gone with it.
    fn concerns(&self, deed: &Deed) -> bool {
        let mail = |effect: &MailEffect| {
            // Who has acknowledged a letter has read it, so either receipt stands for both.
            let is_gone = |letter| self.letters.contains(&letter) || self.receipts.contains(&(letter, effect.agent()));
            self.agents.contains(&effect.agent()) || effect.letter().is_some_and(is_gone)
        };
        deed.effects.iter().any(|effect| self.beads.contains(&effect.bead())) || deed.mail.iter().any(mail)
    }
}
