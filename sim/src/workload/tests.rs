use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use beadmesh_protocol::bead::import::value_of;
use beadmesh_protocol::bead::{DepKey, Target};
use beadmesh_protocol::clock::{Instant, Now};
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::invite::JoinRequest;
use beadmesh_protocol::limits::WIRE_VERSION;
use beadmesh_protocol::op::Role;
use beadmesh_protocol::testing::Author;
use beadmesh_protocol::wire::Frame;
use beadmesh_store::MemoryKv;
use beadmesh_store::command::{BeadAnswer, CommandError, NewInvite};
use beadmesh_store::replica::{Config, Event, Input, LinkId, Output, Replica, RequestId};

use super::*;

const KINDS: [WishKind; 34] = [
    WishKind::Create,
    WishKind::CreateRich,
    WishKind::CreateNamed,
    WishKind::Set,
    WishKind::SetStatus,
    WishKind::Close,
    WishKind::Reopen,
    WishKind::Delete,
    WishKind::Resolve,
    WishKind::AddLabel,
    WishKind::RemoveLabel,
    WishKind::AddScope,
    WishKind::RemoveScope,
    WishKind::Comment,
    WishKind::AddDep,
    WishKind::RemoveDep,
    WishKind::Import,
    WishKind::ImportNewer,
    WishKind::ImportOdd,
    WishKind::Project,
    WishKind::RegisterAgent,
    WishKind::RetireAgent,
    WishKind::SendLetter,
    WishKind::ReadLetter,
    WishKind::AckLetter,
    WishKind::Read,
    WishKind::Rebuild,
    WishKind::Claim,
    WishKind::TakeLease,
    WishKind::RenewClaim,
    WishKind::EndClaim,
    WishKind::CloseClaimed,
    WishKind::ReadClaims,
    WishKind::ChooseVoters,
];

/// Seconds after which every command is answered.
const LATE_S_MAX: u32 = 60;

/// A real replica in memory, and the beads it told of.
struct Alone {
    replica: Replica,
    author: Author,
    known: BTreeSet<BeadId>,
    desk: Desk,
    mono: Instant,
    asked: u64,
    frames: Vec<Vec<u8>>,
}

impl Alone {
    fn seeded(seed: u8) -> Self {
        let author = Author::seeded(seed);
        let config = Config {
            key: author.key.clone(),
            seed: [seed; 32],
            machine: "machine".to_owned(),
            node_name: format!("node-{seed}"),
            mesh_name: "mesh".to_owned(),
            boot: [0; 16],
            votes: true,
            renew_instance: false,
            documents_max: 8,
            window_bytes: beadmesh_protocol::sync::WINDOW_BYTES,
            membership: None,
            folds: None,
        };
        let (kv, mono) = (Box::new(MemoryKv::seeded(seed.into())), Instant::default());
        let replica = Replica::open(kv, config, now(mono)).unwrap().replica;
        let desk = Desk::new(author.node());
        let mut alone = Self { replica, author, known: BTreeSet::new(), desk, mono, asked: 0, frames: Vec::new() };
        alone.flush();
        alone
    }

    fn handle(&mut self, input: Input) {
        self.replica.handle(now(self.mono), input);
    }

    fn flush(&mut self) -> Option<Result<Answer, CommandError>> {
        let mut reply = None;
        for output in self.replica.flush().expect("the disk is sound") {
            match output {
                Output::Reply(_, told) => reply = Some(*told),
                Output::Frame(_, frame) => self.frames.push(frame.encode()),
                Output::Event(Event::Bead { bead, .. }) => drop(self.known.insert(bead)),
                Output::Event(Event::Letter { letter, to, .. }) => drop(self.desk.hear(letter, &to)),
                Output::Close { reason, .. } => panic!("{reason}"),
                Output::Event(_) | Output::Notice(_) | Output::Lease(..) | Output::Mesh(_) => {}
                Output::Members(_) | Output::JoinOpen(_) => {}
            }
        }
        reply
    }

