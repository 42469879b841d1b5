//! Checks of the home and the machine under it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use crate::api::model::Check;
use crate::clock;
use crate::config::{Config, Mistakes, unread_variables};
use crate::home::Home;
use crate::systemd::{Control, ControlError, Scope};

/// Bytes that had better be free: a failed write is followed by a second copy of the store.
const FREE_BYTES_WARN: u64 = 1024 * 1024 * 1024;
/// Bytes without which the next writes fail: sled asks for its files in pieces of this order.
const FREE_BYTES_FAIL: u64 = 64 * 1024 * 1024;

/// Files that a node with many peers has open; each link takes one or two.
const OPEN_FILES_MIN: u64 = 1_024;

/// A time before which this program was not: 2026-01-01, in milliseconds since 1970.
const MADE_MS: u64 = 1_767_225_600_000;

pub(super) fn checks(home: &Home, config: &Result<Config, Mistakes>) -> Vec<Check> {
    vec![home_mode(home), keys_mode(home), recovery(home), writable(home), space(home), set(config), unit(), files()]
}

/// Returns a row when the clock can not be right.
pub(super) fn clock() -> Option<Check> {
    let now = clock::wall();
    let remedy = "set the clock of this machine, and have it kept right (timedatectl set-ntp true)";
    (now.as_millis() < MADE_MS).then(|| {
        Check::fail("clock.skew", format!("The clock says {now}, which is before this program was made."), remedy)
    })
}

fn home_mode(home: &Home) -> Check {
    const ID: &str = "home.mode";
    let dir = home.dir();
    match private(dir, 0o700) {
        Ok(()) => Check::ok(ID, format!("{} is yours alone.", dir.display())),
        Err((found, remedy)) => Check::fail(ID, found, remedy),
    }
}

/// Looks at everything in the home that opens something, and at the socket.
fn keys_mode(home: &Home) -> Check {
    const ID: &str = "keys.mode";
    let mut count = 0;
    for path in home.private_files() {
        match fs::symlink_metadata(&path) {
            Err(_) => continue,
            Ok(_) => count += 1,
        }
        if let Err((found, remedy)) = private(&path, 0o600) {
            return Check::fail(ID, found, remedy);
        }
    }
    let is_one = count == 1;
    Check::ok(ID, format!("{count} {} yours alone.", if is_one { "private file is" } else { "private files are" }))
}

/// Says what is wrong with whom a file belongs to and who can get at it, and what to do.
fn private(path: &Path, wanted: u32) -> Result<(), (String, String)> {
    let shown = path.display();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) => return Err((format!("{shown} can not be looked at: {error}."), format!("see to {shown}"))),
    };
    let user = rustix::process::geteuid().as_raw();
    // Root can look at everybody's home, and does not own it.
    if found.uid() != user && user != 0 {
        let remedy = "run as its owner, or set BEADMESH_HOME to a directory of your own".to_owned();
        return Err((format!("{shown} belongs to user {}, this is user {user}.", found.uid()), remedy));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let remedy = format!("chmod {wanted:o} '{shown}'; if others use this machine, rotate what was in it");
        return Err((format!("{shown} has mode {mode:04o}, so others can get at it."), remedy));
    }
    Ok(())
}

fn recovery(home: &Home) -> Check {
    const ID: &str = "keys.recovery";
    match home.has_recovery() {
        Ok(false) => Check::ok(ID, "No recovery key lies in the home."),
        Ok(true) => Check::warn(
            ID,
            "The recovery key of the mesh lies in the home, and nobody has seen it.",
            "run `beadmesh recovery show --once` and keep the key where you keep passwords",
        ),
        Err(error) => Check::fail(ID, format!("{error}."), error.hint()),
    }
}

fn writable(home: &Home) -> Check {
    const ID: &str = "store.writable";
    match home.probe() {
        Ok(()) => Check::ok(ID, "The home can be written, and what is written is synced."),
        Err(error) => Check::fail(ID, format!("{}.", crate::api::error::chain(&error)), error.hint()),
    }
}

