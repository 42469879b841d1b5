//! Projects: repositories, known by keys that every clone computes alike.
//!
//! A key is a normalised git remote, else the root commit, else a given name; never a path. A project's id comes from
//! the first key it was known by, and two projects found to be one are united.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::ProjectId;
use crate::limits::PROJECT_KEY_BYTES_MAX;
use crate::op::ProjectKeys;

/// The BLAKE3 context under which a project's id is derived from its first key.
const ID_CONTEXT: &str = "beadmesh project v1";

/// A name that every clone of a repository computes alike: `host/path`, `root:<commit>` or `name:<word>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectKey(String);

impl ProjectKey {
    /// Normalises a git remote to `host/path`: user, port, `.git`, slashes at the ends and the host's case go.
    ///
    /// The path keeps its case, because some hosts tell it apart.
    ///
    /// # Errors
    ///
    /// Refuses paths of this machine and what has no host or no path.
    pub fn from_remote(remote: &str) -> Result<Self, KeyError> {
        let remote = remote.trim();
        let (authority, path) = split_remote(remote).ok_or_else(|| KeyError::NotRemote(cut(remote)))?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = without_port(host).trim_end_matches('.').to_lowercase();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let path = parts.join("/");
        let path = path.trim_end_matches(".git").trim_end_matches('/');
        if host.is_empty() || path.is_empty() {
            return Err(KeyError::NotRemote(cut(remote)));
        }
        Self::bounded(format!("{host}/{path}"))
    }

    /// Makes the key of a repository without a remote from the hex of its root commit.
    ///
    /// # Errors
    ///
    /// Refuses what is not 40 or 64 hex digits.
    pub fn from_root_commit(commit: &str) -> Result<Self, KeyError> {
        let hex = commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex || !matches!(commit.len(), 40 | 64) {
            return Err(KeyError::NotCommit(cut(commit)));
        }
        Self::bounded(format!("root:{}", commit.to_ascii_lowercase()))
    }