    fn ask(&mut self, command: Command) -> Result<Answer, CommandError> {
        self.asked += 1;
        self.mono = self.mono.after(Duration::from_millis(250));
        self.handle(Input::Command(RequestId(self.asked), command));
        // Claims wait for others, and for voters.
        for _ in 0..LATE_S_MAX {
            if let Some(reply) = self.flush() {
                return reply;
            }
            self.mono = self.mono.after(Duration::from_secs(1));
            self.handle(Input::Wakeup);
        }
        panic!("a command is not answered in {LATE_S_MAX} s")
    }

    fn show(&mut self, bead: BeadId) -> Option<BeadAnswer> {
        match self.ask(Command::Show(bead.to_string())) {
            Ok(Answer::Bead(shown)) => Some(*shown),
            Err(CommandError::NotFound { .. }) => None,
            other => panic!("{other:?}"),
        }
    }

    /// Lists the beads anew, because no event tells of one while there is no index, and returns the digest of all.
    fn look(&mut self) -> String {
        let Ok(Answer::ExportIndex(ids)) = self.ask(Command::ExportIndex(None)) else { panic!("ids") };
        self.known = ids.into_iter().collect();
        let Ok(Answer::Status(status)) = self.ask(Command::Status) else { panic!("a status") };
        status.digest
    }

    /// Returns whether an effect in mail holds here now.
    fn holds_mail(&mut self, effect: &MailEffect) -> bool {
        let Ok(Answer::Agents(agents)) = self.ask(Command::AgentList { all: true }) else { panic!("agents") };
        let Ok(Answer::MailExport(mail)) = self.ask(Command::MailExport) else { panic!("mail") };
        match effect {
            MailEffect::Registered { agent } => agents.iter().any(|known| known.id == *agent),
            MailEffect::Retired { agent } => agents.iter().any(|known| known.id == *agent && known.retired),
            MailEffect::Sent { letter, to, .. } => {
                !to.is_empty() && to.iter().all(|agent| mail.inboxes[agent].letters.contains(letter))
            }
            MailEffect::Received { letter, agent, .. } => match mail.system.get(letter) {
                // What became of a lease is told by its node alone, which keeps the receipt.
                Some(told) => told.agent == *agent && !told.unread,
                None => mail.letters[letter].receipts.iter().any(|receipt| receipt.party.agent == *agent),
            },
        }
    }

    /// Returns whether an effect holds here now.
    fn holds(&mut self, effect: &Effect) -> bool {
        let Some(BeadAnswer { bead, .. }) = self.show(effect.bead()) else { return false };
        match effect {
            Effect::Created { alias, .. } => bead.alias == *alias,
            Effect::Imported { .. } | Effect::Worked { .. } => true,
            Effect::Field { field, value, .. } => {
                let shown = match value_of(&bead, Field::parse(field).expect("a field")) {
                    FieldValue::Absent => None,
                    FieldValue::Number(number) => Some(number.to_string()),
                    FieldValue::Text(text) => Some(text),
                };
                shown == *value
            }
            Effect::Label { label, present, .. } => bead.labels.contains(label) == *present,
            Effect::Scope { pattern, present, .. } => bead.scopes.contains(pattern) == *present,
            Effect::Comment { text, .. } => bead.comments.iter().any(|comment| comment.text == *text),
            Effect::Dep { kind: Some(kind), target, present, .. } => {
                let key = DepKey { kind: kind.clone(), target: Target::Id(*target) };
                bead.deps.contains_key(&key) == *present
            }
            Effect::Dep { kind: None, target, present, .. } => {
                bead.deps.keys().any(|key| key.target == Target::Id(*target)) == *present
            }
        }
    }
}

fn now(mono: Instant) -> Now {
    Now { mono, wall: Wall::from_millis(1_700_000_000_000 + mono.as_micros() / 1_000) }
}

