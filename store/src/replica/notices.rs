//! Notices: what is published of our own entries and of this node, and what is made of what others publish.
//!
//! Nothing rests on a notice. What one brings is stored as if a link had brought it, what one only names makes us compare
//! sets with a linked peer, seldom; and all that it says comes by links as well.

use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::clock::{Instant, Now, Wall};
use beadmesh_protocol::id::{AgentId, EntryId, NodeId};
use beadmesh_protocol::limits::PRESENCE_AGENTS_MAX;
use beadmesh_protocol::notice::{Acted, News, Notice, Presence};
use beadmesh_protocol::roster::Roster;
use beadmesh_protocol::wire::Hello;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::{Output, Replica};
use crate::keys;
use crate::stage::StoreError;

/// The shortest time between two presences of ours; the longest is `PRESENCE_JITTER` more, 30 s on average.
const PRESENCE_INTERVAL_MIN: Duration = Duration::from_secs(25);

/// What is drawn and added to the time between two presences, so that nodes do not speak in step.
const PRESENCE_JITTER: Duration = Duration::from_secs(10);

/// How long after the first link the first presence waits, for the link's peer to be ready to hear it; as much again may
/// be drawn and added.
const PRESENCE_FIRST_WAIT: Duration = Duration::from_secs(1);

/// Time between two notices of entries: what is written faster shares one.
const NEWS_PAUSE: Duration = Duration::from_millis(20);

/// Entries that may wait for the next notice: as many as one can name. What is beyond them goes by links alone.
const NEWS_MAX: usize = 1_000;

/// How long an entry that a notice named may still come by a link before sets are compared for it.
const DOUBT_WAIT: Duration = Duration::from_secs(1);

/// Ids of one notice that are looked for here; a link brings what the others name.
const IDS_LOOKED_AT_MAX: usize = 32;

/// Time between two comparisons that notices set off, whatever links there are.
const DOUBT_PAUSE: Duration = Duration::from_secs(2);

/// Members whose doubts are kept, one each: so many may be wrong or lie, and another is still heard.
const DOUBTS_MAX: usize = 64;

/// How long who has said that it is there counts as in reach: two presences may be lost, and the third be late.
const THERE_WITHIN: Duration = Duration::from_secs(110);

/// How long ago an agent may have acted to be told of: who did nothing for a day is not about.
const ACTED_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// The stream of the seed that draws for notices; the replica's own is the first.
const STREAM: u64 = 1;

/// Why a comparison may be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// An entry was named that is not held.
    Named(EntryId),
    /// A node said that it holds that many entries, of control and of data.
    Counted(u64, u64),
}

/// What a member said of itself last.
#[derive(Debug)]
struct Heard {
    presence: Presence,
    /// When it spoke: by its own clock, or by ours where its clock is ahead.
    wall: Wall,
    /// When that came here.
    at: Instant,
}

/// The state of notices.
#[derive(Debug)]
pub(super) struct Notices {
    /// Draws apart from the replica's own, so that talking shifts nothing else.
    rng: ChaCha20Rng,
    /// Which of the store's openings this is, by the count of those that said something; known once this one does.
    opening: Option<u64>,
    /// Presences published since the store was opened.
    counter: u64,
    presence_at: Option<Instant>,
    /// Entries of ours that are durable and not published yet.
    news: Vec<EntryId>,
    /// When the next of them may be published.
    news_at: Instant,
    /// The last presence of each member.
    heard: BTreeMap<NodeId, Heard>,
    /// One doubt for each member that gave rise to one, with when it is looked into.
    doubts: BTreeMap<NodeId, (Instant, Doubt)>,
    /// When the next doubt may be looked into.
    doubt_at: Instant,
}

