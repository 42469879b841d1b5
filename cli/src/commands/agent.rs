//! `beadmesh agent`: names that act, and the tokens that prove them.

use beadmesh_node::api::model::{
    Agent, AgentBody, AgentsBody, AgentsQuery, Empty, RegisterRequest, RegisteredBody, SecretText, encode_segment,
};
use jiff::Timestamp;

use super::Context;
use crate::args::{AgentCommand, AgentListArgs, RegisterArgs, RetireArgs, RotateArgs};
use crate::failure::Failure;
use crate::identity::{AGENT_VARIABLE, TOKEN_VARIABLE};
use crate::output::Printer;
use crate::output::paint::Paint;
use crate::output::table::{self, Column, Painted};
use crate::output::{text, time};

/// The columns of the list.
const LAYOUT: [Column; 7] = [
    Column::new("AGENT"),
    Column::new("PROGRAM").spare(4),
    Column::new("MODEL").spare(5),
    Column::new("PROJECT").spare(3),
    Column::new("TASK").flexible(),
    Column::new("LAST SEEN").spare(1),
    Column::new("NODE").spare(2),
];

/// Carries out what is to be done with agents.
pub(super) async fn run(context: &mut Context, command: AgentCommand) -> Result<(), Failure> {
    match command {
        AgentCommand::Register(args) => register(context, args).await,
        AgentCommand::List(args) => list(context, args).await,
        AgentCommand::Rotate(args) => rotate(context, args).await,
        AgentCommand::Retire(args) => retire(context, args).await,
    }
}

/// Registers an agent, or changes what is told of the one that asks.
async fn register(context: &mut Context, args: RegisterArgs) -> Result<(), Failure> {
    let project = context.project()?.known();
    let RegisterArgs { name, auto: _, program, model, task } = args;
    let mut client = context.founding_client().await?;
    let identity = context.identity()?;
    // Whoever registers somebody else proves nothing by it.
    if name.as_deref().is_some_and(|name| identity.is(name)) {
        client.act_as(&identity)?;
    }
    let wish = RegisterRequest { name, program, model, task, project };
    let body: RegisteredBody = client.post("/v1/agents", &wish).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    match &body.token {
        Some(token) => tell(printer, &body.agent, token, "Registered"),
        None => printer.line(format!("Changed what is told of {}.", address(&body.agent))),
    }
}

/// Prints an address and a token, with the lines that a shell takes.
fn tell(printer: &mut Printer, agent: &Agent, token: &SecretText, did: &str) -> Result<(), Failure> {
    if !printer.quiet {
        printer.line(format!("{did} {}.", address(agent)))?;
    }
    for line in exports(&agent.name, token) {
        printer.line(line)?;
    }
    printer.note("The token is not shown again. Whoever has it acts as the agent: give it to the agent alone.")
}

/// Returns what makes a shell act as an agent; neither a name nor a token holds what a shell would read otherwise.
fn exports(name: &str, token: &SecretText) -> [String; 2] {
    let name = text::clean_line(name);
    [format!("export {AGENT_VARIABLE}={name}"), format!("export {TOKEN_VARIABLE}={}", token.reveal())]
}

/// Lists agents.
async fn list(context: &mut Context, args: AgentListArgs) -> Result<(), Failure> {
    let query = AgentsQuery { all: args.all };
    let mut client = context.client().await?;
    let body: AgentsBody = client.get(&format!("/v1/agents{}", query.to_query())).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    if body.agents.is_empty() {
        let elsewhere = if args.all { "" } else { " --all also shows those that are retired." };
        return printer.note(format!("No agents. `beadmesh agent register --auto` makes one.{elsewhere}"));
    }
    let rows: Vec<Vec<Painted>> = body.agents.iter().map(|agent| row(agent, Timestamp::now())).collect();
    for line in table::lines(&LAYOUT, &rows, printer.columns) {
        printer.line(line)?;
    }
    Ok(())
}

/// Gives an agent a new token.
async fn rotate(context: &mut Context, args: RotateArgs) -> Result<(), Failure> {
    let RotateArgs { name, human: _ } = args;
    let mut client = context.client().await?;
    let Some(name) = name else {
        let body: AgentBody = client.post("/v1/human/rotate", &Empty {}).await?;
        let printer = &mut context.printer;
        if printer.json {
            return printer.answer(&body);
        }
        return printer.line(format!("The home keeps a new token for {}.", address(&body.agent)));
    };
    let body: RegisteredBody = client.post(&path(&name, "/rotate")?, &Empty {}).await?;
    let printer = &mut context.printer;
    match &body.token {
        _ if printer.json => printer.answer(&body),
        Some(token) => tell(printer, &body.agent, token, "Made a new token for"),
        None => Ok(()),
    }
}

