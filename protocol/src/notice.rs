//! Notices: news, presence and telemetry for the whole mesh, without a link, as canonical postcard.
//!
//! A notice may be lost, come late or come twice, and nothing rests on one: links carry all that matters. What it brings is
//! judged like what a link brings, so decoding checks every entry in it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::entry::{Entry, EntryError, Sealed};
use crate::id::{AgentId, EntryId, InstanceId, MeshId, NodeId};
use crate::limits::{NOTICE_BYTES_MAX, PRESENCE_AGENTS_MAX, WIRE_VERSION};
use crate::reconcile::Summary;
use crate::sample::{SampleError, Telemetry};

/// The BLAKE3 context under which a mesh gives the name of its topic.
const TOPIC_DOMAIN: &str = "beadmesh 2026 notice topic v1";

/// The BLAKE3 context under which a notice is told from others.
const NOTICE_DOMAIN: &str = "beadmesh 2026 notice v1";

/// Bytes of a notice apart from what it names: version, variant and two counts, each at its longest.
const ENVELOPE_BYTES: usize = 3 + 1 + 3 + 3;

/// Bytes that an entry in full takes beside its content: two lengths and the signature.
const SEAL_BYTES: usize = 3 + 1 + 64;

/// What one node says to all others of its mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Entries that are durable at the sender now.
    News(News),
    /// The sender is there.
    Presence(Presence),
    /// What the sender says of its machine.
    Telemetry(Box<Telemetry>),
}

/// Entries that are durable at the sender: as many in full as there is room for, others by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Entries in full.
    pub entries: Vec<Entry>,
    /// Entries that are only named.
    pub ids: Vec<EntryId>,
}

/// That a node is there, how much it holds, and which of its agents have acted lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The node; it signs the notice, too.
    pub node: NodeId,
    /// The instance of its store.
    pub instance: InstanceId,
    /// Counts the openings of that store in which it has said something of itself, from 1.
    pub opening: u64,
    /// Counts what it has said of itself in this opening, from 1.
    pub counter: u64,
    /// Its wall clock.
    pub wall: Wall,
    /// What it holds of the control set.
    pub control: Summary,
    /// What it holds of the data set.
    pub data: Summary,
    /// Its agents that acted last, those that did so latest first; of others nothing is said.
    pub agents: Vec<Acted>,
}

/// That an agent has acted on the node that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acted {
    /// How long ago, in seconds.
    pub seconds_ago: u32,
    /// The agent.
    pub agent: AgentId,
}

