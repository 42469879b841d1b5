use std::time::Duration;

use beadmesh_protocol::bead::import::import_change;
use beadmesh_protocol::bead::{Bead, Conflict, Field, FieldValue, Status};
use beadmesh_protocol::id::BeadId;
use beadmesh_protocol::jsonl::Record;
use beadmesh_protocol::limits::ALIAS_BYTES_MAX;
use beadmesh_protocol::op::Role;

use crate::command::{
    Action, Answer, BeadAnswer, BeadEdit, Command, CommandError, Credential, Filter, Finding, NewAgent, NewBead,
    NewLetter, Prepared, ProjectAnswer, ProjectContext,
};
use crate::testing::{Net, bead, edit};

const REMOTE: &str = "github.com/ada/tool";
const FORK: &str = "github.com/bob/tool";
const ROOT: &str = "root:0123456789abcdef0123456789abcdef01234567";

fn told(net: &mut Net, at: usize, command: Command) -> BeadAnswer {
    match net.ask(at, command) {
        Ok(Answer::Bead(bead)) => *bead,
        other => panic!("{other:?}"),
    }
}

fn close(reason: Option<&str>) -> Action {
    Action::Close(reason.map(str::to_owned))
}

fn set(field: Field, text: &str) -> Action {
    Action::Set(vec![(field, FieldValue::Text(text.to_owned()))])
}

