use beadmesh_node::api::model::Seat;

use super::*;

pub(crate) fn claim(state: &str) -> Claim {
    Claim {
        id: "k7f3qxk7f3qxk7f3qxk7f3qxk7".into(),
        agent: "BlueLake@laptop".into(),
        here: true,
        bead: Some("VED-D01".into()),
        bead_id: Some("b".into()),
        project: Some("github.com/ada/tool".into()),
        scopes: vec!["src/ba.rs".into(), "src/bb.rs".into()],
        shared: false,
        state: state.into(),
        token: None,
        until: None,
        left_ms: None,
        reason: None,
        voters_reached: None,
        voters: None,
        term_until: "2026-03-01T15:02:00Z".into(),
        contests: vec![],
    }
}

fn held() -> Claim {
    Claim { token: Some(17), until: Some("2026-03-01T14:03:10.250Z".into()), left_ms: Some(88_000), ..claim("held") }
}

fn now() -> Timestamp {
    "2026-03-01T14:01:42Z".parse().unwrap()
}

fn said(claim: &Claim) -> String {
    anstream::adapter::strip_str(&sentence(claim, now())).to_string()
}

fn plain(lines: &[String]) -> String {
    anstream::adapter::strip_str(&lines.join("\n")).to_string()
}

#[test]
fn the_states_of_a_claim_are_told_apart_by_their_first_word() {
    insta::assert_snapshot!(said(&held()), @"Held VED-D01 until 14:03:10 UTC, renewed until 15:02:00 UTC, token 17.");
    let paths = Claim { bead: None, ..held() };
    insta::assert_snapshot!(said(&paths), @"Held src/ba.rs and 1 more as k7f3qxk7f3qxk7f3qxk7f3qxk7 until 14:03:10 UTC, renewed until 15:02:00 UTC, token 17.");
    let tentative = Claim { voters_reached: Some(1), voters: Some(3), ..claim("tentative") };
    insta::assert_snapshot!(said(&tentative), @"Tentative: VED-D01 is claimed, but no majority of voters can be reached (1 of 3). Another agent may hold it.");
    let waits = Claim { voters_reached: Some(3), reason: Some("a has just started".into()), ..tentative };
    insta::assert_snapshot!(said(&waits), @"Tentative: VED-D01 is claimed, but no majority of voters has promised it (3 of 3 in reach): a has just started. Another agent may hold it.");
    let lapsed = Claim { until: Some("2026-02-28T14:00:00Z".into()), ..claim("lapsed") };
    insta::assert_snapshot!(said(&lapsed), @"Lapsed: VED-D01 is not held since 2026-02-28 14:00 UTC. Another agent may hold it.");
    insta::assert_snapshot!(said(&claim("asking")), @"Asking: VED-D01 is not held yet: the voters are being asked.");
    let shown = Claim { token: Some(9), ..claim("shown") };
    insta::assert_snapshot!(said(&shown), @"VED-D01 is held by BlueLake@laptop, token 9.");
    let ended = Claim { reason: Some("expired".into()), ..claim("ended") };
    insta::assert_snapshot!(said(&ended), @"The claim on VED-D01 is over: expired.");
}

