//! Wishes about claims, leases and voters. What a claim comes to is not known beforehand: others may be in its way.

use std::time::Duration;

use beadmesh_protocol::scope::Mode;
use beadmesh_store::command::{Action, BeadEdit, ClaimFilter, Command, NewClaim, NewVoters, ProjectContext};

use super::mail::Actor;
use super::{Asked, Draw};
use crate::journal::Effect;

/// How long agents mean to hold a claim, in seconds: some terms are over long before a run is.
const TERMS_S: [u64; 6] = [5, 20, 60, 600, 3_600, 3_600];

/// How long they wait for others, in seconds.
const WAITS_S: [u64; 5] = [0, 0, 0, 3, 20];

/// How long voters are to keep a promise, in seconds.
const HOLDS_S: [u64; 4] = [5, 10, 30, 90];

/// How many voters there may be.
const VOTERS: [usize; 4] = [1, 3, 3, 5];

impl Draw<'_> {
    /// Claims a bead for an agent.
    pub(super) fn claim(&mut self) -> Asked {
        let actor = match self.actor() {
            Ok(actor) => actor,
            Err(other) => return *other,
        };
        let bead = self.known();
        let scopes = if self.stream.chance(400) { vec![self.pattern(0)] } else { Vec::new() };
        let new = NewClaim { bead: Some(self.reference(bead)), scopes, ..self.terms() };
        worked(actor, Command::Claim(Box::new(new)), bead)
    }

    /// Claims paths for an agent.
    pub(super) fn take_lease(&mut self) -> Asked {
        let actor = match self.actor() {
            Ok(actor) => actor,
            Err(other) => return *other,
        };
        let scopes = (0..=self.stream.below(2)).map(|at| self.pattern(at)).collect();
        let new = NewClaim { scopes, ..self.terms() };
        actor.asks(Command::Claim(Box::new(new)), Vec::new())
    }

    /// Returns a claim of nothing: how, and for how long.
    fn terms(&mut self) -> NewClaim {
        NewClaim {
            bead: None,
            project: ProjectContext::default(),
            scopes: Vec::new(),
            mode: if self.stream.chance(250) { Mode::Shared } else { Mode::Exclusive },
            term: Duration::from_secs(*self.stream.pick(&TERMS_S)),
            wait: Duration::from_secs(*self.stream.pick(&WAITS_S)),
            offline: self.stream.chance(100),
        }
    }

    pub(super) fn renew_claim(&mut self) -> Asked {
        let term = Duration::from_secs(*self.stream.pick(&TERMS_S));
        self.about_claim(|name| Command::Renew(name, term))
    }

    pub(super) fn end_claim(&mut self) -> Asked {
        self.about_claim(Command::Unclaim)
    }

    /// Asks something about a claim of the node's as the agent that made it; makes one where there is none.
    fn about_claim(&mut self, ask: impl FnOnce(String) -> Command) -> Asked {
        let claims: Vec<_> = self.sight.desk.claims.iter().collect();
        if claims.is_empty() {
            return self.take_lease();
        }
        let (id, (name, bead)) = *self.stream.pick(&claims);
        let actor = match self.actor_named(name) {
            Ok(actor) => actor,
            Err(other) => return *other,
        };
        match bead {
            Some(bead) if self.stream.chance(500) => worked(actor, ask(bead.to_string()), *bead),
            Some(bead) => worked(actor, ask(id.to_string()), *bead),
            None => actor.asks(ask(id.to_string()), Vec::new()),
        }
    }

    /// Closes a bead that an agent has claimed at some time: it may have lost the claim, and then comes late.
    pub(super) fn close_claimed(&mut self) -> Asked {
        let worked_on: Vec<_> = self.sight.desk.worked.iter().collect();
        if worked_on.is_empty() {
            return if self.sight.known.is_empty() { self.create() } else { self.claim() };
        }
        let (name, bead) = (*self.stream.pick(&worked_on)).clone();
        let reason = self.reason();
        let actor = match self.actor_named(&name) {
            Ok(actor) => actor,
            Err(other) => return *other,
        };
        let edit = BeadEdit { bead: bead.to_string(), action: Action::Close(reason), by: name };
        worked(actor, Command::Edit(edit), bead)
    }

    pub(super) fn read_claims(&mut self) -> Asked {
        let command = match self.stream.below(3) {
            0 => Command::ListClaims(ClaimFilter { all: self.stream.chance(500), ..ClaimFilter::default() }),
            1 => Command::CheckPaths(ProjectContext::default(), vec!["src/a.rs".to_owned(), "docs/b.md".to_owned()]),
            _ => Command::Voters,
        };
        Asked::only(command)
    }

    /// Chooses voters among the nodes that are linked, and the founder; now and then one that can not be.
    pub(super) fn choose_voters(&mut self) -> Asked {
        let mut nodes = self.sight.linked.to_vec();
        nodes.push("n0".to_owned());
        self.stream.shuffle(&mut nodes);
        let wanted = *self.stream.pick(&VOTERS);
        nodes.truncate(wanted);
        if nodes.len().is_multiple_of(2) {
            nodes.pop();
        }
        if self.stream.chance(30) {
            nodes.push("nobody".to_owned());
        }
        let hold = self.stream.chance(700).then(|| Duration::from_secs(*self.stream.pick(&HOLDS_S)));
        Asked::only(Command::SetVoters(NewVoters { nodes, hold, recovery: None }))
    }
}

/// Asks something by which a node may set who works on a bead, at once or later.
fn worked(actor: Actor, command: Command, bead: beadmesh_protocol::id::BeadId) -> Asked {
    Asked { effects: vec![Effect::Worked { bead }], ..actor.asks(command, Vec::new()) }
}