impl Notices {
    /// Begins with nothing said or heard.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        rng.set_stream(STREAM);
        Self {
            rng,
            opening: None,
            counter: 0,
            presence_at: None,
            news: Vec::new(),
            news_at: Instant::default(),
            heard: BTreeMap::new(),
            doubts: BTreeMap::new(),
            doubt_at: Instant::default(),
        }
    }

    /// Remembers an entry of ours that is durable now.
    pub(super) fn note(&mut self, id: EntryId) {
        if self.news.len() < NEWS_MAX {
            self.news.push(id);
        }
    }

    /// Forgets everything said and heard: another mesh is entered.
    pub(super) fn begin_anew(&mut self) {
        self.news.clear();
        self.heard.clear();
        self.doubts.clear();
    }

    /// Forgets who is no member any more.
    pub(super) fn retain(&mut self, roster: &Roster) {
        self.heard.retain(|node, _| roster.members.contains_key(node));
        self.doubts.retain(|node, _| roster.members.contains_key(node));
    }

    /// Returns when a member last said that it is there.
    pub(super) fn last_heard(&self, node: NodeId) -> Option<Wall> {
        self.heard.get(&node).map(|heard| heard.wall)
    }

    /// Returns whether a member has said so lately that it is there.
    fn is_there(&self, node: NodeId, now: Instant) -> bool {
        self.heard.get(&node).is_some_and(|heard| now.since(heard.at) <= THERE_WITHIN)
    }

    /// Returns when an agent of another node last acted, as far as its own node has said so lately.
    pub(super) fn last_acted(&self, node: NodeId, agent: AgentId) -> Option<Wall> {
        let heard = self.heard.get(&node)?;
        Some(heard.wall.before(heard.presence.acted(agent)?))
    }

    /// Says when something is due, while there is a link.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        let news = (!self.news.is_empty()).then_some(self.news_at);
        let doubt = self.doubts.values().map(|(due, _)| (*due).max(self.doubt_at)).min();
        [news, self.presence_at, doubt].into_iter().flatten().min()
    }

    /// Takes the entries to publish now.
    fn take_news(&mut self, now: Instant) -> Vec<EntryId> {
        if self.news.is_empty() || now < self.news_at {
            return Vec::new();
        }
        self.news_at = now.after(NEWS_PAUSE);
        std::mem::take(&mut self.news)
    }

    /// Takes note of what a member said of itself; returns whether that is newer than what it said before.
    fn hear(&mut self, presence: Presence, now: Now) -> bool {
        let before = self.heard.get(&presence.node);
        let newer = before.is_none_or(|before| presence.is_newer_than(&before.presence));
        if newer {
            let wall = presence.wall.min(now.wall);
            self.heard.insert(presence.node, Heard { presence, wall, at: now.mono });
        }
        newer
    }

    /// Remembers a doubt, unless its sender has given rise to one already, or too many have.
    fn doubt(&mut self, now: Instant, of: NodeId, doubt: Doubt) {
        if self.doubts.len() < DOUBTS_MAX {
            self.doubts.entry(of).or_insert((now.after(DOUBT_WAIT), doubt));
        }
    }

    /// Draws a span below `most`, in milliseconds.
    fn drawn(&mut self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.rng.next_u64() % millis)
    }

    /// Takes the doubt that is to be looked into now: the one that has waited longest, whoever gave rise to it.
    fn take_doubt(&mut self, now: Instant) -> Option<(NodeId, Doubt)> {
        if now < self.doubt_at {
            return None;
        }
        let (of, (due, _)) = self.doubts.iter().min_by_key(|(_, (due, _))| *due)?;
        if *due > now {
            return None;
        }
        let of = *of;
        self.doubts.remove(&of).map(|(_, doubt)| (of, doubt))
    }
}

impl Replica {
    /// Takes a notice that a node has signed. Who is no member says nothing to us.
    pub(super) fn on_notice(&mut self, from: NodeId, notice: Notice) -> Result<(), StoreError> {
        if from == self.entries.node() || !self.mesh.roster().members.contains_key(&from) {
            return Ok(());
        }
        let now = self.now;
        match notice {
            Notice::News(News { entries, ids }) => {
                // An entry of an author not known here is left alone: a link brings it, with what makes it known.
                self.take(None, entries)?;
                // One that is not held is enough to look, and looking through many costs more than it may tell.
                for id in ids.into_iter().take(IDS_LOOKED_AT_MAX) {
                    if !self.entries.holds(&self.stage, id)? {
                        self.notices.doubt(now.mono, from, Doubt::Named(id));
                        break;
                    }
                }
            }
            Notice::Presence(presence) => {
                let counted = Doubt::Counted(presence.control.count, presence.data.count);
                if self.notices.hear(presence, now) && self.is_warranted(counted)? {
                    self.notices.doubt(now.mono, from, counted);
                }
            }
            // Says nothing of entries: whoever drives a replica keeps it elsewhere.
            Notice::Telemetry(_) => {}
        }
        Ok(())
    }

    /// Returns whether a node can be reached, as far as is known: it is linked, or was heard lately.
    pub(super) fn is_in_reach(&self, node: NodeId) -> bool {
        self.links.of(node).is_some() || (self.links.len() > 0 && self.notices.is_there(node, self.now.mono))
    }