#[test]
fn what_is_not_held_or_contested_comes_with_a_warning() {
    assert_eq!(warnings(&held(), now()), [""; 0]);
    let contest =
        Contest { claim: "c2".into(), agent: "GreenCastle@gpu-box".into(), witness: "src/ba.rs".into(), ahead: false };
    let contested = Claim { contests: vec![contest], ..claim("tentative") };
    insta::assert_snapshot!(warnings(&contested, now()).join("\n"), @r"
    Warning: VED-D01 is not held. Once a majority of voters can be reached it is held, or given up to whoever holds it.
    Warning: GreenCastle@gpu-box claims it too (c2), before this as far as is known: both cover src/ba.rs.
    ");
}

#[test]
fn what_is_renewed_and_not_held_is_told_apart() {
    assert_eq!(renewed_in_vain(&held()), None);
    for state in ["tentative", "lapsed", "asking", "ended"] {
        let warning = renewed_in_vain(&claim(state)).unwrap();
        assert_eq!(warning, format!("Warning: the term of VED-D01 runs anew, but it is not held: it is {state}."));
    }
}

#[test]
fn claims_are_listed_by_who_holds_what_until_when() {
    let other = Claim { agent: "GreenCastle@gpu-box".into(), token: Some(9), shared: true, ..claim("shown") };
    let ended = Claim { reason: Some("yielded".into()), ..claim("ended") };
    insta::assert_snapshot!(plain(&lines(&[held(), other, ended], Some(100), now())), @r"
    AGENT                STATE           UNTIL         RENEWED UNTIL  TOKEN  COVERS
    BlueLake@laptop      held            14:03:10 UTC  15:02:00 UTC   17     VED-D01 src/ba.rs src/bb.rs
    GreenCastle@gpu-box  shown, shared                 15:02:00 UTC   9      VED-D01 src/ba.rs src/bb.rs
    BlueLake@laptop      ended: yielded                                      VED-D01 src/ba.rs src/bb.rs
    ");
    insta::assert_snapshot!(plain(&full(&held(), now())), @r"
    Held VED-D01 until 14:03:10 UTC, renewed until 15:02:00 UTC, token 17.
    Claim    k7f3qxk7f3qxk7f3qxk7f3qxk7
    Agent    BlueLake@laptop, of this node
    Project  github.com/ada/tool
    Covers   src/ba.rs
             src/bb.rs
    Mode     exclusive
    Term     until 15:02:00 UTC
    ");
}

#[test]
fn a_path_in_the_way_names_its_holder_and_until_when() {
    let problem = |own, state: &str, until: Option<&str>| PathInTheWay {
        path: "src/ba.rs".into(),
        claim: "c1".into(),
        agent: "GreenCastle@gpu-box".into(),
        own,
        state: state.into(),
        until: until.map(str::to_owned),
    };
    let until = Some("2026-03-01T14:03:10Z");
    let lines = [
        problem(false, "held", until),
        problem(false, "shown", None),
        problem(false, "tentative", None),
        problem(false, "lapsed", until),
        problem(true, "lapsed", until),
        problem(true, "tentative", None),
    ];
    insta::assert_snapshot!(plain(&lines.map(|problem| in_the_way(&problem, now()))), @r"
    src/ba.rs: held by GreenCastle@gpu-box until 14:03:10 UTC.
    src/ba.rs: held by GreenCastle@gpu-box.
    src/ba.rs: claimed by GreenCastle@gpu-box, tentatively.
    src/ba.rs: was held by GreenCastle@gpu-box, who may get it back; not held since 14:03:10 UTC.
    src/ba.rs: your own claim c1 is not held since 14:03:10 UTC.
    src/ba.rs: your own claim c1 is tentative, and not held.
    ");
}

#[test]
fn voters_are_shown_with_what_it_takes() {
    let seat = |name: &str, reached, note: Option<&str>| Seat {
        node: format!("id-of-{name}"),
        name: name.into(),
        here: name == "laptop",
        reached,
        note: note.map(str::to_owned),
    };
    let body = VotersBody {
        epoch: 2,
        hold_ms: 90_000,
        voters: vec![seat("laptop", true, None), seat("vps", false, None), seat("desk", false, Some("just started"))],
        reached: 1,
        quorum: 2,
        next: Some(vec!["laptop".into()]),
        leases: Some(1),
    };
    insta::assert_snapshot!(plain(&voters(&body, Some(80))), @r"
    VOTER          STATE         NOTE          ID
    laptop (here)  in reach                    id-of-laptop
    vps            not in reach                id-of-vps
    desk           not in reach  just started  id-of-desk

    1 of 3 in reach, and it takes 2: claims stay tentative.
    They keep a promise for 90 s; these are the voters of epoch 2.
    1 lease is in force.
    Chosen, and not voting yet: laptop.
    ");
    assert_eq!(reach(&VotersBody { reached: 2, ..body }), "2 of 3 in reach.");
}

#[test]
fn what_another_machine_wrote_does_not_steer_the_terminal() {
    let claim = Claim { bead: Some("x\u{1b}[2J".into()), reason: Some("\u{1b}[2J".into()), ..claim("ended") };
    assert!(!sentence(&claim, now()).contains("\u{1b}[2J"));
    assert!(!full(&claim, now()).join("\n").contains("\u{1b}[2J"));
}
