//! The unit: how systemd starts a node, and what it keeps from it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::config::FILE_VARIABLE;
use crate::home::HOME_VARIABLE;

/// What the unit is called.
pub const NAME: &str = "beadmesh.service";

/// What a unit that we wrote begins with; one that begins otherwise is somebody else's.
pub(super) const MARK: &str = "# Written by `beadmesh service install`";

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One user's: it runs as that user, while they are logged in or linger.
    User,
    /// The machine's.
    System,
}

/// A service of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Whose it is.
    pub scope: Scope,
    /// The program.
    pub program: PathBuf,
    /// The home; without one the machine's service gets `/var/lib/beadmesh` from systemd.
    pub home: Option<PathBuf>,
    /// The file that says what is set, where it is not the one in the home.
    pub config: Option<PathBuf>,
    /// The user that the machine's service runs as; without one systemd makes one up that nobody else is.
    pub user: Option<String>,
}

/// Why there can be no such unit.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// A path can not be written into a unit.
    #[error("{path:?} can not stand in a unit: it is no absolute path of printable UTF-8")]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// The service has a `/tmp` of its own.
    #[error("{} lies in a directory for temporary files, which a service does not see", path.display())]
    Temporary {
        /// The path.
        path: PathBuf,
    },
    /// A user's name can not be written into a unit.
    #[error("{name:?} is no user's name")]
    User {
        /// The name.
        name: String,
    },
    /// A user's service runs as that user.
    #[error("a user's service needs a home, and runs as that user")]
    Scope,
}

impl UnitError {
    /// Returns what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Path { .. } => "use a path without line ends and other control characters",
            Self::Temporary { .. } => {
                "copy the program to /usr/local/bin or ~/.local/bin, and choose a home that lasts"
            }
            Self::User { .. } => "name a user of this machine, as `id` does",
            Self::Scope => "use --system to run as another user",
        }
    }
}

impl Unit {
    /// Writes the unit.
    ///
    /// # Errors
    /// When a path or a name can not stand in one.
    pub fn text(&self) -> Result<String, UnitError> {
        if self.scope == Scope::User && (self.user.is_some() || self.home.is_none()) {
            return Err(UnitError::Scope);
        }
        let mut out = String::new();
        let mut section = |title: &str, lines: &[String]| {
            let _ = write!(out, "\n[{title}]\n{}\n", lines.join("\n"));
        };
        section("Unit", &self.about());
        section("Service", &[self.process()?, life(), self.limits(), self.walls()?].concat());
        let target = if self.scope == Scope::User { "default.target" } else { "multi-user.target" };
        section("Install", &[format!("WantedBy={target}")]);
        let edit = if self.scope == Scope::User { "systemctl --user edit" } else { "systemctl edit" };
        Ok(format!("{MARK}, which replaces it; changes belong into `{edit} {NAME}`.\n{out}"))
    }

    fn about(&self) -> Vec<String> {
        let mut lines = vec!["Description=beadmesh node".to_owned()];
        if self.scope == Scope::System {
            lines.extend(lines_of("Wants=network-online.target\nAfter=network-online.target"));
        }
        // A full disk is freed some day, and then the node goes on.
        lines.push("StartLimitIntervalSec=0".to_owned());
        lines
    }

    /// Says what is started, as whom and where.
    fn process(&self) -> Result<Vec<String>, UnitError> {
        let program = quoted(&lasting(&self.program)?.replace('$', "$$"));
        let mut lines =
            vec!["Type=notify".to_owned(), "NotifyAccess=main".to_owned(), format!("ExecStart={program} up")];
        let home = match &self.home {
            Some(home) => lasting(home)?,
            None => "%S/beadmesh".to_owned(),
        };
        lines.push(format!("Environment={}", quoted(&format!("{HOME_VARIABLE}={home}"))));
        if let Some(config) = &self.config {
            lines.push(format!("Environment={}", quoted(&format!("{FILE_VARIABLE}={}", lasting(config)?))));
        }
        if self.scope == Scope::System {
            match &self.user {
                Some(name) if is_user(name) => lines.push(format!("User={name}")),
                Some(name) => return Err(UnitError::User { name: name.clone() }),
                None => lines.push("DynamicUser=yes".to_owned()),
            }
            if self.home.is_none() {
                lines.extend(lines_of("StateDirectory=beadmesh\nStateDirectoryMode=0700"));
            }
        }
        Ok(lines)
    }

    fn limits(&self) -> Vec<String> {
        // Memory: 250 MB hold 100,000 beads; a node that joins with 40,000 of its own takes 1.6 GB for some seconds.
        let mut lines = lines_of("LimitNOFILE=16384\nTasksMax=512\nMemoryHigh=2G\nMemoryMax=3G");
        // A core dump would hold the node's key.
        lines.push("LimitCORE=0".to_owned());
        if self.scope == Scope::System {
            // GPUs are looked at; no other device is.
            lines.extend(lines_of("DevicePolicy=closed\nDeviceAllow=char-nvidia* rw"));
        }
        lines
    }