/// Why bytes are not a notice of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// The notice is longer than any may be.
    #[error("notice of {0} bytes exceeds the limit of {NOTICE_BYTES_MAX}")]
    TooLong(usize),
    /// The sender speaks another wire version; that is no fault of its.
    #[error("notice of wire version {0}, this node speaks {WIRE_VERSION}; update the older of the two nodes")]
    Version(u16),
    /// The bytes do not decode, or something follows what they decode to.
    #[error("notice does not decode")]
    Malformed,
    /// The bytes decode, but are not the one encoding of what they say.
    #[error("notice is not in canonical form")]
    NotCanonical,
    /// The notice names no entry.
    #[error("notice names no entry")]
    Empty,
    /// The notice speaks for a node that did not sign it.
    #[error("presence or telemetry of node {0}, which is not who says so")]
    Foreign(NodeId),
    /// The notice tells of too many agents, of one twice, or not of the latest first.
    #[error("presence tells of {0} agents: at most {PRESENCE_AGENTS_MAX} may be told of, each once, the latest first")]
    Agents(usize),
    /// What is said of a machine does not keep its bounds.
    #[error("unsound telemetry: {0}")]
    Telemetry(#[from] SampleError),
    /// An entry in the notice is not sound.
    #[error("unsound entry: {0}")]
    Entry(#[from] EntryError),
}

impl NoticeError {
    /// Returns whether only a node that breaks the protocol sends such a thing.
    pub fn is_violation(&self) -> bool {
        !matches!(self, Self::Version(_))
    }
}

/// The form in which notices travel, behind the version.
#[derive(Serialize, Deserialize)]
enum Encoded {
    News(Vec<Sealed>, Vec<EntryId>),
    Presence(Presence),
    Telemetry(Box<Telemetry>),
}

impl Notice {
    /// Encodes the notice.
    pub fn encode(&self) -> Vec<u8> {
        let encoded = match self {
            Self::News(News { entries, ids }) => Encoded::News(entries.iter().map(Entry::seal).collect(), ids.clone()),
            Self::Presence(presence) => Encoded::Presence(presence.clone()),
            Self::Telemetry(telemetry) => Encoded::Telemetry(telemetry.clone()),
        };
        encoded.bytes()
    }

    /// Decodes a notice that `from` has signed, and checks every entry in it, signatures included.
    ///
    /// This is pure, and as dear as the entries are many: a driver may run it on any thread.
    ///
    /// # Errors
    /// The first check that fails, the cheap ones first; nothing of the notice is then of use.
    pub fn decode(mesh: MeshId, from: NodeId, bytes: &[u8]) -> Result<Self, NoticeError> {
        Self::decode_by(from, bytes, &mut |sealed| Entry::open(mesh, sealed))
    }

    /// Decodes a notice whose entries are opened by the caller, who may remember which ones were found sound before.
    ///
    /// # Errors
    /// As `decode`.
    pub fn decode_by(
        from: NodeId,
        bytes: &[u8],
        open: &mut dyn FnMut(Sealed) -> Result<Entry, EntryError>,
    ) -> Result<Self, NoticeError> {
        if bytes.len() > NOTICE_BYTES_MAX {
            return Err(NoticeError::TooLong(bytes.len()));
        }
        let (version, body) = postcard::take_from_bytes::<u16>(bytes).map_err(|_| NoticeError::Malformed)?;
        if version != WIRE_VERSION {
            return Err(NoticeError::Version(version));
        }
        let (encoded, rest) = postcard::take_from_bytes::<Encoded>(body).map_err(|_| NoticeError::Malformed)?;
        if !rest.is_empty() {
            return Err(NoticeError::Malformed);
        }
        if encoded.bytes() != bytes {
            return Err(NoticeError::NotCanonical);
        }
        match encoded {
            Encoded::News(entries, ids) if entries.is_empty() && ids.is_empty() => Err(NoticeError::Empty),
            Encoded::News(entries, ids) => {
                let entries = entries.into_iter().map(open).collect::<Result<_, _>>()?;
                Ok(Self::News(News { entries, ids }))
            }
            Encoded::Presence(presence) if presence.node != from => Err(NoticeError::Foreign(presence.node)),
            Encoded::Presence(presence) if !presence.is_in_order() => Err(NoticeError::Agents(presence.agents.len())),
            Encoded::Presence(presence) => Ok(Self::Presence(presence)),
            Encoded::Telemetry(telemetry) if telemetry.node != from => Err(NoticeError::Foreign(telemetry.node)),
            Encoded::Telemetry(telemetry) => {
                telemetry.check()?;
                Ok(Self::Telemetry(telemetry))
            }
        }
    }
}

impl Encoded {
    fn bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(&(WIRE_VERSION, self)).expect("notices have a postcard form")
    }
}

impl News {
    /// Takes an entry in full if there is room for it; returns whether there was.
    pub fn inline(&mut self, entry: &Entry) -> bool {
        let fits = entry.bytes_len() + SEAL_BYTES <= self.room();
        if fits {
            self.entries.push(entry.clone());
        }
        fits
    }

    /// Takes the name of an entry if there is room for it; returns whether there was.
    pub fn name(&mut self, id: EntryId) -> bool {
        let fits = EntryId::BYTES <= self.room();
        if fits {
            self.ids.push(id);
        }
        fits
    }

    /// Returns how many bytes are left.
    fn room(&self) -> usize {
        let entries: usize = self.entries.iter().map(|entry| entry.bytes_len() + SEAL_BYTES).sum();
        NOTICE_BYTES_MAX.saturating_sub(ENVELOPE_BYTES + entries + self.ids.len() * EntryId::BYTES)
    }
}

