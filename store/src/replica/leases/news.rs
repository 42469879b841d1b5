//! What agents and watchers are told of claims: events as they happen, and system letters that stay.

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{AgentId, ClaimId};
use beadmesh_protocol::mail::system::Cause;
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::scope::{Scope, Witness};
use serde::{Deserialize, Serialize};

use super::super::mail::{SystemRecord, read_at};
use super::super::{Event, Output, Replica};
use super::State;
use crate::keys;
use crate::stage::StoreError;

/// The thread of letters about claims that are for no bead.
const THREAD: &str = "leases";

/// The thread of alarms.
const ALARMS: &str = "alarms";

/// Letters about others who claim what clashes that one claim brings its agent: more tell nothing new.
const CONTESTS_TOLD_MAX: usize = 16;

/// Patterns that a letter names.
const PATTERNS_MAX: usize = 3;

/// What an agent of this node is told of one of its claims, or of this machine. No entry says it, so it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct News {
    pub(crate) agent: AgentId,
    pub(crate) cause: Cause,
    pub(crate) at: Wall,
    pub(crate) thread: String,
    /// What the claim is for, in words; what an alarm says.
    pub(crate) about: String,
    /// Who is in the way, `Name@node`, and what both would touch.
    pub(crate) by: Option<(String, String)>,
}

impl News {
    pub(crate) fn letter(&self) -> SystemRecord {
        SystemRecord { agent: self.agent, cause: self.cause, at: self.at, thread: self.thread.clone() }
    }
}

impl Replica {
    /// Tells the agent of a claim, and who watches, that it stands otherwise now.
    pub(super) fn tell(
        &mut self,
        id: ClaimId,
        word: &'static str,
        by: Option<(String, String)>,
    ) -> Result<(), StoreError> {
        self.tell_watchers(id, word, by.clone())?;
        let Some(own) = self.leases.own.get(&id) else { return Ok(()) };
        let counter = match own.state {
            State::Held { token, .. } => token.counter,
            State::Asking | State::Tentative { .. } | State::Lapsed { .. } => self
                .claims
                .facts(&self.stage, id)?
                .and_then(|facts| facts.fence().map(|fence| fence.token.counter))
                .unwrap_or(0),
        };
        let cause = match word {
            "lapsed" => Cause::LeaseLapsed { claim: id, token: counter },
            "yielded" => Cause::ClaimYielded { claim: id },
            _ => return Ok(()),
        };
        if matches!(cause, Cause::ClaimYielded { .. }) && self.is_told_of(id, by.as_ref())? {
            return Ok(());
        }
        self.tell_agent(id, cause, by)
    }

    /// Tells who watches that a claim stands otherwise now.
    pub(super) fn tell_watchers(
        &mut self,
        claim: ClaimId,
        state: &'static str,
        by: Option<(String, String)>,
    ) -> Result<(), StoreError> {
        let Some(own) = self.leases.own.get(&claim) else { return Ok(()) };
        let (address, bead) = (self.mesh.address(own.claim.agent), own.bead());
        let bead = match bead {
            Some(bead) => Some(self.beads.index(&self.stage, &self.mesh)?.name(bead)),
            None => None,
        };
        self.outputs.push(Output::Event(Event::Claim { claim, address, bead, state, by }));
        Ok(())
    }

    /// Tells the agents of claims without a lease which claims of others have turned up that clash with theirs.
    pub(in super::super) fn tell_contests(&mut self) -> Result<(), StoreError> {
        let turned = self.claims.take_turned();
        if planted::is(Bug::ContestsUntold) {
            return Ok(());
        }
        for id in turned {
            let Some(facts) = self.claims.facts(&self.stage, id)? else { continue };
            if let Some(why) = facts.end() {
                self.on_ended_elsewhere(id, why)?;
                continue;
            }
            let Some(holder) = facts.holder() else { continue };
            let Some((_, other)) = facts.of() else { continue };
            self.tell_rivals_of(id)?;
            let is_bare = |own: &super::Own| matches!(own.state, State::Tentative { .. } | State::Lapsed { .. });
            let rivals = self.leases.own.iter().filter(|(of, own)| {
                **of != id
                    && own.published
                    && is_bare(own)
                    && own.holder != holder
                    && own.claim.terms.excludes(&other.terms)
            });
            let rivals: Vec<(ClaimId, Option<Witness>)> =
                rivals.map(|(own, it)| (*own, it.claim.terms.scope.clash(&other.terms.scope))).collect();
            for (own, witness) in rivals {
                let Some(witness) = witness else { continue };
                let by = (self.mesh.address(holder.agent), self.witness_text(&witness)?);
                self.tell_agent(own, Cause::ClaimContested { claim: own, with: id }, Some(by))?;
            }
        }
        Ok(())
    }

