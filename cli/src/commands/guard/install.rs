//! `guard install`: puts the hooks into a repository and takes them out. What was there before is put aside and runs first.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::target::{Target, unwritable};
use super::super::{Context, variable};
use super::chain;
use super::git::Git;
use crate::args::{HookArg, InstallArgs};
use crate::failure::{Exit, Failure};
use crate::output::{Printer, text};
use crate::project;

/// The hooks that there are.
const HOOKS: [HookArg; 4] = [HookArg::Commit, HookArg::Merge, HookArg::Patch, HookArg::Push];

/// The line by which a hook of the guard is known.
const MARK: &str = "# beadmesh guard: refuses paths that another agent holds.";

/// The variable that moves the home.
const HOME_VARIABLE: &str = "BEADMESH_HOME";

/// What to do where something of somebody else is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Leave it.
    Refuse,
    /// Put it aside all the same.
    Replace,
}

/// What stands where a hook goes.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Nothing.
    Nothing,
    /// A hook of the guard.
    Ours(Vec<u8>),
    /// Another hook.
    Theirs(Vec<u8>),
}

/// What became of the hooks.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct InstallBody {
    /// The hooks.
    hooks: Vec<Hook>,
}

/// What became of a hook.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Hook {
    /// Its name.
    hook: &'static str,
    /// Where it is.
    path: PathBuf,
    /// `installed`, `unchanged`, `removed`, `absent`, or `theirs` where a hook of somebody else stays.
    state: &'static str,
    /// Where the hook is that runs before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<PathBuf>,
}

/// Puts the hooks in, or takes them out.
pub(super) fn run(context: &mut Context, args: &InstallArgs) -> Result<(), Failure> {
    let git = Git::at(project::current_directory()?);
    let hooks = if args.uninstall {
        uninstall(&git)?
    } else {
        let program = std::env::current_exe();
        let program = program.map_err(|error| Failure::io("this program does not know where it is", &error))?;
        // Whoever chose a home here means it when git runs the hooks, too.
        let chosen = context.global.home.is_some() || variable(HOME_VARIABLE).is_some();
        let home = if chosen { Some(context.home()?) } else { None };
        let taken = if args.force { Taken::Replace } else { Taken::Refuse };
        install(&git, &|hook| script(hook, &program, home.as_deref()), taken)?
    };
    print(&mut context.printer, &InstallBody { hooks })
}

/// Returns the name of a hook.
pub(super) fn name(hook: HookArg) -> &'static str {
    match hook {
        HookArg::Commit => "pre-commit",
        HookArg::Merge => "pre-merge-commit",
        HookArg::Patch => "pre-applypatch",
        HookArg::Push => "pre-push",
    }
}

/// Puts the hooks in, or none of them where one cannot be.
fn install(git: &Git, script: &dyn Fn(HookArg) -> Vec<u8>, taken: Taken) -> Result<Vec<Hook>, Failure> {
    let folder = git.hooks()?;
    for hook in HOOKS {
        let path = folder.join(name(hook));
        if let Found::Theirs(content) = found(&path)? {
            movable(git, &path, &content, taken)?;
        }
    }
    fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    HOOKS.into_iter().map(|hook| put(&folder.join(name(hook)), name(hook), &script(hook))).collect()
}

/// Puts one hook in its place.
fn put(path: &Path, hook: &'static str, script: &[u8]) -> Result<Hook, Failure> {
    let before = chain::before(path);
    let state = match found(path)? {
        Found::Ours(content) if content == script && is_executable(path) => "unchanged",
        Found::Theirs(_) => {
            fs::rename(path, &before).map_err(|error| immovable(path, &error))?;
            if let Err(failure) = written(path, script) {
                // It is as it was, or the failure says enough.
                let _ = fs::rename(&before, path);
                return Err(failure);
            }
            "installed"
        }
        Found::Nothing | Found::Ours(_) => {
            written(path, script)?;
            "installed"
        }
    };
    let before = before.exists().then_some(before);
    Ok(Hook { hook, path: path.to_owned(), state, before })
}

/// Takes the hooks out, and puts those that were there before back.
fn uninstall(git: &Git) -> Result<Vec<Hook>, Failure> {
    let folder = git.hooks()?;
    let mut hooks = Vec::new();
    for hook in HOOKS {
        let path = folder.join(name(hook));
        let before = chain::before(&path);
        let kept = fs::symlink_metadata(&before).is_ok();
        let state = match found(&path)? {
            Found::Theirs(_) => "theirs",
            Found::Nothing if !kept => "absent",
            Found::Ours(_) | Found::Nothing => {
                let removed = if kept { fs::rename(&before, &path) } else { fs::remove_file(&path) };
                removed.map_err(|error| unwritable(&path, &error))?;
                "removed"
            }
        };
        let before = (state == "theirs" && kept).then_some(before);
        hooks.push(Hook { hook: name(hook), path, state, before });
    }
    Ok(hooks)
}