impl Presence {
    /// Returns whether this was said after `before`, as far as that can be told: a store counts its openings, and in each
    /// what it says. Two stores of one node share no count, so there the wall clock tells.
    pub fn is_newer_than(&self, before: &Self) -> bool {
        if self.instance == before.instance {
            return (self.opening, self.counter) > (before.opening, before.counter);
        }
        self.wall > before.wall
    }

    /// Returns how long before it was said an agent had acted; `None` where that is not said.
    pub fn acted(&self, agent: AgentId) -> Option<Duration> {
        let acted = self.agents.iter().find(|acted| acted.agent == agent)?;
        Some(Duration::from_secs(acted.seconds_ago.into()))
    }

    fn is_in_order(&self) -> bool {
        let distinct: BTreeSet<AgentId> = self.agents.iter().map(|acted| acted.agent).collect();
        self.agents.len() <= PRESENCE_AGENTS_MAX && distinct.len() == self.agents.len() && self.agents.is_sorted()
    }
}

/// Returns the name of the topic that a mesh speaks on: who does not know the mesh learns nothing from it.
pub fn topic(mesh: MeshId) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(TOPIC_DOMAIN);
    hasher.update(mesh.as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// Returns what tells a notice from all others: a hash of who says it and of what it says.
///
/// Without the sender in it, whoever repeats a notice under its own name could have the first one taken for a repetition.
pub fn id(from: NodeId, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(NOTICE_DOMAIN);
    hasher.update(from.as_bytes());
    hasher.update(bytes);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::BeadId;
    use crate::op::{BeadChange, Op};
    use crate::testing::{Author, MeshFixture};

    const HERE: InstanceId = InstanceId::from_bytes([3; 8]);

    fn presence(counter: u64, millis: u64) -> Presence {
        let (control, data) = (Summary::of([EntryId::from_bytes([1; 32])]), Summary::default());
        let wall = Wall::from_millis(millis);
        Presence {
            node: Author::seeded(1).node(),
            instance: HERE,
            opening: 1,
            counter,
            wall,
            control,
            data,
            agents: Vec::new(),
        }
    }

    fn acted(agent: u8, seconds_ago: u32) -> Acted {
        Acted { seconds_ago, agent: AgentId::from_bytes([agent; 16]) }
    }

    /// An entry with a change of about that many bytes.
    fn entry(mesh: MeshId, n: u64, bytes: usize) -> Entry {
        let change = Op::Bead(BeadChange { bead: BeadId::from_bytes([1; 16]), change: vec![7; bytes] });
        Author::seeded(1).entry(mesh, n, Wall::from_millis(n), &[change])
    }

    fn news(entries: &[Entry], ids: usize) -> Notice {
        let mut news = News::default();
        assert!(entries.iter().all(|entry| news.inline(entry)));
        assert!((0..ids).all(|at| news.name(EntryId::from_bytes([u8::try_from(at % 256).unwrap(); 32]))));
        Notice::News(news)
    }

    #[test]
    fn a_notice_reads_back_and_tolerates_no_trailing_byte() {
        let fixture = MeshFixture::founded();
        let from = Author::seeded(1).node();
        for notice in [news(&fixture.entries, 3), Notice::Presence(presence(7, 9))] {
            let mut bytes = notice.encode();
            assert_eq!(Notice::decode(fixture.mesh, from, &bytes), Ok(notice));
            bytes.push(0);
            assert_eq!(Notice::decode(fixture.mesh, from, &bytes), Err(NoticeError::Malformed));
        }
    }

    #[test]
    fn what_does_not_fit_in_full_is_named_and_the_bound_is_kept() {
        let mesh = MeshFixture::founded().mesh;
        let mut news = News::default();
        let large = entry(mesh, 1, NOTICE_BYTES_MAX - 200);
        assert!(!News::default().inline(&entry(mesh, 1, NOTICE_BYTES_MAX)));
        assert!(news.inline(&large));
        assert!(!news.inline(&large));
        while news.name(large.id()) {}
        let bytes = Notice::News(news).encode();
        assert!(bytes.len() <= NOTICE_BYTES_MAX && bytes.len() > NOTICE_BYTES_MAX - 200, "{}", bytes.len());
        let mut news = News::default();
        while news.name(large.id()) {}
        assert_eq!(news.ids.len(), (NOTICE_BYTES_MAX - ENVELOPE_BYTES) / EntryId::BYTES);
        assert!(Notice::News(news).encode().len() <= NOTICE_BYTES_MAX);
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_read() {
        let mesh = MeshFixture::founded().mesh;
        let error = Notice::decode(mesh, Author::seeded(1).node(), &[0; NOTICE_BYTES_MAX + 1]);
        assert_eq!(error, Err(NoticeError::TooLong(NOTICE_BYTES_MAX + 1)));
    }

    #[test]
    fn another_version_is_told_apart_and_is_no_violation() {
        let mesh = MeshFixture::founded().mesh;
        let error = Notice::decode(mesh, Author::seeded(1).node(), b"\x02a new form").unwrap_err();
        assert_eq!(error, NoticeError::Version(2));
        assert!(!error.is_violation());
    }

    #[test]
    fn a_notice_with_one_forged_entry_is_refused_whole() {
        let fixture = MeshFixture::founded();
        let mut bytes = news(&fixture.entries, 0).encode();
        // Before the count of names stands the last byte of the signature.
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        let error = Notice::decode(fixture.mesh, fixture.founder.node(), &bytes).unwrap_err();
        assert!(matches!(error, NoticeError::Entry(EntryError::BadSignature(_))), "{error}");
        assert!(error.is_violation());
    }

    #[test]
    fn a_longer_spelling_an_empty_notice_and_a_borrowed_presence_are_refused() {
        let mesh = MeshFixture::founded().mesh;
        let (here, other) = (Author::seeded(1).node(), Author::seeded(2).node());
        assert_eq!(Notice::decode(mesh, here, &[1, 0, 0, 0]), Err(NoticeError::Empty));
        assert_eq!(Notice::decode(mesh, here, &[0x81, 0, 0, 0, 0]), Err(NoticeError::NotCanonical));
        assert_eq!(Notice::decode(mesh, here, &[1, 0, 0x80, 0, 0]), Err(NoticeError::NotCanonical));
        let said = Notice::Presence(presence(1, 1)).encode();
        assert_eq!(Notice::decode(mesh, other, &said), Err(NoticeError::Foreign(here)));
    }

    #[test]
    fn of_two_presences_the_newer_is_told_by_counts_and_between_stores_by_the_clock() {
        let opened = |opening, said: Presence| Presence { opening, ..said };
        assert!(presence(2, 5).is_newer_than(&presence(1, 9)), "the clock was put back");
        assert!(
            opened(2, presence(1, 5)).is_newer_than(&presence(8, 9)),
            "the store was opened again, and the clock mended"
        );
        assert!(!presence(1, 9).is_newer_than(&presence(8, 5)), "an old one by a clock that was ahead");
        assert!(!presence(1, 5).is_newer_than(&presence(1, 5)), "the same once more");
        assert!(!presence(1, 5).is_newer_than(&presence(2, 9)), "an old one");
        let elsewhere = |said: Presence| Presence { instance: InstanceId::from_bytes([4; 8]), ..said };
        assert!(!elsewhere(presence(3, 5)).is_newer_than(&presence(2, 5)), "counts of two instances have no order");
        assert!(elsewhere(presence(1, 6)).is_newer_than(&presence(2, 5)), "another store");
    }

    #[test]
    fn a_presence_tells_of_few_agents_each_once_and_the_latest_first() {
        let mesh = MeshFixture::founded().mesh;
        let told = |agents: Vec<Acted>| {
            let said = Notice::Presence(Presence { agents, ..presence(1, 1) });
            Notice::decode(mesh, Author::seeded(1).node(), &said.encode()).map(|_| ())
        };
        assert_eq!(told(vec![acted(9, 0), acted(1, 5), acted(2, 5)]), Ok(()));
        assert_eq!(told(vec![acted(1, 5), acted(9, 0)]), Err(NoticeError::Agents(2)));
        assert_eq!(told(vec![acted(1, 5), acted(2, 5), acted(1, 6)]), Err(NoticeError::Agents(3)));
        let many = |count: u8| (0..count).map(|at| acted(at, 0)).collect::<Vec<_>>();
        assert_eq!(told(many(64)), Ok(()));
        assert_eq!(told(many(65)), Err(NoticeError::Agents(65)));
        let said = Presence { agents: vec![acted(9, 0), acted(1, 5)], ..presence(1, 1) };
        let ago = |agent| said.acted(AgentId::from_bytes([agent; 16]));
        assert_eq!((ago(1), ago(2)), (Some(Duration::from_secs(5)), None));
    }

    #[test]
    fn a_topic_is_of_one_mesh_and_does_not_show_it() {
        let (one, other) = (MeshId::from_bytes([1; 32]), MeshId::from_bytes([2; 32]));
        assert_eq!(topic(one), topic(one));
        assert_ne!(topic(one), topic(other));
        assert!(!topic(one).contains(&one.to_string()));
    }

    #[test]
    fn the_same_words_of_two_senders_are_two_notices() {
        let (here, other) = (Author::seeded(1).node(), Author::seeded(2).node());
        assert_eq!(id(here, b"word"), id(here, b"word"));
        assert_ne!(id(here, b"word"), id(other, b"word"));
        assert_ne!(id(here, b"word"), id(here, b"words"));
    }

    fn summaries() -> impl Strategy<Value = Summary> {
        (any::<u64>(), any::<[u8; 32]>()).prop_map(|(count, sum)| Summary { count, sum })
    }

    fn presences() -> impl Strategy<Value = Presence> {
        let counts = (any::<u64>(), any::<u64>(), any::<u64>());
        let agents = proptest::collection::btree_map(any::<[u8; 16]>(), any::<u32>(), 0..=PRESENCE_AGENTS_MAX);
        let said = (any::<[u8; 8]>(), counts, summaries(), summaries(), agents);
        said.prop_map(|(instance, (opening, counter, millis), control, data, agents)| {
            let (instance, wall) = (InstanceId::from_bytes(instance), Wall::from_millis(millis));
            let agents =
                agents.into_iter().map(|(agent, ago)| Acted { seconds_ago: ago, agent: AgentId::from_bytes(agent) });
            let mut agents: Vec<Acted> = agents.collect();
            agents.sort_unstable();
            Presence { node: Author::seeded(1).node(), instance, opening, counter, wall, control, data, agents }
        })
    }

    proptest! {
        #[test]
        fn every_presence_reads_back(presence in presences()) {
            let (mesh, node, notice) = (MeshId::from_bytes([9; 32]), presence.node, Notice::Presence(presence));
            prop_assert_eq!(Notice::decode(mesh, node, &notice.encode()), Ok(notice));
        }

        #[test]
        fn all_news_reads_back(sizes in proptest::collection::vec(0..2_000_usize, 0..6), ids in 1..200_usize) {
            let mesh = MeshId::from_bytes([9; 32]);
            let entries: Vec<Entry> = (1..).zip(sizes).map(|(n, bytes)| entry(mesh, n, bytes)).collect();
            let notice = news(&entries, ids);
            let bytes = notice.encode();
            prop_assert!(bytes.len() <= NOTICE_BYTES_MAX);
            prop_assert_eq!(Notice::decode(mesh, Author::seeded(1).node(), &bytes), Ok(notice));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), versed in any::<bool>()) {
            if let Some(first) = bytes.first_mut().filter(|_| versed) {
                *first = 1;
            }
            let mesh = MeshId::from_bytes([9; 32]);
            if let Ok(notice) = Notice::decode(mesh, Author::seeded(1).node(), &bytes) {
                prop_assert_eq!(notice.encode(), bytes);
            }
        }

        #[test]
        fn a_bent_notice_is_refused_or_is_another_one(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let fixture = MeshFixture::founded();
            let notice = news(&fixture.entries, 2);
            let mut bytes = notice.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(decoded) = Notice::decode(fixture.mesh, fixture.founder.node(), &bytes) {
                prop_assert_ne!(&decoded, &notice);
                prop_assert_eq!(decoded.encode(), bytes);
            }
        }
    }
}
