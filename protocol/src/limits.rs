//! Every bound of the wire and of a bead, with its unit and its reason.
//!
//! Limits are part of the wire version: raising one needs a new version, because storability depends on them.

use std::time::Duration;

/// The version of frames, entries and limits that this program speaks.
pub const WIRE_VERSION: u16 = 1;

/// Bytes of one encoded entry without its signature: many fit one frame, one fits memory of any node.
pub const ENTRY_BYTES_MAX: usize = 256 * 1024;

/// Operations in one entry: bounds the work that one signature check can set off.
pub const ENTRY_OPS_MAX: usize = 1_024;

/// Bytes of one operation's body: a letter of 64 KiB with its envelope, or one change, and room to spare.
pub const OP_BYTES_MAX: usize = 96 * 1024;

/// Bytes of one frame on a link: large enough that reconciling a million entries takes three round trips.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Entry ids in one `Want` or `Ack` frame: 32 B each stay well inside a frame.
pub const FRAME_IDS_MAX: usize = 16 * 1024;

/// Bytes of a notice: gossipsub loses what comes near its own 64 KiB.
pub const NOTICE_BYTES_MAX: usize = 32 * 1024;

/// Agents that one presence tells of: those of a busy node, in 2 KiB.
pub const PRESENCE_AGENTS_MAX: usize = 64;

/// Cards of one machine that are told of: as many as the largest have.
pub const GPUS_MAX: usize = 16;

/// Parts of cards that are told of: seven of each card.
pub const SLICES_MAX: usize = 7 * GPUS_MAX;

/// Processes on the cards of one machine that are told of: some of each card.
pub const PROCESSES_MAX: usize = 64;

/// Containers of one machine that are told of: 64 of them at their longest fit a notice.
pub const CONTAINERS_MAX: usize = 64;

/// Processor time of a container, in hundredths of one core: that of 1,024 cores.
pub const CONTAINER_CPU_MAX: u32 = 102_400;

/// Bytes of a text that says what something in a machine is, such as a card.
pub const SAMPLE_TEXT_BYTES_MAX: usize = 96;

/// The memory of a card, in MiB: three bytes as it travels, and ten times what any has.
pub const MEMORY_MIB_MAX: u32 = (1 << 21) - 1;

/// What a card draws, in milliwatts: three bytes as it travels, and twice what any does.
pub const POWER_MW_MAX: u32 = (1 << 21) - 1;

/// What a card has drawn, in millijoules: seven bytes as it travels, and decades of the largest.
pub const ENERGY_MJ_MAX: u64 = (1 << 49) - 1;

/// Errors and the like that are counted on a card: four bytes as it travels.
pub const GPU_COUNT_MAX: u32 = (1 << 28) - 1;

/// The shortest time between two samples of a machine.
pub const SAMPLE_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The longest time between two samples of a machine: who is silent for longer has said nothing.
pub const SAMPLE_INTERVAL_MAX: Duration = Duration::from_secs(600);

/// Bytes of a letter's body.
pub const LETTER_BODY_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a letter's subject: one line on any screen.
pub const SUBJECT_BYTES_MAX: usize = 256;

/// Bytes of the name of a thread: a bead's alias fits.
pub const THREAD_BYTES_MAX: usize = ALIAS_BYTES_MAX;

/// Agents that one letter goes to, copies included: a team, not a mesh.
pub const RECIPIENTS_MAX: usize = 64;

/// Letters that one letter may name as seen before it: heads of its thread.
pub const LETTER_SEEN_MAX: usize = 16;

/// Attachments of one letter.
pub const ATTACHMENTS_MAX: usize = 8;

/// Bytes of the name of an attachment: a file's name on any system.
pub const ATTACHMENT_NAME_BYTES_MAX: usize = 255;

/// Bytes of the content of one attachment: a log, a patch or a picture, and not the disk of whoever reads it.
pub const ATTACHMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of one piece of a blob on its stream: frames of a link on the same connection find their way in between.
pub const BLOB_PIECE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of what an agent says it runs: a program, a model.
pub const AGENT_WORD_BYTES_MAX: usize = 128;

/// Bytes of what an agent says it works on: a line or two.
pub const AGENT_TASK_BYTES_MAX: usize = 512;

/// Bytes of a bead's title: the limit that beads itself uses.
pub const TITLE_BYTES_MAX: usize = 500;

/// Bytes of any other text of a bead (description, design, acceptance, notes, a comment), so that a change that sets
/// one such field fits `CHANGE_BYTES_MAX` with its envelope.
pub const TEXT_BYTES_MAX: usize = 60 * 1024;

/// Bytes of a short text of a bead: type, status, assignee, author, reason's first line, a map's key.
pub const WORD_BYTES_MAX: usize = 1_024;

/// Items in one map of a bead (labels, deps, scopes, criteria, comments, needs, metadata, extra).
pub const MAP_ITEMS_MAX: usize = 1_024;

/// The highest priority number: 0 is most urgent.
pub const PRIORITY_MAX: u8 = 4;

/// Minutes of an estimate: one working year.
pub const ESTIMATE_MINUTES_MAX: u32 = 525_600;

/// Bytes of one automerge change, uncompressed.
pub const CHANGE_BYTES_MAX: usize = 64 * 1024;

/// Operations in one automerge change, read from its columns before it is expanded: 186 bytes can otherwise name
/// 20 million operations and cost gigabytes.
pub const CHANGE_OPS_MAX: u64 = 4_096;

/// Dependencies of one automerge change: heads that one edit can have seen.
pub const CHANGE_DEPS_MAX: u64 = 256;

/// Patterns in the scope of one claim, each alternative of braces counted: two scopes are compared pattern by pattern.
pub const SCOPE_PATTERNS_MAX: usize = 16;

