//! Agents of this node as only this node knows them: what is kept of their tokens, and when they last used them.
//!
//! Who an agent is stands in the directory, which every node folds alike.

use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::agent::{Token, TokenHash};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::AgentId;
use serde::{Deserialize, Serialize};

use crate::keys;
use crate::stage::{Stage, StoreError};

/// How far behind the kept time of last use may be: using a token need not cost a write each time.
const USED_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// What is kept of an agent's token.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct TokenRecord {
    hash: TokenHash,
    last_used: Wall,
}

/// What a token proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It is the agent's.
    Right,
    /// It is not.
    Wrong,
    /// None of that agent is kept here, as after its store was lost or copied.
    NoneKept,
}

/// Agents of this node.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    used: BTreeMap<AgentId, Wall>,
    /// Whether what is kept of all tokens has been read.
    is_read: bool,
}

impl Agents {
    /// Keeps what is needed of an agent's new token; an older one is worth nothing from now on.
    pub(crate) fn put(&mut self, stage: &mut Stage, agent: AgentId, token: &Token, wall: Wall) {
        stage.put_record(keys::token(agent), &TokenRecord { hash: token.hash(), last_used: wall });
        self.used.insert(agent, wall);
    }

    /// Forgets an agent's token.
    pub(crate) fn forget(&mut self, stage: &mut Stage, agent: AgentId) {
        stage.delete(keys::token(agent));
        self.used.remove(&agent);
    }

    /// Returns what a token proves, and notes that the agent has used it.
    pub(crate) fn prove(
        &mut self,
        stage: &mut Stage,
        agent: AgentId,
        token: &Token,
        wall: Wall,
    ) -> Result<Proof, StoreError> {
        let key = keys::token(agent);
        let Some(record) = stage.record::<TokenRecord>(&key)? else { return Ok(Proof::NoneKept) };
        if !record.hash.is_of(token) {
            return Ok(Proof::Wrong);
        }
        self.used.insert(agent, wall);
        if wall >= record.last_used.after(USED_INTERVAL) {
            stage.put_record(key, &TokenRecord { last_used: wall, ..record });
        }
        Ok(Proof::Right)
    }

    /// Returns when each agent that has a token here last used it.
    pub(crate) fn all_used(&mut self, stage: &Stage) -> Result<impl Iterator<Item = (AgentId, Wall)>, StoreError> {
        if !self.is_read {
            for (key, record) in stage.records::<TokenRecord>(keys::TOKENS)? {
                if let Some(agent) = AgentId::from_slice(&key[keys::TOKENS.len()..]) {
                    self.used.entry(agent).or_insert(record.last_used);
                }
            }
            self.is_read = true;
        }
        Ok(self.used.iter().map(|(agent, at)| (*agent, *at)))
    }

    /// Returns when an agent last used its token here.
    pub(crate) fn last_used(&self, stage: &Stage, agent: AgentId) -> Result<Option<Wall>, StoreError> {
        if let Some(used) = self.used.get(&agent) {
            return Ok(Some(*used));
        }
        Ok(stage.record::<TokenRecord>(&keys::token(agent))?.map(|record| record.last_used))
    }
}
