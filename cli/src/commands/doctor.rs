//! `beadmesh doctor`: checks home, records and mesh, and says what to do about what it finds.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use beadmesh_node::api::model::{Check, DoctorBody, DoctorRequest, Grade, MembersBody, StatusBody, VotersBody};
use beadmesh_node::config::{Config, Flags};
use beadmesh_node::doctor;
use beadmesh_node::home::Home;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::target::{Target, unwritable};
use super::{Context, config};
use crate::args::DoctorArgs;
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::paint::Paint;
use crate::output::text;

/// Checks, prints a row for each check, and ends as the worst of them.
pub(super) async fn run(context: &mut Context, args: DoctorArgs) -> Result<(), Failure> {
    let home = context.home()?;
    let wish = DoctorRequest { rebuild: args.rebuild, accept: args.accept, logs: args.bundle.is_some() };
    let mut client = context.client().await;
    let asked = match &mut client {
        Ok(client) => client.post_slow::<DoctorBody>("/v1/doctor", &wish).await,
        Err(failure) => Err(failure.clone()),
    };
    let mut body = match asked {
        Ok(body) => body,
        // Where nothing is, nothing can be examined.
        Err(failure) if &*failure.code == "no_home" => return Err(failure),
        Err(failure) => without_store(&home, &failure, &wish),
    };
    if let Some(path) = &args.bundle {
        let client = client.as_mut().ok();
        bundle(path, &home, &body, client).await?;
        context.printer.note(format!("Wrote {}. Look through it before you hand it on.", path.display()))?;
    }
    (body.logs, body.files) = (None, None);
    show(context, &body)?;
    ended(&body.checks)
}

/// Checks what can be seen without an answer: a doctor is asked when things are broken.
fn without_store(directory: &Path, failure: &Failure, wish: &DoctorRequest) -> DoctorBody {
    let home = Home::at(directory);
    let is_silent = matches!(failure.exit, Exit::Timeout);
    let id = if is_silent { "node.running" } else { "store.opens" };
    let causes = failure.causes.iter().map(|cause| format!(": {cause}")).collect::<String>();
    let remedy = failure.hint.clone().unwrap_or_default();
    let mut checks = vec![Check::fail(id, format!("{}{causes}.", failure.message), remedy)];
    checks.extend(doctor::local(&home, &Config::load(directory, &Flags::default())));
    let grade = doctor::worst(&checks);
    let files = wish.logs.then(|| doctor::inventory(&home));
    DoctorBody { findings: vec![], checks, grade, rebuilt: None, logs: None, files }
}

fn show(context: &mut Context, body: &DoctorBody) -> Result<(), Failure> {
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(body);
    }
    if let Some(rebuilt) = body.rebuilt {
        printer.line(format!("Derived {} beads anew from {} entries.", rebuilt.beads, rebuilt.entries))?;
    }
    for check in &body.checks {
        let (paint, word) = match check.grade {
            Grade::Ok => (Paint::Good, "ok  "),
            Grade::Warn => (Paint::Slow, "warn"),
            Grade::Fail => (Paint::Bad, "fail"),
        };
        let found = text::clean_line(&check.found);
        printer.line(format!("{}  {:14}  {found}", paint.on(word), check.id))?;
        if let Some(remedy) = &check.remedy {
            printer.line(format!("{:20}  → {}", "", text::clean_line(remedy)))?;
        }
    }
    if body.grade == Grade::Ok { printer.line("All is well.") } else { Ok(()) }
}

/// Ends with 0, 1 or 2 as the worst row is ok, a warning or a failure.
fn ended(checks: &[Check]) -> Result<(), Failure> {
    let count = |grade: Grade| checks.iter().filter(|check| check.grade == grade).count();
    let (warnings, failures) = (count(Grade::Warn), count(Grade::Fail));
    let some = |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    match (warnings, failures) {
        (0, 0) => Ok(()),
        (_, 0) => Err(Failure::new(Exit::Failed, "findings", some(warnings, "warning"))),
        (0, _) => Err(Failure::new(Exit::Usage, "findings", some(failures, "failure"))),
        _ => {
            let told = format!("{} and {}", some(failures, "failure"), some(warnings, "warning"));
            Err(Failure::new(Exit::Usage, "findings", told))
        }
    }
}

/// Writes what whoever helps needs, to a file that only its owner can read; an existing one stays.
async fn bundle(path: &Path, home: &Path, body: &DoctorBody, client: Option<&mut Client>) -> Result<(), Failure> {
    let mut told = json!({
        "made_at": Timestamp::now().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "system": system(),
        "home": home.display().to_string(),
        "doctor": valued(body),
        "config": match Config::load(home, &Flags::default()) {
            Ok(config) => Value::Array(config.rows.iter().map(config::described).collect()),
            Err(mistakes) => json!(mistakes.to_string()),
        },
    });
    if let Some(client) = client {
        // What can not be had is missing, which says something too.
        told["status"] = valued(&client.get::<StatusBody>("/v1/status").await.ok());
        told["members"] = valued(&client.get::<MembersBody>("/v1/members").await.ok());
        told["voters"] = valued(&client.get::<VotersBody>("/v1/voters").await.ok());
    }
    doctor::redact(&mut told);
    let cannot = |error: io::Error| unwritable(path, &error);
    let taken = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(Exit::Conflict, "exists", format!("{} is there already", path.display()))
                .hint("name another file")
        }
        _ => unwritable(path, &error),
    };
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() || found.is_symlink()) {
        return Err(taken(io::ErrorKind::AlreadyExists.into()));
    }
    let mut target = Target::open_unless_taken(path, false).map_err(cannot)?;
    if target.is_beside() {
        target.file.set_permissions(Permissions::from_mode(0o600)).map_err(cannot)?;
    }
    writeln!(target.file, "{told:#}").map_err(cannot)?;
    target.keep().map_err(taken)
}

fn valued(body: &impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or(Value::Null)
}

/// Names the system and its version.
fn system() -> String {
    let name = rustix::system::uname();
    let parts = [name.sysname(), name.release(), name.machine()];
    parts.map(|part| part.to_string_lossy().into_owned()).join(" ")
}