    /// Tells the agent of a claim of this node that has just been made of those that were there before.
    fn tell_rivals_of(&mut self, id: ClaimId) -> Result<(), StoreError> {
        let Some(own) = self.leases.own.get(&id) else { return Ok(()) };
        if !matches!(own.state, State::Tentative { .. }) {
            return Ok(());
        }
        let wall = self.now.wall;
        let rivals = self.claims.excluding(&self.mesh, wall, &own.claim.terms);
        let rivals = rivals.filter(|open| open.holder != own.holder);
        let clash = |terms: &Scope| own.claim.terms.scope.clash(terms);
        let rivals = rivals.map(|open| (open.id, open.holder.agent, clash(&open.claim.terms.scope)));
        let rivals: Vec<_> = rivals.take(CONTESTS_TOLD_MAX).collect();
        for (with, agent, witness) in rivals {
            let Some(witness) = witness else { continue };
            let by = (self.mesh.address(agent), self.witness_text(&witness)?);
            self.tell_agent(id, Cause::ClaimContested { claim: id, with }, Some(by))?;
        }
        Ok(())
    }

    /// Writes a letter to the agent of a claim, unless it has been written.
    fn tell_agent(&mut self, id: ClaimId, cause: Cause, by: Option<(String, String)>) -> Result<(), StoreError> {
        let Some(own) = self.leases.own.get(&id) else { return Ok(()) };
        let (agent, bead, scope) = (own.claim.agent, own.bead(), own.claim.terms.scope.clone());
        let (thread, about) = match bead {
            Some(bead) => {
                let name = self.beads.index(&self.stage, &self.mesh)?.name(bead);
                (name.clone(), name)
            }
            None => (THREAD.to_owned(), patterns_text(&scope)),
        };
        let news = News { agent, cause, at: self.now.wall, thread, about, by };
        let letter = news.letter();
        let key = keys::news(letter.id());
        if self.stage.get(&key)?.is_some() {
            return Ok(());
        }
        if matches!(cause, Cause::ClaimContested { .. }) {
            let Some(own) = self.leases.own.get_mut(&id) else { return Ok(()) };
            if own.contests_told >= CONTESTS_TOLD_MAX {
                return Ok(());
            }
            own.contests_told += 1;
        }
        self.stage.put_record(key, &news);
        self.mail.tell(&mut self.stage, &self.mesh, &letter)
    }

    /// Writes a letter to an agent of this node about an alarm.
    pub(in super::super) fn tell_alarm(&mut self, agent: AgentId, told: &str) -> Result<(), StoreError> {
        let at = self.now.wall;
        let (cause, thread, about) = (Cause::alarm(told, at), ALARMS.to_owned(), told.to_owned());
        let news = News { agent, cause, at, thread, about, by: None };
        let letter = news.letter();
        self.stage.put_record(keys::news(letter.id()), &news);
        self.mail.tell(&mut self.stage, &self.mesh, &letter)
    }

    /// Returns whether a letter that the agent of a claim has yet to read tells of a rival already.
    ///
    /// What such a letter says is so when it is read, so it also says that the claim has given way.
    fn is_told_of(&self, id: ClaimId, by: Option<&(String, String)>) -> Result<bool, StoreError> {
        let rival = by.map(|(who, _)| who);
        for (_, news) in self.stage.records::<News>(keys::NEWS)? {
            let is_of_claim = matches!(news.cause, Cause::ClaimContested { claim, .. } if claim == id);
            let is_of_rival = is_of_claim && news.by.as_ref().map(|(who, _)| who) == rival;
            if is_of_rival && read_at(&self.stage, &self.mesh, news.letter().id(), news.agent)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes every letter about leases again, after mail was derived anew.
    pub(in super::super) fn tell_leases_again(&mut self) -> Result<(), StoreError> {
        for (_, news) in self.stage.records::<News>(keys::NEWS)? {
            self.mail.tell(&mut self.stage, &self.mesh, &news.letter())?;
        }
        Ok(())
    }

    /// Returns what is in the way as a person reads it: a path, or a bead by its alias.
    pub(in super::super) fn witness_text(&mut self, witness: &Witness) -> Result<String, StoreError> {
        Ok(match witness {
            Witness::Path(path) => path.clone(),
            Witness::Bead(bead) => self.beads.index(&self.stage, &self.mesh)?.name(*bead),
        })
    }
}

/// Returns the patterns of a scope as a letter names them.
fn patterns_text(scope: &Scope) -> String {
    let patterns: Vec<&str> = scope.patterns().iter().take(PATTERNS_MAX).map(|pattern| pattern.as_str()).collect();
    let more = scope.patterns().len().saturating_sub(PATTERNS_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", patterns.join(", "))
}
