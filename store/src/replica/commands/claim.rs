//! Claiming: what an agent asks of its node, and how claims are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use beadmesh_protocol::bead::{Edit, Field, FieldValue, Status};
use beadmesh_protocol::claim::{Claim, Closing, Why};
use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::entry::RawOp;
use beadmesh_protocol::id::{AgentId, BeadId, ClaimId, ProjectId, base32};
use beadmesh_protocol::lease::{Attempt, Terms, Token};
use beadmesh_protocol::limits::{CLAIM_SEEN_MAX, LEASES_PER_HOLDER_MAX};
use beadmesh_protocol::op::Op;
use beadmesh_protocol::scope::Scope;
use rand::Rng;

use super::super::claims::Facts;
use super::super::leases::{Own, State, word_of};
use super::value::{check_line, invalid, keep};
use super::{Failure, Output, Replica, RequestId};
use crate::command::{
    Answer, ClaimAnswer, ClaimFilter, ClaimState, CommandError, ContestAnswer, Credential, NewClaim, PathProblem,
    PathsAnswer, ProjectContext,
};
use crate::stage::StoreError;

/// The priority of a claim that is for no bead: that of a bead of which nothing is said.
const PRIORITY_DEFAULT: u8 = 2;

/// Letters of a claim's id that are enough to name it, if no other begins so.
const NAME_CHARS_MIN: usize = 4;

/// Until when this node's voter keeps which promises: looked up once for all claims of an answer.
type Promised = BTreeMap<Attempt, Instant>;

impl Replica {
    /// Claims a bead or paths for an agent; whoever asked is answered once it is decided.
    pub(super) fn claim(&mut self, agent: AgentId, new: &NewClaim) -> Result<Answer, Failure> {
        let (terms, priority, project_op) = self.terms_of(new)?;
        let until = self.now.wall.after(new.term);
        if let Some(id) = self.same_claim(agent, &terms) {
            return self.claim_again(id, new, &terms);
        }
        let held = self.leases.all().filter(|(_, own)| own.claim.agent == agent).count();
        if held >= LEASES_PER_HOLDER_MAX {
            let problem = format!("the agent has {held} claims, the limit");
            let hint = "release what is not needed, see `beadmesh lease list`".to_owned();
            return Err(CommandError::Refused { problem, hint }.into());
        }
        if let Some(op) = project_op {
            self.author(vec![op])?;
        }
        let clashing = self.claims.excluding(&self.mesh, self.now.wall, &terms);
        let others = clashing.filter(|open| open.holder.agent != agent).map(|open| open.id);
        let seen = others.take(CLAIM_SEEN_MAX).collect();
        let claim = Claim { agent, terms, priority, until, nonce: self.rng.next_u64(), seen };
        if new.offline || !self.config.votes {
            let id = self.claim_offline(claim)?;
            return self.show_claim_of(id);
        }
        let asked_by = self.asking.take();
        self.begin_claim(claim, new.wait, asked_by)?;
        Ok(Answer::Done)
    }

    /// Lets a claim that the agent has already run on, and tries again where it has no lease.
    fn claim_again(&mut self, id: ClaimId, new: &NewClaim, terms: &Terms) -> Result<Answer, Failure> {
        self.refuse_asking(id)?;
        let Some(own) = self.leases.own(id) else { return Ok(Answer::Done) };
        if own.is_awaited() {
            let hint = "wait for the answer".to_owned();
            return Err(CommandError::Conflict { problem: "the agent is claiming it already".to_owned(), hint }.into());
        }
        if own.claim.terms != *terms {
            let problem = "the agent has claimed this bead with other scopes, or in another mode".to_owned();
            let hint = format!("release it first: `beadmesh lease release {id}`");
            return Err(CommandError::Conflict { problem, hint }.into());
        }
        let is_held = own.valid(self.now.mono).is_some();
        self.extend_claim(id, self.now.wall.after(new.term))?;
        if is_held || new.offline || !self.config.votes {
            return self.show_claim_of(id);
        }
        let asked_by = self.asking.take();
        self.seek_again(id, new.wait, asked_by)?;
        Ok(Answer::Done)
    }

