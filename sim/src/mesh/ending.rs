//! The second half of a run: everything is healed, progress is demanded, and what every node shows is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use beadmesh_protocol::entry::Sealed;
use beadmesh_protocol::id::{BeadId, EntryId};
use beadmesh_store::Kv as _;

use super::{Event, MILLI, Mesh, SECOND, at};
use crate::check::{self, Ending};
use crate::disk;
use crate::journal::{Effect, Fate};
use crate::outcome::Outcome;
use crate::random::Stream;
use crate::reference::{self, Look};
use crate::said::{self, Said};
use crate::sometimes;
use crate::view::{Glance, View};

/// How often it is looked whether all are equal.
const LOOK_US: u64 = SECOND;

/// How long the mesh is left alone once all are equal, to see that it is quiet.
const QUIET_US: u64 = 60 * SECOND;

/// How long what nodes say by themselves in that time may take to be everywhere.
const LAST_WORDS_US: u64 = 60 * SECOND;

/// Nodes that are looked at in full at most.
const VIEWS_MAX: usize = 10;

impl Mesh<'_> {
    /// Heals everything, waits until all honest nodes are equal, and then for a while longer.
    pub(super) fn settle(&mut self, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) -> ControlFlow<()> {
        self.heal();
        let begun_us = self.now_us;
        let until_us = begun_us + self.plan.settle_ms * MILLI;
        while self.now_us < until_us {
            self.run_until(self.now_us + LOOK_US, watch)?;
            self.schedule(self.now_us, Event::Sample);
            if self.is_equal() {
                self.figures.converged_ms = Some((self.now_us - begun_us) / MILLI);
                self.tell(None, "all nodes hold the same");
                break;
            }
        }
        let (frames, entries) = (self.figures.frames, self.entries_held());
        self.run_until(self.now_us + QUIET_US, watch)?;
        let quiet = (self.figures.frames - frames, QUIET_US / MILLI);
        let is_still = self.entries_held() == entries;
        // Claims end and leases come back by themselves: what a node says of that is to be everywhere, too.
        let until_us = self.now_us + LAST_WORDS_US;
        while self.now_us < until_us && !self.is_equal() {
            self.run_until(self.now_us + LOOK_US, watch)?;
        }
        self.schedule(self.now_us, Event::Sample);
        self.run_until(self.now_us, watch)?;
        let quiet = if is_still { quiet } else { (0, quiet.1) };
        self.judge(quiet);
        ControlFlow::Continue(())
    }

    /// Returns how many entries the founder holds.
    fn entries_held(&self) -> u64 {
        self.glance(0).map_or(0, |glance| glance.entries)
    }

    /// Returns the places of the honest nodes that are on.
    fn honest(&self) -> Vec<u32> {
        self.nodes.iter().filter(|node| !node.rogue && !node.retired).map(|node| node.place).collect()
    }

    /// Returns whether every honest node runs, is a member, waits for nothing, and holds what the others hold.
    fn is_equal(&self) -> bool {
        let mut first = None;
        self.honest().into_iter().all(|place| {
            let node = &self.nodes[at(place)];
            let Some(process) = &node.process else { return false };
            let hello = process.replica.hello();
            let same = *first.get_or_insert_with(|| hello.clone()) == hello;
            node.joined && process.asked.is_empty() && process.inbox.is_empty() && same
        })
    }

    /// Lets the checkers look at the end.
    fn judge(&mut self, quiet: (u64, u64)) {
        let honest = self.honest();
        let glances: Vec<Glance> = honest.iter().filter_map(|place| self.glance(*place)).collect();
        let step = honest.len().div_ceil(VIEWS_MAX).max(1);
        let chosen: Vec<u32> = honest.iter().copied().step_by(step).collect();
        // One node, another in each seed, also checks itself: that is the dearest question there is.
        let checked = chosen.get(Stream::keyed(self.plan.seed, "checked", 0, 0).place(chosen.len().max(1))).copied();
        let how = |place| if Some(place) == checked { Look::Checked } else { Look::Shown };
        let views: Vec<View> = chosen.iter().filter_map(|place| self.view(*place, how(*place))).collect();
        let entries = self.entries_of(&honest);
        let wall = self.nodes[0].clock.read(self.now_us).wall;
        let mesh = self.nodes[0].mesh();
        let reference = mesh.map(|mesh| {
            reference::fold(self.plan.seed, mesh, &entries, self.nodes[0].id, self.nodes[0].clock.read(self.now_us))
        });
        let reference = match reference {
            Some(Ok(view)) => view,
            Some(Err(error)) => return self.violate("reference", None, format!("the union does not fold: {error}")),
            None => return self.violate("stopped", Some(0), "the founder does not run at the end"),
        };
        self.figures.entries = entries.len() as u64;
        self.figures.beads = reference.beads.len() as u64;
        self.note_end(&views, &reference);
        let said = mesh.map(|mesh| said::read(mesh, self.nodes[0].id, &entries)).unwrap_or_default();
        self.note_leases(&said);
        let entry_bytes = entries.values().map(|sealed| sealed.bytes.len() as u64 + 64).sum();
        let planned = || self.nodes.iter().take(self.plan.nodes.len());
        let joined = planned().filter(|node| node.joined).map(|node| node.place).collect();
        let keys = planned().map(|node| (node.place, node.id)).collect();
        let copies = self.nodes.iter().filter_map(|node| Some((node.place, node.copy_of?))).collect();
        let ending = Ending {
            plan: self.plan,
            journal: &self.journal,
            glances: &glances,
            views: &views,
            reference: &reference,
            keys: &keys,
            copies: &copies,
            joined: &joined,
            strangers: &self.strangers,
            named: &self.named,
            promoted: &self.promoted,
            forked: &self.forked,
            moved: &self.moved,
            lost: &self.lost,
            outlawed: &self.outlawed,
            meddled: &self.meddled,
            impostures: &self.impostures,
            said: &said,
            tenures: self.tenures.all(),
            unsound: &self.unsound,
            wall,
            entry_bytes,
            at_ms: self.now_us / MILLI,
            converged: self.figures.converged_ms.is_some(),
            quiet,
            links: self.network.links.len() as u64,
            entry_bytes_max: entries.values().map(|sealed| sealed.bytes.len() as u64).max().unwrap_or(0),
            queue_bytes_max: self.network.queue_bytes_max,
            entries_bytes_max: self.network.entries_bytes_max,
        };
        let found = check::all(&ending);
        self.violations.extend(found);
    }

    /// Notes what the end shows to be sometimes so.
    fn note_end(&mut self, views: &[View], reference: &View) {
        let beads = || views.iter().chain([reference]).flat_map(|view| view.beads.values());
        sometimes!(self.coverage, "conflict-shown", beads().any(|bead| !bead.conflicts.is_empty()));
        sometimes!(self.coverage, "alias-shared", beads().any(|bead| bead.alias.contains('~')));
        let missing = beads().flat_map(|bead| &bead.deps).any(|dep| dep.status.is_none());
        sometimes!(self.coverage, "dep-on-missing", missing);
        sometimes!(self.coverage, "stale-close", beads().any(|bead| bead.stale_close.is_some()));
        sometimes!(self.coverage, "claim-contested", reference.claims.values().any(|claim| !claim.contests.is_empty()));
        sometimes!(self.coverage, "view-large", reference.lines.iter().any(|line| line.len() > 64 * 1024));
        sometimes!(self.coverage, "cycle-ignored-edge", check::may_have_cycle(reference));
        let is_held_once = |letter| views.iter().all(|view| check::comes_once(view, letter));
        let once = self.apart.iter().any(|letter| views.len() > 1 && is_held_once(*letter));
        sometimes!(self.coverage, "letter-sent-while-apart", once);
        let complete = self.pairs.len() == self.nodes.len() * (self.nodes.len() - 1) / 2;
        let converged = self.figures.converged_ms.is_some();
        sometimes!(self.coverage, "pair-converged-through-third", converged && !complete);
        sometimes!(self.coverage, "disk-lost-and-recovered", converged && !self.lost.is_empty());
        let numbers: BTreeSet<_> = reference.entries.values().collect();
        sometimes!(self.coverage, "fork-entry", numbers.len() < reference.entries.len());
        let deleted = Effect::status("tombstone");
        let reopened = Effect::status("open");
        let done = |wanted: &dyn Fn(&Effect) -> bool| -> Vec<(u64, BeadId)> {
            let deeds = self.journal.deeds.iter().filter(|deed| matches!(deed.fate, Fate::Done(_)));
            let effects = deeds.flat_map(|deed| deed.effects.iter().map(move |effect| (deed.asked_us, effect)));
            effects.filter(|(_, effect)| wanted(effect)).map(|(at, effect)| (at, effect.bead())).collect()
        };
        let later = done(&reopened);
        let both =
            done(&deleted).into_iter().any(|(at, bead)| later.iter().any(|(then, other)| *other == bead && *then > at));
        sometimes!(self.coverage, "bead-deleted-and-reopened", both);
        self.figures.stored_bytes = self.nodes.iter().filter_map(|node| node.disk.lock().size_on_disk().ok()).sum();
    }

    /// Notes what became of leases that is so sometimes.
    fn note_leases(&mut self, said: &Said) {
        let tenures = self.tenures.all();
        let followed = (1..tenures.len()).any(|at| {
            let later = &tenures[at];
            let before = |one: &&crate::tenure::Tenure| one.until_us <= later.from_us && one.holder != later.holder;
            tenures[..at].iter().filter(before).any(|one| one.terms.excludes(&later.terms))
        });
        sometimes!(self.coverage, "lease-followed", followed);
        self.figures.leases = tenures.len() as u64;
        self.figures.claims = said.claims.len() as u64;
    }

    fn glance(&self, place: u32) -> Option<Glance> {
        let node = &self.nodes[at(place)];
        let hello = node.process.as_ref()?.replica.hello();
        let mut sets = blake3::Hasher::new();
        sets.update(&hello.control.sum).update(&hello.data.sum);
        Some(Glance { place, sets: *sets.finalize().as_bytes(), entries: hello.control.count + hello.data.count })
    }

    /// Asks a node everything a person could ask.
    fn view(&mut self, place: u32, how: Look) -> Option<View> {
        let mut ask = |command| match self.ask_now(place, command) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.violate("stopped", Some(place), format!("it does not answer at the end: {error}"));
                None
            }
        };
        let mut view = reference::look(Some(place), how, &mut ask)?;
        view.stored_bytes = self.nodes[at(place)].disk.lock().size_on_disk().unwrap_or(0);
        let mesh = self.nodes[at(place)].mesh()?;
        view.entries = disk::signed(mesh, &self.entries_of(&[place]));
        Some(view)
    }

    /// Returns every entry on the disks of some nodes.
    fn entries_of(&self, places: &[u32]) -> BTreeMap<EntryId, Sealed> {
        let mut entries = BTreeMap::new();
        for place in places {
            entries.extend(disk::entries(&self.nodes[at(*place)].disk.lock()));
        }
        entries
    }

    /// Returns what the run came to.
    pub(super) fn outcome(mut self, cut: bool) -> Outcome {
        self.end_lives();
        let pending = self.journal.deeds.iter().filter(|deed| deed.fate == Fate::Unknown).count();
        self.figures.unanswered = pending as u64;
        self.figures.spread_ms = self.spread.medians();
        self.figures.queue_bytes_max = self.network.queue_bytes_max;
        for place in 0..self.nodes.len() {
            let sets = self.glance(u32::try_from(place).expect("copies are few")).map_or([0; 32], |glance| glance.sets);
            self.trace.fold_bytes(10, self.now_us, place as u64, &sets);
        }
        self.trace.fold(11, self.now_us, u64::from(cut), self.violations.len() as u64);
        Outcome {
            digest: self.trace.digest(),
            trace: self.trace.steps,
            violations: self.violations,
            nodes: u32::try_from(self.nodes.len()).expect("copies are few"),
            virtual_us: self.now_us,
            events: self.events,
            seen: self.coverage.seen().clone(),
            story: self.story,
            samples: self.samples,
            lives: self.lives,
            figures: self.figures,
        }
    }
}
