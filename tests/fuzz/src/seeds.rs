//! Seeds: inputs that fuzzing begins with, as the project's own encoders write them, and always the same.

use std::collections::BTreeMap;

use beadmesh_protocol::agent::Token as AgentToken;
use beadmesh_protocol::bead::document::Document;
use beadmesh_protocol::bead::import::import_change;
use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::bead::{Edit, Field, FieldValue};
use beadmesh_protocol::blob;
use beadmesh_protocol::claim::{Claim, Closing, Fence, Unclaim, Why};
use beadmesh_protocol::clock::{Timestamp, Wall};
use beadmesh_protocol::entry::{Entry, Set};
use beadmesh_protocol::id::{AgentId, BeadId, BlobHash, ClaimId, EntryId, InstanceId, NodeId, VoterId};
use beadmesh_protocol::invite::{JoinAnswer, JoinRefusal, JoinRequest, Secret, Ticket};
use beadmesh_protocol::jsonl::Record;
use beadmesh_protocol::lease::message::{Blocker, Here, Refusal};
use beadmesh_protocol::lease::{
    Acquire, Answer, Ask, Attempt, Birth, Epoch, Holder, LaneId, Message, Promise, Proposal, Release, Seat,
    SignedPromise, Terms, Token,
};
use beadmesh_protocol::limits::{HOLD_DEFAULT, WIRE_VERSION};
use beadmesh_protocol::mail::{Receipt, ReceiptKind};
use beadmesh_protocol::notice::{Acted, News, Notice, Presence};
use beadmesh_protocol::op::{Admit, BeadChange, NodeFacts, Op, ProjectKeys, Role};
use beadmesh_protocol::reconcile::{Initiator, Key, Responder, Snapshot, Summary};
use beadmesh_protocol::sample::{Facts, Said, Sample, Stamp, Telemetry, gpu, host};
use beadmesh_protocol::scope::{Mode, Scope, Witness};
use beadmesh_protocol::testing::{Author, MeshFixture, agent, bombs, letter};
use beadmesh_protocol::wire::{Frame, Hello, Reconcile, Reconciled};

/// Inputs by the names of their files.
pub type Seeds = Vec<(String, Vec<u8>)>;

/// A record with every field.
const RECORD: &str = r#"{"id":"VED-D01","title":"Import the records","description":"Every line becomes one change.","design":"d","acceptance_criteria":"a","acceptance":["one","two"],"notes":"n","status":"in_progress","priority":1,"issue_type":"task","assignee":"ada","estimated_minutes":90,"created_at":"2026-01-01T00:00:00.123456789Z","created_by":"bob","updated_at":"2026-02-01T12:00:00+01:00","due_at":"2027-01-31","external_ref":"gh-1","labels":["import","store"],"dependencies":[{"issue_id":"VED-D01","depends_on_id":"VED-D00","type":"blocks","created_at":"2026-01-01T00:00:00Z","created_by":"bob"}],"comments":[{"id":1,"issue_id":"VED-D01","author":"bob","text":"why?","created_at":"2026-01-02T00:00:00Z"}],"metadata":{"weight":3},"unknown":{"kept":[1,2.5e3,null,"\u00e4"]}}"#;

/// Returns the seeds of every target.
pub fn all() -> BTreeMap<&'static str, Seeds> {
    let seeds = BTreeMap::from([
        ("entry", entries()),
        ("op", ops().iter().map(raw).collect()),
        ("frame", frames().iter().map(Frame::encode).collect()),
        ("notice", notices()),
        ("lease", messages().iter().map(Message::encode).collect()),
        ("join", joins()),
        ("blob", blobs()),
        ("name", names()),
        ("scope", scopes()),
        ("scope_index", indexes()),
        ("settle", tapes(&[3, 64, 200])),
        ("roster", tapes(&[5, 40, 80])),
        ("voter", tapes(&[17, 300, 900])),
        ("cell", tapes(&[9, 300, 900])),
        ("reconcile", reconciliations()),
        ("session", tapes(&[7, 100, 400])),
        ("change", changes()),
        ("record", records()),
    ]);
    let named = |inputs: Vec<Vec<u8>>| -> Seeds {
        inputs.into_iter().enumerate().map(|(at, input)| (format!("seed-{at:02}"), input)).collect()
    };
    seeds.into_iter().map(|(name, inputs)| (name, named(inputs))).collect()
}