/// Refuses to put a hook aside that would not work from there, or was not meant to be moved.
fn movable(git: &Git, path: &Path, content: &[u8], taken: Taken) -> Result<(), Failure> {
    if taken == Taken::Replace {
        return Ok(());
    }
    let shown = text::clean_line(&path.display().to_string());
    let line = "or add to what it runs: beadmesh guard check";
    let refused = |message: String, hint: String| Err(Failure::new(Exit::Conflict, "exists", message).hint(hint));
    if git.is_tracked(path) {
        let message = format!("{shown} is part of the repository, and would be renamed for everybody");
        return refused(message, format!("--force does it all the same, {line}"));
    }
    if fs::symlink_metadata(chain::before(path)).is_ok() {
        let message = format!("{shown} is not the guard's, and a hook was put aside there before");
        return refused(message, "--force puts this one in the other's place".to_owned());
    }
    let text = String::from_utf8_lossy(content);
    if text.contains("husky") || (text.contains("basename") && text.contains("$0")) {
        let message = format!("{shown} is a hook manager's, which goes by its name: under another it would do nothing");
        return refused(message, format!("--force renames it all the same, {line}"));
    }
    Ok(())
}

fn found(path: &Path) -> Result<Found, Failure> {
    let unread = |error: &io::Error| Failure::io(format!("{} cannot be read", path.display()), error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unread(&error)),
        // A link is somebody's, wherever it leads.
        Ok(meta) if meta.is_symlink() => return Ok(Found::Theirs(fs::read(path).unwrap_or_default())),
        Ok(_) => {}
    }
    let content = fs::read(path).map_err(|error| unread(&error))?;
    let is_ours = content.split(|byte| *byte == b'\n').any(|line| line == MARK.as_bytes());
    Ok(if is_ours { Found::Ours(content) } else { Found::Theirs(content) })
}

fn written(path: &Path, script: &[u8]) -> Result<(), Failure> {
    let write = || {
        let mut target = Target::open(path)?;
        target.file.write_all(script)?;
        target.file.set_permissions(fs::Permissions::from_mode(0o755))?;
        target.keep()
    };
    write().map_err(|error| unwritable(path, &error))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o111 == 0o111)
}

fn immovable(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::io(format!("{} cannot be put aside", path.display()), error);
    failure.hint("have whatever keeps that hook run `beadmesh guard check` instead")
}

/// Returns the text of a hook: it calls this program, or one in `PATH`, and refuses where there is neither.
fn script(hook: HookArg, program: &Path, home: Option<&Path>) -> Vec<u8> {
    let mut out = format!("#!/bin/sh\n{MARK}\n").into_bytes();
    out.extend(b"# `beadmesh guard install --uninstall` takes it out, and puts back what was here before.\n");
    if let Some(home) = home {
        out.extend(b"if [ -z \"${BEADMESH_HOME:-}\" ]; then\n    BEADMESH_HOME=");
        out.extend(quoted(home.as_os_str()));
        out.extend(b"\n    export BEADMESH_HOME\nfi\n");
    }
    out.extend(b"for program in ");
    out.extend(quoted(program.as_os_str()));
    out.extend(b" \"$(command -v beadmesh)\"; do\n");
    out.extend(b"    if [ -f \"$program\" ] && [ -x \"$program\" ]; then\n");
    out.extend(format!("        exec \"$program\" guard hook {} -- \"$0\" \"$@\"\n", name(hook)).bytes());
    out.extend(b"    fi\ndone\n");
    out.extend(b"echo \"Error: beadmesh is gone, so nobody can tell which of these paths another agent holds\" >&2\n");
    out.extend(b"echo \"Hint: install it again, or take the guard out: remove $0, and rename $0.before-beadmesh to it if there is one\" >&2\n");
    out.extend(b"exit 1\n");
    out
}

/// Writes a text so that a shell takes it as one word, whatever it holds.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in word.as_bytes() {
        match byte {
            b'\'' => out.extend(b"'\\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
    out
}

fn print(printer: &mut Printer, body: &InstallBody) -> Result<(), Failure> {
    if printer.json {
        return printer.answer(body);
    }
    for hook in &body.hooks {
        let path = text::clean_line(&hook.path.display().to_string());
        printer.line(match hook.state {
            "installed" => format!("Installed {path}."),
            "unchanged" => format!("{path} is installed already."),
            "removed" => format!("Took the guard out of {path}."),
            "absent" => format!("There is no guard in {path}."),
            _ => format!("{path} is somebody else's, and stays."),
        })?;
        if let Some(before) = &hook.before {
            let before = text::clean_line(&before.display().to_string());
            printer.note(match hook.state {
                "theirs" => format!("What was put aside is still in {before}."),
                _ => format!("What was there before runs first: {before}."),
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
