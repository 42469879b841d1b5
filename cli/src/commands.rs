//! What each command does: ask, then print. One file a noun.

use std::path::PathBuf;

use beadmesh_node::Local;
use beadmesh_node::api::model::AgentsBody;

use crate::args::{Command, Global};
use crate::client::{self, Client, Founding};
use crate::failure::{Exit, Failure};
use crate::identity::{Given, Identity};
use crate::output::Printer;
use crate::project::{self, Project};

mod agent;
mod backup;
mod bans;
mod bead;
mod completions;
mod config;
pub(crate) mod containers;
mod demo;
mod doctor;
mod down;
mod gpu;
mod guard;
mod history;
mod init;
mod input;
mod invite;
mod join;
mod lease;
mod login;
mod mail;
mod members;
mod nodes;
mod recovery;
mod restore;
mod service;
mod sim;
mod status;
mod target;
mod top;
mod up;
mod voters;

/// The variable that names the project.
const PROJECT_VARIABLE: &str = "BEADMESH_PROJECT";

/// What a command works with.
pub(crate) struct Context {
    /// The flags that hold for every command.
    global: Global,
    /// The printer.
    pub(crate) printer: Printer,
    /// The store, where this process opened it.
    held: Option<Local>,
}

impl Context {
    /// Returns what the commands of a command line work with.
    pub(crate) fn new(global: Global) -> Self {
        let printer = Printer::new(&global);
        Self { global, printer, held: None }
    }

    /// Returns where the node keeps its things.
    fn home(&self) -> Result<PathBuf, Failure> {
        client::home_directory(self.global.home.as_deref())
    }

    /// Returns who answers: the node, or this process; a home that is not there is not begun.
    async fn client(&mut self) -> Result<Client, Failure> {
        Client::open(&self.home()?, Founding::Refused, &mut self.held).await
    }

    /// Returns who answers: the node, or this process, which may have to begin a home.
    async fn founding_client(&mut self) -> Result<Client, Failure> {
        Client::open(&self.home()?, Founding::Allowed, &mut self.held).await
    }

    /// Closes the store, where this process opened it.
    async fn close(&mut self) -> Result<(), Failure> {
        let Some(local) = self.held.take() else { return Ok(()) };
        let closed = local.close().await;
        closed.map_err(|error| Failure::new(Exit::Failed, error.code(), error.to_string()).hint(error.hint()))
    }

    /// Returns the running node, told who acts where that can be proved: what is shown to anybody is shown without that.
    async fn watched_node(&self) -> Result<(Client, Option<Failure>), Failure> {
        let mut client = self.node().await?;
        let proven = self.identity().and_then(|identity| identity.proven().and_then(|()| client.act_as(&identity)));
        Ok((client, proven.err()))
    }

    /// Returns the running node.
    async fn node(&self) -> Result<Client, Failure> {
        Client::open_node(&self.home()?).await
    }

    /// Returns the project that the command is about.
    fn project(&self) -> Result<Project, Failure> {
        let directory = project::current_directory()?;
        Project::find(self.project_given().as_deref(), self.global.all_projects, &directory)
    }

    /// Returns what the project was called, by a flag or the environment.
    fn project_given(&self) -> Option<String> {
        self.global.project.clone().or_else(|| variable(PROJECT_VARIABLE))
    }

    /// Returns the folder that patterns of paths are relative to; none where the project was named, and may be elsewhere.
    fn root(&self) -> Option<PathBuf> {
        if self.project_given().is_some() { None } else { project::root(&project::current_directory().ok()?) }
    }

    /// Returns who acts; where that is the user of this machine, the home was opened once.
    fn identity(&self) -> Result<Identity, Failure> {
        Identity::find(Given::new(self.global.agent.as_deref()), &self.home()?)
    }

    /// Returns who answers, told who acts, and the name of who acts.
    async fn acting_client(&mut self) -> Result<(Client, String), Failure> {
        let client = self.client().await?;
        self.told(client).await
    }

    /// Does the same where a home may have to be begun.
    async fn founding_acting_client(&mut self) -> Result<(Client, String), Failure> {
        let client = self.founding_client().await?;
        self.told(client).await
    }

    async fn told(&self, mut client: Client) -> Result<(Client, String), Failure> {
        let identity = self.identity()?;
        if identity.is_unproven_human() {
            // On a node that may not write, the user is registered nowhere and needs no token.
            let body: AgentsBody = client.get("/v1/agents?all=true").await?;
            if body.agents.iter().any(|agent| agent.here && identity.is(&agent.name)) {
                identity.proven()?;
            }
        }
        client.act_as(&identity)?;
        Ok((client, identity.name))
    }

    /// Returns who answers, told who acts, for what nobody may do without proof.
    async fn proven_client(&mut self) -> Result<Client, Failure> {
        let mut client = self.client().await?;
        let identity = self.identity()?;
        identity.proven()?;
        client.act_as(&identity)?;
        Ok(client)
    }
}

/// Carries out a command, and closes the store where it was opened for that.
///
/// # Errors
///
/// Says why it was not, or not wholly, carried out.
pub(crate) async fn run(command: Command, context: &mut Context) -> Result<(), Failure> {
    let outcome = dispatch(command, context).await;
    let closed = context.close().await;
    outcome.and(closed)
}

async fn dispatch(command: Command, context: &mut Context) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::run(context, args).await,
        Command::Down => down::run(context).await,
        Command::Init(args) => init::run(context, args).await,
        Command::Status => status::run(context).await,
        Command::Members(args) => members::run(context, args).await,
        Command::Peers { command: None } => status::peers(context).await,
        Command::Peers { command: Some(command) } => bans::run(context, command).await,
        Command::Invite(args) => invite::run(context, args).await,
        Command::Join(args) => join::run(context, args).await,
        Command::Leave(sure) => members::leave(context, &sure).await,
        Command::Login => login::run(context).await,
        Command::Bead { command } => bead::run(context, command).await,
        Command::Mail { command } => mail::run(context, command).await,
        Command::Agent { command } => agent::run(context, command).await,
        Command::Lease { command } => lease::run(context, command).await,
        Command::Voters { command } => voters::run(context, command).await,
        Command::Guard { command } => guard::run(context, command).await,
        Command::Nodes => nodes::run(context).await,
        Command::Gpu(args) => gpu::run(context, args).await,
        Command::Containers(args) => containers::run(context, args).await,
        Command::History(args) => history::run(context, args).await,
        Command::Top(args) => top::run(context, args).await,
        Command::Recovery { command } => recovery::run(context, command).await,
        Command::Backup(args) => backup::run(context, args).await,
        Command::Restore(args) => restore::run(context, args).await,
        Command::Service { command } => service::run(context, command),
        Command::Config { command } => config::run(context, &command),
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Sim { command } => sim::run(context, command).await,
        Command::Demo(args) => demo::run(context, args).await,
        Command::Completions(args) => completions::run(context, args.shell),
    }
}

/// Returns the value of a variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