/// The field that a refusal names.
fn invalid(answer: Result<Answer, CommandError>) -> String {
    match answer {
        Err(CommandError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

fn keys(keys: &[&str]) -> ProjectContext {
    ProjectContext { keys: keys.iter().map(|key| (*key).to_owned()).collect(), prefix: None }
}

fn in_project(alias: &str, named: &[&str]) -> Command {
    Command::Create(Box::new(NewBead { project: keys(named), ..bead(alias) }))
}

/// The aliases that a list of a project names, which ready and export agree with.
fn listed(net: &mut Net, named: &[&str]) -> Vec<String> {
    let filter = Filter { project: Some(keys(named)), limit: 0, ..Filter::default() };
    let Ok(Answer::Beads(list)) = net.ask(0, Command::List(filter.clone())) else { panic!("a list") };
    let Ok(Answer::Beads(ready)) = net.ask(0, Command::Ready(filter)) else { panic!("a list") };
    let Ok(Answer::ExportIndex(export)) = net.ask(0, Command::ExportIndex(Some(keys(named)))) else { panic!("ids") };
    assert_eq!((list.beads.len(), list.beads.len()), (ready.beads.len(), export.len()));
    list.beads.into_iter().map(|bead| bead.alias).collect()
}

fn project(net: &mut Net, command: Command) -> ProjectAnswer {
    match net.ask(0, command) {
        Ok(Answer::Project(project)) => project,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bead_that_is_closed_is_closed_again_only_for_another_reason() {
    let mut net = Net::alone(1);
    net.create(0, "one");
    let closed = told(&mut net, 0, edit("one", close(Some("done"))));
    net.elapse(Duration::from_secs(60));
    for same in [close(None), close(Some("")), close(Some("done")), set(Field::Status, "closed")] {
        let entries = net.status(0).entries;
        assert_eq!(told(&mut net, 0, edit("one", same)), closed);
        assert_eq!(net.status(0).entries, entries);
    }
    let again = told(&mut net, 0, edit("one", close(Some("done well"))));
    assert_eq!(
        (&again.bead.closed_at, again.bead.close_reason.as_deref()),
        (&closed.bead.closed_at, Some("done well"))
    );
    let open = told(&mut net, 0, edit("one", Action::Reopen));
    assert_eq!((&open.bead.status, open.bead.closed_at.as_deref()), (&Status::Open, None));
    let entries = net.status(0).entries;
    assert_eq!(told(&mut net, 0, edit("one", Action::Reopen)), open);
    assert_eq!(net.status(0).entries, entries);
}

#[test]
fn a_deleted_bead_is_changed_by_nothing_until_it_is_reopened() {
    let mut net = Net::alone(1);
    net.create(0, "gone");
    net.create(0, "other");
    let before = told(&mut net, 0, edit("gone", Action::Labels { add: vec!["x".to_owned()], remove: Vec::new() }));
    let deleted = told(&mut net, 0, edit("gone", Action::Delete(Some("a slip".to_owned()))));
    let words = |word: &str| vec![word.to_owned()];
    for action in [
        set(Field::Title, "new"),
        set(Field::Status, "open"),
        close(None),
        Action::Comment("late".to_owned()),
        Action::Labels { add: words("y"), remove: Vec::new() },
        Action::Scopes { add: words("src/"), remove: Vec::new() },
        Action::AddDep("blocks".to_owned(), "other".to_owned()),
        Action::RemoveDep(None, "other".to_owned()),
    ] {
        let Err(error) = net.ask(0, edit("gone", action.clone())) else { panic!("{action:?}") };
        assert_eq!((error.code(), error.to_string().as_str()), ("conflict", "gone was deleted"), "{action:?}");
        assert_eq!(error.hint(), "`beadmesh bead reopen gone` brings it back");
    }
    net.elapse(Duration::from_secs(60));
    assert_eq!(told(&mut net, 0, edit("gone", Action::Delete(None))), deleted);
    let again = told(&mut net, 0, edit("gone", Action::Delete(Some("for good".to_owned()))));
    assert_eq!(again.bead.extra["delete_reason"], "\"for good\"");
    assert_eq!(again.bead.extra["deleted_at"], deleted.bead.extra["deleted_at"]);
    let back = told(&mut net, 0, edit("gone", Action::Reopen));
    assert_eq!(Bead { updated_at: before.bead.updated_at.clone(), ..back.bead }, before.bead);
    net.set(0, "gone", Field::Title, "new");
}

#[test]
fn two_that_close_one_bead_differ_over_the_reason_alone() {
    let mut net = Net::joined(2);
    let link = net.link(0, 1);
    net.create(0, "one");
    net.settle();
    net.cut(link);
    told(&mut net, 0, edit("one", close(Some("done"))));
    net.elapse(Duration::from_secs(60));
    told(&mut net, 1, edit("one", close(Some("no longer wanted"))));
    net.link(0, 1);
    net.settle();
    let conflicts: Vec<Conflict> = told(&mut net, 0, Command::Show("one".to_owned())).conflicts;
    assert_eq!(conflicts.iter().map(|conflict| conflict.field.as_str()).collect::<Vec<_>>(), ["close_reason"]);
    let resolved = told(&mut net, 0, edit("one", Action::Resolve(Field::CloseReason, None)));
    assert_eq!(resolved.conflicts, []);
}

#[test]
fn the_start_of_a_number_closes_nothing() {
    let mut net = Net::alone(1);
    net.create(0, "task-10");
    net.create(0, "epic-1.1");
    for name in ["task-1", "epic-1", "task"] {
        let found = net.ask(0, edit(name, close(None)));
        assert_eq!(found.is_ok(), name == "task", "{name}");
    }
}

#[test]
fn what_people_write_is_checked_and_made_canonical() {
    let mut net = Net::alone(1);
    let with = |field, text: &str| {
        let mut new = bead("new");
        new.fields.push((field, FieldValue::Text(text.to_owned())));
        Command::Create(Box::new(new))
    };
    assert_eq!(invalid(net.ask(0, with(Field::DueAt, "xx"))), "due_at");
    let made = told(&mut net, 0, with(Field::DeferUntil, "2999-01-01"));
    assert_eq!((made.bead.defer_until.as_deref(), made.ready), (Some("2999-01-01T00:00:00Z"), false));
    let made = told(&mut net, 0, edit("new", set(Field::DueAt, "2027-01-01T12:00")));
    assert_eq!(made.bead.due_at.as_deref(), Some("2027-01-01T12:00:00Z"));
    assert_eq!(invalid(net.ask(0, edit("new", set(Field::DeferUntil, "tomorrow")))), "defer_until");
    for (field, action) in [
        ("title", set(Field::Title, "two\nlines")),
        ("id", set(Field::Alias, "a\u{202e}b")),
        ("assignee", set(Field::Assignee, "ada\t")),
        ("labels", Action::Labels { add: vec!["a\u{0}".to_owned()], remove: Vec::new() }),
    ] {
        assert_eq!(invalid(net.ask(0, edit("new", action))), field);
    }
    let wrong = [
        ("labels", NewBead { labels: vec!["a\nb".to_owned()], ..bead("wrong") }),
        ("id", NewBead { alias: Some("a\u{2066}b".to_owned()), ..bead("wrong") }),
        ("by", NewBead { by: "ada\n".to_owned(), ..bead("wrong") }),
    ];
    for (field, new) in wrong {
        assert_eq!(invalid(net.ask(0, Command::Create(Box::new(new)))), field);
    }
    let by_nobody = BeadEdit { bead: "new".to_owned(), action: close(None), by: "\u{1b}".to_owned() };
    assert_eq!(invalid(net.ask(0, Command::Edit(by_nobody))), "by");
}

#[test]
fn a_child_can_not_block_what_it_is_under() {
    let mut net = Net::alone(1);
    net.create(0, "epic");
    let names = |name: &str| vec![name.to_owned()];
    let child = NewBead { parent: Some("epic".to_owned()), blocks: names("epic"), ..bead("child") };
    let refused = net.ask(0, Command::Create(Box::new(child)));
    assert!(matches!(refused, Err(CommandError::Cycle { path }) if path == ["epic", "child", "epic"]));
    net.create(0, "other");
    let child = NewBead { parent: Some("epic".to_owned()), blocks: names("other"), ..bead("child") };
    net.ask(0, Command::Create(Box::new(child))).unwrap();
}

#[test]
fn a_child_of_a_bead_that_shares_its_alias_is_numbered_under_that_alias() {
    let mut net = Net::joined(2);
    net.create(0, "same");
    net.elapse(Duration::from_secs(60));
    net.create(1, "same");
    net.link(0, 1);
    net.settle();
    let line = net.export(0).into_iter().find(|line| line.contains("same~")).unwrap();
    let younger = Record::parse(&line, None).unwrap().bead.id;
    let shown = told(&mut net, 0, Command::Show(younger.to_string())).alias;
    assert!(shown.starts_with("same~"), "{shown}");
    for (number, parent) in (1..).zip([&*shown, "same", &*shown]) {
        let child = NewBead { alias: None, parent: Some(parent.to_owned()), ..bead("child") };
        let made = told(&mut net, 0, Command::Create(Box::new(child)));
        assert_eq!((made.alias, made.parent.as_deref()), (format!("same.{number}"), Some(parent)));
        let found = told(&mut net, 0, Command::Show(format!("same.{number}")));
        assert_eq!(found.bead.id, made.bead.id);
    }
    let exported = net.export(0);
    let mut other = Net::alone(1);
    let records = exported.iter().map(|line| {
        let Record { bead, has_updated_at, has_created_at } = Record::parse(line, None).unwrap();
        let changes = import_change(&bead).unwrap();
        Prepared { line: 1, bead, changes, has_updated_at, has_created_at }
    });
    other.ask(0, Command::Import(records.collect())).unwrap();
    assert_eq!(other.export(0), exported);
}

#[test]
fn a_child_for_which_its_parents_alias_leaves_no_room_has_one_minted() {
    let mut net = Net::alone(1);
    let long = "x".repeat(ALIAS_BYTES_MAX);
    net.create(0, &long);
    let child = NewBead { alias: None, parent: Some(long), ..bead("child") };
    let made = told(&mut net, 0, Command::Create(Box::new(child)));
    assert!(made.alias.starts_with("bm-"), "{}", made.alias);
}

#[test]
fn what_an_observer_would_write_is_refused_and_stored_nowhere() {
    let mut net = Net::alone(2);
    net.create(0, "one");
    net.join_as(Role::Observer, 0, 1).unwrap();
    net.link(0, 1);
    net.settle();
    let record = Bead::new(BeadId::from_bytes([3; 16]), "record".to_owned(), "imported".to_owned());
    let changes = import_change(&record).unwrap();
    let record = Prepared { line: 1, bead: record, changes, has_updated_at: false, has_created_at: false };
    let before = (net.status(1), net.export(1));
    for command in [
        Command::Create(Box::new(bead("two"))),
        edit("one", close(None)),
        Command::Import(vec![record]),
        Command::Project(keys(&[REMOTE])),
        Command::Unite(keys(&[REMOTE, ROOT])),
    ] {
        let Err(error) = net.ask(1, command) else { panic!("an observer wrote") };
        assert_eq!(error.code(), "refused");
        assert_eq!(error.to_string(), "this node is an observer: it reads, and what it writes has no effect");
        let owner = net.peers[0].replica.mesh.roster().display_name(net.node(0));
        assert!(error.hint().contains(&format!("such as {owner}, for a ticket with the role member")), "{error:?}");
        assert_eq!((net.status(1), net.export(1)), before);
    }
    told(&mut net, 1, Command::Show("one".to_owned()));
    net.ask(1, Command::Announce(vec!["/ip4/10.0.0.1/tcp/7117".to_owned()])).unwrap();
    net.settle();
    assert_eq!(net.status(0).digest, net.status(1).digest);
}

#[test]
fn a_node_with_beads_does_not_become_an_observer() {
    let mut net = Net::alone(2);
    net.create(1, "mine");
    let before = (net.status(1), net.export(1));
    let Err(error) = net.join_as(Role::Observer, 0, 1) else { panic!("its bead is gone") };
    assert_eq!(error.to_string(), "this node would be an observer there, and its bead would have no effect");
    assert!(error.hint().contains("empty BEADMESH_HOME"));
    net.crash(1);
    assert_eq!(net.export(1), before.1);
    assert_eq!((net.status(1).mesh, net.status(1).entries), (before.0.mesh, before.0.entries));
    net.create(1, "more");
}

#[test]
fn an_observer_leaves_the_projects_it_named_behind() {
    let mut net = Net::alone(2);
    net.ask(1, Command::Project(keys(&[REMOTE]))).unwrap();
    net.join_as(Role::Observer, 0, 1).unwrap();
    net.link(0, 1);
    net.settle();
    let (here, there) = (net.status(0), net.status(1));
    assert_eq!((here.digest, here.entries), (there.digest, there.entries));
    assert_eq!(here.entries, 2, "the founding entry and the admission");
}

#[test]
fn an_observer_leaves_its_agents_behind_and_is_refused_with_letters() {
    for letters in [false, true] {
        let mut net = Net::alone(2);
        let new = NewAgent { name: Some("BlueLake".to_owned()), ..NewAgent::default() };
        let Ok(Answer::Registered { token, .. }) = net.ask(1, Command::AgentRegister(new)) else { panic!("no agent") };
        if letters {
            let credential = Credential { name: "BlueLake".to_owned(), token };
            let (to, body) = (vec!["BlueLake".to_owned()], "Text.".to_owned());
            let letter = NewLetter { to, body, subject: "Keys".to_owned(), ..NewLetter::default() };
            net.ask(1, Command::As(credential, Box::new(Command::MailSend(Box::new(letter))))).unwrap();
            let Err(error) = net.join_as(Role::Observer, 0, 1) else { panic!("its letter is gone") };
            assert_eq!(error.to_string(), "this node would be an observer there, and its letter would have no effect");
        } else {
            net.join_as(Role::Observer, 0, 1).unwrap();
            assert!(
                matches!(net.ask(1, Command::AgentList { all: true }), Ok(Answer::Agents(agents)) if agents.is_empty())
            );
        }
    }
}

#[test]
fn the_doctor_names_the_dependencies_that_close_cycles() {
    let mut net = Net::joined(2);
    let link = net.link(0, 1);
    net.create(0, "cyc-1");
    net.create(0, "cyc-1.1");
    net.settle();
    net.cut(link);
    net.ask(0, edit("cyc-1.1", Action::AddDep("parent-child".to_owned(), "cyc-1".to_owned()))).unwrap();
    net.elapse(Duration::from_secs(60));
    net.ask(1, edit("cyc-1", Action::AddDep("blocks".to_owned(), "cyc-1.1".to_owned()))).unwrap();
    net.link(0, 1);
    net.settle();
    let Ok(Answer::Checked(findings)) = net.ask(0, Command::Check) else { panic!("findings") };
    let expected = Finding {
        check: "beads.cycle",
        message: "1 dependency closes a cycle and is ignored for readiness: cyc-1 → cyc-1.1.".to_owned(),
        remedy: "run `beadmesh bead dep remove cyc-1 --on cyc-1.1`".to_owned(),
    };
    assert_eq!(findings, [expected]);
    net.ask(0, edit("cyc-1", Action::RemoveDep(None, "cyc-1.1".to_owned()))).unwrap();
    assert!(matches!(net.ask(0, Command::Check), Ok(Answer::Checked(findings)) if findings.is_empty()));
}

#[test]
fn beads_made_before_a_remote_was_added_stay_in_their_project() {
    let mut net = Net::alone(1);
    net.ask(0, in_project("early", &[ROOT])).unwrap();
    assert_eq!(listed(&mut net, &[REMOTE, ROOT]), ["early"]);
    net.ask(0, in_project("late", &[REMOTE, ROOT])).unwrap();
    for named in [&[REMOTE, ROOT][..], &[REMOTE], &[ROOT]] {
        assert_eq!(listed(&mut net, named), ["early", "late"]);
    }
    let entries = net.status(0).entries;
    project(&mut net, Command::Project(keys(&[REMOTE, ROOT])));
    assert_eq!(net.status(0).entries, entries);
}

#[test]
fn forks_are_united_by_nothing_but_a_wish() {
    let mut net = Net::alone(1);
    net.ask(0, in_project("ours", &[REMOTE, ROOT])).unwrap();
    net.ask(0, in_project("theirs", &[FORK, ROOT])).unwrap();
    assert_eq!(listed(&mut net, &[REMOTE, ROOT]), ["ours"]);
    assert_eq!(listed(&mut net, &[FORK, ROOT]), ["theirs"]);
    let united = project(&mut net, Command::Unite(keys(&[FORK, REMOTE, ROOT])));
    assert_eq!(united.keys, [REMOTE, FORK, ROOT]);
    assert_eq!(listed(&mut net, &[FORK]), ["ours", "theirs"]);
}

#[test]
fn a_project_nobody_has_heard_of_is_empty_in_every_list() {
    let mut net = Net::alone(1);
    net.create(0, "one");
    assert_eq!(listed(&mut net, &["name:unknown"]), [""; 0]);
    assert_eq!(listed(&mut net, &["name:default"]), ["one"]);
}

#[test]
fn a_prefix_must_be_fit_to_begin_an_alias() {
    let mut net = Net::alone(1);
    let named = |prefix: &str| ProjectContext { prefix: Some(prefix.to_owned()), ..keys(&["name:x"]) };
    for prefix in ["ü x", "", "a~b", "much-longer-than-anybody-types"] {
        assert_eq!(invalid(net.ask(0, Command::Unite(named(prefix)))), "prefix", "{prefix:?}");
    }
    assert_eq!(project(&mut net, Command::Unite(named("api"))).prefix, "api");
}

#[test]
fn beads_without_a_date_are_listed_by_alias() {
    let mut net = Net::alone(1);
    let records = [("x-2", 1), ("x-3", 2), ("x-1", 3)].map(|(alias, id)| {
        let bead = Bead::new(BeadId::from_bytes([id; 16]), alias.to_owned(), "undated".to_owned());
        let changes = import_change(&bead).unwrap();
        Prepared { line: 1, bead, changes, has_updated_at: false, has_created_at: false }
    });
    net.ask(0, Command::Import(records.into())).unwrap();
    let filter = Filter { limit: 2, ..Filter::default() };
    let Ok(Answer::Beads(page)) = net.ask(0, Command::List(filter.clone())) else { panic!("a list") };
    assert_eq!(page.beads.iter().map(|bead| bead.alias.as_str()).collect::<Vec<_>>(), ["x-1", "x-2"]);
    let Ok(Answer::Beads(rest)) = net.ask(0, Command::List(Filter { after: page.next, ..filter.clone() })) else {
        panic!("a list")
    };
    assert_eq!(rest.beads[0].alias, "x-3");
    let Ok(Answer::Beads(ready)) = net.ask(0, Command::Ready(filter)) else { panic!("a list") };
    assert_eq!(ready.beads[0].alias, "x-1");
}

#[test]
fn what_is_not_found_points_at_commands_that_exist() {
    let mut net = Net::alone(1);
    net.create(0, "one");
    let Err(error) = net.ask(0, Command::Show("none".to_owned())) else { panic!("nothing") };
    assert_eq!(error.hint(), "`beadmesh bead list --all` shows what there is");
    let Err(error) = net.ask(0, edit("one", Action::RemoveDep(None, "none".to_owned()))) else { panic!("nothing") };
    assert_eq!(error.hint(), "`beadmesh bead show` lists what a bead depends on");
}