/// Retires an agent.
async fn retire(context: &mut Context, args: RetireArgs) -> Result<(), Failure> {
    let mut client = context.client().await?;
    let body: AgentBody = client.post(&path(&args.name, "/retire")?, &Empty {}).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    if printer.quiet { Ok(()) } else { printer.line(format!("Retired {}.", address(&body.agent))) }
}

/// Returns the path of an agent, and of what is below it.
fn path(name: &str, below: &str) -> Result<String, Failure> {
    if name.is_empty() || matches!(name, "." | "..") {
        return Err(Failure::usage(format!("{name:?} names no agent")).field("name"));
    }
    Ok(format!("/v1/agents/{}{below}", encode_segment(name)))
}

fn row(agent: &Agent, now: Timestamp) -> Vec<Painted> {
    let mark = if agent.retired { " (retired)" } else { "" };
    let paint = if agent.retired { Paint::Faint } else { Paint::Name };
    let told = |text: &Option<String>| (Paint::Plain, text.clone().unwrap_or_default());
    let seen = agent.last_used_at.as_deref().map(|date| time::ago(date, now)).unwrap_or_default();
    vec![
        (paint, format!("{}{mark}", agent.address)),
        told(&agent.program),
        told(&agent.model),
        told(&agent.project_key),
        told(&agent.task),
        (Paint::Faint, seen),
        reach(agent),
    ]
}

/// Says whether an agent's node can be reached; of this node that goes without saying.
fn reach(agent: &Agent) -> Painted {
    let (paint, word) = match agent {
        Agent { here: true, .. } => (Paint::Plain, ""),
        Agent { node_in_reach: true, .. } => (Paint::Good, "in reach"),
        Agent { .. } => (Paint::Faint, "not in reach"),
    };
    (paint, word.to_owned())
}

/// Returns the address of an agent, ready to be printed.
fn address(agent: &Agent) -> String {
    Paint::Name.on(&text::clean_line(&agent.address))
}

#[cfg(test)]
mod tests {
    use beadmesh_node::api::model::{Agent, Node, SecretText};

    use super::{LAYOUT, exports, row};
    use crate::output::table;

    fn agent(name: &str, node: &str) -> Agent {
        Agent {
            id: "id".into(),
            name: name.into(),
            address: format!("{name}@{node}"),
            node: Node { id: "n".into(), name: node.into() },
            here: true,
            program: Some("claude-code".into()),
            model: None,
            task: Some("Rotate the signing keys of every node before they lapse".into()),
            project: Some("p".into()),
            project_key: Some("github.com/ada/tool".into()),
            retired: false,
            registered_at: "2026-03-01T09:00:00Z".into(),
            last_used_at: Some("2026-03-01T11:00:00Z".into()),
            node_in_reach: true,
        }
    }

    #[test]
    fn agents_are_listed_one_a_line() {
        let there = Agent { here: false, ..agent("BlueLake", "gpu-box") };
        let retired = Agent { retired: true, last_used_at: None, task: None, ..agent("Green\u{1b}Castle", "laptop") };
        let gone = Agent { here: false, node_in_reach: false, last_used_at: None, ..agent("RedFox", "vps") };
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let rows: Vec<_> = [retired, there, gone].iter().map(|agent| row(agent, now)).collect();
        let lines = table::lines(&LAYOUT, &rows, None).join("\n");
        insta::assert_snapshot!(anstream::adapter::strip_str(&lines), @r"
        AGENT                          PROGRAM      PROJECT              TASK                                                     LAST SEEN  NODE
        Green�Castle@laptop (retired)  claude-code  github.com/ada/tool
        BlueLake@gpu-box               claude-code  github.com/ada/tool  Rotate the signing keys of every node before they lapse  1 h ago    in reach
        RedFox@vps                     claude-code  github.com/ada/tool  Rotate the signing keys of every node before they lapse             not in reach
        ");
        let narrow = table::lines(&LAYOUT, &rows, Some(80)).join("\n");
        assert!(narrow.contains("not in reach") && !narrow.contains("PROGRAM"), "{narrow}");
    }

    #[test]
    fn what_is_to_be_pasted_is_two_lines_of_a_shell() {
        let token = SecretText::new("bma1abc".into());
        insta::assert_snapshot!(exports("BlueLake", &token).join("\n"), @r"
        export BEADMESH_AGENT=BlueLake
        export BEADMESH_TOKEN=bma1abc
        ");
    }
}
