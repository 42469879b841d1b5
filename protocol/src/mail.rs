//! Mail: letters between agents, and the receipts that these have read or acknowledged them.
//!
//! A letter never changes, and its id is a hash of what it says: it is one letter whoever brings it, in whatever mesh.
//! Which letters have effect is decided where they are kept: the author may write, and `from` is an agent of the author.

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::id::{AgentId, BlobHash, LetterId, ProjectId};
use crate::op::Op;

pub mod secret;
pub mod system;
pub mod thread;

/// The BLAKE3 context under which a letter's id is derived from what it says.
const ID_CONTEXT: &str = "beadmesh 2026 letter id v1";

/// A message from one agent to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The project it is about.
    pub project: Option<ProjectId>,
    /// The thread it belongs to: a bead's alias, or any word.
    pub thread: String,
    /// Who wrote it.
    pub from: AgentId,
    /// Who is to act on it.
    pub to: Vec<AgentId>,
    /// Who is to know of it.
    pub cc: Vec<AgentId>,
    /// What it is about, in one line.
    pub subject: String,
    /// What it says, as Markdown.
    pub body: String,
    /// How pressing it is.
    pub importance: Importance,
    /// Whether recipients are asked to acknowledge it.
    pub ack_required: bool,
    /// The letter that it answers.
    pub in_reply_to: Option<LetterId>,
    /// The heads of the thread that the sender had, the latest first: it comes after these, whatever clocks say.
    pub seen: Vec<LetterId>,
    /// What goes with it.
    pub attachments: Vec<Attachment>,
    /// When it was written, by the clock of the sender's node.
    pub sent_at: Wall,
    /// Random bytes that tell two letters of the same words apart.
    pub nonce: [u8; 8],
}

/// A file that goes with a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Names its content.
    pub hash: BlobHash,
    /// What it is called.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// How pressing a letter is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    /// Whenever there is time.
    Low,
    /// As any other.
    #[default]
    Normal,
    /// Before others.
    High,
    /// At once.
    Urgent,
}

/// Says that an agent has read or acknowledged a letter; written by the agent's node, and never taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Receipt {
    /// The letter.
    pub letter: LetterId,
    /// The recipient.
    pub agent: AgentId,
    /// What it did.
    pub kind: ReceiptKind,
}

/// What a recipient did with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptKind {
    /// It was shown the letter.
    Read,
    /// It said that it has taken note; that it has read the letter goes with it.
    Acknowledged,
}

impl Letter {
    /// Returns the letter's id, which follows from all that it says.
    pub fn id(&self) -> LetterId {
        letter_id(&Op::Letter(Box::new(self.clone())).encode().body)
    }

    /// Returns whom it goes to, copies included, each once.
    pub fn recipients(&self) -> Vec<AgentId> {
        let mut recipients = Vec::with_capacity(self.to.len() + self.cc.len());
        for agent in self.to.iter().chain(&self.cc) {
            if !recipients.contains(agent) {
                recipients.push(*agent);
            }
        }
        recipients
    }

    /// Returns the letters that it comes after, each once.
    pub fn named(&self) -> Vec<LetterId> {
        let mut named = Vec::with_capacity(self.seen.len() + 1);
        for letter in self.seen.iter().chain(&self.in_reply_to) {
            if !named.contains(letter) {
                named.push(*letter);
            }
        }
        named
    }
}

/// Returns the id of the letter in an operation's body.
pub fn letter_id(body: &[u8]) -> LetterId {
    let hash = blake3::derive_key(ID_CONTEXT, body);
    LetterId::from_slice(&hash[..LetterId::BYTES]).expect("16 of 32 bytes")
}

impl Importance {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }

    /// Reads a word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Low, Self::Normal, Self::High, Self::Urgent].into_iter().find(|known| known.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_by_all_that_it_says() {
        let letter = crate::testing::letter(AgentId::from_bytes([1; 16]), &[AgentId::from_bytes([2; 16])], "hello");
        assert_eq!(letter.id(), letter.clone().id());
        let other = Letter { nonce: [9; 8], ..letter.clone() };
        assert_ne!(letter.id(), other.id());
        assert_ne!(letter.id(), Letter { body: "bye".into(), ..letter }.id());
    }

    #[test]
    fn a_recipient_that_is_named_twice_counts_once() {
        let (ada, bob) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        let letter = Letter { cc: vec![bob, ada], ..crate::testing::letter(ada, &[bob, bob], "hello") };
        assert_eq!(letter.recipients(), [bob, ada]);
    }

    #[test]
    fn importance_is_read_and_ordered_by_its_word() {
        for word in ["low", "normal", "high", "urgent"] {
            assert_eq!(Importance::parse(word).map(Importance::as_str), Some(word));
        }
        assert_eq!(Importance::parse("soon"), None);
        assert!(Importance::Urgent > Importance::High && Importance::Low < Importance::default());
    }
}
