//! What the agents of one machine know: their tokens, as a file of the user keeps them, and what the node has told of.
//!
//! None of it is the replica's, so it outlives whatever befalls the process. A token may therefore be worth nothing any
//! more to a store that was put back or lost; whoever notices has another made.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::agent::Token;
use beadmesh_protocol::id::{AgentId, BeadId, ClaimId, LetterId, NodeId};
use beadmesh_protocol::notice::{News, Notice};
use beadmesh_protocol::op::Op;
use beadmesh_protocol::wire::Frame;
use beadmesh_store::command::{Answer, ClaimAnswer, ClaimState, CommandError};
use beadmesh_store::replica::Input;

/// What the agents of a machine know.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    node: NodeId,
    /// The agents of the machine, by name, each with its token unless that is lost.
    pub(crate) own: BTreeMap<String, Option<Token>>,
    /// Agents of the mesh that the node last told of and that act, by address.
    pub(crate) known: BTreeMap<String, AgentId>,
    /// Letters that the node told of, each with those it goes to.
    pub(crate) letters: BTreeMap<LetterId, Vec<AgentId>>,
    /// The claims of the machine's agents that are not over, each with the agent's name and the bead that it is for.
    pub(crate) claims: BTreeMap<ClaimId, (String, Option<BeadId>)>,
    /// Which beads agents have claimed at some time.
    pub(crate) worked: BTreeSet<(String, BeadId)>,
    /// Letters that entries have brought and that had no effect yet.
    waiting: BTreeSet<LetterId>,
    /// Letters of which a receipt was there first.
    receipted: BTreeSet<LetterId>,
}

/// Letters, and letters that receipts are for, which one batch of inputs brought.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub(crate) letters: BTreeSet<LetterId>,
    pub(crate) receipted: BTreeSet<LetterId>,
}