    /// Returns the claim of an agent that is for the same bead, or where there is none for the same paths.
    fn same_claim(&self, agent: AgentId, terms: &Terms) -> Option<ClaimId> {
        let bead = terms.scope.beads().first().copied();
        let same = |own: &Own| match bead {
            Some(_) => own.bead() == bead,
            None => own.claim.terms == *terms,
        };
        self.leases.all().find(|(_, own)| own.claim.agent == agent && same(own)).map(|(id, _)| id)
    }

    /// Returns what a claim is for and how pressing it is, with what makes its project known.
    fn terms_of(&mut self, new: &NewClaim) -> Result<(Terms, u8, Option<RawOp>), Failure> {
        let unsound = |problem: String| invalid("scope", &problem, "see docs/SCOPES.md for the grammar of patterns");
        let Some(name) = &new.bead else {
            let named = self.mesh.project(&new.project)?;
            let scope = Scope::parse(Some(named.id), [], &new.scopes).map_err(|error| unsound(error.to_string()))?;
            return Ok((Terms { scope, mode: new.mode }, PRIORITY_DEFAULT, named.op));
        };
        let id = self.find(name)?;
        let missing = || CommandError::NotFound { what: "bead", name: name.clone() };
        let bead = self.beads.record(&self.stage, &self.mesh, id)?.ok_or_else(missing)?.bead;
        let alias = self.beads.index(&self.stage, &self.mesh)?.name(id);
        if bead.status.is_done() {
            let problem = format!("{alias} is {}", bead.status);
            let hint = format!("`beadmesh bead reopen {alias}` opens it again");
            return Err(CommandError::Conflict { problem, hint }.into());
        }
        let project = bead.project.map(|project| self.mesh.canonical(project));
        let patterns = bead.scopes.iter().chain(&new.scopes);
        let scope = Scope::parse(project, [id], patterns).map_err(|error| unsound(error.to_string()))?;
        Ok((Terms { scope, mode: new.mode }, bead.priority, None))
    }

    /// Ends a claim of the agent.
    pub(super) fn unclaim(&mut self, agent: AgentId, name: &str) -> Result<Answer, Failure> {
        let id = self.own_claim(agent, name)?;
        self.refuse_asking(id)?;
        let bead = self.leases.own(id).and_then(Own::bead);
        self.end_claim(id, Why::Done)?;
        if let Some(bead) = bead {
            let ops = self.lay_down(bead, agent)?;
            self.author(ops)?;
        }
        self.show_claim_of(id)
    }

    /// Refuses to touch a claim that voters are being asked for.
    fn refuse_asking(&self, id: ClaimId) -> Result<(), Failure> {
        if self.leases.own(id).is_none_or(|own| own.state != State::Asking) {
            return Ok(());
        }
        let problem = "the claim waits for an answer".to_owned();
        Err(CommandError::Conflict { problem, hint: "wait for it".to_owned() }.into())
    }

    /// Lets a claim of the agent run for so long from now.
    pub(super) fn renew(&mut self, agent: AgentId, name: &str, term: Duration) -> Result<Answer, Failure> {
        let id = self.own_claim(agent, name)?;
        self.refuse_asking(id)?;
        self.extend_claim(id, self.now.wall.after(term))?;
        self.show_claim_of(id)
    }