/// Lets the second into the mesh of the first.
fn join(first: &mut Alone, second: &mut Alone) {
    let new = NewInvite {
        ttl: Duration::from_secs(3_600),
        uses: 1,
        role: Role::Member,
        approval: false,
        addresses: Vec::new(),
    };
    let Ok(Answer::Invited(ticket)) = first.ask(Command::Invite(new)) else { panic!("a ticket") };
    let joiner = second.author.node();
    let proof = ticket.secret.prove(ticket.mesh, ticket.inviter, joiner);
    let name = "second".to_owned();
    let request = JoinRequest { version: WIRE_VERSION, invite: ticket.secret.invite(), proof, name };
    let Ok(Answer::JoinDecision(Ok(control))) = first.ask(Command::Welcome(joiner, request)) else { panic!("let in") };
    let opened = control.into_iter().map(|sealed| Entry::open(ticket.mesh, sealed));
    let control = opened.collect::<Result<_, _>>().expect("an inviter sends sound entries");
    second.ask(Command::Enter(ticket.mesh, control)).expect("the way is open");
}

/// Links two replicas until neither has anything to say, and cuts the link.
fn meet(first: &mut Alone, second: &mut Alone, link: u64) {
    let link = LinkId(link);
    let mono = first.mono.max(second.mono);
    (first.mono, second.mono) = (mono, mono);
    let (one, two) = (first.author.node(), second.author.node());
    first.handle(Input::LinkUp(link, two, "/memory".to_owned()));
    second.handle(Input::LinkUp(link, one, "/memory".to_owned()));
    let mut wire: VecDeque<(bool, Vec<u8>)> = VecDeque::new();
    for round in 0..4 {
        loop {
            for (to_second, side) in [(true, &mut *first), (false, &mut *second)] {
                assert!(side.flush().is_none());
                wire.extend(side.frames.drain(..).map(|frame| (to_second, frame)));
            }
            let Some((to_second, bytes)) = wire.pop_front() else { break };
            let side = if to_second { &mut *second } else { &mut *first };
            let frame = Frame::decode(side.replica.mesh(), &bytes).unwrap();
            side.handle(Input::Frame(link, frame));
        }
        // What time brings, such as the end of a claim, is still told.
        for side in [&mut *first, &mut *second].into_iter().filter(|_| round < 3) {
            side.mono = side.mono.after(Duration::from_secs(31));
            side.handle(Input::Wakeup);
        }
    }
    for side in [first, second] {
        side.handle(Input::LinkDown(link));
        side.flush();
        side.frames.clear();
    }
}

/// What became of the commands of each kind: how many were done, how many refused.
type Tally = BTreeMap<WishKind, (u32, u32)>;

/// Asks what a wish comes to, and looks whether its effects hold.
fn grant(node: &mut Alone, index: usize, wish: &Wish, tally: &mut Tally) {
    let (known, desk) = (node.known.clone(), node.desk.clone());
    let sight = Sight { known: &known, desk: &desk, linked: &[], wall: now(node.mono).wall };
    for Asked { command, mut effects, mut mail, agent } in commands(5, index, wish, &sight) {
        let told = format!("{wish:?}: {}", format!("{command:?}").chars().take(600).collect::<String>());
        let (done, refused) = tally.entry(wish.kind).or_default();
        let answer = node.ask(command);
        node.desk.learn(agent.as_deref(), &answer);
        if is_about_agents(wish.kind) {
            let listed = node.ask(Command::AgentList { all: false }).expect("agents");
            node.desk.meet(listed);
        }
        match answer {
            Ok(answer) => {
                *done += 1;
                learn(&mut effects, &mut mail, &answer);
                for effect in &mail {
                    assert!(node.holds_mail(effect), "{effect:?} does not hold after {told}");
                }
                for effect in &effects {
                    assert!(node.holds(effect), "{effect:?} does not hold after {told}");
                }
            }
            Err(CommandError::Store(error)) => panic!("{error} after {told}"),
            Err(_) => *refused += 1,
        }
    }
}

fn is_about_agents(kind: WishKind) -> bool {
    matches!(kind, WishKind::RegisterAgent | WishKind::RetireAgent | WishKind::SendLetter)
}

