//! Putting the unit in its place, taking it away, and asking how the service stands: by `systemctl`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use etcetera::BaseStrategy;

use super::unit::{MARK, NAME, Scope};

/// Where it shows that systemd runs this machine, as sd_booted(3) says.
const BOOTED: &str = "/run/systemd/system";

/// Where the machine's units lie that an administrator put there.
const SYSTEM_UNITS: &str = "/etc/systemd/system";

/// Speaks with the service manager.
#[derive(Debug, Clone)]
pub struct Control {
    scope: Scope,
    /// Where the unit lies.
    path: PathBuf,
    systemctl: PathBuf,
    booted: PathBuf,
}

/// Whether a service that is put in its place is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At once, and at every start of the machine.
    Now,
    /// At the next start of the machine.
    Later,
}

/// How the service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The unit as it lies there.
    pub text: String,
    /// `active`, `failed`, `activating` and so on.
    pub active: String,
    /// More of the same, such as `running`.
    pub sub: String,
    /// Whether it is started with the machine: `enabled`, `disabled` and so on.
    pub enabled: String,
    /// What the node says of itself.
    pub said: String,
    /// Its process; 0 for none.
    pub pid: u32,
    /// How often systemd has started it again.
    pub restarts: u64,
    /// How the last process ended, such as `success`, `exit-code` or `watchdog`.
    pub result: String,
}

/// Why the service manager did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another program runs the services of this machine, or none does.
    #[error("this machine is not run by systemd: there is no {}", booted.display())]
    NoSystemd {
        /// Where it would show.
        booted: PathBuf,
    },
    /// The user has no directory for units.
    #[error("nothing says where the units of this user are: HOME is not set")]
    Nowhere,
    /// There is no such service.
    #[error("there is no {}", path.display())]
    NotInstalled {
        /// Where the unit would lie.
        path: PathBuf,
    },
    /// A unit of that name is there that we did not write.
    #[error("{} was written by somebody else", path.display())]
    Foreign {
        /// The unit.
        path: PathBuf,
    },
    /// The unit can not be written, read or removed.
    #[error("{} can not be used", path.display())]
    Io {
        /// The unit.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// systemctl can not be run.
    #[error("systemctl can not be run")]
    Systemctl(#[source] io::Error),
    /// systemctl failed.
    #[error("`systemctl {asked}` failed: {said}")]
    Refused {
        /// What it was asked.
        asked: String,
        /// What it said.
        said: String,
    },
}

impl ControlError {
    /// Returns the stable code that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSystemd { .. } => "no_systemd",
            Self::NotInstalled { .. } => "not_found",
            Self::Foreign { .. } => "exists",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => "refused",
            Self::Nowhere | Self::Io { .. } => "io",
            Self::Systemctl(_) | Self::Refused { .. } => "systemctl",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSystemd { .. } => {
                "start `beadmesh up` by what runs services here; `beadmesh service install --print` shows what systemd would"
            }
            Self::Nowhere => "set HOME, or install the machine's service with --system",
            Self::NotInstalled { .. } => "`beadmesh service install` puts it there",
            Self::Foreign { .. } => "look at it, and move it away",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run it as root, or install a user's service with --user"
            }
            Self::Io { .. } => "see to the file",
            Self::Systemctl(_) => "is systemctl in the PATH?",
            Self::Refused { .. } => {
                "a user's service needs a session of that user: log in as them, or run `loginctl enable-linger USER`"
            }
        }
    }
}

impl Control {
    /// Returns what speaks with the manager of the machine, or of this user.
    ///
    /// # Errors
    /// When it is not known where this user's units are.
    pub fn new(scope: Scope) -> Result<Self, ControlError> {
        let units = match scope {
            Scope::System => PathBuf::from(SYSTEM_UNITS),
            Scope::User => {
                let dirs = etcetera::choose_base_strategy().map_err(|_| ControlError::Nowhere)?;
                dirs.config_dir().join("systemd/user")
            }
        };
        Ok(Self { scope, path: units.join(NAME), systemctl: "systemctl".into(), booted: BOOTED.into() })
    }

    /// Returns where the unit lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a unit in its place, replacing one of ours, and has it started.
    ///
    /// # Errors
    /// When there is no systemd, the place is taken or can not be written, or systemctl fails; the unit stays then.
    pub fn install(&self, text: &str, start: Start) -> Result<(), ControlError> {
        self.check_booted()?;
        match self.installed() {
            Ok(found) if !found.starts_with(MARK) => return Err(ControlError::Foreign { path: self.path.clone() }),
            Ok(_) | Err(ControlError::NotInstalled { .. }) => {}
            Err(error) => return Err(error),
        }
        self.write(text).map_err(|source| self.io(source))?;
        self.systemctl(&["daemon-reload"])?;
        self.systemctl(&["enable", NAME])?;
        match start {
            // A node that ran under the unit before runs under this one now.
            Start::Now => self.systemctl(&["restart", NAME]).map(drop),
            Start::Later => Ok(()),
        }
    }

    /// Stops the service, and takes its unit away.
    ///
    /// # Errors
    /// When there is none, it is somebody else's, or systemctl fails; the unit stays then.
    pub fn uninstall(&self) -> Result<(), ControlError> {
        self.check_booted()?;
        if !self.installed()?.starts_with(MARK) {
            return Err(ControlError::Foreign { path: self.path.clone() });
        }
        self.systemctl(&["disable", "--now", NAME])?;
        fs::remove_file(&self.path).map_err(|source| self.io(source))?;
        self.systemctl(&["daemon-reload"]).map(drop)
    }

