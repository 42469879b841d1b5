//! The wishes of a plan: which kinds, when, of whom. What exactly is asked, `workload` decides when the time has come.

use beadmesh_protocol::op::Role;

use crate::plan::{Plan, Wish, WishKind};
use crate::random::Stream;
use crate::scenario::Scenario;

/// Every kind and how often it is asked for in ordinary work.
pub(super) const KINDS: [(WishKind, u64); 27] = [
    (WishKind::Create, 12),
    (WishKind::CreateRich, 6),
    (WishKind::CreateNamed, 4),
    (WishKind::Set, 14),
    (WishKind::SetStatus, 8),
    (WishKind::Close, 6),
    (WishKind::Reopen, 4),
    (WishKind::Delete, 2),
    (WishKind::Resolve, 4),
    (WishKind::AddLabel, 6),
    (WishKind::RemoveLabel, 3),
    (WishKind::AddScope, 4),
    (WishKind::RemoveScope, 2),
    (WishKind::Comment, 6),
    (WishKind::AddDep, 6),
    (WishKind::RemoveDep, 3),
    (WishKind::Import, 4),
    (WishKind::ImportNewer, 2),
    (WishKind::ImportOdd, 2),
    (WishKind::Project, 1),
    (WishKind::RegisterAgent, 3),
    (WishKind::RetireAgent, 1),
    (WishKind::SendLetter, 8),
    (WishKind::ReadLetter, 4),
    (WishKind::AckLetter, 3),
    (WishKind::Read, 4),
    (WishKind::Rebuild, 1),
];

/// Every kind that is about claims, and how often it is asked for where claims are made.
pub(super) const CLAIM_KINDS: [(WishKind, u64); 7] = [
    (WishKind::Claim, 10),
    (WishKind::TakeLease, 6),
    (WishKind::RenewClaim, 3),
    (WishKind::EndClaim, 5),
    (WishKind::CloseClaimed, 3),
    (WishKind::ReadClaims, 1),
    (WishKind::ChooseVoters, 2),
];

/// The fewest and the most wishes about claims, where there are any.
const CLAIMS: (u64, u64) = (12, 48);

/// How long one burst lasts.
const BURST_MS: u64 = 500;

/// How long after joining a node has its first wishes.
const ENTER_MS: u64 = 10_000;

/// How long after a wish another node may have the same.
const ECHO_MS: u64 = 2_000;

/// What may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Whatever there is.
    Anything,
    /// What makes or changes one bead.
    Edits,
}

/// Draws that many wishes.
pub(super) fn drawn(plan: &Plan, scenario: Scenario, ask: Ask, count: u64) -> Vec<Wish> {
    let rhythm = Rhythm::drawn(plan);
    let mut weights = weights(plan.seed, scenario);
    if ask == Ask::Edits {
        weights.iter_mut().zip(KINDS).filter(|(_, (kind, _))| !is_edit(*kind)).for_each(|(weight, _)| *weight = 0);
        weights[0] = weights[0].max(1);
    }
    let mut wishes = Vec::new();
    let numbered = (0..).zip(KINDS.map(|(kind, _)| kind));
    rhythm.share_out(plan, numbered.zip(weights).collect(), count, &mut wishes);
    if ask == Ask::Anything {
        claims(plan, scenario, &rhythm, &mut wishes);
    }
    wishes.sort_by_key(|wish: &Wish| (wish.at_ms, wish.node, wish.salt));
    wishes
}

/// Draws wishes about claims beside the others: in half of the seeds there are none.
fn claims(plan: &Plan, scenario: Scenario, rhythm: &Rhythm, wishes: &mut Vec<Wish>) {
    let mut stream = Stream::keyed(plan.seed, "claims", 0, 0);
    if !stream.chance(500) && scenario != Scenario::Calm {
        return;
    }
    let count = stream.between(CLAIMS.0, CLAIMS.1);
    let numbered = (u64::try_from(KINDS.len()).expect("kinds are few")..).zip(CLAIM_KINDS);
    // The voters stay the same in half of the seeds with claims, and each other kind is left out of a quarter.
    let weighted = numbered.map(|(number, (kind, weight))| {
        let left_out = if kind == WishKind::ChooseVoters { 500 } else { 250 };
        let is_left_out = kind != WishKind::Claim && stream.chance(left_out);
        ((number, kind), if is_left_out { 0 } else { weight })
    });
    rhythm.share_out(plan, weighted.collect(), count, wishes);
}

fn is_edit(kind: WishKind) -> bool {
    !matches!(
        kind,
        WishKind::Import
            | WishKind::ImportNewer
            | WishKind::ImportOdd
            | WishKind::Project
            | WishKind::RegisterAgent
            | WishKind::RetireAgent
            | WishKind::SendLetter
            | WishKind::ReadLetter
            | WishKind::AckLetter
            | WishKind::Read
            | WishKind::Rebuild
    )
}