    /// Returns the claim of an agent that a person means, and refuses one of another's.
    fn own_claim(&mut self, agent: AgentId, name: &str) -> Result<ClaimId, Failure> {
        let id = self.find_claim(name, Some(agent))?;
        let facts = self.claims.facts(&self.stage, id)?;
        let holder = self.leases.own(id).map(|own| own.holder).or(facts.as_ref().and_then(Facts::holder));
        if holder.is_some_and(|holder| holder.agent != agent) {
            let whose = holder.map(|holder| self.mesh.address(holder.agent)).unwrap_or_default();
            let hint = format!("write to {whose}, or wait until its term is over");
            return Err(CommandError::Refused { problem: format!("that claim is {whose}'s"), hint }.into());
        }
        if self.leases.own(id).is_none() {
            let why = facts.and_then(|facts| facts.end()).map_or("over", word_of);
            let problem = format!("that claim has ended: {why}");
            return Err(CommandError::Conflict { problem, hint: "claim it anew".to_owned() }.into());
        }
        Ok(id)
    }

    /// Finds the claim that a person means: by the start of its id, or by its bead; of several on a bead the agent's own.
    fn find_claim(&mut self, name: &str, agent: Option<AgentId>) -> Result<ClaimId, Failure> {
        let not_found = || CommandError::NotFound { what: "claim", name: name.chars().take(80).collect() };
        if let Ok(id) = name.parse::<ClaimId>()
            && (self.leases.own(id).is_some() || self.claims.facts(&self.stage, id)?.is_some())
        {
            return Ok(id);
        }
        let bead = match self.find(name) {
            Ok(bead) => bead,
            Err(Failure::Command(CommandError::NotFound { .. })) => return self.claim_starting_with(name),
            Err(failure) => return Err(failure),
        };
        let mine = self.leases.all().find(|(_, own)| own.bead() == Some(bead) && Some(own.claim.agent) == agent);
        if let Some((id, _)) = mine {
            return Ok(id);
        }
        let open = self.claims.on_bead(&self.mesh, self.now.wall, bead);
        // One with a lease goes before one without.
        let found = open.max_by_key(|open| (open.token, std::cmp::Reverse(open.id))).map(|open| open.id);
        found.ok_or_else(|| not_found().into())
    }

