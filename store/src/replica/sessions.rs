//! The conversations with peers as links carry them: what they bring is done, and what follows is said.

use std::cell::RefCell;
use std::collections::VecDeque;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::sync::{Holdings, Order, Session};
use beadmesh_protocol::wire::Frame;

use super::entries::Entries;
use super::{Event, LinkId, Output, Replica};
use crate::stage::{Stage, StoreError};

impl Replica {
    pub(super) fn on_link_up(&mut self, link: LinkId, node: NodeId, path: String) -> Result<(), StoreError> {
        if !self.mesh.roster().members.contains_key(&node) {
            self.outputs.push(Output::Close { link, reason: "not a member".to_owned(), violation: false });
            return Ok(());
        }
        if self.links.len() == 0 {
            self.expect_presence();
        }
        let (here, now) = (self.entries.node(), self.now.mono);
        let orders = with_holdings(&self.entries, &self.stage, |holdings| {
            self.links.open(now, link, (here, node), path, holdings)
        })?;
        self.outputs.push(Output::Event(Event::PeerUp(node)));
        self.on_reach(node, true)?;
        self.follow(link, orders)
    }

    pub(super) fn on_link_down(&mut self, link: LinkId) -> Result<(), StoreError> {
        let pushed = self.pushed();
        if let Some(node) = self.links.close(&mut self.stage, link, pushed, self.now.wall)? {
            self.outputs.push(Output::Event(Event::PeerDown(node)));
            let is_linked = self.links.of(node).is_some();
            self.on_reach(node, is_linked)?;
        }
        self.orphans.forget(link);
        Ok(())
    }

    /// Returns how many entries are here, apart from those that sessions hear of once they are durable.
    ///
    /// A session does not count those as lag yet, so a peer would be remembered to hold them.
    pub(super) fn pushed(&self) -> u64 {
        let hello = self.entries.hello();
        let waiting = u64::try_from(self.authored.len()).unwrap_or(u64::MAX);
        (hello.control.count + hello.data.count).saturating_sub(waiting)
    }

    pub(super) fn on_frame(&mut self, link: LinkId, frame: Frame) -> Result<(), StoreError> {
        let now = self.now.mono;
        let orders = self.with_session(link, |session, holdings| session.on_frame(now, frame, holdings))?;
        self.follow(link, orders)
    }

    /// Does what a session orders.
    pub(super) fn follow(&mut self, link: LinkId, orders: Vec<Order>) -> Result<(), StoreError> {
        let mut orders = VecDeque::from(orders);
        while let Some(order) = orders.pop_front() {
            match order {
                Order::Send(frame) => self.outputs.push(Output::Frame(link, frame)),
                Order::Store(entries) => {
                    let strangers = self.take(Some(link), entries)?;
                    let now = self.now.mono;
                    let mut next = self.with_session(link, |session, holdings| session.after_store(now, holdings))?;
                    if strangers {
                        next.extend(
                            self.with_session(link, |session, holdings| session.on_unknown_author(now, holdings))?,
                        );
                    }
                    orders.extend(next);
                }
                Order::Close { reason, violation } => {
                    self.outputs.push(Output::Frame(link, Frame::Bye(reason.clone())));
                    self.outputs.push(Output::Close { link, reason, violation });
                    self.on_link_down(link)?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(super) fn with_session(
        &mut self,
        link: LinkId,
        act: impl FnOnce(&mut Session, &Holdings<'_>) -> Vec<Order>,
    ) -> Result<Vec<Order>, StoreError> {
        let Some(session) = self.links.session(link) else { return Ok(Vec::new()) };
        with_holdings(&self.entries, &self.stage, |holdings| act(session, holdings))
    }
}

/// Lends a session what the replica holds.
fn with_holdings<R>(entries: &Entries, stage: &Stage, act: impl FnOnce(&Holdings<'_>) -> R) -> Result<R, StoreError> {
    let failed = RefCell::new(None);
    let holds = |id| {
        entries.holds(stage, id).unwrap_or_else(|error| {
            failed.replace(Some(error));
            false
        })
    };
    let snapshot = |set| entries.snapshot(set);
    let result = act(&Holdings { hello: entries.hello(), holds: &holds, snapshot: &snapshot });
    failed.into_inner().map_or(Ok(result), Err)
}