fn wishes(count: usize) -> Vec<Wish> {
    let mut stream = Stream::keyed(11, "test", 0, 0);
    let wish = |at: usize| {
        let drawn = if at < KINDS.len() { KINDS[at] } else { *stream.pick(&KINDS) };
        // A rebuild takes as long as all that was done before it.
        let kind = if drawn == WishKind::Rebuild && at > 200 { WishKind::Set } else { drawn };
        Wish { at_ms: at as u64, node: u32::from(at % 2 == 1), kind, salt: stream.number() }
    };
    (0..count).map(wish).collect()
}

#[test]
fn the_effects_of_a_wish_hold_where_it_was_granted() {
    let mut node = Alone::seeded(1);
    let mut tally = Tally::new();
    for (index, wish) in wishes(2_000).iter().enumerate() {
        grant(&mut node, index, wish, &mut tally);
    }
    let (done, refused) = tally.values().fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
    assert!(done > refused, "{done} done, {refused} refused: {tally:?}");
    for kind in KINDS {
        // One node alone has nothing to settle, and nobody to choose.
        assert!(
            tally[&kind].0 > 4 || matches!(kind, WishKind::Resolve | WishKind::ChooseVoters),
            "{kind:?}: {tally:?}"
        );
    }
}

#[test]
fn effects_hold_among_conflicts_too() {
    let (mut first, mut second) = (Alone::seeded(1), Alone::seeded(2));
    join(&mut first, &mut second);
    let mut tally = Tally::new();
    for (index, wish) in wishes(1_000).iter().enumerate() {
        if index % 40 == 39 {
            meet(&mut first, &mut second, index as u64);
            assert_eq!(first.look(), second.look(), "they met and differ");
        }
        let node = if wish.node == 0 { &mut first } else { &mut second };
        grant(node, index, wish, &mut tally);
    }
    let is_done = |kind: &WishKind| tally[kind].0 > 0 || *kind == WishKind::ChooseVoters;
    assert!(KINDS.iter().all(is_done), "{tally:?}");
}

#[test]
fn equal_wishes_are_equal_commands() {
    let known = BTreeSet::from([BeadId::from_bytes([1; 16]), BeadId::from_bytes([2; 16])]);
    let desk = Desk::new(Author::seeded(1).node());
    let sight = Sight { known: &known, desk: &desk, linked: &[], wall: Wall::from_millis(1_700_000_000_000) };
    for (index, wish) in wishes(500).iter().enumerate() {
        let text = || format!("{:?}", commands(3, index, wish, &sight));
        assert_eq!(text(), text());
    }
}

#[test]
fn records_are_the_same_on_every_node() {
    let (none, some) = (BTreeSet::new(), BTreeSet::from([BeadId::from_bytes([1; 16])]));
    let wish = |node, salt| Wish { at_ms: 0, node, kind: WishKind::Import, salt };
    let imported = |known, wall, salt| {
        let desk = Desk::new(Author::seeded(1).node());
        let sight = Sight { known, desk: &desk, linked: &[], wall: Wall::from_millis(wall) };
        let asked = commands(3, 9, &wish(0, salt), &sight);
        let bytes = asked.into_iter().filter_map(|asked| match asked.command {
            Command::Import(records) => Some(records),
            _ => None,
        });
        let records = bytes.flatten().map(|record| (record.bead.id, record.changes));
        records
            .map(|(id, changes)| (id, changes.iter().map(|change| change.hash()).collect::<Vec<_>>()))
            .collect::<Vec<_>>()
    };
    let all: Vec<(BeadId, Vec<_>)> = (0..50).flat_map(|salt| imported(&none, 1, salt)).collect();
    let again: Vec<(BeadId, Vec<_>)> = (0..50).flat_map(|salt| imported(&some, 1 << 40, salt)).collect();
    assert_eq!(all, again);
    let beads: BTreeSet<BeadId> = all.iter().map(|(id, _)| *id).collect();
    assert!(beads.len() <= 60 && all.len() > beads.len() * 2, "{} of {}", beads.len(), all.len());
}

#[test]
fn marks_are_found_in_any_text() {
    assert_eq!(marked("w1-a vw22-b w-3 w4 w5w6-").collect::<Vec<_>>(), [1, 22, 6]);
    assert_eq!(marked(&format!("some {}label", mark(17))).collect::<Vec<_>>(), [17]);
}
