//! Wishes about agents and mail. Agents have few names, so that nodes share them; letters go to whomever the node knows.

use beadmesh_protocol::id::{AgentId, LetterId};
use beadmesh_protocol::limits::{AGENT_WORD_BYTES_MAX, LETTER_BODY_BYTES_MAX, SUBJECT_BYTES_MAX};
use beadmesh_protocol::mail::{Importance, ReceiptKind};
use beadmesh_store::command::{Answer, Command, Credential, InboxFilter, MailQuery, NewAgent, NewLetter, ThreadQuery};

use super::values::padded;
use super::{Asked, Draw};
use crate::journal::MailEffect;

/// Names of agents; none of them is one that beads are said to be written by, which would ask for a token.
pub(super) const NAMES: [&str; 4] = ["BlueLake", "RedFox", "OldOak", "human"];

/// Threads that many write in.
const THREADS: [&str; 4] = ["task-1", "plan", "review of the store", "größer"];

/// Stands in effects for an agent or a letter that the node names itself.
const NEW_AGENT: AgentId = AgentId::from_bytes([0; 16]);
const NEW_LETTER: LetterId = LetterId::from_bytes([0; 16]);

/// Agents, the first by address, that half of all letters go to.
const HOT_AGENTS: usize = 3;

/// Puts into effects what only the answer tells: the new agent, or the letter with those it goes to.
pub(super) fn learn(effects: &mut [MailEffect], answer: &Answer) {
    for effect in effects {
        match (effect, answer) {
            (MailEffect::Registered { agent }, Answer::Registered { agent: told, .. }) => *agent = told.id,
            (MailEffect::Sent { letter, to, .. }, Answer::Letter(told)) => {
                *letter = told.head.id;
                *to = told.head.to.iter().chain(&told.head.cc).map(|party| party.agent).collect();
            }
            _ => {}
        }
    }
}

/// An agent of the node that can prove itself.
pub(super) struct Actor {
    id: AgentId,
    pub(super) credential: Credential,
}

impl Actor {
    pub(super) fn asks(self, command: Command, mail: Vec<MailEffect>) -> Asked {
        let agent = Some(self.credential.name.clone());
        Asked { command: Command::As(self.credential, Box::new(command)), effects: Vec::new(), mail, agent }
    }
}

