//! Who is behind a process: its name, its user, and the agent in whose name it runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use beadmesh_protocol::limits::{NAME_BYTES_MAX, SAMPLE_TEXT_BYTES_MAX};
use beadmesh_protocol::sample::fitting;

/// The variable in which an agent's processes say whose they are.
const AGENT_VARIABLE: &[u8] = b"BEADMESH_AGENT=";

/// Bytes of an environment that are looked through.
const ENVIRONMENT_BYTES_MAX: u64 = 256 * 1_024;

/// What is known of a process; what is not this user's to know is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) agent: Option<String>,
}

/// Remembers processes for as long as they are asked for.
#[derive(Debug)]
pub(super) struct Processes {
    proc: PathBuf,
    passwd: PathBuf,
    known: BTreeMap<u32, Known>,
    users: BTreeMap<u32, String>,
}

impl Processes {
    pub(super) fn new() -> Self {
        Self::at("/proc".into(), "/etc/passwd".into())
    }

    fn at(proc: PathBuf, passwd: PathBuf) -> Self {
        Self { proc, passwd, known: BTreeMap::new(), users: BTreeMap::new() }
    }

    /// Returns who is behind each of some processes, and forgets all others: a number that comes again is another's.
    pub(super) fn look(&mut self, pids: &[u32]) -> &BTreeMap<u32, Known> {
        self.known.retain(|pid, _| pids.contains(pid));
        for pid in pids {
            if !self.known.contains_key(pid) {
                let found = self.find(*pid);
                self.known.insert(*pid, found);
            }
        }
        &self.known
    }

    fn find(&mut self, pid: u32) -> Known {
        let dir = self.proc.join(pid.to_string());
        let name = fs::read_to_string(dir.join("comm")).ok();
        let name = name.map(|name| fitting(&name, NAME_BYTES_MAX)).filter(|name| !name.is_empty());
        let owner = fs::metadata(&dir).ok().map(|found| self.user(found.uid()));
        Known { name, owner, agent: agent(&dir.join("environ")) }
    }

    /// Returns what a user is called: by name, or by number where there is none.
    fn user(&mut self, uid: u32) -> String {
        if self.users.is_empty() {
            let file = fs::read_to_string(&self.passwd).unwrap_or_default();
            self.users = file.lines().filter_map(user).collect();
        }
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

/// Reads a line of `passwd`.
fn user(line: &str) -> Option<(u32, String)> {
    let mut fields = line.split(':');
    let (name, uid) = (fields.next()?, fields.nth(1)?);
    Some((uid.parse().ok()?, fitting(name, NAME_BYTES_MAX)))
}

/// Reads the agent out of an environment, where this user may read it. Nothing else of it is kept.
fn agent(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let agent = bytes.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(AGENT_VARIABLE))?;
    Some(fitting(&String::from_utf8_lossy(agent), SAMPLE_TEXT_BYTES_MAX)).filter(|agent| !agent.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_name_user_and_agent() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path().join("proc");
        fs::create_dir_all(proc.join("7")).unwrap();
        fs::write(proc.join("7/comm"), "python3\n").unwrap();
        fs::write(proc.join("7/environ"), b"HOME=/root\0BEADMESH_AGENT=BlueLake\0BEADMESH_TOKEN=secret\0").unwrap();
        let uid = fs::metadata(proc.join("7")).unwrap().uid();
        let passwd = dir.path().join("passwd");
        fs::write(&passwd, format!("nobody:x:4242:1::/:/bin/sh\nada:x:{uid}:{uid}::/:/bin/sh\n")).unwrap();
        let mut processes = Processes::at(proc.clone(), passwd);
        let seven = Known { name: Some("python3".into()), owner: Some("ada".into()), agent: Some("BlueLake".into()) };
        assert_eq!(processes.look(&[7, 8]), &[(7, seven), (8, Known::default())].into());
        fs::write(proc.join("7/comm"), "other\n").unwrap();
        assert_eq!(processes.look(&[7])[&7].name.as_deref(), Some("python3"), "it is the same one");
        assert!(processes.look(&[]).is_empty());
        assert_eq!(processes.look(&[7])[&7].name.as_deref(), Some("other"), "it may be another one");
        assert_eq!(processes.user(77_777), "77777");
    }
}