/// Draws how often each kind is asked for: half of them not at all, but where nothing is to be tried.
fn weights(seed: u64, scenario: Scenario) -> Vec<u64> {
    if scenario == Scenario::Calm {
        return KINDS.iter().map(|(_, weight)| *weight).collect();
    }
    let weight = |(at, (kind, usual)): (u64, &(WishKind, u64))| {
        let mut stream = Stream::keyed(seed, "wish weight", at, 0);
        let drawn = match stream.below(32) {
            // Now and then one kind is nearly all there is.
            0 => 100,
            1..16 => stream.between(1, 10),
            _ => 0,
        };
        // Rebuilding is dear, naming projects soon done, and who is retired does nothing more.
        if matches!(kind, WishKind::Rebuild | WishKind::Project | WishKind::RetireAgent) {
            drawn.min(*usual)
        } else {
            drawn
        }
    };
    let mut weights: Vec<u64> = (0..).zip(&KINDS).map(weight).collect();
    let makes = |kind: &WishKind| {
        matches!(kind, WishKind::Create | WishKind::CreateRich | WishKind::CreateNamed | WishKind::Import)
    };
    if !KINDS.iter().zip(&weights).any(|((kind, _), weight)| makes(kind) && *weight > 0) {
        weights[0] = 3;
    }
    weights
}

/// When and of whom wishes are asked.
struct Rhythm {
    /// Moments round which wishes come; without any they come evenly.
    bursts: Vec<u64>,
    /// How many of a thousand wishes another node has too.
    echo_per_mille: u32,
    /// Each node as often as it is asked, beside those that only read.
    writers: Vec<u32>,
    readers: Vec<u32>,
    founder: Vec<u32>,
}

impl Rhythm {
    fn drawn(plan: &Plan) -> Self {
        let mut stream = Stream::keyed(plan.seed, "rhythm", 0, 0);
        let bursts = if stream.chance(300) { stream.between(2, 12) } else { 0 };
        let bursts = (0..bursts).map(|_| stream.between(0, plan.span_ms)).collect();
        let echo_per_mille = *stream.pick(&[0, 0, 100, 100, 400]);
        let is_uneven = stream.chance(400);
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        for (at, node) in (0_u32..).zip(&plan.nodes) {
            let mut stream = Stream::keyed(plan.seed, "rhythm", u64::from(at), 1);
            let times = if is_uneven { stream.scaled(1, 16) } else { 1 };
            // What an observer or a rogue writes is promised to nobody.
            let list = if node.rogue || node.role == Role::Observer { &mut readers } else { &mut writers };
            list.extend((0..times).map(|_| at));
        }
        readers.extend(&writers);
        Self { bursts, echo_per_mille, writers, readers, founder: vec![0] }
    }

    /// Draws that many wishes of numbered kinds, each as often as its weight says.
    fn share_out(&self, plan: &Plan, kinds: Vec<((u64, WishKind), u64)>, count: u64, wishes: &mut Vec<Wish>) {
        let total: u64 = kinds.iter().map(|(_, weight)| weight).sum();
        let mut before = 0;
        for (kind, weight) in kinds {
            // Each kind has its share, to within one wish.
            let share = |weight: u64| count * weight / total.max(1);
            let wanted = share(before + weight) - share(before);
            before += weight;
            self.fill(plan, kind, wanted, wishes);
        }
    }

    /// Draws that many wishes of one kind.
    fn fill(&self, plan: &Plan, (number, kind): (u64, WishKind), count: u64, wishes: &mut Vec<Wish>) {
        let mut stream = Stream::keyed(plan.seed, "wishes", number, 0);
        let askable = match kind {
            WishKind::Read | WishKind::Rebuild => &self.readers,
            WishKind::ChooseVoters => &self.founder,
            _ => &self.writers,
        };
        let mut left = count;
        while left > 0 {
            left -= 1;
            let drawn = match self.bursts.as_slice() {
                [] => stream.between(0, plan.span_ms),
                bursts => *stream.pick(bursts) + stream.below(BURST_MS),
            };
            let node = *stream.pick(askable);
            let at_ms = after_joining(plan, node, drawn, &mut stream);
            let salt = stream.number();
            wishes.push(Wish { at_ms, node, kind, salt });
            if left > 0 && stream.chance(self.echo_per_mille) {
                left -= 1;
                let other = *stream.pick(askable);
                let later = at_ms + stream.below(ECHO_MS);
                let at_ms = after_joining(plan, other, later, &mut stream);
                wishes.push(Wish { at_ms, node: other, kind, salt });
            }
        }
    }
}

/// Puts off what is wished before a node joins, so that newcomers write at once.
fn after_joining(plan: &Plan, node: u32, at_ms: u64, stream: &mut Stream) -> u64 {
    let joins_ms = plan.nodes[usize::try_from(node).expect("nodes are few")].joins_ms;
    let at_ms = if at_ms < joins_ms { joins_ms + stream.below(ENTER_MS) } else { at_ms };
    at_ms.min(plan.span_ms)
}