impl Draw<'_> {
    /// Registers an agent; now and then one that is there says anew who it is.
    pub(super) fn register(&mut self) -> Asked {
        if !self.sight.desk.own.is_empty() && self.stream.chance(250) {
            return match self.actor() {
                Ok(actor) => {
                    let new = self.profile(Some(actor.credential.name.clone()));
                    let agent = actor.id;
                    actor.asks(Command::AgentRegister(new), vec![MailEffect::Registered { agent }])
                }
                Err(other) => *other,
            };
        }
        self.newcomer()
    }

    fn newcomer(&mut self) -> Asked {
        let name = match self.stream.below(20) {
            0 => Some(format!("{}agent of two words", super::mark(self.index))),
            1..4 => None,
            4..8 => Some(self.unique("agent")),
            _ => Some((*self.stream.pick(&NAMES)).to_owned()),
        };
        let new = self.profile(name.clone());
        let mail = vec![MailEffect::Registered { agent: NEW_AGENT }];
        Asked { command: Command::AgentRegister(new), effects: Vec::new(), mail, agent: name }
    }

    fn profile(&mut self, name: Option<String>) -> NewAgent {
        let task = self.unique("task");
        let program = match self.stream.below(40) {
            0 => padded("program", AGENT_WORD_BYTES_MAX + 1),
            1..10 => String::new(),
            _ => "program".to_owned(),
        };
        let project = self.stream.chance(200).then(|| self.context());
        NewAgent { name, program, model: self.unique("model"), task, project }
    }

    /// Retires an agent of the node; registers one where there is none.
    pub(super) fn retire(&mut self) -> Asked {
        let names: Vec<&String> = self.sight.desk.own.keys().collect();
        if names.is_empty() {
            return self.newcomer();
        }
        let name = (*self.stream.pick(&names)).clone();
        let mail = vec![MailEffect::Retired { agent: self.sight.desk.agent(&name) }];
        Asked { command: Command::AgentRetire(name.clone()), effects: Vec::new(), mail, agent: Some(name) }
    }

    /// Returns an agent of the node, or what is to be asked before there is one: its name, or another token for it.
    pub(super) fn actor(&mut self) -> Result<Actor, Box<Asked>> {
        let own: Vec<_> = self.sight.desk.own.iter().collect();
        if own.is_empty() {
            return Err(Box::new(self.newcomer()));
        }
        let (name, _) = *self.stream.pick(&own);
        let name = name.clone();
        self.actor_named(&name)
    }

    /// Returns the agent of that name, or what is to be asked before it can prove itself.
    pub(super) fn actor_named(&mut self, name: &str) -> Result<Actor, Box<Asked>> {
        let name = name.to_owned();
        let Some(token) = self.sight.desk.own.get(&name) else { return Err(Box::new(self.newcomer())) };
        let Some(token) = token else {
            let command = Command::AgentRotate(name.clone());
            return Err(Box::new(Asked { agent: Some(name.clone()), ..Asked::only(command) }));
        };
        let id = self.sight.desk.agent(&name);
        Ok(Actor { id, credential: Credential { name, token: Some(token.clone()) } })
    }

    /// Sends a letter, or an answer to one that the node knows.
    pub(super) fn send(&mut self) -> Asked {
        let actor = match self.actor() {
            Ok(actor) => actor,
            Err(other) => return *other,
        };
        let answered = self.stream.chance(450).then(|| self.letter()).flatten();
        let is_plain_answer = answered.is_some() && self.stream.chance(600);
        let to = if is_plain_answer { Vec::new() } else { self.recipients(1, 4) };
        let cc = if self.stream.chance(250) { self.recipients(1, 2) } else { Vec::new() };
        let thread = match self.stream.below(20) {
            0 => Some(" ".to_owned()),
            1..12 if answered.is_none() => Some((*self.stream.pick(&THREADS)).to_owned()),
            _ => None,
        };
        let importance =
            *self.stream.pick(&[Importance::Low, Importance::Normal, Importance::High, Importance::Urgent]);
        let letter = NewLetter {
            to,
            cc,
            subject: self.subject(),
            body: self.body(),
            thread,
            in_reply_to: answered.map(|letter| letter.to_string()),
            reply_all: self.stream.chance(500),
            importance,
            ack_required: self.stream.chance(300),
            project: self.stream.chance(150).then(|| self.context()),
            ..NewLetter::default()
        };
        let mail = vec![MailEffect::Sent { letter: NEW_LETTER, from: actor.id, to: Vec::new() }];
        actor.asks(Command::MailSend(Box::new(letter)), mail)
    }

    /// Returns recipients as somebody may write them; hardly ever one that is none.
    fn recipients(&mut self, low: u64, high: u64) -> Vec<String> {
        let known: Vec<&String> = self.sight.desk.known.keys().collect();
        let count = self.stream.between(low, high);
        let mut recipients = Vec::new();
        for _ in 0..count {
            let hot = if self.stream.chance(500) { HOT_AGENTS.min(known.len()) } else { known.len() };
            let recipient = match self.stream.below(50) {
                0 => "Nobody@nowhere".to_owned(),
                1 => "@thread".to_owned(),
                2 => "@project".to_owned(),
                _ if known.is_empty() => (*self.stream.pick(&NAMES)).to_owned(),
                3..8 => known[self.stream.place(hot)].split('@').next().unwrap_or_default().to_owned(),
                _ => known[self.stream.place(hot)].clone(),
            };
            recipients.push(recipient);
        }
        recipients
    }

    fn subject(&mut self) -> String {
        let own = self.unique("letter");
        match self.stream.below(60) {
            0 => padded(&own, SUBJECT_BYTES_MAX + 1),
            1 => format!("{own}\nof two lines"),
            2..5 => padded(&own, SUBJECT_BYTES_MAX),
            _ => own,
        }
    }

    fn body(&mut self) -> String {
        match self.stream.below(200) {
            0 => padded("long ", LETTER_BODY_BYTES_MAX + 1),
            1 => padded("long ", LETTER_BODY_BYTES_MAX),
            2..6 => format!("The key is ghp_{}.", "a1B2".repeat(9)),
            6..40 => String::new(),
            _ => self.unique("body"),
        }
    }

    /// Returns a letter that the node has told of: mostly one of the few that others take too.
    fn letter(&mut self) -> Option<LetterId> {
        let letters = &self.sight.desk.letters;
        (!letters.is_empty()).then(|| {
            let place = self.stream.place(letters.len());
            *letters.keys().nth(place).expect("a place in the map")
        })
    }

    /// Shows an agent a letter that it has got, or lists, searches and threads.
    pub(super) fn read_letter(&mut self) -> Asked {
        let actor = match self.actor() {
            Ok(actor) => actor,
            Err(other) => return *other,
        };
        let letters = self.sight.desk.letters_to(actor.id);
        if !letters.is_empty() && self.stream.chance(700) {
            let letter = *self.stream.pick(&letters);
            let (agent, kind) = (actor.id, ReceiptKind::Read);
            let command = Command::MailShow { letter: letter.to_string(), peek: false };
            return actor.asks(command, vec![MailEffect::Received { letter, agent, kind }]);
        }
        let unread = self.stream.chance(500);
        let command = match (self.stream.below(5), self.letter()) {
            (0, Some(letter)) => Command::MailShow { letter: letter.to_string(), peek: true },
            (1, Some(letter)) => Command::MailThread(ThreadQuery { thread: letter.to_string(), after: None, limit: 3 }),
            (2, _) => Command::MailSearch(MailQuery { query: "letter".to_owned(), after: None, limit: 5 }),
            (3, _) => Command::MailUnread,
            _ => Command::MailInbox(InboxFilter { unread, limit: 5, ..InboxFilter::default() }),
        };
        actor.asks(command, Vec::new())
    }

    /// Acknowledges a letter that an agent has got; hardly ever one that it has not.
    pub(super) fn acknowledge(&mut self) -> Asked {
        let actor = match self.actor() {
            Ok(actor) => actor,
            Err(other) => return *other,
        };
        let mine = self.sight.desk.letters_to(actor.id);
        let letter =
            if mine.is_empty() || self.stream.chance(50) { self.letter() } else { Some(*self.stream.pick(&mine)) };
        let Some(letter) = letter else {
            return actor.asks(Command::MailInbox(InboxFilter::default()), Vec::new());
        };
        let (agent, kind) = (actor.id, ReceiptKind::Acknowledged);
        actor.asks(Command::MailAck(letter.to_string()), vec![MailEffect::Received { letter, agent, kind }])
    }
}