impl Brought {
    /// Takes the mail in the entries of an input.
    pub(crate) fn take(&mut self, input: &Input) {
        let entries = match input {
            Input::Frame(_, Frame::Entries(entries)) | Input::Notice(_, Notice::News(News { entries, .. })) => entries,
            _ => return,
        };
        for raw in entries.iter().flat_map(|entry| &entry.content().ops).filter(|raw| Op::is_mail(raw)) {
            match Op::decode(raw) {
                Ok(Op::Letter(letter)) => drop(self.letters.insert(letter.id())),
                Ok(Op::Receipt(receipt)) => drop(self.receipted.insert(receipt.letter)),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// What was there before a letter had effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Early {
    /// The letter itself, when its sender was not known.
    pub(crate) letter: bool,
    /// A receipt for it.
    pub(crate) receipt: bool,
}

impl Desk {
    pub(crate) fn new(node: NodeId) -> Self {
        let (known, letters) = (BTreeMap::new(), BTreeMap::new());
        Self {
            node,
            own: BTreeMap::new(),
            known,
            letters,
            claims: BTreeMap::new(),
            worked: BTreeSet::new(),
            waiting: BTreeSet::new(),
            receipted: BTreeSet::new(),
        }
    }

    /// Returns the id of the machine's agent of that name.
    pub(crate) fn agent(&self, name: &str) -> AgentId {
        AgentId::of(self.node, name)
    }

    /// Returns the letters that go to an agent.
    pub(crate) fn letters_to(&self, agent: AgentId) -> Vec<LetterId> {
        self.letters.iter().filter(|(_, to)| to.contains(&agent)).map(|(letter, _)| *letter).collect()
    }

    /// Takes what an answer tells of the machine's own agents; `name` is the one that asked, or that was asked about.
    ///
    /// Returns whether a token was found to be worth nothing.
    pub(crate) fn learn(&mut self, name: Option<&str>, answer: &Result<Answer, CommandError>) -> bool {
        match answer {
            Ok(Answer::Registered { agent, token: Some(token) }) => {
                self.own.insert(agent.name.clone(), Some(token.clone()));
            }
            Ok(Answer::Claim(claim)) => {
                if let Some(name) = name {
                    self.learn_claim(name, claim);
                }
            }
            Ok(Answer::Agent(agent)) if agent.retired => drop(self.own.remove(&agent.name)),
            Err(error) => {
                if let Some(name) = name {
                    return self.learn_refusal(name, error);
                }
            }
            Ok(_) => {}
        }
        false
    }

    fn learn_claim(&mut self, name: &str, claim: &ClaimAnswer) {
        let bead = claim.bead.as_ref().map(|(bead, _)| *bead);
        if matches!(claim.state, ClaimState::Ended { .. }) {
            self.claims.remove(&claim.id);
        } else {
            self.claims.insert(claim.id, (name.to_owned(), bead));
            self.worked.extend(bead.map(|bead| (name.to_owned(), bead)));
        }
    }

    /// Takes that a claim is over, whoever ended it.
    pub(crate) fn drop_claim(&mut self, claim: ClaimId) {
        self.claims.remove(&claim);
    }

    fn learn_refusal(&mut self, name: &str, error: &CommandError) -> bool {
        let has_token = self.own.get(name).map(Option::is_some);
        match (error, has_token) {
            // It was registered, and the answer was lost with its token.
            (CommandError::Conflict { .. }, None) => drop(self.own.insert(name.to_owned(), None)),
            // Whatever the reason, another token does no harm.
            (CommandError::Refused { .. }, Some(true)) => {
                self.own.insert(name.to_owned(), None);
                return true;
            }
            (CommandError::Refused { .. } | CommandError::NotFound { .. }, Some(false)) => drop(self.own.remove(name)),
            _ => {}
        }
        false
    }

    /// Forgets every token, as when the disk that the file lay on is lost.
    pub(crate) fn lose_tokens(&mut self) {
        self.own.values_mut().for_each(|token| *token = None);
    }

    /// Takes the agents that the node lists.
    pub(crate) fn meet(&mut self, answer: Answer) {
        let Answer::Agents(agents) = answer else { return };
        self.known = agents.into_iter().map(|agent| (agent.address, agent.id)).collect();
    }

    /// Takes a letter that has come to have effect; returns what was there before.
    pub(crate) fn hear(&mut self, letter: LetterId, to: &[AgentId]) -> Early {
        self.letters.insert(letter, to.to_vec());
        Early { letter: self.waiting.remove(&letter), receipt: self.receipted.remove(&letter) }
    }

    /// Takes what inputs have brought, once it is durable and told of what has effect.
    pub(crate) fn note(&mut self, brought: Brought) {
        self.waiting.extend(brought.letters.into_iter().filter(|letter| !self.letters.contains_key(letter)));
        self.receipted.extend(brought.receipted.into_iter().filter(|letter| !self.letters.contains_key(letter)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Result<Answer, CommandError> {
        Err(CommandError::Refused { problem: String::new(), hint: String::new() })
    }

    #[test]
    fn a_token_that_is_refused_is_given_up_and_an_agent_without_one_that_is_refused_too() {
        let mut desk = Desk::new(NodeId::from_bytes([1; 32]));
        desk.own.insert("Oak".to_owned(), Some(Token::from_bytes([7; 20])));
        assert!(!desk.learn(Some("Elm"), &refused()) && desk.own["Oak"].is_some());
        assert!(desk.learn(Some("Oak"), &refused()) && desk.own["Oak"].is_none());
        assert!(!desk.learn(Some("Oak"), &refused()) && desk.own.is_empty());
    }

    #[test]
    fn an_agent_whose_token_never_came_is_known_from_the_conflict() {
        let mut desk = Desk::new(NodeId::from_bytes([1; 32]));
        let conflict = Err(CommandError::Conflict { problem: String::new(), hint: String::new() });
        assert!(!desk.learn(Some("Oak"), &conflict));
        assert_eq!(desk.own["Oak"], None);
    }

    #[test]
    fn what_was_there_before_a_letter_had_effect_is_told_once() {
        let mut desk = Desk::new(NodeId::from_bytes([1; 32]));
        let letter = LetterId::from_bytes([9; 16]);
        let brought = || Brought { letters: BTreeSet::from([letter]), receipted: BTreeSet::from([letter]) };
        desk.note(brought());
        assert_eq!(desk.hear(letter, &[]), Early { letter: true, receipt: true });
        desk.note(brought());
        assert_eq!(desk.hear(letter, &[]), Early { letter: false, receipt: false });
    }
}
