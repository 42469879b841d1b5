use beadmesh_node::api::model::{
    BeadPage, ClaimsBody, Container, ContainerNode, ContainersBody, Gpu, GpuNode, GpusBody, Host, LettersBody, Machine,
    Mesh, Node, NodesBody, Peer, PeersBody, Role, StatusBody,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use ratatui::style::Color;

use super::*;
use crate::output::text;

/// When everything was said.
const SAID: &str = "2026-03-01T12:00:00Z";

fn said() -> Timestamp {
    SAID.parse().unwrap()
}

fn node(name: &str) -> Node {
    Node { id: format!("id-of-{name}"), name: name.to_owned() }
}

fn peer(name: &str, connected: bool) -> Peer {
    let Node { id, name } = node(name);
    Peer {
        id,
        name,
        connected,
        path: Some("/ip4/10.0.0.7/udp/4001/quic-v1".into()),
        route: connected.then(|| "direct".into()),
        through: None,
        round_trip_us: connected.then_some(1_260),
        lag_entries: if connected { 0 } else { 14 },
        last_seen: Some("2026-03-01T10:00:00Z".into()),
        last_heard: None,
        banned: false,
        progress: None,
    }
}

fn peers() -> PeersBody {
    PeersBody { peers: vec![peer("bob", true), peer("cyd", false)], refused: [].into() }
}

fn status() -> StatusBody {
    StatusBody {
        node: node("ada"),
        instance: "i".into(),
        mesh: Mesh { id: "m".into(), name: "lab".into() },
        role: Role::Admin,
        removed: None,
        entries: 1_204,
        beads: 311,
        ready: 42,
        agents: 6,
        agent: Some("keeper@ada".into()),
        unread: Some(2),
        digest: "d".into(),
        entries_from_future: 0,
        applicants: 0,
        version: "0.1.0".into(),
        running: true,
        listen: vec![],
        reach: None,
        socket: "/run/node.sock".into(),
        api: None,
        refused: [].into(),
        findings: vec![],
        alarms: vec![],
        peers: peers().peers,
    }
}

fn card(node: &str, index: u8, backend: &str) -> Gpu {
    Gpu {
        node: node.to_owned(),
        backend: backend.to_owned(),
        index,
        health: "ok".to_owned(),
        name: Some("NVIDIA H100 80GB HBM3".to_owned()),
        busy_percent: Some(97),
        memory_total_bytes: Some(80 << 30),
        memory_used_bytes: Some(20 << 30),
        power_watts: Some(412.3),
        power_limit_watts: Some(700.0),
        temperature_celsius: Some(61),
        ..Gpu::default()
    }
}

fn standing(name: &str, age_s: f64, backend: &str) -> GpuNode {
    GpuNode {
        node: node(name),
        here: name == "ada",
        state: if name == "cyd" { "absent" } else { "ok" }.to_owned(),
        advice: None,
        backend: Some(backend.to_owned()),
        driver: None,
        cuda: None,
        age_s: Some(age_s),
        stale: age_s > 8.0,
    }
}

fn machine(name: &str, age_s: f64, backend: &str) -> Machine {
    let host = Host {
        os: Some("Debian GNU/Linux 13".into()),
        cpu_percent: Some(12.0),
        load: Some([0.5, 0.4, 0.3]),
        memory_total_bytes: Some(64 << 30),
        memory_available_bytes: Some(40 << 30),
        disk_total_bytes: Some(500 << 30),
        disk_free_bytes: Some(100 << 30),
        ..Host::default()
    };
    let gpus = if name == "cyd" { vec![] } else { vec![card(name, 0, backend), card(name, 1, backend)] };
    Machine { standing: standing(name, age_s, backend), host, gpus }
}

fn machines() -> Vec<Machine> {
    vec![machine("ada", 1.0, "nvml"), machine("bob", 12.0, "demo"), machine("cyd", 300.0, "nvml")]
}

fn container(node: &str, name: &str, status: &str) -> Container {
    let is_running = status == "running";
    Container {
        node: node.into(),
        name: name.into(),
        image: "registry.example/shop/web:1.27".into(),
        project: Some("shop".into()),
        service: None,
        status: status.into(),
        health: is_running.then(|| "healthy".into()),
        restarts: 0,
        exit_code: (!is_running).then_some(137),
        oom_killed: !is_running,
        cpu_percent: is_running.then_some(3),
        memory_bytes: is_running.then_some(120 << 20),
        memory_max_bytes: is_running.then_some(1 << 30),
        stale: node == "bob",
    }
}

fn containers() -> ContainersBody {
    let engine = |name: &str, engine: &str| {
        let GpuNode { node, here, age_s, stale, .. } = standing(name, if name == "bob" { 12.0 } else { 1.0 }, "nvml");
        ContainerNode { node, here, engine: engine.into(), advice: None, more: 0, age_s, stale }
    };
    let containers = vec![
        container("ada", "shop-web-1", "running"),
        container("ada", "shop-eater-with-a-rather-long-name-1", "exited"),
        container("bob", "shop-far-1", "running"),
    ];
    ContainersBody { containers, nodes: vec![engine("ada", "ok"), engine("bob", "ok"), engine("cyd", "unknown")] }
}

/// A screen that was told of everything.
fn screen(view: View) -> Screen {
    let mut screen = Screen::new(view, false);
    let gpus = machines().into_iter().flat_map(|machine| machine.gpus).collect();
    let nodes = machines().into_iter().map(|machine| machine.standing).collect();
    let claims = ["held", "lapsed"].map(crate::output::lease::tests::claim).into();
    for told in [
        Told::Status(Box::new(status())),
        Told::Peers(peers()),
        Told::Nodes(NodesBody { nodes: machines() }),
        Told::Gpus(GpusBody { gpus, nodes }),
        Told::Containers(containers()),
        Told::Beads(BeadPage { beads: vec![], total: Some(0), next: None, unfit: vec![] }),
        Told::Leases(ClaimsBody { claims }),
        Told::Mail(Ok(LettersBody { letters: vec![], next: None, settling: false, truncated: false })),
    ] {
        screen.hear(told, said());
    }
    screen
}

/// Draws a screen so many seconds after everything was said.
fn drawn(screen: &Screen, (width, height): (u16, u16), seconds: i64) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let now = said() + jiff::SignedDuration::from_secs(seconds);
    terminal.draw(|frame| screen.draw(frame, now)).unwrap();
    terminal
}

