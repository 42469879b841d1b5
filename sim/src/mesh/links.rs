//! Frames on links, and how links end.

use beadmesh_protocol::entry::EntryError;
use beadmesh_protocol::wire::{Frame, FrameError};
use beadmesh_store::replica::{Input, LinkId};

use super::{Event, MILLI, Mesh, SECOND, at};
use crate::network::{Load, Sent};
use crate::sometimes;

/// How long nothing may pass before an end takes its link for dead: keep-alives of the transports and some luck.
const SILENCE_MIN_US: u64 = 5 * SECOND;
pub(super) const SILENCE_MAX_US: u64 = 25 * SECOND;

/// How an end of a link goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// The other end is told.
    Told,
    /// The other end hears nothing more, and finds out by itself.
    Silent,
}

impl Mesh<'_> {
    /// Sends a frame of a node over a link.
    pub(super) fn send(&mut self, node: u32, link: LinkId, bytes: Vec<u8>, load: Load) {
        let Some(state) = self.network.links.get(&link) else { return };
        let from = usize::from(state.ends[0] != node);
        if !state.up[from] {
            return;
        }
        if self.nodes[at(node)].rogue {
            let heard = self.overheard.entry(node).or_default();
            if heard.len() < 64 {
                heard.push(bytes.clone());
            }
        }
        match self.network.send(link, from, (bytes.len() as u64, load), self.now_us) {
            Sent::At(arrives) => self.schedule(arrives, Event::Arrive { link, from, bytes }),
            Sent::Broken => self.close_link(link),
            Sent::Overflow => {
                sometimes!(self.coverage, "link-overflowed", true);
                self.close_link(link);
            }
        }
    }

    pub(super) fn on_arrive(&mut self, link: LinkId, from: usize, bytes: Vec<u8>) {
        let Some(state) = self.network.links.get_mut(&link) else { return };
        let (source, target) = (state.ends[from], state.ends[1 - from]);
        if !state.up[1 - from] {
            return;
        }
        let held = !state.directions[from].held.is_empty();
        if held || !self.network.passes(source, target) {
            let one_way = self.network.passes(target, source) && !self.network.passes(source, target);
            sometimes!(self.coverage, "frame-held-by-partition", true);
            sometimes!(self.coverage, "one-way-cut", one_way);
            if let Some(state) = self.network.links.get_mut(&link) {
                state.directions[from].held.push_back(bytes);
            }
            self.watch_link(link);
            return;
        }
        self.deliver(link, from, &bytes);
    }

    /// Hands a frame to the process at the other end, through the real decoder.
    fn deliver(&mut self, link: LinkId, from: usize, bytes: &[u8]) {
        let Some(state) = self.network.links.get_mut(&link) else { return };
        let (source, target) = (state.ends[from], state.ends[1 - from]);
        if !state.up[1 - from] {
            return;
        }
        let direction = &mut state.directions[from];
        direction.queued = direction.queued.saturating_sub(bytes.len() as u64);
        direction.frames = direction.frames.saturating_sub(1);
        self.figures.frames += 1;
        self.figures.bytes += bytes.len() as u64;
        self.trace.fold_bytes(2, self.now_us, u64::from(source) << 32 | u64::from(target), bytes);
        let Some(mesh) = self.nodes[at(target)].mesh() else { return };
        let opened = &mut self.opened;
        let frame = Frame::decode_by(bytes, &mut |sealed| opened.open(mesh, sealed));
        if let (Ok(Frame::Entries(_)), Some(state)) = (&frame, self.network.links.get_mut(&link)) {
            let direction = &mut state.directions[from];
            direction.entries_queued = direction.entries_queued.saturating_sub(bytes.len() as u64);
        }
        match frame {
            Ok(frame) => self.hand_in(target, Input::Frame(link, frame), bytes.len()),
            Err(error) => {
                let honest = !self.nodes[at(source)].rogue;
                if honest {
                    self.violate("manners", Some(target), format!("a frame of node {source} was refused: {error}"));
                }
                let forged = matches!(error, FrameError::Entry(EntryError::BadSignature(_)));
                sometimes!(self.coverage, "forged-refused", !honest && forged);
                sometimes!(self.coverage, "garbage-refused", !honest && !forged);
                self.close_link(link);
            }
        }
    }

    /// Has it looked, after some silence, whether a link is to be given up.
    fn watch_link(&mut self, link: LinkId) {
        let Some(state) = self.network.links.get_mut(&link) else { return };
        if std::mem::replace(&mut state.watched, true) {
            return;
        }
        for end in 0..2 {
            let node = self.network.links.get(&link).map_or(0, |state| state.ends[end]);
            let silence = self.nodes[at(node)].stream.between(SILENCE_MIN_US, SILENCE_MAX_US);
            self.schedule(self.now_us + silence, Event::Watch { link, end });
        }
    }

    /// Watches every link over ways of which one is cut now.
    pub(super) fn watch_cut_links(&mut self) {
        let cut = self.network.links.iter().filter(|(_, state)| {
            let [one, other] = state.ends;
            !self.network.passes(one, other) || !self.network.passes(other, one)
        });
        let cut: Vec<LinkId> = cut.map(|(link, _)| *link).collect();
        cut.into_iter().for_each(|link| self.watch_link(link));
    }

    pub(super) fn on_watch(&mut self, link: LinkId, end: usize) {
        let Some(state) = self.network.links.get_mut(&link) else { return };
        state.watched = false;
        let [one, other] = state.ends;
        if self.network.passes(one, other) && self.network.passes(other, one) {
            return;
        }
        sometimes!(self.coverage, "link-timed-out", true);
        self.on_down(link, end);
    }

    /// Lets go what stood before a cut that is mended.
    pub(super) fn release_held(&mut self) {
        let links: Vec<LinkId> = self.network.links.keys().copied().collect();
        for link in links {
            for from in 0..2 {
                while let Some(bytes) = self.next_held(link, from) {
                    self.deliver(link, from, &bytes);
                }
            }
        }
    }

    /// Takes the first frame that is held in one direction, if that is open now.
    fn next_held(&mut self, link: LinkId, from: usize) -> Option<Vec<u8>> {
        let ends = self.network.links.get(&link)?.ends;
        if !self.network.passes(ends[from], ends[1 - from]) {
            return None;
        }
        self.network.links.get_mut(&link)?.directions[from].held.pop_front()
    }

    pub(super) fn on_down(&mut self, link: LinkId, end: usize) {
        let Some(state) = self.network.links.get_mut(&link) else { return };
        if !std::mem::replace(&mut state.up[end], false) {
            return;
        }
        let (ends, since, up) = (state.ends, state.since_us, state.up);
        self.trace.fold(3, self.now_us, link.0, end as u64);
        self.hand_in(ends[end], Input::LinkDown(link), 0);
        self.forget_link(link, ends, since, up);
    }

    /// Forgets a link that no end takes for up, and tries the pair again.
    fn forget_link(&mut self, link: LinkId, ends: [u32; 2], since_us: u64, up: [bool; 2]) {
        if up == [false; 2] {
            self.network.links.remove(&link);
        }
        self.on_link_gone((ends[0], ends[1]), link, since_us);
    }

    /// Closes a link: both ends learn of it, each after what was sent before.
    pub(super) fn close_link(&mut self, link: LinkId) {
        let Some(state) = self.network.links.get(&link) else { return };
        for end in 0..2 {
            let after = state.directions[1 - end].last_us.max(self.now_us) + MILLI;
            self.scheduled += 1;
            let (seq, event) = (self.scheduled, Event::Down { link, end });
            self.heap.push(super::Scheduled { at_us: after, seq, event });
        }
    }

    /// Ends every link of a node whose process is gone.
    pub(super) fn part(&mut self, node: u32, parting: Parting) {
        let mine = self.network.links.iter().filter(|(_, state)| state.ends.contains(&node));
        let mine: Vec<LinkId> = mine.map(|(link, _)| *link).collect();
        for link in mine {
            let Some(state) = self.network.links.get_mut(&link) else { continue };
            let end = usize::from(state.ends[0] != node);
            state.up[end] = false;
            let (ends, since, up) = (state.ends, state.since_us, state.up);
            let told = parting == Parting::Told && self.network.passes(node, ends[1 - end]);
            let after = self.network.links[&link].directions[end].last_us.max(self.now_us) + MILLI;
            self.forget_link(link, ends, since, up);
            if told {
                self.schedule(after, Event::Down { link, end: 1 - end });
            } else if up[1 - end] {
                let other = ends[1 - end];
                let silence = self.nodes[at(other)].stream.between(SILENCE_MIN_US, SILENCE_MAX_US);
                self.schedule(self.now_us + silence, Event::Down { link, end: 1 - end });
            }
        }
    }
}