    /// Finds the claim whose id begins so.
    fn claim_starting_with(&self, name: &str) -> Result<ClaimId, Failure> {
        let not_found = || CommandError::NotFound { what: "claim", name: name.chars().take(80).collect() };
        let lower = name.to_ascii_lowercase();
        if lower.len() < NAME_CHARS_MIN || !lower.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(not_found().into());
        }
        let known = self.claims.names(&self.stage)?.into_iter().chain(self.leases.all().map(|(id, _)| id));
        let named: BTreeSet<ClaimId> = known.filter(|id| base32(id.as_bytes()).starts_with(&lower)).collect();
        match named.len() {
            0 => Err(not_found().into()),
            1 => Ok(*named.first().expect("there is one")),
            _ => {
                let candidates = named.iter().take(10).map(ToString::to_string).collect();
                Err(CommandError::Ambiguous { name: name.to_owned(), candidates }.into())
            }
        }
    }

    /// Shows a claim of anybody.
    pub(super) fn show_claim(&mut self, name: &str) -> Result<Answer, Failure> {
        let id = self.find_claim(name, None)?;
        self.show_claim_of(id)
    }

    fn show_claim_of(&mut self, id: ClaimId) -> Result<Answer, Failure> {
        // Until when it is promised is asked of the voter for other nodes' claims alone.
        let promised = if self.leases.own(id).is_some() { BTreeMap::new() } else { self.promised() };
        let missing = || CommandError::NotFound { what: "claim", name: id.to_string() };
        Ok(Answer::Claim(Box::new(self.claim_answer(id, &promised)?.ok_or_else(missing)?)))
    }

    /// Lists claims.
    pub(super) fn list_claims(&mut self, filter: &ClaimFilter) -> Result<Answer, Failure> {
        let Ok(project) = self.filter_project(filter.project.as_ref()) else { return Ok(Answer::Claims(Vec::new())) };
        let promised = self.promised();
        let mut ids: BTreeSet<ClaimId> = self.leases.all().map(|(id, _)| id).collect();
        if filter.all {
            ids.extend(self.claims.all(&self.stage)?.into_iter().map(|(id, _)| id));
        } else {
            ids.extend(self.claims.in_force(&self.mesh, self.now.wall).map(|(id, ..)| id));
        }
        let mut claims = Vec::new();
        for id in ids {
            // To describe a claim costs far more than to see whose it is.
            if self.is_claim_of(id, project, filter.agent.as_deref())? {
                claims.extend(self.claim_answer(id, &promised)?);
            }
        }
        claims.sort_by(|a, b| {
            let key = |answer: &ClaimAnswer| {
                let bead = answer.bead.as_ref().map(|(_, alias)| alias.clone());
                (answer.project_key.clone(), bead.is_none(), bead, answer.patterns.clone(), answer.id)
            };
            key(a).cmp(&key(b))
        });
        Ok(Answer::Claims(claims))
    }

    /// Returns whether a claim is of a project and of an agent, where these are given.
    fn is_claim_of(&self, id: ClaimId, project: Option<ProjectId>, agent: Option<&str>) -> Result<bool, StoreError> {
        let (facts, own) = (self.claims.facts(&self.stage, id)?.unwrap_or_default(), self.leases.own(id));
        let Some(claim) = own.map(|own| &own.claim).or(facts.of().map(|(_, claim)| claim)) else { return Ok(false) };
        let of = claim.terms.scope.project().map(|project| self.mesh.canonical(project));
        let of_agent = |agent| is_of(&self.mesh.address(claim.agent), agent);
        Ok((project.is_none() || of == project) && agent.is_none_or(of_agent))
    }

    /// Returns until when this node's voter keeps which promises.
    fn promised(&self) -> Promised {
        let live = self.voting.voter().into_iter().flat_map(|voter| voter.live(self.now.mono));
        live.map(|(token, grant)| (token.attempt, Instant::from_micros(grant.until_us))).collect()
    }

    /// Describes a claim.
    fn claim_answer(&mut self, id: ClaimId, promised: &Promised) -> Result<Option<ClaimAnswer>, StoreError> {
        let facts = self.claims.facts(&self.stage, id)?.unwrap_or_default();
        let own = self.leases.own(id);
        let Some(claim) = own.map(|own| &own.claim).or(facts.of().map(|(_, claim)| claim)).cloned() else {
            return Ok(None);
        };
        let state = match own {
            Some(own) => self.own_state(own),
            None if self.is_overtaken(id, &facts)? => ClaimState::Ended { why: "overtaken" },
            None => self.shown_state(&facts, promised),
        };
        let here = own.is_some() || facts.holder().is_some_and(|holder| holder.node == self.entries.node());
        let term_until = own.map_or(facts.until(), |own| own.until);
        let scope = &claim.terms.scope;
        let project = scope.project().map(|project| self.mesh.canonical(project));
        let project_key = project.and_then(|project| self.mesh.project_key(project));
        let bead = match scope.beads().first() {
            Some(bead) => Some((*bead, self.beads.index(&self.stage, &self.mesh)?.name(*bead))),
            None => None,
        };
        let contests = self.contests_of(id)?;
        let patterns = scope.patterns().iter().map(|pattern| pattern.as_str().to_owned()).collect();
        Ok(Some(ClaimAnswer {
            id,
            agent: claim.agent,
            address: self.mesh.address(claim.agent),
            here,
            bead,
            project_key,
            patterns,
            mode: claim.terms.mode,
            state,
            term_until,
            contests,
        }))
    }

    /// Returns whether a claim had a lease, and a later one clashes with it: its node has not come to end it.
    fn is_overtaken(&self, id: ClaimId, facts: &Facts) -> Result<bool, StoreError> {
        let Some(token) = facts.fence().filter(|_| facts.end().is_none()).map(|fence| fence.token) else {
            return Ok(false);
        };
        let contests = self.claims.contests(&self.mesh, self.now.wall, id);
        for contest in contests.iter().filter(|contest| contest.behind == id) {
            let ahead = self.claims.facts(&self.stage, contest.ahead)?;
            if ahead.is_some_and(|ahead| ahead.fence().is_some_and(|fence| fence.token > token)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn own_state(&self, own: &Own) -> ClaimState {
        let (now, wall) = (self.now.mono, self.now.wall);
        match own.state {
            State::Asking => ClaimState::Asking,
            State::Held { token, until } if until > now => {
                let left = until.since(now);
                ClaimState::Held { until: wall.after(left), left, token: token.counter }
            }
            State::Held { .. } => ClaimState::Lapsed { since: wall },
            State::Tentative { reason, .. } => {
                let (reached, voters) = (self.voters_in_reach(), self.mesh.epoch().0.seats.len());
                ClaimState::Tentative { reached, voters, reason: reason.map(|reason| reason.to_string()) }
            }
            State::Lapsed { since, .. } => ClaimState::Lapsed { since },
        }
    }

    fn shown_state(&self, facts: &Facts, promised: &Promised) -> ClaimState {
        let (now, wall) = (self.now.mono, self.now.wall);
        if let Some(why) = facts.end() {
            return ClaimState::Ended { why: word_of(why) };
        }
        if facts.until() <= wall {
            return ClaimState::Ended { why: "silent" };
        }
        match facts.fence().map(|fence| fence.token) {
            Some(token) => match promised.get(&token.attempt).filter(|until| **until > now) {
                Some(until) => {
                    let left = until.since(now);
                    ClaimState::Held { until: wall.after(left), left, token: token.counter }
                }
                None => ClaimState::Shown { token: token.counter },
            },
            None => {
                let (reached, voters) = (self.voters_in_reach(), self.mesh.epoch().0.seats.len());
                ClaimState::Tentative { reached, voters, reason: None }
            }
        }
    }

    fn contests_of(&mut self, id: ClaimId) -> Result<Vec<ContestAnswer>, StoreError> {
        let mut contests = Vec::new();
        for contest in self.claims.contests(&self.mesh, self.now.wall, id) {
            let ahead = contest.ahead == id;
            let with = if ahead { contest.behind } else { contest.ahead };
            let holder = self.claims.facts(&self.stage, with)?.and_then(|facts| facts.holder());
            let address = holder.map(|holder| self.mesh.address(holder.agent)).unwrap_or_default();
            contests.push(ContestAnswer { with, address, witness: self.witness_text(&contest.witness)?, ahead });
        }
        Ok(contests)
    }

    /// Returns whether one claim goes before another, as far as claims can tell.
    pub(super) fn is_ahead(&self, claim: ClaimId, with: ClaimId) -> bool {
        let contests = self.claims.contests(&self.mesh, self.now.wall, claim);
        contests.iter().any(|contest| contest.ahead == claim && contest.behind == with)
    }

    /// Tells what stands in the way of writing paths of a project.
    pub(super) fn check_paths(
        &mut self,
        credential: Option<&Credential>,
        project: &ProjectContext,
        paths: &[String],
    ) -> Result<Answer, Failure> {
        let agent = credential.map(|given| self.authenticate(Some(given))).transpose()?;
        let mut answer =
            PathsAnswer { agent: agent.map(|agent| self.mesh.address(agent)), problems: Vec::new(), held: 0 };
        let Some(project) = self.mesh.find_project(project) else { return Ok(Answer::Paths(answer)) };
        let project = self.mesh.canonical(project);
        let promised = self.promised();
        for path in paths {
            match self.path_problem(agent, (project, path), &promised) {
                Ok(true) => answer.held += 1,
                Ok(false) => {}
                Err(problem) => answer.problems.push(*problem),
            }
        }
        Ok(Answer::Paths(answer))
    }

    /// Returns whether a path is under a lease of the agent that is valid now, or what stands in its way.
    fn path_problem(
        &self,
        agent: Option<AgentId>,
        (project, path): (ProjectId, &str),
        promised: &Promised,
    ) -> Result<bool, Box<PathProblem>> {
        let covers =
            |scope: &Scope| scope.project().is_some_and(|of| self.mesh.canonical(of) == project) && scope.matches(path);
        let mine: Vec<(ClaimId, &Own)> = self
            .leases
            .all()
            .filter(|(_, own)| Some(own.claim.agent) == agent && covers(&own.claim.terms.scope))
            .collect();
        let valid = mine.iter().filter_map(|(_, own)| Some((own.valid(self.now.mono)?, &own.claim.terms)));
        let valid: Option<(Token, &Terms)> = valid.max_by_key(|(token, _)| *token);
        let covering = self.claims.covering((&self.mesh, self.now.wall), (project, path));
        let others = covering.into_iter().filter(|(_, facts, open)| {
            let fenced = facts.fence().map(|fence| fence.token);
            let is_later = fenced > valid.map(|(token, _)| token);
            let excludes = valid.is_none_or(|(_, terms)| terms.excludes(&open.claim.terms));
            Some(open.holder.agent) != agent && is_later && excludes
        });
        let problem = |claim, agent, own, state| {
            let (path, address) = (path.to_owned(), self.mesh.address(agent));
            Box::new(PathProblem { path, claim, address, own, state })
        };
        // A lease with a higher token is the later one, whatever this node takes its own for.
        if let Some((id, facts, open)) = others.max_by_key(|(_, facts, _)| facts.fence().map(|fence| fence.token)) {
            return Err(problem(id, open.holder.agent, false, self.shown_state(facts, promised)));
        }
        // Whatever wall clocks say of its term, this node knows what its own agents hold.
        let near = self.leases.all().find(|(_, own)| {
            let holds = own.valid(self.now.mono).is_some() && covers(&own.claim.terms.scope);
            valid.is_none() && holds && Some(own.claim.agent) != agent
        });
        if let Some((id, own)) = near {
            return Err(problem(id, own.claim.agent, false, self.own_state(own)));
        }
        let lapsed = mine.iter().find(|(_, own)| matches!(self.own_state(own), ClaimState::Lapsed { .. }));
        let mut given_up = self.leases.given_up_by(agent, self.now.mono).filter(|(_, it)| covers(&it.scope));
        match (valid, lapsed, given_up.next()) {
            (Some(_), ..) => Ok(true),
            (None, Some((id, own)), _) => Err(problem(*id, own.claim.agent, true, self.own_state(own))),
            (None, None, Some((id, it))) => {
                Err(problem(id, it.agent, true, ClaimState::Ended { why: word_of(Why::Yielded) }))
            }
            (None, None, None) => Ok(false),
        }
    }

    /// Answers who waits for a claim.
    pub(in super::super) fn answer_claim(&mut self, id: ClaimId) -> Result<(), StoreError> {
        let Some(request) = self.leases.take_asker(id) else { return Ok(()) };
        let reply = match self.show_claim_of(id) {
            Ok(answer) => Ok(answer),
            Err(Failure::Command(error)) => Err(error),
            Err(Failure::Store(error)) => return Err(error),
        };
        self.outputs.push(Output::Reply(request, Box::new(reply)));
        Ok(())
    }

    /// Tells who waits for a claim that it was not made.
    pub(in super::super) fn refuse_claim(&mut self, request: Option<RequestId>, error: CommandError) {
        if let Some(request) = request {
            self.outputs.push(Output::Reply(request, Box::new(Err(error))));
        }
    }

    /// Makes the operations that show who works on a bead; none where it is done, or is shown so.
    pub(in super::super) fn take_up(&mut self, bead: BeadId, agent: AgentId) -> Result<Vec<RawOp>, StoreError> {
        let Some(record) = self.beads.record(&self.stage, &self.mesh, bead)? else { return Ok(Vec::new()) };
        let (present, address) = (record.bead, self.mesh.address(agent));
        if present.status.is_done() || check_line("assignee", &address).is_err() {
            return Ok(Vec::new());
        }
        let mut edits = Vec::new();
        if present.status != Status::InProgress {
            edits.push((Field::Status, FieldValue::Text(Status::InProgress.to_string())));
        }
        if present.assignee.as_deref() != Some(&address) {
            edits.push((Field::Assignee, FieldValue::Text(address)));
        }
        self.write_fields(bead, edits)
    }

    /// Makes the operations that show that an agent works on a bead no more.
    fn lay_down(&mut self, bead: BeadId, agent: AgentId) -> Result<Vec<RawOp>, StoreError> {
        let Some(record) = self.beads.record(&self.stage, &self.mesh, bead)? else { return Ok(Vec::new()) };
        let is_its = record.bead.assignee.as_deref().is_some_and(|name| self.mesh.agent_here(name) == Some(agent));
        if record.bead.status != Status::InProgress || !is_its {
            return Ok(Vec::new());
        }
        let open = FieldValue::Text(Status::Open.to_string());
        self.write_fields(bead, vec![(Field::Status, open), (Field::Assignee, FieldValue::Absent)])
    }

    fn write_fields(&mut self, bead: BeadId, fields: Vec<(Field, FieldValue)>) -> Result<Vec<RawOp>, StoreError> {
        let edits: Result<Vec<Edit>, CommandError> =
            fields.into_iter().map(|(field, value)| keep(field, value)).collect();
        let Ok(edits) = edits else { return Ok(Vec::new()) };
        match self.edit_beads(self.now.wall, &[(bead, edits)]) {
            Ok(ops) => Ok(ops),
            // A bead that can not be edited any more can be worked on all the same.
            Err(Failure::Command(_)) => Ok(Vec::new()),
            Err(Failure::Store(error)) => Err(error),
        }
    }

    /// Returns the claim under which an agent of this node closes a bead, and the token that its close carries.
    ///
    /// Who has lost its lease closes late, and its close says so.
    pub(super) fn closes_under(
        &mut self,
        agent: AgentId,
        bead: BeadId,
    ) -> Result<(Option<ClaimId>, Option<Token>), StoreError> {
        let own = self.leases.all().find(|(_, own)| own.claim.agent == agent && own.bead() == Some(bead));
        let own = own.map(|(id, _)| id);
        let holding = self.claims.holding(&self.mesh, self.now.wall, bead);
        let is_taken = holding.is_some_and(|holder| holder.agent != agent);
        let mut token = None;
        for (id, facts) in self.claims.fenced_on(&self.stage, bead)? {
            let is_its = facts.holder().is_some_and(|holder| holder.agent == agent);
            // Who is done with a claim has said so by itself, and what nobody holds any more can not be closed late.
            let is_lost = is_taken && facts.end().is_some_and(|why| why != Why::Done);
            if is_its && (Some(id) == own || is_lost) {
                token = token.max(facts.fence().map(|fence| fence.token));
            }
        }
        Ok((own, token))
    }

    /// Makes the operation that says under which lease a bead is closed.
    pub(super) fn closing_op(&mut self, bead: BeadId, token: Option<Token>) -> Result<Option<RawOp>, StoreError> {
        let Some(token) = token else { return Ok(None) };
        let writer = self.beads.writer(&self.stage, &self.mesh, (bead, Field::Status))?;
        Ok(writer.map(|(change, _)| Op::Closing(Closing { bead, change, token }).encode()))
    }
}

/// Returns whether an address is meant by a name: whole, or without its node.
fn is_of(address: &str, name: &str) -> bool {
    let bare = address.split_once('@').map_or(address, |(bare, _)| bare);
    address.eq_ignore_ascii_case(name.trim()) || bare.eq_ignore_ascii_case(name.trim())
}