    /// Gets ready to say that this node is there, soon after it has its first link.
    pub(super) fn expect_presence(&mut self) {
        let wait = PRESENCE_FIRST_WAIT + self.notices.drawn(PRESENCE_FIRST_WAIT);
        self.notices.presence_at = Some(self.now.mono.after(wait));
    }

    /// Says that this node is there, and looks into a doubt, where either is due.
    pub(super) fn on_notices_due(&mut self) -> Result<(), StoreError> {
        let now = self.now.mono;
        if self.links.len() == 0 {
            return Ok(());
        }
        if self.notices.presence_at.is_some_and(|due| due <= now) {
            let wait = PRESENCE_INTERVAL_MIN + self.notices.drawn(PRESENCE_JITTER);
            self.notices.presence_at = Some(now.after(wait));
            self.publish_presence()?;
        }
        // What turned out to be nothing costs no pause.
        while let Some((of, doubt)) = self.notices.take_doubt(now) {
            if self.is_warranted(doubt)? {
                self.notices.doubt_at = now.after(DOUBT_PAUSE);
                let links = self.links.ids();
                let any = usize::try_from(self.notices.rng.next_u32()).unwrap_or(0) % links.len();
                let link = self.links.id_of(of).unwrap_or(links[any]);
                let orders = self.with_session(link, |session, holdings| session.compare(holdings))?;
                self.follow(link, orders)?;
            }
        }
        Ok(())
    }

    /// Publishes what is durable and was not published yet, as one notice; what does not fit goes by links alone.
    pub(super) fn publish_news(&mut self) -> Result<(), StoreError> {
        if self.links.len() == 0 {
            self.notices.news.clear();
            return Ok(());
        }
        let (mut news, mut names_only) = (News::default(), false);
        for id in self.notices.take_news(self.now.mono) {
            if !names_only {
                let entry = self.entries.load(&self.stage, id)?;
                if entry.is_some_and(|entry| news.inline(&entry)) {
                    continue;
                }
                // Each that is read for nothing costs time; of an import all are too long.
                names_only = true;
            }
            if !news.name(id) {
                break;
            }
        }
        if news != News::default() {
            self.outputs.push(Output::Notice(Notice::News(news).encode()));
        }
        Ok(())
    }

    fn publish_presence(&mut self) -> Result<(), StoreError> {
        let opening = match self.notices.opening {
            Some(opening) => opening,
            None => {
                // Counted where something is said: most openings are those of a single command, and need not write for it.
                let opening = self.stage.record::<u64>(keys::OPENINGS)?.unwrap_or(0) + 1;
                self.stage.put_record(keys::OPENINGS.to_vec(), &opening);
                *self.notices.opening.insert(opening)
            }
        };
        self.notices.counter += 1;
        let Hello { control, data, .. } = self.entries.hello();
        let presence = Presence {
            node: self.entries.node(),
            instance: self.entries.identity().instance,
            opening,
            counter: self.notices.counter,
            wall: self.now.wall,
            control,
            data,
            agents: self.acted()?,
        };
        self.outputs.push(Output::Notice(Notice::Presence(presence).encode()));
        Ok(())
    }

    /// Returns the agents of this node that acted last, as many as a presence tells of.
    fn acted(&mut self) -> Result<Vec<Acted>, StoreError> {
        let mut agents = Vec::new();
        for (agent, at) in self.agents.all_used(&self.stage)? {
            let ago = at.until(self.now.wall);
            let is_active = self.mesh.directory().agent(agent).is_some_and(|agent| !agent.retired);
            if is_active && ago <= ACTED_WITHIN {
                agents.push(Acted { seconds_ago: u32::try_from(ago.as_secs()).unwrap_or(u32::MAX), agent });
            }
        }
        agents.sort_unstable();
        agents.truncate(PRESENCE_AGENTS_MAX);
        Ok(agents)
    }

    /// Returns whether somebody holds what we lack, as far as a doubt tells.
    fn is_warranted(&self, doubt: Doubt) -> Result<bool, StoreError> {
        match doubt {
            Doubt::Named(id) => self.entries.holds(&self.stage, id).map(|held| !held),
            Doubt::Counted(control, data) => {
                let ours = self.entries.hello();
                Ok(control > ours.control.count || data > ours.data.count)
            }
        }
    }
}

#[cfg(test)]
mod tests;
