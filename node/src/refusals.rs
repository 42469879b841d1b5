//! What this node has refused since it was started, counted by reason.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A request over TCP named another host.
    ApiHost,
    /// A request over TCP came from a page of another origin.
    ApiOrigin,
    /// A request over TCP proved nothing, or something wrong.
    ApiProof,
    /// A code for a login was wrong, used or too old.
    ApiCode,
    /// A connection of a node that is kept out by hand.
    ConnectionBanned,
    /// A connection of a stranger while no invite is open.
    ConnectionStranger,
    /// A connection of a stranger while as many are there as may be, or come.
    ConnectionCrowded,
    /// A connection beyond what may stand or shake hands at one time.
    ConnectionLimit,
    /// A connection while the process takes too much memory.
    ConnectionMemory,
    /// A frame that breaks the protocol; its link was closed.
    Frame,
    /// An entry that came unasked and faster than its bearer or its author may write; it had to wait.
    EntryPace,
    /// A join that was not granted: its ticket was unknown, used or expired, or its form wrong.
    Join,
    /// A lease message that does not decode; its link was closed.
    Lease,
    /// A notice that no honest node passes on.
    Notice,
    /// A notice that was not listened to: its sender speaks too fast, or too many waited.
    NoticePace,
}

impl Refusal {
    /// All reasons, in the order in which they are declared.
    pub const ALL: [Self; 15] = [
        Self::ApiHost,
        Self::ApiOrigin,
        Self::ApiProof,
        Self::ApiCode,
        Self::ConnectionBanned,
        Self::ConnectionStranger,
        Self::ConnectionCrowded,
        Self::ConnectionLimit,
        Self::ConnectionMemory,
        Self::Frame,
        Self::EntryPace,
        Self::Join,
        Self::Lease,
        Self::Notice,
        Self::NoticePace,
    ];

    /// Returns the stable name of the count.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiHost => "api_host",
            Self::ApiOrigin => "api_origin",
            Self::ApiProof => "api_proof",
            Self::ApiCode => "api_code",
            Self::ConnectionBanned => "connection_banned",
            Self::ConnectionStranger => "connection_stranger",
            Self::ConnectionCrowded => "connection_crowded",
            Self::ConnectionLimit => "connection_limit",
            Self::ConnectionMemory => "connection_memory",
            Self::Frame => "frame",
            Self::EntryPace => "entry_pace",
            Self::Join => "join",
            Self::Lease => "lease",
            Self::Notice => "notice",
            Self::NoticePace => "notice_pace",
        }
    }
}

/// The counts, shared by all who refuse.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; Refusal::ALL.len()]);

impl Refusals {
    /// Counts one.
    pub fn count(&self, refusal: Refusal) {
        self.count_many(refusal, 1);
    }

    /// Counts that many.
    pub fn count_many(&self, refusal: Refusal, many: u64) {
        self.0[refusal as usize].fetch_add(many, Ordering::Relaxed);
    }

    /// Returns one count.
    pub fn of(&self, refusal: Refusal) -> u64 {
        self.0[refusal as usize].load(Ordering::Relaxed)
    }

    /// Returns every count by its name.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        Refusal::ALL.into_iter().map(|refusal| (refusal.name(), self.of(refusal))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_count_and_a_name_of_its_own() {
        let refusals = Refusals::default();
        for (at, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, at);
            refusals.count_many(refusal, at as u64);
        }
        let all = refusals.all();
        assert_eq!(all.len(), Refusal::ALL.len());
        for (at, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(all[refusal.name()], at as u64);
        }
    }
}