/// Returns inputs of these lengths that look random and are always the same.
fn tapes(lengths: &[usize]) -> Vec<Vec<u8>> {
    let tape = |length: &usize| {
        let mut bytes = vec![0; *length];
        blake3::Hasher::new().update(&length.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    };
    lengths.iter().map(tape).collect()
}

fn fixture() -> MeshFixture {
    let mut fixture = MeshFixture::founded();
    let (founder, other) = (fixture.founder.clone(), Author::seeded(2));
    fixture.admit(&founder, &other, Role::Member);
    fixture.facts(&other, "laptop", 1_700_000_000_001);
    let ops = ops();
    let (_, data) = ops.split_at(ops.iter().position(|op| matches!(op, Op::Bead(_))).expect("there is one"));
    let entry = other.entry(fixture.mesh, 9, Wall::from_millis(1_700_000_000_002), data);
    fixture.entries.push(entry);
    fixture
}

fn entries() -> Vec<Vec<u8>> {
    let sealed = fixture().entries.iter().map(Entry::seal).collect::<Vec<_>>();
    sealed.into_iter().map(|sealed| [sealed.signature.as_slice(), &sealed.bytes].concat()).collect()
}

fn raw(op: &Op) -> Vec<u8> {
    let raw = op.encode();
    [raw.kind.to_le_bytes().as_slice(), &raw.body].concat()
}

fn holder() -> Holder {
    Holder { node: Author::seeded(2).node(), agent: AgentId::from_bytes([6; 16]) }
}

fn token() -> Token {
    Token { counter: 7, attempt: Attempt { lane: LaneId { holder: holder(), incarnation: 1, lane: 2 }, seq: 3 } }
}

fn terms() -> Terms {
    let scope = Scope::parse(None, [BeadId::from_bytes([5; 16])], ["src/**", "docs/*.md"]);
    Terms { scope: scope.expect("sound patterns"), mode: Mode::Exclusive }
}

fn promise() -> SignedPromise {
    let (voter, author) = (VoterId::from_bytes([1; 16]), Author::seeded(1));
    let promise = Promise { voter, serial: 4, epoch: 1, round: 2, token: token(), terms: terms().name() };
    promise.sign(crate::decode::mesh(), &author.key)
}

fn epoch() -> Epoch {
    let seat = |n: u8| Seat { node: Author::seeded(n).node(), voter: VoterId::from_bytes([n; 16]) };
    Epoch::new(2, (1..=3).map(seat).collect(), HOLD_DEFAULT).expect("three voters")
}

/// Returns the changes of one bead: an import, and edits by two actors, one of which closes it.
fn history() -> Vec<Change> {
    let record = Record::parse(RECORD, None).expect("the record is sound");
    let mut changes = import_change(&record.bead).expect("the record is within its bounds");
    for (actor, field, value) in [(1, Field::Title, "Another"), (2, Field::Status, "closed"), (1, Field::Notes, "more")]
    {
        let (mut document, _) = Document::fold(record.bead.id, changes.clone());
        let edits = [Edit::Set(field, FieldValue::Text(value.to_owned())), Edit::AddLabel(value.to_owned())];
        let made = document.edit([actor; 8], Wall::from_millis(1_700_000_000_000), &edits);
        changes.extend(made.expect("the edits are within their bounds"));
    }
    changes
}

/// Returns one operation of each kind, those of the control set first.
fn ops() -> Vec<Op> {
    let (ada, bob) = (AgentId::from_bytes([6; 16]), AgentId::from_bytes([7; 16]));
    let (seen, node) = (vec![EntryId::from_bytes([3; 32])], Author::seeded(3).node());
    let until = Wall::from_millis(1_700_000_000_000);
    let claim = ClaimId::from_bytes([8; 16]);
    let letter = letter(ada, &[bob], "hello");
    let mut ops = vec![
        Op::Admit(Admit { seen: seen.clone(), node, name: "laptop".into(), role: Role::Member, invite: None }),
        Op::Node(NodeFacts { seen, name: "box".into(), addresses: vec!["/ip4/127.0.0.1/tcp/1".into()] }),
        Op::Project(ProjectKeys { keys: vec!["github.com/a/b".into()], prefix: Some("b".into()) }),
        Op::Agent(agent("Ada")),
        Op::Proposal(Proposal { epoch: epoch() }),
    ];
    ops.extend(
        history().iter().map(|change| {
            Op::Bead(BeadChange { bead: BeadId::from_bytes([5; 16]), change: change.to_wire().to_vec() })
        }),
    );
    ops.extend([
        Op::Receipt(Receipt { letter: letter.id(), agent: bob, kind: ReceiptKind::Read }),
        Op::Letter(Box::new(letter)),
        Op::Claim(Box::new(Claim { agent: ada, terms: terms(), priority: 2, until, nonce: 9, seen: vec![claim] })),
        Op::Fence(Box::new(Fence {
            claim,
            token: token(),
            until,
            closes: vec![EntryId::from_bytes([4; 32])],
            proof: vec![promise()],
        })),
        Op::Unclaim(Unclaim { claim, why: Why::Done }),
        Op::Closing(Closing { bead: BeadId::from_bytes([5; 16]), change: history()[0].hash(), token: token() }),
    ]);
    ops
}

fn frames() -> Vec<Frame> {
    let fixture = fixture();
    let ids: Vec<EntryId> = fixture.entries.iter().map(Entry::id).collect();
    let summary = Summary::of(ids.iter().copied());
    let (message, answer) = reconciliation();
    vec![
        Frame::Hello(Hello { version: WIRE_VERSION, mesh: fixture.mesh, control: summary, data: Summary::default() }),
        Frame::Reconcile(Reconcile { set: Set::Data, first: true, message }),
        Frame::Reconcile(Reconcile { set: Set::Control, first: false, message: answer }),
        Frame::Reconciled(Reconciled { set: Set::Control, lacking: 3, coming: 4 }),
        Frame::Want(ids.clone()),
        Frame::Entries(fixture.entries),
        Frame::Ack(ids),
        Frame::Bye("closing".into()),
    ]
}

fn notices() -> Vec<Vec<u8>> {
    let fixture = fixture();
    let node = fixture.founder.node();
    let ids: Vec<EntryId> = fixture.entries.iter().map(Entry::id).collect();
    let acted = |n: u8| Acted { seconds_ago: n.into(), agent: AgentId::from_bytes([n; 16]) };
    let notices = [
        Notice::News(News { entries: fixture.entries, ids: ids.clone() }),
        Notice::Presence(Presence {
            node,
            instance: InstanceId::from_bytes([1; 8]),
            opening: 1,
            counter: 300,
            wall: Wall::from_millis(1_700_000_000_000),
            control: Summary::of(ids),
            data: Summary::default(),
            agents: vec![acted(1), acted(2)],
        }),
        telemetry(node, Said::Facts(machine())),
        telemetry(node, Said::Sample(measured())),
        telemetry(
            node,
            Said::Processes(vec![gpu::Process { pid: 7, name: Some("python3".into()), ..Default::default() }]),
        ),
    ];
    notices.iter().map(|notice| [node.as_bytes().as_slice(), &notice.encode()].concat()).collect()
}

fn telemetry(node: NodeId, said: Said) -> Notice {
    let stamp = Stamp { started: Wall::from_millis(1_700_000_000_000), counter: 300 };
    Notice::Telemetry(Box::new(Telemetry { node, stamp, said }))
}

fn machine() -> Facts {
    let card =
        gpu::Facts { index: 1, uuid: "GPU-1".into(), name: "H200".into(), mig: Some(true), ..gpu::Facts::default() };
    let slice =
        gpu::SliceFacts { gpu: 1, slice: 2, uuid: "MIG-2".into(), name: "1g.18gb".into(), memory_mib: Some(18_000) };
    Facts { gpus: vec![card], slices: vec![slice], ..Facts::default() }
}

fn measured() -> Sample {
    let card = gpu::Sample {
        busy: Some(97),
        energy_mj: Some(1 << 40),
        pcie: Some((5, 16)),
        xid: Some(gpu::Xid { code: 79, count: 1 }),
        ..gpu::Sample::default()
    };
    let host = host::Sample {
        cpu_permille: Some(431),
        battery: Some(host::Battery { percent: 80, discharging: true }),
        ..host::Sample::default()
    };
    Sample { interval_ms: 2_000, host, state: gpu::State::Ok, gpus: vec![card], slices: Vec::new() }
}

fn messages() -> Vec<Message> {
    let attempt = token().attempt;
    let voter = VoterId::from_bytes([1; 16]);
    let witness = Witness::Path("src/a.rs".into());
    let birth = Birth { counter: 7, holder: holder() };
    let blocker = Blocker { token: token(), birth, left_us: Some(1_000), witness };
    let acquire =
        Acquire { token: token(), lanes_from: 1, round: 2, epoch: 1, terms: terms(), birth, held_by: vec![promise()] };
    let here = Here { voter, epoch: 1, active: true, counter: 7, floor: Some(token()), sealed_for: Some([2; 32]) };
    let close = Some((BeadId::from_bytes([5; 16]), EntryId::from_bytes([4; 32])));
    let asks =
        [Ask::Acquire(Box::new(acquire)), Ask::Release(Release { token: token(), lanes_from: 1, close }), Ask::Probe];
    let answers = [
        Answer::Granted { promise: promise(), closes: vec![EntryId::from_bytes([4; 32])], counter: 7 },
        Answer::Busy { attempt, round: 2, blockers: vec![blocker], counter: 7 },
        Answer::Stale { attempt, counter: 7 },
        Answer::Ended { attempt, incarnation: 1 },
        Answer::Wrong { attempt, epoch: 1 },
        Answer::Refused { attempt, reason: Refusal::Starting { left_us: 5 } },
        Answer::Here(here),
    ];
    asks.into_iter().map(Message::Ask).chain(answers.into_iter().map(Message::Answer)).collect()
}

fn joins() -> Vec<Vec<u8>> {
    let fixture = fixture();
    let secret = Secret::from_bytes([9; 16]);
    let (inviter, joiner) = (fixture.founder.node(), Author::seeded(2).node());
    let proof = secret.prove(fixture.mesh, inviter, joiner);
    let request = JoinRequest { version: WIRE_VERSION, invite: secret.invite(), proof, name: "laptop".into() };
    let welcome = JoinAnswer::Welcome(fixture.entries.iter().map(Entry::seal).collect());
    let addresses = vec!["/ip4/127.0.0.1/tcp/4001".to_owned(), "/dns/box/udp/4001/quic-v1".to_owned()];
    let expires = Wall::from_millis(1_700_000_000_000);
    let ticket = Ticket { mesh: fixture.mesh, inviter, addresses, secret, expires };
    let bare = postcard::to_stdvec(&ticket).expect("a ticket has a postcard form");
    let inputs = [
        (0, request.encode()),
        (1, welcome.encode()),
        (1, JoinAnswer::Refused(JoinRefusal::Version(2)).encode()),
        (2, bare),
        (3, ticket.to_string().into_bytes()),
    ];
    inputs.into_iter().map(|(kind, bytes)| [vec![kind], bytes].concat()).collect()
}

fn blobs() -> Vec<Vec<u8>> {
    let answers = [blob::Answer::Here { bytes: 70_000 }, blob::Answer::Absent, blob::Answer::Busy];
    let request = blob::Request { hash: BlobHash::of(b"content") }.encode();
    std::iter::once(request).chain(answers.iter().map(blob::Answer::encode)).collect()
}

fn names() -> Vec<Vec<u8>> {
    let token = AgentToken::from_bytes([0xa5; 20]);
    let texts = [
        Author::seeded(1).node().to_string(),
        EntryId::from_bytes([3; 32]).to_string(),
        BeadId::from_bytes([5; 16]).to_string(),
        token.reveal().to_string(),
        "git@github.com:Ada/Repo.git".to_owned(),
        "https://user@host.example:8443/a/b/".to_owned(),
        "root:0123456789abcdef0123456789abcdef01234567".to_owned(),
        "name:my project".to_owned(),
        "2027-01-31T09:00".to_owned(),
        "2026-02-01T12:00:00.000000001+01:00".to_owned(),
        "in_progress".to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

fn scopes() -> Vec<Vec<u8>> {
    let texts = [
        "src/**\nsrc/net/*.rs\nsrc/net/a.rs",
        "a/**/b/*c\na/b*/**\na/b/b/xc",
        "{src,docs}/[a-m]*.{rs,md}\t!x\nsrc/[!a-k]?.rs\nsrc/l1.rs",
        "**/*.test.*\nweb/**/t*.ts\nweb/x/t.test.ts",
        "README.md\nreadme.md/x\nREADME.md",
        "a*b*c*d*e*f*\n*f*e*d*c*b*a\nabcdefedcba",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn indexes() -> Vec<Vec<u8>> {
    let texts = [
        "src/**\n!src/net/*\ndocs/*.md\tsrc/a.rs\n!**/*.rs\nREADME.md\nsrc/net/{a,b}.rs",
        "a/b/c\na/b\na/**\n**/c\n!a/b/c\n!a\na/b/c\td",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Returns bytes with their length before them, as tapes have it.
fn piece(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("pieces are short");
    [length.to_be_bytes().as_slice(), bytes].concat()
}

/// Returns the first message of a reconciliation and its answer.
fn reconciliation() -> (Vec<u8>, Vec<u8>) {
    let keys = |step: usize| {
        let key = |n: u8| Key::new(Timestamp::from_wall(Wall::from_millis(n.into())), EntryId::from_bytes([n; 32]));
        Snapshot::new((0..200).step_by(step).map(key).collect())
    };
    let (_, message) = Initiator::begin(keys(2)).expect("a snapshot in order");
    let answer = Responder::new(keys(3)).expect("a snapshot in order").step(&message).expect("an honest message");
    (message, answer)
}

fn reconciliations() -> Vec<Vec<u8>> {
    let (message, answer) = reconciliation();
    let hostile = [vec![1], piece(&message), piece(&answer), piece(&message)].concat();
    let honest = tapes(&[40, 400]).into_iter().map(|tape| [vec![0], tape].concat());
    std::iter::once(hostile).chain(honest).collect()
}

fn changes() -> Vec<Vec<u8>> {
    let history = history();
    let piece = |change: &Change| piece(change.to_wire());
    let mut turned: Vec<Vec<u8>> = history.iter().map(piece).collect();
    let all = [vec![2], turned.concat()].concat();
    turned.reverse();
    let mut inputs = vec![all, [vec![2], turned.concat()].concat()];
    inputs.extend(history.iter().map(|change| [&[0], change.to_wire()].concat()));
    inputs.extend(history.iter().take(1).map(|change| [&[1], change.bytes()].concat()));
    inputs.extend(
        bombs::corpus().into_iter().filter(|(_, bomb)| bomb.len() < 4_096).map(|(_, bomb)| [vec![0], bomb].concat()),
    );
    inputs
}

fn records() -> Vec<Vec<u8>> {
    let texts = [
        RECORD,
        r#"{"id":"x-1","title":"t"}"#,
        r#"{"id":"x-1.1","title":"t","status":"tombstone","updated_at":"2026-01-01T00:00:00Z","labels":null,"extra":{"a":{"b":[true,false]}}}"#,
        r#"{"id":"x","beadmesh_id":"kbkfaukbkfaukbkfaukbkfauke","title":"\ud83c\udf89","priority":4,"deleted_at":"x"}"#,
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