fn space(home: &Home) -> Check {
    const ID: &str = "disk.space";
    let remedy = "free space, or move the home to a larger disk";
    let found = match rustix::fs::statvfs(home.dir()) {
        Ok(found) => found,
        Err(error) => return Check::fail(ID, format!("The disk can not be looked at: {error}."), "see to the disk"),
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let sentence = format!("{} MiB are free.", free / (1024 * 1024));
    // File systems without a table of inodes say 0 of 0.
    if free < FREE_BYTES_FAIL || (found.f_files > 0 && found.f_favail == 0) {
        return Check::fail(ID, format!("{sentence} {} more files can be made.", found.f_favail), remedy);
    }
    if free < FREE_BYTES_WARN { Check::warn(ID, sentence, remedy) } else { Check::ok(ID, sentence) }
}

fn set(config: &Result<Config, Mistakes>) -> Check {
    const ID: &str = "config.valid";
    let config = match config {
        Ok(config) => config,
        Err(mistakes) => return Check::fail(ID, format!("{mistakes}."), mistakes.hint()),
    };
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    if let Some((name, near)) = unread_variables(names).into_iter().next() {
        let remedy =
            near.map_or_else(|| "unset it".to_owned(), |near| format!("did you mean {near}? If not, unset it"));
        return Check::warn(ID, format!("Nothing reads the variable {name}."), remedy);
    }
    let Some(path) = &config.file else { return Check::ok(ID, "There is no file; everything has its default.") };
    let mode = fs::metadata(path).map_or(0, |found| found.mode() & 0o7777);
    if mode & 0o022 != 0 {
        let found = format!("{} has mode {mode:04o}, so others can change what is set.", path.display());
        return Check::warn(ID, found, format!("chmod go-w '{}'", path.display()));
    }
    Check::ok(ID, format!("{} is understood.", path.display()))
}

fn unit() -> Check {
    const ID: &str = "service.unit";
    let mut found = Vec::new();
    for scope in [Scope::User, Scope::System] {
        let Ok(control) = Control::new(scope) else { continue };
        let path = control.path().display().to_string();
        match control.installed() {
            Err(ControlError::NotInstalled { .. }) => continue,
            Err(error) => return Check::warn(ID, format!("{error}."), error.hint()),
            Ok(text) => {
                if let Some(program) = missing_program(&text) {
                    let remedy = "install it again: `beadmesh service install`";
                    return Check::fail(ID, format!("{path} starts {program}, which is not there."), remedy);
                }
            }
        }
        found.push(path);
    }
    match &found[..] {
        [] => Check::ok(ID, "No service is installed: the node runs where somebody starts it."),
        [path] => Check::ok(ID, format!("{path} is installed.")),
        [user, system, ..] => Check::warn(
            ID,
            format!("Both {user} and {system} are installed."),
            "uninstall one, unless they have homes and addresses of their own",
        ),
    }
}

/// Returns the program that a unit starts, where it is not there; a quoted one is not looked for.
fn missing_program(unit: &str) -> Option<String> {
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    let program = line.split(' ').next().filter(|program| program.starts_with('/') && !program.contains(['%', '$']))?;
    (!Path::new(program).exists()).then(|| program.to_owned())
}

fn files() -> Check {
    const ID: &str = "limits.files";
    match getrlimit(Resource::Nofile).current {
        Some(most) if most < OPEN_FILES_MIN => Check::warn(
            ID,
            format!("A process may have {most} files open."),
            format!("raise it to {OPEN_FILES_MIN} at least: `ulimit -n`, or LimitNOFILE= in the unit"),
        ),
        Some(most) => Check::ok(ID, format!("A process may have {most} files open.")),
        None => Check::ok(ID, "A process may have any number of files open."),
    }
}