    /// Returns how the service stands.
    ///
    /// # Errors
    /// When there is none, or systemctl fails.
    pub fn state(&self) -> Result<State, ControlError> {
        self.check_booted()?;
        let text = self.installed()?;
        let wanted = "ActiveState,SubState,UnitFileState,StatusText,MainPID,NRestarts,Result";
        let told = self.systemctl(&["show", NAME, "--property", wanted])?;
        let told: BTreeMap<&str, &str> = told.lines().filter_map(|line| line.split_once('=')).collect();
        let word = |name: &str| told.get(name).copied().unwrap_or_default().to_owned();
        Ok(State {
            text,
            active: word("ActiveState"),
            sub: word("SubState"),
            enabled: word("UnitFileState"),
            said: word("StatusText"),
            pid: word("MainPID").parse().unwrap_or(0),
            restarts: word("NRestarts").parse().unwrap_or(0),
            result: word("Result"),
        })
    }

    /// Returns the unit as it lies there.
    ///
    /// # Errors
    /// When there is none, or it can not be read.
    pub fn installed(&self) -> Result<String, ControlError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ControlError::NotInstalled { path: self.path.clone() })
            }
            Err(source) => Err(self.io(source)),
        }
    }

    fn check_booted(&self) -> Result<(), ControlError> {
        if self.booted.is_dir() { Ok(()) } else { Err(ControlError::NoSystemd { booted: self.booted.clone() }) }
    }

    fn systemctl(&self, args: &[&str]) -> Result<String, ControlError> {
        let mut command = Command::new(&self.systemctl);
        if self.scope == Scope::User {
            command.arg("--user");
        }
        let output = command.args(args).output().map_err(ControlError::Systemctl)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().next().unwrap_or("it said nothing").to_owned();
        Err(ControlError::Refused { asked: args.join(" "), said })
    }

    /// Writes the unit: after a power cut there is the old one or the new one.
    fn write(&self, text: &str) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        let made = self.path.with_extension("service.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&made)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&made, &self.path)?;
        File::open(folder)?.sync_all()
    }

    fn io(&self, source: io::Error) -> ControlError {
        ControlError::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    /// A machine with a systemctl that notes what it is asked, and fails when a file says so.
    fn machine(temp: &TempDir) -> Control {
        let at = |name: &str| temp.path().join(name);
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {asked}\nif [ -e {fail} ]; then echo 'Failed to connect to bus' >&2; exit 1; fi\n\
             echo ActiveState=active\necho StatusText=1 of 2 peers connected\necho MainPID=42\n",
            asked = at("asked").display(),
            fail = at("fail").display()
        );
        fs::write(at("systemctl"), script).unwrap();
        fs::set_permissions(at("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(at("booted")).unwrap();
        let path = at("units").join(NAME);
        Control { scope: Scope::User, path, systemctl: at("systemctl"), booted: at("booted") }
    }

    fn asked(temp: &TempDir) -> Vec<String> {
        let asked = fs::read_to_string(temp.path().join("asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_unit_is_put_in_its_place_shown_and_taken_away() {
        let temp = tempfile::tempdir().unwrap();
        let control = machine(&temp);
        assert!(matches!(control.state(), Err(ControlError::NotInstalled { .. })));
        control.install(&format!("{MARK} one"), Start::Later).unwrap();
        control.install(&format!("{MARK} two"), Start::Now).unwrap();
        let state = control.state().unwrap();
        assert_eq!((state.active.as_str(), state.pid, state.text.ends_with("two")), ("active", 42, true));
        assert_eq!(state.said, "1 of 2 peers connected");
        control.uninstall().unwrap();
        assert!(!control.path().exists());
        let expected = [
            "--user daemon-reload",
            "--user enable beadmesh.service",
            "--user daemon-reload",
            "--user enable beadmesh.service",
            "--user restart beadmesh.service",
        ];
        assert_eq!(asked(&temp)[..5], expected);
        assert_eq!(asked(&temp)[6..], ["--user disable --now beadmesh.service", "--user daemon-reload"]);
        assert_eq!(control.uninstall().unwrap_err().code(), "not_found");
    }

    #[test]
    fn a_unit_of_somebody_else_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let control = machine(&temp);
        fs::create_dir(temp.path().join("units")).unwrap();
        fs::write(control.path(), "[Service]\n").unwrap();
        assert_eq!(control.install(MARK, Start::Now).unwrap_err().code(), "exists");
        assert_eq!(control.uninstall().unwrap_err().code(), "exists");
        assert_eq!(fs::read_to_string(control.path()).unwrap(), "[Service]\n");
        assert!(asked(&temp).is_empty());
    }

    #[test]
    fn a_machine_without_systemd_says_so_and_a_failure_says_what_systemctl_said() {
        let temp = tempfile::tempdir().unwrap();
        let control = machine(&temp);
        fs::write(temp.path().join("fail"), "").unwrap();
        let error = control.install(MARK, Start::Now).unwrap_err();
        assert_eq!(error.to_string(), "`systemctl daemon-reload` failed: Failed to connect to bus");
        assert!(error.hint().contains("enable-linger"));
        fs::remove_dir(temp.path().join("booted")).unwrap();
        let error = control.install(MARK, Start::Now).unwrap_err();
        assert!(error.code() == "no_systemd" && error.to_string().contains("not run by systemd"), "{error}");
    }
}
