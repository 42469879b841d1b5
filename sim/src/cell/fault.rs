//! What goes wrong in a cell, and how it is healed.

use super::plan::Trouble;
use super::{Cell, Event};

impl Cell<'_> {
    pub(super) fn trouble(&mut self, trouble: Trouble) {
        if self.healed && !trouble.is_change() {
            return;
        }
        match trouble {
            Trouble::Crash { node, down_us } => self.stop(usize::from(node), down_us),
            Trouble::Reboot { node, down_us, disk } => {
                let place = usize::from(node);
                if self.nodes[place].is_up {
                    self.stop(place, down_us);
                    self.checks.see(
                        "voter-rebooted-with-live-grants",
                        self.nodes[place].voter.live(self.clock(place)).next().is_some(),
                    );
                    self.nodes[place].reboot(self.now_us, disk);
                }
            }
            Trouble::Pause { node, for_us } => {
                let place = usize::from(node);
                if self.nodes[place].is_up {
                    let until = self.now_us + for_us;
                    self.nodes[place].paused_until = Some(until.max(self.nodes[place].paused_until.unwrap_or(0)));
                    self.at(until, Event::Resume { node: place });
                }
            }
            Trouble::Cut { from, to, for_us } => self.cut(usize::from(from), usize::from(to), for_us),
            Trouble::Split { part, for_us } => {
                let is_in = |place: usize| part >> place & 1 == 1;
                for from in 0..self.nodes.len() {
                    for to in (0..self.nodes.len()).filter(|to| is_in(from) != is_in(*to)) {
                        self.cut(from, to, for_us);
                    }
                }
            }
            Trouble::Voters { count, hold_ms } => self.wanted = Some((count, hold_ms)),
        }
        // Disks are copied now and then, so that one can be turned back.
        for place in 0..self.nodes.len() {
            if self.network.chance(300) {
                self.nodes[place].copy_disk();
            }
        }
    }

    fn cut(&mut self, from: usize, to: usize, for_us: u64) {
        *self.cuts.entry((from, to)).or_default() += 1;
        self.at(self.now_us + for_us, Event::Mend { from, to });
    }

    pub(super) fn mend(&mut self, from: usize, to: usize) {
        if let Some(cuts) = self.cuts.get_mut(&(from, to)) {
            *cuts -= 1;
            if *cuts == 0 {
                self.cuts.remove(&(from, to));
            }
        }
    }

    fn stop(&mut self, place: usize, down_us: u64) {
        if !self.nodes[place].is_up {
            return;
        }
        let now = self.clock(place);
        self.checks.see("voter-stopped-with-live-grants", self.nodes[place].voter.live(now).next().is_some());
        self.checks.see("owner-stopped-amid-change", place == 0 && self.nodes[0].known.proposed().is_some());
        self.drop_claims(place);
        self.nodes[place].stop();
        self.at(self.now_us + down_us, Event::Start { node: place });
    }

    pub(super) fn start(&mut self, place: usize) {
        if self.nodes[place].is_up {
            return;
        }
        self.nodes[place].begin(self.now_us);
        let start = self.nodes[place].start;
        self.at(self.now_us + 1, Event::Gossip { node: place, start });
        self.wake_agents(place);
        let now = self.clock(place);
        self.checks.on_voter(self.now_us, place, now, &self.nodes[place].voter);
        self.follow(place);
        self.settle(place);
    }

    /// Makes a new table of claims, because the number of starts had been used before.
    pub(super) fn restart_claims(&mut self, place: usize, starts: u64) {
        self.drop_claims(place);
        self.nodes[place].begin_claims(starts);
        self.wake_agents(place);
    }

    pub(super) fn resume(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if node.paused_until.is_some_and(|until| until <= self.now_us) {
            node.paused_until = None;
        }
    }

    /// Ends all troubles: machines run, ways are open, nothing is lost any more.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.cuts.clear();
        for place in 0..self.nodes.len() {
            self.nodes[place].paused_until = None;
            self.start(place);
        }
    }

    /// Lets every agent make one claim more, which must get its turn.
    pub(super) fn begin_calm(&mut self) {
        self.calm = true;
        // Voters that have died since are replaced, unless others are proposed already.
        let is_changing = self.nodes[0].known.proposed().is_some();
        self.wanted = (!is_changing).then_some((if self.nodes.len() >= 3 { 3 } else { 1 }, self.plan.hold_ms));
        for place in 0..self.nodes.len() {
            self.wake_agents(place);
        }
    }
}
