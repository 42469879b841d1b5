//! Agents of several nodes race for one thing: one gets it, and each of the others is told who is in the way.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::support::{Agent, Node, crew, settle};

/// The variable that says how many rounds a race has.
const ROUNDS_VARIABLE: &str = "BEADMESH_TEST_ROUNDS";

/// Rounds of a race unless the variable says otherwise.
const ROUNDS: usize = 5;

/// Agents that race, spread over the nodes.
const NAMES: [&str; 8] = ["Ant", "Bee", "Cat", "Dog", "Eel", "Fox", "Gnu", "Hen"];

/// Patterns of which each two have a path in common.
const PATTERNS: [&str; 8] = [
    "src/",
    "**/*.rs",
    "src/store/*.rs",
    "src/*/lease.rs",
    "**/lease.rs",
    "src/store/**",
    "src/{store,node}/lease.rs",
    "src/store/[k-m]ease.rs",
];

/// An agent in a race, and what it asks for.
struct Racer<'a> {
    node: &'a Node,
    agent: Agent,
    wish: Vec<&'a str>,
}

impl Racer<'_> {
    fn address(&self) -> String {
        format!("{}@{}", self.agent.name, self.node.name())
    }
}

/// What came of some rounds.
#[derive(Debug, Default)]
struct Tally {
    /// How often each agent got it.
    won: [usize; NAMES.len()],
    /// The token of the last one that got it.
    token: u64,
    /// How often the token that was shown was that of the round before.
    same_tokens: usize,
    /// How often a loser was told of another one that lost.
    misnamed: usize,
    /// The longest time from the start of a round to its last answer.
    longest: Duration,
}

#[test]
fn of_eight_agents_on_three_nodes_one_gets_the_bead_and_the_others_hear_who() {
    let mut nodes = ["ada", "bob", "cyd"].map(Node::new);
    crew(&mut nodes, 3);
    let bead = nodes[0].create(&["The only one"]);
    settle(&nodes.each_ref());
    let wish = ["bead", "claim", &bead];
    race(&nodes, |_| wish.to_vec());
}

#[test]
fn of_eight_agents_with_patterns_that_overlap_one_gets_its_paths_and_the_others_hear_who() {
    let mut nodes = ["ada", "bob", "cyd"].map(Node::new);
    crew(&mut nodes, 3);
    // None of them has heard of the project before the first round.
    race(&nodes, |number| vec!["--project", "name:raced", "lease", "take", PATTERNS[number]]);
}

/// Lets all agents ask at once, round after round.
#[allow(clippy::print_stderr, reason = "the figures are worth reading when the test passes, too")]
fn race<'a>(nodes: &'a [Node], wish: impl Fn(usize) -> Vec<&'a str>) {
    let racers: Vec<Racer<'_>> = NAMES
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let node = &nodes[number % nodes.len()];
            Racer { node, agent: node.register(name), wish: wish(number) }
        })
        .collect();
    settle(&nodes.iter().collect::<Vec<_>>());
    let rounds = std::env::var(ROUNDS_VARIABLE).map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut tally = Tally::default();
    for round in 0..rounds {
        raced(round, &racers, &mut tally);
    }
    eprintln!("{rounds} rounds: {tally:?}");
}

/// Carries out one round, and lets go what was got.
fn raced(round: usize, racers: &[Racer<'_>], tally: &mut Tally) {
    let begin = Instant::now();
    let start = Barrier::new(racers.len());
    let answers: Vec<Result<Value, Value>> = thread::scope(|scope| {
        let running: Vec<_> = racers
            .iter()
            .map(|racer| {
                scope.spawn(|| {
                    start.wait();
                    racer.node.try_as(&racer.agent, &racer.wish)
                })
            })
            .collect();
        running.into_iter().map(|it| it.join().unwrap()).collect()
    });
    tally.longest = tally.longest.max(begin.elapsed());
    let held: Vec<(usize, &Value)> =
        answers.iter().enumerate().filter_map(|(number, answer)| Some((number, answer.as_ref().ok()?))).collect();
    let [(winner, body)] = held[..] else { panic!("round {round}: {answers:?}") };
    let claim = &body["claim"];
    assert_eq!(claim["state"], "held", "round {round}: {claim}");
    assert_eq!(claim["agent"], racers[winner].address(), "round {round}");
    for (number, answer) in answers.iter().enumerate() {
        let Err(error) = answer else { continue };
        assert_eq!((&error["code"], &error["exit"]), (&"held".into(), &4.into()), "round {round}: {error}");
        let told = error["message"].as_str().unwrap();
        let is_by = |racer: &Racer<'_>| told.starts_with(&format!("held by {}", racer.address()));
        let named = racers.iter().position(is_by).unwrap_or_else(|| panic!("round {round}: {told}"));
        assert_ne!(named, number, "round {round}: {told}");
        // Who asks amid a race may be told of one that had promises then, and has lost since.
        tally.misnamed += usize::from(named != winner);
    }
    let token = claim["token"].as_u64().unwrap();
    // What is shown of a token is its counter, and two holders may have the same: then their names order them.
    assert!(token >= tally.token, "round {round}: token {token} after {}", tally.token);
    tally.same_tokens += usize::from(token == tally.token);
    tally.token = token;
    tally.won[winner] += 1;
    let Racer { node, agent, .. } = &racers[winner];
    node.json_as(agent, &["lease", "release", claim["id"].as_str().unwrap()]);
}
