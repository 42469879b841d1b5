//! `beadmesh service`: the node as a service of systemd.

use std::path::{Path, PathBuf};

use beadmesh_node::systemd::{Control, ControlError, NAME, Scope, Start, State, Unit, UnitError};
use serde_json::json;

use super::Context;
use crate::args::{ServiceArgs, ServiceCommand};
use crate::client;
use crate::failure::{Exit, Failure};
use crate::output::paint::Paint;
use crate::output::text;

/// Where files say of whom the user's manager goes on when they log out.
const LINGER: &str = "/var/lib/systemd/linger";

/// Carries out a command on the service.
pub(super) fn run(context: &mut Context, command: ServiceCommand) -> Result<(), Failure> {
    match command {
        ServiceCommand::Install(args) => install(context, args),
        ServiceCommand::Uninstall(args) => uninstall(context, args.scope()),
        ServiceCommand::Status(args) => status(context, args.scope()),
    }
}

/// Puts the unit in its place, or prints it.
fn install(context: &mut Context, args: ServiceArgs) -> Result<(), Failure> {
    let scope = args.scope.scope();
    let given = context.global.home.is_some();
    let home = match scope {
        Scope::User => Some(context.home()?),
        Scope::System if given => Some(context.home()?),
        Scope::System => None,
    };
    let program = std::env::current_exe().map_err(|error| Failure::io("this program is not found again", &error))?;
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let unit = Unit { scope, program, home, config: args.config.map(absolute), user: args.run_as };
    let written = unit.text().map_err(|error| unit_failure(&error))?;
    let control = Control::new(scope).map_err(|error| failure(&error))?;
    let path = control.path().display().to_string();
    if args.print {
        if context.printer.json {
            return context.printer.answer(&json!({ "path": path, "unit": written, "installed": false }));
        }
        return context.printer.bytes(written.as_bytes());
    }
    check(&unit)?;
    let start = if args.no_start { Start::Later } else { Start::Now };
    control.install(&written, start).map_err(|error| failure(&error))?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&json!({ "path": path, "unit": written, "installed": true, "started": !args.no_start }));
    }
    printer.line(format!("Installed {path}."))?;
    printer.line(match start {
        Start::Now => "The node is up.".to_owned(),
        Start::Later => format!("It starts with the machine, or by `{} start {NAME}`.", systemctl(scope)),
    })?;
    if scope == Scope::System {
        let home = unit.home.as_deref().unwrap_or(Path::new("/var/lib/beadmesh")).display().to_string();
        return printer
            .note(format!("Its home is {home}: reach it by `beadmesh --home {home} status`, as its user or root."));
    }
    let user = std::env::var("USER").unwrap_or_default();
    if !user.is_empty() && !Path::new(LINGER).join(&user).exists() {
        printer.note(format!(
            "It ends when you log out. `loginctl enable-linger {user}` lets it go on, and start with the machine."
        ))?;
    }
    Ok(())
}

/// Sees to it that the unit can work: what it may write to is there.
fn check(unit: &Unit) -> Result<(), Failure> {
    let Some(home) = &unit.home else { return Ok(()) };
    match unit.scope {
        Scope::User => client::open_home(home).map(drop),
        Scope::System if home.is_dir() => Ok(()),
        Scope::System => {
            let failure = Failure::new(Exit::NotFound, "not_found", format!("there is no {}", home.display()));
            Err(failure.hint("make it for the user that the service runs as, with mode 0700, or leave --home out"))
        }
    }
}

/// Stops the service and takes the unit away.
fn uninstall(context: &mut Context, scope: Scope) -> Result<(), Failure> {
    let control = Control::new(scope).map_err(|error| failure(&error))?;
    control.uninstall().map_err(|error| failure(&error))?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&json!({ "path": control.path().display().to_string(), "installed": false }));
    }
    printer.line(format!("Stopped, and {} is gone. The home stays as it is.", control.path().display()))
}

/// Shows how the service stands.
fn status(context: &mut Context, scope: Scope) -> Result<(), Failure> {
    let control = Control::new(scope).map_err(|error| failure(&error))?;
    let state = control.state().map_err(|error| failure(&error))?;
    let State { text: _, active, sub, enabled, said, pid, restarts, result } = state;
    let path = control.path().display().to_string();
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&json!({
            "path": path, "active": active, "sub": sub, "enabled": enabled, "status": said,
            "pid": (pid > 0).then_some(pid), "restarts": restarts, "result": result,
        }));
    }
    let paint = match active.as_str() {
        "active" => Paint::Good,
        "failed" => Paint::Bad,
        _ => Paint::Slow,
    };
    let process = if pid > 0 { format!(", process {pid}") } else { String::new() };
    let mut fact =
        |name: &str, value: String| printer.line(format!("{}  {value}", Paint::Faint.on(&format!("{name:8}"))));
    fact("Service", format!("{} ({sub}){process}", paint.on(&active)))?;
    fact("Unit", format!("{path}, {enabled}"))?;
    if !said.is_empty() {
        fact("Says", text::clean_line(&said))?;
    }
    if restarts > 0 || result != "success" {
        let again = match restarts {
            0 => String::new(),
            1 => "started again once; ".to_owned(),
            times => format!("started again {times} times; "),
        };
        fact("Before", format!("{again}the last end was: {result}"))?;
    }
    Ok(())
}

fn systemctl(scope: Scope) -> &'static str {
    if scope == Scope::User { "systemctl --user" } else { "systemctl" }
}

fn failure(error: &ControlError) -> Failure {
    let failure = client::failure(error.code(), error, error.hint().to_owned());
    let exit = match error.code() {
        "not_found" => Exit::NotFound,
        "exists" => Exit::Conflict,
        _ => failure.exit,
    };
    Failure { exit, ..failure }
}

fn unit_failure(error: &UnitError) -> Failure {
    Failure::usage(error.to_string()).hint(error.hint())
}