    /// Makes the key of a project that has only a name.
    ///
    /// # Errors
    ///
    /// Refuses an empty name and control characters.
    pub fn from_name(name: &str) -> Result<Self, KeyError> {
        let name = name.trim();
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(KeyError::NotName(cut(name)));
        }
        Self::bounded(format!("name:{name}"))
    }

    /// Reads a key in the one form that it has.
    ///
    /// # Errors
    ///
    /// Refuses what the other constructors would not have made.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let key = if let Some(commit) = text.strip_prefix("root:") {
            Self::from_root_commit(commit)?
        } else if let Some(name) = text.strip_prefix("name:") {
            Self::from_name(name)?
        } else {
            Self::from_remote(&format!("https://{text}"))?
        };
        if key.0 == text { Ok(key) } else { Err(KeyError::NotNormal { given: cut(text), normal: key.0 }) }
    }

    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id of a project that was first known by this key.
    pub fn project_id(&self) -> ProjectId {
        project_id(&self.0)
    }

    fn bounded(text: String) -> Result<Self, KeyError> {
        if text.len() > PROJECT_KEY_BYTES_MAX {
            return Err(KeyError::Bytes(text.len()));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for ProjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text gives no project key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the address of a repository on a host.
    #[error("not a git remote with a host and a path: {0:?}")]
    NotRemote(String),
    /// Not the hex of a commit.
    #[error("not a commit of 40 or 64 hex digits: {0:?}")]
    NotCommit(String),
    /// Not a name.
    #[error("not a project name: {0:?}")]
    NotName(String),
    /// A key in another form than the one it has.
    #[error("project key {given:?} is not in its one form, {normal:?}")]
    NotNormal {
        /// The key as given.
        given: String,
        /// The key as it should be.
        normal: String,
    },
    /// More bytes than allowed.
    #[error("project key has {0} bytes, at most {PROJECT_KEY_BYTES_MAX} are allowed")]
    Bytes(usize),
}

/// Every project that is known, folded from operations in their order.
#[derive(Debug, Clone, Default)]
pub struct Projects {
    /// Each key with its number, in order of first sight.
    keys: BTreeMap<String, usize>,
    /// Each key's id with the key's number.
    ids: BTreeMap<ProjectId, usize>,
    /// For each number a lower number of the same project, itself for the first.
    firsts: Vec<usize>,
    /// The keys by their numbers.
    names: Vec<String>,
    /// For each number the id derived from its key.
    derived: Vec<ProjectId>,
    /// The prefix of each project by its first number, with the operation that set it.
    prefixes: BTreeMap<usize, (u64, String)>,
    operations: u64,
}

impl Projects {
    /// Takes the next operation.
    pub fn apply(&mut self, operation: &ProjectKeys) {
        self.operations += 1;
        let numbers: Vec<usize> = operation.keys.iter().map(|key| self.number(key)).collect();
        let Some(first) = numbers.iter().map(|number| self.first(*number)).min() else { return };
        for number in numbers {
            self.unite(first, number);
        }
        if let Some(prefix) = &operation.prefix {
            self.prefixes.insert(first, (self.operations, prefix.clone()));
        }
    }

    /// Returns the project that the first known of these keys names.
    pub fn resolve<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> Option<ProjectId> {
        let number = keys.into_iter().find_map(|key| self.keys.get(key))?;
        Some(self.derived[self.first(*number)])
    }

    /// Returns the id a project goes by now: its own, or that of the older project it was united with.
    pub fn canonical(&self, project: ProjectId) -> ProjectId {
        self.ids.get(&project).map_or(project, |number| self.derived[self.first(*number)])
    }

    /// Returns whether a project known here goes by another id in `later`.
    pub fn is_renamed_in(&self, later: &Self) -> bool {
        self.ids.keys().any(|id| self.canonical(*id) != later.canonical(*id))
    }

    /// Returns what the project's minted aliases start with: of a united project, what was set last.
    pub fn prefix(&self, project: ProjectId) -> Option<&str> {
        let number = self.ids.get(&project)?;
        self.prefixes.get(&self.first(*number)).map(|(_, prefix)| prefix.as_str())
    }

    /// Returns the key that a project has gone by the longest.
    pub fn first_key(&self, project: ProjectId) -> Option<&str> {
        self.names.get(self.first(*self.ids.get(&project)?)).map(String::as_str)
    }

    /// Returns every project by its present id with its keys, in order of first sight.
    pub fn all(&self) -> BTreeMap<ProjectId, Vec<&str>> {
        let mut by_number: Vec<(usize, &str)> = self.keys.iter().map(|(key, number)| (*number, key.as_str())).collect();
        by_number.sort_unstable();
        let mut all: BTreeMap<ProjectId, Vec<&str>> = BTreeMap::new();
        for (number, key) in by_number {
            all.entry(self.derived[self.first(number)]).or_default().push(key);
        }
        all
    }

    fn number(&mut self, key: &str) -> usize {
        if let Some(number) = self.keys.get(key) {
            return *number;
        }
        let number = self.firsts.len();
        self.keys.insert(key.to_owned(), number);
        self.firsts.push(number);
        self.names.push(key.to_owned());
        self.derived.push(project_id(key));
        self.ids.insert(project_id(key), number);
        number
    }

    fn first(&self, mut number: usize) -> usize {
        while self.firsts[number] != number {
            number = self.firsts[number];
        }
        number
    }

    fn unite(&mut self, first: usize, number: usize) {
        let other = self.first(number);
        self.firsts[number] = first;
        if other == first {
            return;
        }
        self.firsts[other] = first;
        if let Some(theirs) = self.prefixes.remove(&other) {
            let ours = self.prefixes.entry(first).or_insert_with(|| theirs.clone());
            if ours.0 < theirs.0 {
                *ours = theirs;
            }
        }
    }
}

fn project_id(key: &str) -> ProjectId {
    let hash = blake3::derive_key(ID_CONTEXT, key.as_bytes());
    ProjectId::from_slice(&hash[..ProjectId::BYTES]).expect("a hash is longer than an id")
}

/// Splits a remote into authority and path: `scheme://authority/path` or the scp form `authority:path`.
fn split_remote(remote: &str) -> Option<(&str, &str)> {
    if let Some((scheme, rest)) = remote.split_once("://") {
        let known = matches!(
            scheme.to_ascii_lowercase().as_str(),
            "http" | "https" | "ssh" | "git" | "git+ssh" | "ssh+git" | "git+https" | "ftp" | "ftps"
        );
        return if known { rest.split_once('/') } else { None };
    }
    let after_host = remote.find(']').map_or(0, |end| end + 1);
    let colon = after_host + remote[after_host..].find(':')?;
    let (authority, path) = (&remote[..colon], &remote[colon + 1..]);
    // One letter before the colon is a drive; a slash before it makes the whole a path.
    let local = authority.contains(['/', '\\']) || (authority.len() == 1 && path.starts_with(['/', '\\']));
    (!local).then_some((authority, path))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => {
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(remote: &str) -> String {
        ProjectKey::from_remote(remote).expect("a remote").to_string()
    }

    fn unite(keys: &[&str], prefix: Option<&str>) -> ProjectKeys {
        ProjectKeys { keys: keys.iter().map(|key| (*key).to_owned()).collect(), prefix: prefix.map(str::to_owned) }
    }

    #[test]
    fn every_spelling_of_a_remote_is_one_key() {
        for remote in [
            "https://github.com/Ada/Engine.git",
            "https://github.com/Ada/Engine",
            "https://github.com/Ada/Engine/",
            "https://ada:secret@GitHub.com:443/Ada/Engine.git/",
            "http://github.com//Ada/Engine",
            "ssh://git@github.com/Ada/Engine.git",
            "ssh://git@github.com:22/Ada/Engine.git",
            "git@github.com:Ada/Engine.git",
            "github.com:Ada/Engine",
            "git@github.com:/Ada/Engine.git",
            "git://github.com./Ada/Engine.git",
            "  https://github.com/Ada/Engine.git\n",
        ] {
            assert_eq!(key(remote), "github.com/Ada/Engine", "{remote}");
        }
        assert_eq!(key("ssh://git@[2001:db8::1]:2222/x.git"), "[2001:db8::1]/x");
        assert_eq!(key("git@[2001:db8::1]:x.git"), "[2001:db8::1]/x");
    }

    #[test]
    fn a_path_is_never_a_key() {
        for remote in
            ["/srv/git/x.git", "../x", "file:///srv/x", "C:\\x", "C:/x", "./a:b", "x", "https://host", "host:"]
        {
            assert!(ProjectKey::from_remote(remote).is_err(), "{remote}");
        }
    }

    #[test]
    fn a_root_commit_and_a_name_are_keys_too() {
        let commit = "A".repeat(40);
        assert_eq!(
            ProjectKey::from_root_commit(&commit).expect("40 digits").as_str(),
            format!("root:{}", "a".repeat(40))
        );
        assert!(ProjectKey::from_root_commit("abc").is_err());
        assert_eq!(ProjectKey::from_name(" engine ").expect("a name").as_str(), "name:engine");
        assert_eq!(ProjectKey::from_name(&"x".repeat(600)), Err(KeyError::Bytes(605)));
    }

    #[test]
    fn a_key_is_read_in_its_one_form_only() {
        let root = format!("root:{}", "a".repeat(40));
        for key in ["github.com/Ada/Engine", "[2001:db8::1]/x", "name:default", root.as_str()] {
            assert_eq!(ProjectKey::parse(key).expect("a key").as_str(), key);
        }
        for text in ["", "x", "GitHub.com/a/b", "github.com/a/b.git", "h//x", "name:", "name: x", "root:abc", "/srv/x"]
        {
            assert!(ProjectKey::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_united_project_goes_by_its_earliest_key() {
        let mut projects = Projects::default();
        projects.apply(&unite(&["root:1"], Some("eng")));
        projects.apply(&unite(&["h/ada"], Some("ada")));
        projects.apply(&unite(&["h/bob"], None));
        let (old, ada) = (project_id("root:1"), project_id("h/ada"));
        assert_eq!(projects.resolve(["h/ada"]), Some(ada));
        let apart = projects.clone();
        projects.apply(&unite(&["h/ada", "root:1"], None));
        assert_eq!(projects.resolve(["unknown", "h/ada"]), Some(old));
        assert!(apart.is_renamed_in(&projects));
        assert_eq!(projects.canonical(ada), old);
        assert_eq!(projects.prefix(ada), Some("ada"));
        projects.apply(&unite(&["h/bob", "h/ada", "h/new"], Some("all")));
        assert_eq!(projects.resolve(["h/bob"]), Some(old));
        assert_eq!(projects.prefix(project_id("h/new")), Some("all"));
        assert_eq!(projects.all().into_values().collect::<Vec<_>>(), [["root:1", "h/ada", "h/bob", "h/new"]]);
        let before = projects.clone();
        projects.apply(&unite(&["h/other"], None));
        assert!(!before.is_renamed_in(&projects));
    }

    #[test]
    fn an_unknown_project_keeps_its_id() {
        let id = project_id("h/x");
        assert_eq!(Projects::default().canonical(id), id);
        assert_eq!(Projects::default().resolve(["h/x"]), None);
    }
}