/// Beads in the scope of one claim: the one that is taken, and some that go with it.
pub const SCOPE_BEADS_MAX: usize = 16;

/// Bytes of one scope pattern.
pub const PATTERN_BYTES_MAX: usize = 256;

/// Segments of one scope pattern: as deep as a tree is in practice.
pub const PATTERN_SEGMENTS_MAX: usize = 32;

/// Alternatives that the braces of one scope pattern expand to.
pub const PATTERN_ALTERNATIVES_MAX: usize = 64;

/// Characters that one range in brackets, such as `a-z`, may span: each is folded by itself when a pattern is read.
pub const PATTERN_RANGE_MAX: u32 = 1_024;

/// Bytes of an alias: one word that still fits a table's column and a branch's name.
pub const ALIAS_BYTES_MAX: usize = 128;

/// Bytes of what minted aliases begin with: names stay short enough to be typed.
pub const ALIAS_PREFIX_BYTES_MAX: usize = 20;

/// Nodes in one mesh.
pub const NODES_MAX: usize = 1_000;

/// Control entries that one control entry may name as seen.
pub const CONTROL_HEADS_MAX: usize = 64;

/// Instances of which one removal names the last entry with effect: 40 KiB, and far more than a machine ever opens.
pub const CUT_ENDS_MAX: usize = 1_024;

/// Removals of itself by one node that count: leaving once is enough, and each costs every fold some time.
pub const LEAVES_MAX: usize = 16;

/// Nodes that may wait for approval by one invite: a fleet that is set up at once; each costs some 100 bytes.
pub const APPLICANTS_MAX: usize = 64;

/// Times a mesh is given from owner to owner, since it was taken last, or founded: each owner costs every fold two bytes an
/// entry, and the key of one owner could give the mesh without end.
pub const OWNERSHIPS_GIVEN_MAX: usize = 64;

/// Names a node gives itself that are weighed against each other, the latest: one that saw the others would do.
pub const OWN_NAMES_MAX: usize = 64;

/// Needs of one bead: every kind, and some labels.
pub const NEEDS_MAX: usize = 16;

/// Labels that a node bears.
pub const NODE_LABELS_MAX: usize = 16;

/// Bytes of a label that a node bears.
pub const NODE_LABEL_BYTES_MAX: usize = 64;

/// Bytes of one message of a join: what 1,000 nodes need to know of each other, several times over.
pub const JOIN_MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Voters in one epoch.
pub const VOTERS_MAX: usize = 7;

/// How far the rate of a node's clock may lie from true time, in percent: crystals stay within 0.01, a clock that is
/// being slewed within 0.05.
pub const CLOCK_RATE_PERCENT: u32 = 1;

/// How long a voter keeps a promise unless the epoch says otherwise: three renewals may fail before a lease lapses.
pub const HOLD_DEFAULT: Duration = Duration::from_secs(90);

/// The longest that a voter keeps a promise: what a restarted machine waits before it votes.
pub const HOLD_MAX: Duration = Duration::from_secs(120);

/// The shortest that a voter keeps a promise: several polls over a slow path.
pub const HOLD_MIN: Duration = Duration::from_secs(5);

/// How far above its own a voter lets the counter of a token lie, so that a liar cannot use counters up; 2^24 such jumps fit.
pub const COUNTER_JUMP_MAX: u64 = 1 << 40;

/// How far a voter raises its counter after a start at which its disk may have been turned back: more attempts than it can
/// have forgotten, and little beside `COUNTER_JUMP_MAX`.
pub const COUNTER_START_JUMP: u64 = 1 << 32;
const _: () = assert!(COUNTER_START_JUMP < COUNTER_JUMP_MAX);

/// Leases that one holder may have at a time.
pub const LEASES_PER_HOLDER_MAX: usize = 64;

/// Claims of one holder that may wait at a voter.
pub const WAITS_PER_HOLDER_MAX: usize = 8;

/// Leases in force at a voter.
pub const LEASES_MAX: usize = 10_000;

/// Bytes of one lease message but for what a voter hands over: 16 patterns at their limit and seven promises.
pub const LEASE_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Claims of others that one claim may name as seen.
pub const CLAIM_SEEN_MAX: usize = 64;

/// Closes of earlier holders that one fence may list: one for each bead of a scope and each voter.
pub const FENCE_CLOSES_MAX: usize = SCOPE_BEADS_MAX * VOTERS_MAX;

/// Bytes of what a voter hands over that go into one entry.
pub const HANDOVER_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(HANDOVER_BYTES_MAX + LEASE_MESSAGE_BYTES_MAX < OP_BYTES_MAX);

/// Bytes of a node's or mesh's name.
pub const NAME_BYTES_MAX: usize = 64;

/// Bytes of a project key: a normalised git remote.
pub const PROJECT_KEY_BYTES_MAX: usize = 512;

/// Keys in one project operation.
pub const PROJECT_KEYS_MAX: usize = 8;

/// Addresses that one node may announce.
pub const ADDRESSES_MAX: usize = 16;

/// Bytes of one announced address.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// How far ahead of our wall clock a timestamp may lie and still pull our hybrid clock along.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// Operations of one author that may wait for a missing dependency.
pub const WAITING_OPS_MAX: usize = 100_000;

/// Bytes of one line of JSONL on import: a bead at every limit, written as JSON with escapes.
pub const IMPORT_LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

const _: () = assert!(CHANGE_BYTES_MAX < OP_BYTES_MAX && LETTER_BODY_BYTES_MAX < OP_BYTES_MAX);
const _: () = assert!(OP_BYTES_MAX < ENTRY_BYTES_MAX && ENTRY_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(FRAME_IDS_MAX * 32 < FRAME_BYTES_MAX);
