//! `beadmesh up`: runs the node of this machine until it is stopped.

use std::fs;
use std::io::{IsTerminal, stdout};

use axum::Router;
use beadmesh_node::api::model::{Empty, RecoveryBody, StatusBody};
use beadmesh_node::home::Home;
use beadmesh_node::systemd::Notifier;
use beadmesh_node::{Service, ServiceError, logs};

use super::{Context, recovery};
use crate::args::UpArgs;
use crate::client::{self, Client};
use crate::failure::{Exit, Failure};
use crate::output::Printer;
use crate::output::paint::Paint;
use crate::output::text;

/// Runs the node.
pub(super) async fn run(context: &mut Context, args: UpArgs) -> Result<(), Failure> {
    let directory = context.home()?;
    let config = client::config(&directory, &args.set.flags())?;
    logs::start(&config.log_filter, config.log_format).map_err(|error| {
        let failure = Failure::usage("the logs cannot be set up").caused_by(&error);
        failure.hint(format!("write {} like info or beadmesh_node=debug", logs::LOG_VARIABLE))
    })?;
    let home = client::open_home(&directory)?;
    let manager = Notifier::from_environment();
    manager.status("Opening the store.");
    let mut running = Service::start(home.clone(), config.into()).await.map_err(|error| failure(&error, &home))?;
    match greet(&mut context.printer, running.router.clone()).await {
        // The node is there for others than the reader of its greeting.
        Err(failure) if failure.exit != Exit::Ok => {
            running.stop().await.map_err(|error| self::failure(&error, &home))?;
            return Err(failure);
        }
        _ => running.remind(),
    }
    // By the socket, as everybody asks: only then is the node what a manager calls ready.
    let asked = async { Client::open_node(&directory).await?.get::<StatusBody>("/v1/status").await };
    match asked.await {
        Ok(_) => running.attend(manager),
        Err(failure) => {
            running.stop().await.map_err(|error| self::failure(&error, &home))?;
            return Err(failure);
        }
    }
    running.run().await.map_err(|error| failure(&error, &home))?;
    if context.printer.json { Ok(()) } else { context.printer.line("Stopped.") }
}

/// Says what runs now; on a terminal, a recovery key that nobody has seen yet is shown.
async fn greet(printer: &mut Printer, router: Router) -> Result<(), Failure> {
    let mut client = Client::within(router);
    let status: StatusBody = client.get("/v1/status").await?;
    if printer.json {
        printer.answer(&status)?;
        return printer.flush();
    }
    for line in lines(&status) {
        printer.line(line)?;
    }
    if stdout().is_terminal() {
        match client.post::<RecoveryBody>("/v1/recovery", &Empty {}).await {
            Ok(body) => {
                printer.line(format!("\n{}\n", recovery::frame(&body.recovery_key, printer.columns)))?;
                printer.flush()?;
                recovery::forget(&mut client, &body).await?;
            }
            // It was shown before, or this node did not found the mesh.
            Err(failure) if failure.exit == Exit::Conflict => {}
            Err(failure) => return Err(failure),
        }
    }
    printer.flush()
}

fn lines(status: &StatusBody) -> Vec<String> {
    let fact =
        |name: &str, value: &str| format!("  {}  {}", Paint::Faint.on(&format!("{name:6}")), text::clean_line(value));
    let mut lines = vec![
        format!("Node {} is up.", Paint::Strong.on(&text::clean_line(&status.node.name))),
        fact("mesh", &status.mesh.name),
        fact("socket", &status.socket),
    ];
    lines.extend(status.listen.iter().map(|address| fact("at", address)));
    if let Some(api) = &status.api {
        lines.push(fact("api", &format!("{api}; `beadmesh login` lets a browser in")));
    }
    lines.push(fact("invite", "beadmesh invite"));
    lines.push(fact("logs", &format!("on stderr; {}=debug says more", logs::LOG_VARIABLE)));
    lines.push(fact("stop", "Ctrl-C, or beadmesh down"));
    lines
}

/// Returns why the node does not run; one that runs already is named by its process.
fn failure(error: &ServiceError, home: &Home) -> Failure {
    let failure = client::failure(error.code(), error, error.hint());
    let ServiceError::Running { .. } = error else { return failure };
    let holder = fs::read_to_string(home.lock()).unwrap_or_default();
    let holder = holder.trim();
    if holder.is_empty() || !holder.bytes().all(|byte| byte.is_ascii_digit()) {
        return failure;
    }
    Failure { message: format!("a node is running here already: process {holder}"), ..failure }
}
