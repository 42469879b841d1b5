use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use beadmesh_node::api::model::{Importance, Scalar};
use clap::{CommandFactory, Parser};

use super::{
    AgentCommand, BeadCommand, Cli, Color, Command, CreateArgs, DepCommand, GuardCommand, HookArg, LeaseCommand,
    ListArgs, MailCommand, RecoveryCommand, SimCommand, UpdateArgs, VotersCommand, WordsCommand, glance,
};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("beadmesh").chain(line.split(' ')))
}

fn bead(line: &str) -> BeadCommand {
    match parse(&format!("bead {line}")).unwrap().command {
        Command::Bead { command } => command,
        other => panic!("{other:?}"),
    }
}

fn sim(line: &str) -> SimCommand {
    match parse(&format!("sim {line}")).unwrap().command {
        Command::Sim { command } => command,
        other => panic!("{other:?}"),
    }
}

fn create(line: &str) -> CreateArgs {
    match bead(line) {
        BeadCommand::Create(args) => *args,
        other => panic!("{other:?}"),
    }
}

fn update(line: &[&str]) -> UpdateArgs {
    let line = ["beadmesh", "bead", "update"].iter().chain(line);
    match Cli::try_parse_from(line).unwrap().command {
        Command::Bead { command: BeadCommand::Update(args) } => *args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_tree_of_commands_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn create_takes_every_field() {
    let args = create(
        "create Title -t bug -p P1 -d - --id VED-1 --label a --label b,c --scope src/** --blocks x --blocks y \
         --blocked-by z --parent e --estimate 90 --acceptance works --criterion one --criterion two --design d \
         --notes n --assignee ada --due 2026-03-01 --defer 2026-02-01 --external-ref gh-1",
    );
    assert_eq!((args.title.as_str(), args.kind.as_deref(), args.priority), ("Title", Some("bug"), Some(1)));
    assert_eq!((args.description.as_deref(), args.alias.as_deref()), (Some("-"), Some("VED-1")));
    assert_eq!((args.labels, args.scopes), (vec!["a".into(), "b".into(), "c".into()], vec!["src/**".to_owned()]));
    assert_eq!((args.blocks, args.blocked_by), (vec!["x".into(), "y".into()], vec!["z".to_owned()]));
    assert_eq!((args.parent.as_deref(), args.estimate), (Some("e"), Some(90)));
    assert_eq!((args.acceptance.as_deref(), args.criteria), (Some("works"), vec!["one".into(), "two".to_owned()]));
    assert_eq!((args.design.as_deref(), args.notes.as_deref()), (Some("d"), Some("n")));
    assert_eq!((args.due.as_deref(), args.defer.as_deref()), (Some("2026-03-01"), Some("2026-02-01")));
    assert_eq!((args.assignee.as_deref(), args.external_ref.as_deref()), (Some("ada"), Some("gh-1")));
}

#[test]
fn create_needs_no_more_than_a_title() {
    let args = create("create Title");
    assert_eq!((args.title.as_str(), args.priority, args.labels.len()), ("Title", None, 0));
    assert!(parse("bead create").is_err());
    assert!(parse("bead create Title -p high").is_err());
    assert_eq!(create("create Title -p 0").priority, Some(0));
    assert_eq!(create("create Title -d --dashes").description.as_deref(), Some("--dashes"));
}

#[test]
fn update_sets_and_clears_fields() {
    let args = update(&["bm-1", "--title", "New", "--priority", "P0", "--status", "in_progress", "--assignee", ""]);
    assert_eq!(args.id, "bm-1");
    assert_eq!(args.title, Some(Scalar::Text("New".into())));
    assert_eq!(args.priority, Some(Scalar::Number(0)));
    assert_eq!(args.status, Some(Scalar::Text("in_progress".into())));
    assert_eq!(args.assignee, Some(Scalar::Absent));
    assert_eq!(args.notes, None);
    assert_eq!(update(&["bm-1", "-d", "-"]).description, Some(Scalar::Text("-".into())));
}

#[test]
fn several_beads_are_closed_and_shown_at_once() {
    let BeadCommand::Close(args) = bead("close a b --reason fixed") else { panic!() };
    assert_eq!((args.ids, args.reason.as_deref()), (vec!["a".into(), "b".to_owned()], Some("fixed")));
    let BeadCommand::Show(args) = bead("show a b") else { panic!() };
    assert_eq!(args.ids, ["a", "b"]);
    let BeadCommand::Reopen(args) = bead("reopen a") else { panic!() };
    assert_eq!(args.ids, ["a"]);
    assert!(matches!(bead("delete a -r twice"), BeadCommand::Delete(_)));
    assert!(parse("bead close").is_err());
}

#[test]
fn lists_are_filtered() {
    let line =
        "list --status open --status blocked -l x,y --type bug -p P0,1 -a ada --parent e --all --limit 0 --after id";
    let BeadCommand::List(args) = bead(line) else { panic!() };
    let ListArgs { status, parent, all, filter: args, .. } = args;
    assert_eq!((status, args.label), (vec!["open".into(), "blocked".into()], vec!["x".into(), "y".to_owned()]));
    assert_eq!((args.kind, args.priority), (vec!["bug".to_owned()], vec![0, 1]));
    assert_eq!((args.assignee.as_deref(), parent.as_deref()), (Some("ada"), Some("e")));
    assert_eq!((all, args.limit, args.after.as_deref()), (true, Some(0), Some("id")));
    assert!(matches!(bead("ready"), BeadCommand::Ready(args) if args.filter.limit.is_none()));
    assert!(matches!(bead("blocked -n 5"), BeadCommand::Blocked(args) if args.filter.limit == Some(5)));
    // What has no meaning there is no flag there.
    for line in ["bead ready --all", "bead ready -s open", "bead blocked --all", "bead blocked --parent e"] {
        assert!(parse(line).is_err(), "{line}");
    }
    assert!(parse("bead ready --parent e").is_ok() && parse("bead blocked -s blocked").is_ok());
}

#[test]
fn dependencies_labels_scopes_and_comments_have_their_forms() {
    let BeadCommand::Dep { command: DepCommand::Add(args) } = bead("dep add a --on b --type related") else { panic!() };
    assert_eq!((args.id.as_str(), args.on.as_str(), args.kind.as_deref()), ("a", "b", Some("related")));
    let BeadCommand::Dep { command: DepCommand::Remove(args) } = bead("dep remove a --on b") else { panic!() };
    assert_eq!(args.kind, None);
    let BeadCommand::Label { command: WordsCommand::Add(args) } = bead("label add a x y") else { panic!() };
    assert_eq!((args.id.as_str(), args.words), ("a", vec!["x".into(), "y".to_owned()]));
    assert!(matches!(bead("label remove a x"), BeadCommand::Label { command: WordsCommand::Remove(_) }));
    assert!(matches!(bead("scope add a src/**"), BeadCommand::Scope { command: WordsCommand::Add(_) }));
    let BeadCommand::Comment(args) = bead("comment a -") else { panic!() };
    assert_eq!(args.text, "-");
    let BeadCommand::Resolve(args) = bead("resolve a priority --value 1") else { panic!() };
    assert_eq!((args.field.as_str(), args.value.as_deref()), ("priority", Some("1")));
}

#[test]
fn files_go_in_and_out() {
    assert!(matches!(bead("import -"), BeadCommand::Import(args) if args.file == Path::new("-")));
    assert!(
        matches!(bead("export -o x.jsonl"), BeadCommand::Export(args) if args.output.as_deref() == Some(Path::new("x.jsonl")))
    );
    assert!(matches!(bead("export"), BeadCommand::Export(args) if args.output.is_none()));
}

#[test]
fn the_commands_of_the_mesh_have_their_forms() {
    let Command::Invite(args) = parse("invite --ttl 2d --uses 3").unwrap().command else { panic!() };
    assert_eq!((args.ttl, args.uses), (Duration::from_secs(172_800), 3));
    let Command::Invite(args) = parse("invite").unwrap().command else { panic!() };
    assert_eq!((args.ttl, args.uses), (Duration::from_secs(3_600), 1));
    assert!(parse("invite --uses 0").is_err());
    let Command::Up(args) = parse("up --listen /ip4/1.2.3.4/tcp/1 --listen /ip6/::1/tcp/2 --no-mdns").unwrap().command
    else {
        panic!()
    };
    let flags = args.set.flags();
    assert_eq!((flags.listen.map(|addresses| addresses.len()), flags.mdns), (Some(2), Some(false)));
    let Command::Up(args) = parse("up --no-mdns --mdns --ticket-file t").unwrap().command else { panic!() };
    let flags = args.set.flags();
    assert!(flags.mdns == Some(true) && flags.listen.is_none() && flags.ticket_file.unwrap().is_absolute());
    assert!(parse("up --listen garbage").is_err());
    assert!(matches!(parse("join -").unwrap().command, Command::Join(args) if args.ticket == "-"));
    let recovery = parse("recovery show --once").unwrap().command;
    assert!(matches!(recovery, Command::Recovery { command: RecoveryCommand::Show(args) } if args.once));
    assert!(parse("recovery show").is_err());
    assert!(parse("recovery take --key-file -").is_ok() && parse("recovery take").is_err());
    assert!(matches!(parse("doctor --rebuild").unwrap().command, Command::Doctor(args) if args.rebuild));
    assert!(matches!(parse("init --prefix api --name tool").unwrap().command, Command::Init(_)));
    for line in ["down", "status", "members", "peers", "completions bash"] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn meshes_are_simulated_with_and_without_wishes() {
    let SimCommand::Run(args) = sim("run") else { panic!() };
    assert_eq!((args.seed, args.scenario.name(), args.planned.nodes, args.plan), (1, "swarm", None, None));
    let line = "run --seed 7 --nodes 100 --scenario partition --span 10m --edits-per-second 9 --churn-per-minute 2 \
                --plan p.json --timeline t.svg --trace --planted bug";
    let SimCommand::Run(args) = sim(line) else { panic!() };
    assert_eq!((args.seed, args.scenario.name(), args.planned.nodes), (7, "partition", Some(100)));
    assert_eq!((args.planned.span, args.planned.edits_per_second), (Some(Duration::from_secs(600)), Some(9)));
    assert_eq!((args.planned.churn_per_minute, args.planned.planted.as_deref()), (Some(2), Some("bug")));
    assert_eq!((args.plan.as_deref(), args.shown.trace), (Some(Path::new("p.json")), true));
    let SimCommand::Sweep(args) = sim("sweep --seeds 1000 --seed 5 --threads 2 --keep plans") else { panic!() };
    assert_eq!((args.seeds, args.seed, args.threads, args.scenario), (1_000, 5, Some(2), None));
    let SimCommand::Shrink(args) = sim("shrink p.json --out q.json --runs 9 --check loss") else { panic!() };
    assert_eq!((args.out.as_deref(), args.runs, args.check.as_deref()), (Some(Path::new("q.json")), 9, Some("loss")));
    assert!(matches!(sim("replay p.json --trace"), SimCommand::Replay(args) if args.shown.trace));
    assert!(matches!(sim("list"), SimCommand::List));
    let wrong = "run --nodes 0|run --nodes 99999|run --scenario storm|run --seed -1|run --span 10|run --span 91d|\
                 run --edits-per-second many|sweep --seeds 0|sweep --threads 0|shrink|shrink p --runs 0|replay";
    for line in wrong.split('|') {
        assert!(parse(&format!("sim {line}")).is_err(), "{line}");
    }
    let error = parse("sim run --scenario partitoin").unwrap_err().to_string();
    assert!(error.contains("partition") && error.contains("flash-crowd"), "{error}");
}

#[test]
fn help_is_a_command_too() {
    for line in ["help", "help bead close", "bead help", "bead help dep"] {
        assert_eq!(parse(line).unwrap_err().kind(), clap::error::ErrorKind::DisplayHelp, "{line}");
    }
}

#[test]
fn flags_that_hold_everywhere_stand_anywhere() {
    for line in ["--json --quiet bead list", "bead --json list --quiet", "bead list --json -q"] {
        let global = parse(line).unwrap().global;
        assert!(global.json && global.quiet, "{line}");
    }
    let global = parse("bead list --home /h --color never --as ada --project web --all-projects").unwrap().global;
    assert_eq!((global.home.as_deref(), global.color), (Some(Path::new("/h")), Color::Never));
    assert_eq!(
        (global.agent.as_deref(), global.project.as_deref(), global.all_projects),
        (Some("ada"), Some("web"), true)
    );
}

#[test]
fn a_line_that_cannot_be_read_still_says_how_to_answer() {
    let look = |line: &str| glance(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
    assert_eq!(look("beadmesh bead crate --json"), (true, Color::Auto));
    assert_eq!(look("beadmesh --color never bead crate"), (false, Color::Never));
    assert_eq!(look("beadmesh --color=always bead"), (false, Color::Always));
    assert_eq!(look("beadmesh bead comment x -- --json"), (false, Color::Auto));
}

fn mail(line: &[&str]) -> MailCommand {
    match Cli::try_parse_from(["beadmesh", "mail"].iter().chain(line)).unwrap().command {
        Command::Mail { command } => command,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_letter_needs_recipients_a_subject_and_a_body() {
    let line =
        ["send", "--to", "ada,bob@box", "--to", "@thread", "-s", "- keys", "--ack", "--importance", "urgent", "-"];
    let MailCommand::Send(args) = mail(&line) else { panic!("no letter") };
    assert_eq!(args.to, ["ada", "bob@box", "@thread"]);
    assert_eq!((args.subject.as_str(), args.common.body.as_str(), args.common.ack), ("- keys", "-", true));
    assert_eq!(Importance::from(args.common.importance), Importance::Urgent);
    // A list in Markdown begins with a dash, and flags may follow it.
    let MailCommand::Reply(args) = mail(&["reply", "k7f3qx", "- first\n- second", "--all"]) else { panic!("no reply") };
    assert_eq!((args.common.body.as_str(), args.all), ("- first\n- second", true));
    for wrong in ["mail send --to ada text", "mail send -s text text", "mail send --to ada -s text", "mail"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn waiting_for_letters_ends_some_time() {
    let MailCommand::Wait(args) = mail(&["wait"]) else { panic!("no wait") };
    assert_eq!(args.timeout, Duration::from_secs(60));
    assert!(parse("mail wait --timeout 5").is_err());
}

#[test]
fn an_agent_is_registered_under_a_name_or_one_that_is_made_up() {
    let register = |line: &str| match parse(line).map(|cli| cli.command) {
        Ok(Command::Agent { command: AgentCommand::Register(args) }) => Some((args.name, args.auto)),
        _ => None,
    };
    assert_eq!(register("agent register BlueLake"), Some((Some("BlueLake".to_owned()), false)));
    assert_eq!(register("agent register --auto --task keys"), Some((None, true)));
    assert_eq!(register("agent register"), None);
    assert_eq!(register("agent register BlueLake --auto"), None);
    assert!(parse("agent rotate").is_err() && parse("agent rotate x --human").is_err());
    assert!(parse("agent rotate --human").is_ok());
}

fn lease(line: &str) -> LeaseCommand {
    match parse(&format!("lease {line}")).unwrap().command {
        Command::Lease { command } => command,
        other => panic!("{other:?}"),
    }
}

#[test]
fn beads_are_claimed_with_paths_for_a_term() {
    let BeadCommand::Claim(args) = bead("claim a --scope src/** --scope x --shared --term 2h --wait 30s") else {
        panic!()
    };
    assert_eq!((args.id.as_str(), args.scopes), ("a", vec!["src/**".into(), "x".to_owned()]));
    assert_eq!((args.how.shared, args.how.term), (true, Some(Duration::from_secs(7_200))));
    assert_eq!((args.how.wait, args.how.offline), (Some(Duration::from_secs(30)), false));
    assert!(matches!(bead("claim a --offline"), BeadCommand::Claim(args) if args.how.offline));
    assert!(matches!(bead("release a"), BeadCommand::Release(args) if args.id == "a"));
    let BeadCommand::Ready(args) = bead("ready --claim --term 30m -l x -p 0 --parent e") else { panic!() };
    assert_eq!((args.claim, args.term), (true, Some(Duration::from_secs(1_800))));
    let wrong = "claim|claim a --term 0|claim a --term -5|claim a --term 8d|claim a --wait 2h|claim a --wait -5|\
                 claim a --wait 5s --offline|claim a --require-held --offline|\
                 ready --term 1h|ready --claim -n 5|ready --claim -a ada|release";
    for line in wrong.split('|') {
        assert!(parse(&format!("bead {line}")).is_err(), "{line}");
    }
    let error = parse("bead claim a --term -5").unwrap_err().to_string();
    assert!(error.contains("'-5'") && error.contains("such as 30s"), "{error}");
}

#[test]
fn leases_are_taken_listed_checked_and_let_go() {
    let LeaseCommand::Take(args) = lease("take src/** x --shared --term 1d --wait 1h") else { panic!() };
    assert_eq!((args.patterns, args.how.shared), (vec!["src/**".into(), "x".to_owned()], true));
    let LeaseCommand::List(args) = lease("list --all --agent Ada@box") else { panic!() };
    assert_eq!((args.all, args.holder.as_deref()), (true, Some("Ada@box")));
    let LeaseCommand::Check(args) = lease("check -z -") else { panic!() };
    assert_eq!((args.paths, args.null), (vec!["-".to_owned()], true));
    assert!(matches!(lease("show k7"), LeaseCommand::Show(args) if args.id == "k7"));
    assert!(matches!(lease("release k7"), LeaseCommand::Release(args) if args.id == "k7"));
    assert!(matches!(lease("renew k7 --term 5m"), LeaseCommand::Renew(args) if args.term.is_some()));
    for line in ["lease", "lease take", "lease check", "lease show", "lease renew a --term 0s"] {
        assert!(parse(line).is_err(), "{line}");
    }
    // `--as` names who acts, `--agent` whose claims are wanted.
    let cli = parse("lease list --agent bob --as ada").unwrap();
    assert_eq!(cli.global.agent.as_deref(), Some("ada"));
}

#[test]
fn voters_are_chosen_by_name() {
    let voters = |line: &str| match parse(&format!("voters {line}")).map(|cli| cli.command) {
        Ok(Command::Voters { command }) => Some(command),
        _ => None,
    };
    let Some(VotersCommand::Set(args)) = voters("set a b c --hold 60s") else { panic!() };
    assert_eq!((args.nodes.len(), args.hold), (3, Some(Duration::from_secs(60))));
    let Some(VotersCommand::Recover(args)) = voters("recover a --key-file -") else { panic!() };
    assert_eq!((args.nodes, args.key_file.as_path()), (vec!["a".to_owned()], Path::new("-")));
    assert!(matches!(voters("list"), Some(VotersCommand::List)));
    for line in ["set", "set a --hold 1s", "set a --hold 3m", "recover a", "recover --key-file k"] {
        assert!(voters(line).is_none(), "{line}");
    }
}

#[test]
fn a_hook_hands_on_whatever_git_gave_it() {
    let guard = |words: &[&str]| match Cli::try_parse_from(["beadmesh", "guard"].iter().chain(words)) {
        Ok(Cli { command: Command::Guard { command }, .. }) => Some(command),
        _ => None,
    };
    let words = ["hook", "pre-push", "--", ".git/hooks/pre-push", "--json", "-x y"];
    let Some(GuardCommand::Hook(args)) = guard(&words) else { panic!() };
    assert_eq!((args.hook, args.words.len()), (HookArg::Push, 3));
    assert_eq!(args.words[1], "--json");
    assert!(matches!(guard(&["install", "--uninstall"]), Some(GuardCommand::Install(args)) if args.uninstall));
    assert!(matches!(guard(&["check"]), Some(GuardCommand::Check)));
    assert!(guard(&["install", "--uninstall", "--force"]).is_none() && guard(&["hook", "post-commit", "x"]).is_none());
}