/// Returns what is drawn, without lines that are empty and what stands behind the end of lines.
fn shown(screen: &Screen, size: (u16, u16), seconds: i64) -> String {
    let drawn = drawn(screen, size, seconds).backend().to_string();
    let lines = drawn.lines().map(|line| line.trim_matches('"').trim_end().to_owned());
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    assert!(lines.iter().all(|line| text::width(line) <= size.0.into()), "{lines:#?}");
    lines.join("\n")
}

fn press(screen: &mut Screen, keys: &str) -> Option<Order> {
    let mut last = None;
    for letter in keys.chars() {
        let code = match letter {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            letter => KeyCode::Char(letter),
        };
        last = screen.key(KeyEvent::new(code, KeyModifiers::NONE), said());
    }
    last
}

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);

#[test]
fn machines_fit_a_small_terminal_and_show_all_on_a_large_one() {
    insta::assert_snapshot!(shown(&screen(View::Nodes), SMALL, 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
    [1 nodes] 2 gpus  3 containers  4 beads  5 leases  6 mail  7 peers   3
      NODE  STATE    HEARD      CPU  LOAD  MEMORY     DISK         GPUS
    > ada   here     now        12%  0.50  24/64 GiB  400/500 GiB  2
      bob   stale    13 s ago   12%  0.50  24/64 GiB  400/500 GiB  2 demo
      cyd   offline  5 min ago  12%  0.50  24/64 GiB  400/500 GiB  none
      Demo, cards that are made up: bob.
    ? keys  / filter  : view  enter all of a row  tab next list  q quit
    ");
    insta::assert_snapshot!(shown(&screen(View::Nodes), LARGE, 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
    [1 nodes] 2 gpus  3 containers  4 beads  5 leases  6 mail  7 peers   3
      NODE  STATE    HEARD      CPU  LOAD  MEMORY     DISK         GPUS    OS
    > ada   here     now        12%  0.50  24/64 GiB  400/500 GiB  2       Debian GNU/Linux 13
      bob   stale    13 s ago   12%  0.50  24/64 GiB  400/500 GiB  2 demo  Debian GNU/Linux 13
      cyd   offline  5 min ago  12%  0.50  24/64 GiB  400/500 GiB  none    Debian GNU/Linux 13
      Demo, cards that are made up: bob.
    ? keys  / filter  : view  enter all of a row  tab next list  q quit
    ");
}

#[test]
fn cards_fit_a_small_terminal_and_made_up_ones_are_called_so() {
    insta::assert_snapshot!(shown(&screen(View::Gpus), SMALL, 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
     1 nodes [2 gpus] 3 containers  4 beads  5 leases  6 mail  7 peers   4
      NODE  GPU  NAME                   BUSY  MEMORY     POWER      TEMP   STATE
    > ada   0    NVIDIA H100 80GB HBM3  97%   20/80 GiB  412/700 W  61 °C  ok
      ada   1    NVIDIA H100 80GB HBM3  97%   20/80 GiB  412/700 W  61 °C  ok
      bob   0    NVIDIA H100 80GB HBM3  97%   20/80 GiB  412/700 W  61 °C  demo
      bob   1    NVIDIA H100 80GB HBM3  97%   20/80 GiB  412/700 W  61 °C  demo
      bob: demo, these cards are made up.
      bob: not heard for 13 s; the node or its link may be down.
      cyd: not heard for 5 min; the node or its link may be down.
      No NVIDIA driver: cyd.
    ? keys  / filter  : view  enter all of a row  tab next list  q quit
    ");
    insta::assert_snapshot!(shown(&screen(View::Gpus), LARGE, 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
     1 nodes [2 gpus] 3 containers  4 beads  5 leases  6 mail  7 peers   4
      NODE  GPU  NAME                   BUSY  MEMORY     POWER      TEMP   STATE
    > ada   0    NVIDIA H100 80GB HBM3  97%   20/80 GiB  412/700 W  61 °C  ok
      ada   1    NVIDIA H100 80GB HBM3  97%   20/80 GiB  412/700 W  61 °C  ok
      bob   0    NVIDIA H100 80GB HBM3  97%   20/80 GiB  412/700 W  61 °C  demo
      bob   1    NVIDIA H100 80GB HBM3  97%   20/80 GiB  412/700 W  61 °C  demo
      bob: demo, these cards are made up.
      bob: not heard for 13 s; the node or its link may be down.
      cyd: not heard for 5 min; the node or its link may be down.
      No NVIDIA driver: cyd.
    ? keys  / filter  : view  enter all of a row  tab next list  q quit
    ");
}

#[test]
fn containers_fit_a_small_terminal_and_open_and_grow_old() {
    let mut screen = screen(View::Containers);
    insta::assert_snapshot!(shown(&screen, SMALL, 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
     1 nodes  2 gpus [3 containers] 4 beads  5 leases  6 mail  7 peers   3
      NODE  NAME                       STATE                        CPU  MEMORY
    > ada   shop-web-1                 running, healthy             3%   0.1/1.0 GiB
      ada   shop-eater-with-a-rather…  exited 137, out of memory    -    -
      bob   shop-far-1                 running, healthy, not heard  3%   0.1/1.0 GiB
      bob: not heard for 13 s; the node or its link may be down.
      Not looked at: cyd (`containers.watch`).
    ? keys  / filter  : view  enter all of a row  tab next list  q quit
    ");
    insta::assert_snapshot!(shown(&screen, (60, 12), 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unre
     1  2 [3 containers] 4  5  6  7   3
      NODE  NAME                     STATE
    > ada   shop-web-1               running, healthy
      ada   shop-eater-with-a-rath…  exited 137, out of memory
      bob   shop-far-1               running, healthy, not heard
      bob: not heard for 13 s; the node or its link may be down.
      Not looked at: cyd (`containers.watch`).
    ? keys  / filter  : view  enter all of a row  tab next list
    ");
    insta::assert_snapshot!(shown(&screen, LARGE, 20), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
     1 nodes  2 gpus [3 containers] 4 beads  5 leases  6 mail  7 peers   3
      NODE  NAME                                  STATE                                 RESTARTS  CPU  MEMORY       IMAGE
    > ada   shop-web-1                            running, healthy, not heard           0         3%   0.1/1.0 GiB  registry.example/shop/web:1.27
      ada   shop-eater-with-a-rather-long-name-1  exited 137, out of memory, not heard  0         -    -            registry.example/shop/web:1.27
      bob   shop-far-1                            running, healthy, not heard           0         3%   0.1/1.0 GiB  registry.example/shop/web:1.27
      ada: not heard for 21 s; the node or its link may be down.
      bob: not heard for 32 s; the node or its link may be down.
      Not looked at: cyd (`containers.watch`).
    ? keys  / filter  : view  enter all of a row  tab next list  q quit
    ");
    press(&mut screen, "j\n");
    insta::assert_snapshot!(shown(&screen, SMALL, 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
     1 nodes  2 gpus [3 containers] 4 beads  5 leases  6 mail  7 peers   3
    ada shop-eater-with-a-rather-long-name-1
    State         exited 137, out of memory
    Image         registry.example/shop/web:1.27
    Project       shop
    Restarts      0
    esc back  j k down and up  q quit
    ");
}

#[test]
fn leases_links_and_empty_lists_are_shown() {
    insta::assert_snapshot!(shown(&screen(View::Leases), SMALL, 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
     1 nodes  2 gpus  3 containers  4 beads [5 leases] 6 mail  7 peers   2
      AGENT            STATE   RENEWED UNTIL  COVERS
    > BlueLake@laptop  held    15:02:00 UTC   VED-D01 src/ba.rs src/bb.rs
      BlueLake@laptop  lapsed  15:02:00 UTC   VED-D01 src/ba.rs src/bb.rs
    ? keys  / filter  : view  enter all of a row  tab next list  q quit
    ");
    insta::assert_snapshot!(shown(&screen(View::Peers), SMALL, 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
     1 nodes  2 gpus  3 containers  4 beads  5 leases  6 mail [7 peers]  2
      PEER  LINK          HOLDS                       PATH
    > bob   direct        all that is here            /ip4/10.0.0.7/udp/4001/quic-v1
      cyd   seen 2 h ago  at most 14 entries behind…
    ? keys  / filter  : view  enter all of a row  tab next list  q quit
    ");
    assert!(shown(&screen(View::Mail), SMALL, 1).contains("No letters."));
    assert!(shown(&screen(View::Beads), SMALL, 1).contains("No bead is open"));
}

#[test]
fn a_node_that_is_silent_is_told_of_and_what_it_said_grows_old() {
    let mut screen = screen(View::Nodes);
    screen.hear(Told::Silence("no node is running here".into()), said());
    let later = shown(&screen, SMALL, 60);
    assert!(later.contains("No answer for 60 s: no node is running here. It is asked again."), "{later}");
    assert!(later.contains("72 s ago") && !later.contains(" now "), "{later}");
    screen.view = View::Gpus;
    let cards = shown(&screen, SMALL, 60);
    assert!(cards.contains("bob: not heard for 72 s") && !cards.contains("  ok"), "{cards}");
    screen.view = View::Nodes;
    screen.hear(Told::Nodes(NodesBody { nodes: machines() }), said() + jiff::SignedDuration::from_secs(60));
    let again = shown(&screen, SMALL, 61);
    assert!(!again.contains("No answer") && again.contains(" now "), "{again}");
}

#[test]
fn a_filter_leaves_rows_that_hold_it_and_escape_shows_all_again() {
    let mut screen = screen(View::Nodes);
    press(&mut screen, "/OFFL");
    let filtered = shown(&screen, SMALL, 1);
    assert!(filtered.contains("cyd") && !filtered.contains("stale") && filtered.contains("1 of 3"), "{filtered}");
    press(&mut screen, "\n");
    assert!(shown(&screen, SMALL, 1).contains("> cyd"));
    press(&mut screen, "\u{1b}");
    assert!(shown(&screen, SMALL, 1).contains("stale"));
}

#[test]
fn a_filter_of_what_grows_old_chooses_among_what_is_shown() {
    let mut screen = screen(View::Nodes);
    press(&mut screen, "/s ago");
    assert!(shown(&screen, SMALL, 0).contains("1 of 3"));
    let late = said() + jiff::SignedDuration::from_secs(60);
    screen.key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE), late);
    screen.key(KeyEvent::new(KeyCode::Char('G'), KeyModifiers::NONE), late);
    let later = shown(&screen, SMALL, 60);
    assert!(later.contains("2 of 3") && later.contains("  ada") && later.contains("> bob"), "{later}");
}

#[test]
fn the_chosen_row_is_found_again_where_others_come_before_it() {
    let mut screen = screen(View::Nodes);
    press(&mut screen, "j");
    assert!(shown(&screen, SMALL, 1).contains("> bob"));
    let nodes = [vec![machine("abe", 1.0, "nvml")], machines()].concat();
    screen.hear(Told::Nodes(NodesBody { nodes }), said());
    assert!(shown(&screen, SMALL, 1).contains("> bob"));
    press(&mut screen, "G");
    assert!(shown(&screen, SMALL, 1).contains("> cyd"));
    screen.hear(Told::Nodes(NodesBody { nodes: machines()[..1].to_vec() }), said());
    assert!(shown(&screen, SMALL, 1).contains("> ada"));
}

#[test]
fn the_chosen_row_stays_in_sight_of_a_long_list() {
    let mut screen = screen(View::Nodes);
    let names: Vec<String> = (0..100).map(|number| format!("node-{number:02}")).collect();
    let nodes = names.iter().map(|name| machine(name, 1.0, "nvml")).collect();
    screen.hear(Told::Nodes(NodesBody { nodes }), said());
    assert!(shown(&screen, SMALL, 1).contains("> node-00"));
    press(&mut screen, "G");
    let end = shown(&screen, SMALL, 1);
    assert!(end.contains("> node-99") && end.contains("node-85") && !end.contains("node-50"), "{end}");
    press(&mut screen, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
    assert!(shown(&screen, SMALL, 1).contains("> node-64"));
}

#[test]
fn a_row_opens_and_closes_and_keys_are_listed() {
    let mut screen = screen(View::Gpus);
    assert_eq!(press(&mut screen, "j\n"), None);
    insta::assert_snapshot!(shown(&screen, SMALL, 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
     1 nodes [2 gpus] 3 containers  4 beads  5 leases  6 mail  7 peers   4
    ada gpu1
    Health        ok
    Name          NVIDIA H100 80GB HBM3
    Busy          97%
    Memory        20/80 GiB
    Power         412 W
    Power limit   700 W
    Temperature   61 °C
    esc back  j k down and up  q quit
    ");
    press(&mut screen, "\u{1b}?");
    insta::assert_snapshot!(shown(&screen, SMALL, 1), @r"
    ada  mesh lab · 1 of 2 linked · 311 beads, 42 ready · 2 unread
     1 nodes [2 gpus] 3 containers  4 beads  5 leases  6 mail  7 peers   4
    1 to 7          another list, by its number
    tab, →, ←       the next list, or the one before
    :               a list by its name; :q ends
    /               only rows that hold what is typed; esc shows all again
    j, k, ↓, ↑      a row down or up
    ctrl-d, ctrl-u  ten rows down or up, as page down and page up do
    g, G            the first row, the last row
    enter           everything about a row
    esc             back
    ?               this page
    q, ctrl-c       the end
    ctrl-z          back to the shell for a while; `fg` comes back
    stale           linked, but silent; offline: neither linked nor heard
    esc back  j k down and up  q quit
    ");
    press(&mut screen, "\u{1b}");
    assert!(shown(&screen, SMALL, 1).contains("> ada"));
}

#[test]
fn views_are_reached_by_number_by_name_and_one_after_the_other() {
    let mut screen = screen(View::Nodes);
    assert_eq!(press(&mut screen, "4"), Some(Order::Look(View::Beads)));
    assert_eq!(press(&mut screen, ":le\n"), Some(Order::Look(View::Leases)));
    assert_eq!(press(&mut screen, "l"), Some(Order::Look(View::Mail)));
    assert_eq!(press(&mut screen, ":colours\n"), None);
    let told = shown(&screen, SMALL, 1);
    assert!(told.contains(r#"There is no view "colours": write nodes, gpus, containers, beads"#), "{told}");
    assert_eq!(press(&mut screen, ":q\n"), Some(Order::Quit));
    assert_eq!(press(&mut screen, "?q"), Some(Order::Quit));
}

#[test]
fn without_colours_nothing_is_coloured_and_the_words_are_the_same() {
    let mut coloured = screen(View::Nodes);
    coloured.is_coloured = true;
    let plain = screen(View::Nodes);
    assert_eq!(shown(&coloured, SMALL, 1), shown(&plain, SMALL, 1));
    let colours = |screen: &Screen| {
        let terminal = drawn(screen, SMALL, 1);
        terminal.backend().buffer().content.iter().filter(|cell| cell.fg != Color::Reset).count()
    };
    assert!(colours(&coloured) > 0);
    assert_eq!(colours(&plain), 0);
}

#[test]
fn a_terminal_of_any_size_is_drawn_on() {
    for size in [(1, 1), (10, 3), (20, 5), (40, 10)] {
        for view in View::ALL {
            shown(&screen(view), size, 1);
        }
    }
}