    /// Says what the node does not see and may not do. A user's manager that may make no namespaces leaves out what
    /// needs them.
    fn walls(&self) -> Result<Vec<String>, UnitError> {
        let mut lines = lines_of(
            "UMask=0077\nNoNewPrivileges=yes\nProtectSystem=strict\nPrivateTmp=yes\nProtectProc=invisible\n\
             ProtectKernelTunables=yes\nProtectKernelModules=yes\nProtectKernelLogs=yes\nProtectControlGroups=yes\n\
             ProtectClock=yes\nProtectHostname=yes\nLockPersonality=yes\nMemoryDenyWriteExecute=yes\n\
             RestrictRealtime=yes\nRestrictSUIDSGID=yes\nRestrictNamespaces=yes\n\
             RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\nSystemCallArchitectures=native\n\
             SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources\nSystemCallErrorNumber=EPERM\n\
             KeyringMode=private\nRemoveIPC=yes",
        );
        let paths = [Some(&self.program), self.home.as_ref(), self.config.as_ref()];
        let in_homes = |path: &PathBuf| ["/home", "/root", "/run/user"].iter().any(|above| path.starts_with(above));
        let homes =
            if self.scope == Scope::User || paths.into_iter().flatten().any(in_homes) { "read-only" } else { "yes" };
        lines.push(format!("ProtectHome={homes}"));
        if let Some(home) = &self.home {
            lines.push(format!("ReadWritePaths={}", quoted(&lasting(home)?)));
        }
        if self.scope == Scope::System {
            lines.extend(lines_of("CapabilityBoundingSet=\nAmbientCapabilities="));
        }
        Ok(lines)
    }
}

/// Says when it is started again, and when it is given up.
fn life() -> Vec<String> {
    // What is wrong with what was set, with a home that is in use or open to others, is still wrong after a restart.
    lines_of(
        "Restart=on-failure\nRestartSec=5s\nRestartPreventExitStatus=2 4 6\nTimeoutStartSec=5min\nTimeoutStopSec=30s\n\
         WatchdogSec=3min",
    )
}

fn lines_of(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Returns a path as a unit has it, where the service will find it.
fn lasting(path: &Path) -> Result<String, UnitError> {
    let text = path.to_str().filter(|text| path.is_absolute() && !text.contains(char::is_control));
    let text = text.ok_or_else(|| UnitError::Path { path: path.to_owned() })?;
    if ["/tmp", "/var/tmp"].iter().any(|above| path.starts_with(above)) {
        return Err(UnitError::Temporary { path: path.to_owned() });
    }
    // systemd.unit(5), "Specifiers".
    Ok(text.replace('%', "%%"))
}

/// Quotes a word where it has to be, as systemd.syntax(7) says.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/-_.=%$@:+,".contains(letter);
    if word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

fn is_user(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= 32 && name.bytes().all(fits) && !name.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Unit {
        Unit {
            scope: Scope::User,
            program: "/home/ada/.local/bin/beadmesh".into(),
            home: Some("/home/ada/.local/share/beadmesh".into()),
            config: None,
            user: None,
        }
    }

    fn system() -> Unit {
        Unit { scope: Scope::System, program: "/usr/local/bin/beadmesh".into(), home: None, ..user() }
    }

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|found| found == line)
    }

    #[test]
    fn a_users_unit_writes_to_the_home_alone() {
        let text = user().text().unwrap();
        for line in [
            "Type=notify",
            "ExecStart=/home/ada/.local/bin/beadmesh up",
            "Environment=BEADMESH_HOME=/home/ada/.local/share/beadmesh",
            "ReadWritePaths=/home/ada/.local/share/beadmesh",
            "ProtectSystem=strict",
            "ProtectHome=read-only",
            "NoNewPrivileges=yes",
            "WantedBy=default.target",
        ] {
            assert!(has(&text, line), "{line}: {text}");
        }
        assert!(text.starts_with(MARK) && !text.contains("User="));
    }

    #[test]
    fn the_machines_unit_has_a_user_and_a_home_of_its_own_unless_told_otherwise() {
        let text = system().text().unwrap();
        for line in [
            "DynamicUser=yes",
            "StateDirectory=beadmesh",
            "Environment=BEADMESH_HOME=%S/beadmesh",
            "ProtectHome=yes",
            "CapabilityBoundingSet=",
            "WantedBy=multi-user.target",
        ] {
            assert!(has(&text, line), "{line}: {text}");
        }
        assert!(!text.contains("ReadWritePaths"));
        let named = Unit { user: Some("ada".into()), home: Some("/srv/mesh".into()), ..system() };
        let text = named.text().unwrap();
        assert!(has(&text, "User=ada") && has(&text, "ReadWritePaths=/srv/mesh") && !text.contains("DynamicUser"));
    }

    #[test]
    fn what_systemd_would_read_otherwise_is_written_so_that_it_does_not() {
        let home = Some("/srv/100% of \"it\"\\x".into());
        let text = Unit { home, program: "/opt/my $beads/beadmesh".into(), ..user() }.text().unwrap();
        assert!(has(&text, r#"ReadWritePaths="/srv/100%% of \"it\"\\x""#), "{text}");
        assert!(has(&text, r#"Environment="BEADMESH_HOME=/srv/100%% of \"it\"\\x""#), "{text}");
        assert!(has(&text, r#"ExecStart="/opt/my $$beads/beadmesh" up"#), "{text}");
    }

    #[test]
    fn what_no_unit_can_have_is_refused() {
        let line_end = Unit { home: Some("/srv/a\nExecStartPre=/bin/sh".into()), ..user() };
        assert!(matches!(line_end.text(), Err(UnitError::Path { .. })));
        assert!(matches!(Unit { home: Some("srv".into()), ..user() }.text(), Err(UnitError::Path { .. })));
        let temporary = Unit { program: "/tmp/beadmesh".into(), ..user() };
        assert!(matches!(temporary.text(), Err(UnitError::Temporary { .. })));
        for name in ["", "a b", "-x", "a\nb", "%u"] {
            assert!(
                matches!(Unit { user: Some(name.into()), ..system() }.text(), Err(UnitError::User { .. })),
                "{name}"
            );
        }
        assert!(matches!(Unit { user: Some("ada".into()), ..user() }.text(), Err(UnitError::Scope)));
    }
}
