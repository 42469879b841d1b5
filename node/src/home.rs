//! The home of a node: one private directory with its key, its store, its lock and its socket.
//!
//! Everything in it belongs to one user; what is too open is refused rather than used.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use beadmesh_protocol::id::{NodeId, base32};
use beadmesh_protocol::limits::NAME_BYTES_MAX;
use beadmesh_store::Membership;
use ed25519_dalek::SigningKey;
use etcetera::BaseStrategy;
use zeroize::Zeroizing;

use crate::alarms::Spent;
use crate::api::model::SecretText;
use crate::bans;

mod error;
mod human;

pub use error::HomeError;
pub use human::Human;

/// The variable that moves the whole home.
pub const HOME_VARIABLE: &str = "BEADMESH_HOME";
/// The variable that names the user of this machine.
pub const USER_VARIABLE: &str = "USER";

/// Bytes of the path of a Unix socket, as the kernel bounds it: 108 with the final zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

const KEY: &str = "node.key";
const RECOVERY: &str = "recovery.key";
const RESTORING: &str = "store.restoring";
const PORT: &str = "port";
const SPENT: &str = "spent";
const SPENT_DAMAGED: &str = "spent.damaged";
const PROBE: &str = "probe";
const BANS: &str = "bans";
const API_TOKEN: &str = "api.token";
const API_TOKEN_BYTES: usize = 20;
/// What the token of the API begins with, so that it is not taken for an agent's.
const API_TOKEN_MARK: &str = "bmt1";
const METRICS_TOKEN: &str = "metrics.token";
/// What the token of whoever watches begins with.
const METRICS_TOKEN_MARK: &str = "bmm1";
const MEMBERSHIP: &str = "membership";
const KEY_BYTES: usize = 32;
/// What a recovery key begins with, so that it is not taken for a ticket.
const RECOVERY_MARK: &str = "bmr1";
/// Bytes read of a small file at most; every one of ours is shorter.
const SMALL_BYTES_MAX: u64 = 4 * 1024;
/// Bytes read of who is kept out at most: a node's id and a date, for each of a thousand.
const BANS_BYTES_MAX: u64 = 128 * 1024;
/// Bytes read of a membership at most: some thousands of control entries in each of a thousand nodes' lives.
const MEMBERSHIP_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The home of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
}

/// What people call the node, a mesh it founds, and the agent that is the user of the home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The node.
    pub node: String,
    /// A mesh that is founded.
    pub mesh: String,
    /// The user, should the home not know them yet.
    pub human: String,
}

impl Home {
    /// Returns the home at `dir` as it is, for whoever only looks: nothing is made, and nothing is closed to others.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Returns where the home is: `BEADMESH_HOME`, or `beadmesh` in the user's data directory.
    ///
    /// # Errors
    /// When neither is known.
    pub fn resolve() -> Result<PathBuf, HomeError> {
        if let Some(dir) = std::env::var_os(HOME_VARIABLE).filter(|dir| !dir.is_empty()) {
            return std::path::absolute(PathBuf::from(&dir)).map_err(|source| HomeError::io(Path::new(&dir), source));
        }
        let dirs = etcetera::choose_base_strategy().map_err(|_| HomeError::Nowhere)?;
        Ok(dirs.data_dir().join("beadmesh"))
    }

    /// Opens the home at `dir`, made if missing, and sees to it that nobody else can look into it.
    ///
    /// # Errors
    /// When the directory can not be made or used, belongs to another user, or is open to others and not ours for sure.
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        let home = Self::at(dir);
        let socket = home.socket();
        let bytes = socket.as_os_str().len();
        if bytes > SOCKET_PATH_BYTES_MAX {
            return Err(HomeError::SocketPath { path: socket, bytes });
        }
        let found = match fs::metadata(dir) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(dir)?;
                return Ok(home);
            }
            Err(error) => return Err(HomeError::io(dir, error)),
        };
        if !found.is_dir() {
            return Err(HomeError::io(dir, io::ErrorKind::NotADirectory.into()));
        }
        owned(dir, &found)?;
        let mode = found.mode() & 0o7777;
        if mode & 0o077 != 0 {
            // Only a directory that is certainly a home, or nothing yet, is closed without being asked.
            if !home.dir.join(KEY).exists() && !is_empty(dir)? {
                return Err(HomeError::TooOpen { path: dir.to_owned(), mode, wanted: 0o700 });
            }
            let private = fs::Permissions::from_mode(0o700);
            fs::set_permissions(dir, private).map_err(|source| HomeError::io(dir, source))?;
        }
        Ok(home)
    }

    /// Returns whether there is a home at `dir` already, so that opening it founds nothing.
    ///
    /// What can not be looked into counts as one: opening it says why.
    pub fn is_begun(dir: &Path) -> bool {
        let home = Self::at(dir);
        match fs::read_dir(home.store()) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Returns whether a recovery key waits to be shown.
    ///
    /// # Errors
    /// When the home can not be looked into.
    pub fn has_recovery(&self) -> Result<bool, HomeError> {
        let path = self.dir.join(RECOVERY);
        path.try_exists().map_err(|source| HomeError::io(&path, source))
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the path of the socket that a running node answers on.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("node.sock")
    }

    /// Returns the path of the lock that the one writer holds.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// Returns the number of the process that holds the lock, as that wrote it there; nothing where it says none.
    pub fn holder(&self) -> String {
        let holder = fs::read_to_string(self.lock()).unwrap_or_default();
        holder.chars().filter(char::is_ascii_digit).take(20).collect()
    }

    /// Returns the directory of the store.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Returns the directory of the contents of attachments.
    pub fn blobs(&self) -> PathBuf {
        self.dir.join("blobs")
    }

    /// Returns the directory in which a store is built that a backup brings back.
    pub(crate) fn restoring(&self) -> PathBuf {
        self.dir.join(RESTORING)
    }

    /// Fails when a restore was interrupted: what it left is no node yet.
    pub(crate) fn check_whole(&self) -> Result<(), HomeError> {
        let path = self.restoring();
        if path.exists() && !Self::is_begun(&self.dir) { Err(HomeError::HalfRestored { path }) } else { Ok(()) }
    }

    /// Removes what a restore that was interrupted left.
    pub(crate) fn clear_restoring(&self) -> Result<(), HomeError> {
        let path = self.restoring();
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(HomeError::io(&path, error)),
            _ => Ok(()),
        }
    }

    /// Puts the keys and the store of a node that was brought back in their places, the store last.
    pub(crate) fn place_restored(
        &self,
        key: &SigningKey,
        recovery: Option<&[u8]>,
        membership: &Membership,
    ) -> Result<(), HomeError> {
        if self.existing_key()?.is_none() {
            self.write_private(KEY, Zeroizing::new(key.to_bytes()).as_slice())?;
        }
        if let Some(recovery) = recovery {
            self.write_private(RECOVERY, recovery)?;
        }
        self.keep_membership(membership)?;
        let (made, store) = (self.restoring(), self.store());
        sync(&made)?;
        fs::rename(&made, &store).map_err(|source| HomeError::io(&store, source))?;
        self.sync()
    }

    /// Returns the node's secret key, if there is one.
    pub(crate) fn existing_key(&self) -> Result<Option<SigningKey>, HomeError> {
        let path = self.dir.join(KEY);
        let Some(read) = self.read_private(KEY)? else { return Ok(None) };
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if read.len() != KEY_BYTES {
            return Err(HomeError::KeyBytes { path, bytes: read.len() });
        }
        bytes.copy_from_slice(&read);
        Ok(Some(SigningKey::from_bytes(&bytes)))
    }

    /// Returns the node's secret key, made and kept at the first call. The caller holds the lock.
    ///
    /// # Errors
    /// When the key can not be read or kept, is open to others, or has another length.
    pub fn key(&self) -> Result<SigningKey, HomeError> {
        if let Some(key) = self.existing_key()? {
            return Ok(key);
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| HomeError::Random)?;
        self.write_private(KEY, bytes.as_slice())?;
        Ok(SigningKey::from_bytes(&bytes))
    }

    /// Keeps the secret half of a mesh's recovery key until it has been shown; returns its text.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn keep_recovery(&self, key: &SigningKey) -> Result<SecretText, HomeError> {
        let bytes = Zeroizing::new(key.to_bytes());
        let text = SecretText::new(format!("{RECOVERY_MARK}{}", base32(bytes.as_slice())));
        self.write_private(RECOVERY, text.reveal().as_bytes())?;
        Ok(text)
    }

    /// Returns the recovery key, unless it has been shown and forgotten.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn recovery(&self) -> Result<Option<SecretText>, HomeError> {
        let bytes = self.read_private(RECOVERY)?;
        Ok(bytes.map(|bytes| SecretText::new(String::from_utf8_lossy(&bytes).trim().to_owned())))
    }

    /// Forgets the recovery key; whoever asks for that names it, and so has seen it. Returns whether it is forgotten.
    ///
    /// # Errors
    /// When the file can not be read or removed.
    pub fn forget_recovery(&self, seen: &SecretText) -> Result<bool, HomeError> {
        let Some(kept) = self.recovery()? else { return Ok(true) };
        if kept != *seen {
            return Ok(false);
        }
        let path = self.dir.join(RECOVERY);
        fs::remove_file(&path).map_err(|source| HomeError::io(&path, source))?;
        self.sync()?;
        Ok(true)
    }

    /// Returns the secret half of a recovery key, as it was shown; `None` for a text that is none.
    pub fn read_recovery(text: &SecretText) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        let digits = text.reveal().trim().strip_prefix(RECOVERY_MARK)?;
        // A key is written as ids of as many bytes are.
        let id: NodeId = digits.parse().ok()?;
        Some(Zeroizing::new(*id.as_bytes()))
    }

    /// Returns what proves over TCP that one may ask the API, made and kept at the first call. The caller holds the lock.
    ///
    /// # Errors
    /// When the file can not be read or written, is open to others, or holds something else.
    pub fn api_token(&self) -> Result<SecretText, HomeError> {
        self.kept_token(API_TOKEN, API_TOKEN_MARK)
    }

    /// Returns what proves over TCP that one may watch the node, and nothing else, made and kept at the first call. The
    /// caller holds the lock.
    ///
    /// # Errors
    /// When the file can not be read or written, is open to others, or holds something else.
    pub fn metrics_token(&self) -> Result<SecretText, HomeError> {
        self.kept_token(METRICS_TOKEN, METRICS_TOKEN_MARK)
    }

    /// Returns the token that a file holds, made and kept at the first call.
    fn kept_token(&self, name: &str, mark: &str) -> Result<SecretText, HomeError> {
        if let Some(kept) = self.read_private(name)? {
            let text = String::from_utf8_lossy(&kept).trim().to_owned();
            let chars = mark.len() + API_TOKEN_BYTES * 8 / 5;
            if !text.starts_with(mark) || text.len() != chars {
                return Err(HomeError::ApiToken { path: self.dir.join(name) });
            }
            return Ok(SecretText::new(text));
        }
        let mut bytes = Zeroizing::new([0; API_TOKEN_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| HomeError::Random)?;
        let text = SecretText::new(format!("{mark}{}", base32(bytes.as_slice())));
        self.write_private(name, text.reveal().as_bytes())?;
        Ok(text)
    }

    /// Returns which nodes this one is to have nothing to do with.
    ///
    /// # Errors
    /// When the file can not be read, or holds something else.
    pub(crate) fn bans(&self) -> Result<bans::Known, HomeError> {
        let Some(kept) = self.read_bounded(BANS, BANS_BYTES_MAX)? else { return Ok(bans::Known::new()) };
        let known = std::str::from_utf8(&kept).ok().and_then(bans::read);
        known.ok_or_else(|| HomeError::Bans { path: self.dir.join(BANS) })
    }

    /// Keeps which nodes this one is to have nothing to do with.
    ///
    /// # Errors
    /// When the file can not be written.
    pub(crate) fn keep_bans(&self, known: &bans::Known) -> Result<(), HomeError> {
        self.write_private(BANS, bans::write(known).as_bytes())
    }

    /// Returns what was spent of the budget; `None` where none has begun.
    ///
    /// # Errors
    /// When the file can not be read, or holds something else.
    pub(crate) fn spent(&self) -> Result<Option<Spent>, HomeError> {
        let Some(kept) = self.read_private(SPENT)? else { return Ok(None) };
        let spent = std::str::from_utf8(&kept).ok().and_then(Spent::read);
        spent.map(Some).ok_or_else(|| HomeError::Spent { path: self.dir.join(SPENT) })
    }

    /// Moves away a file that does not say what was spent; returns where it lies then.
    ///
    /// # Errors
    /// When it can not be moved.
    pub(crate) fn set_spent_aside(&self) -> Result<PathBuf, HomeError> {
        let (path, aside) = (self.dir.join(SPENT), self.dir.join(SPENT_DAMAGED));
        fs::rename(&path, &aside).map_err(|source| HomeError::io(&path, source))?;
        Ok(aside)
    }

    /// Keeps what was spent of the budget.
    ///
    /// # Errors
    /// When the file can not be written.
    pub(crate) fn keep_spent(&self, spent: Spent) -> Result<(), HomeError> {
        self.write_private(SPENT, spent.write().as_bytes())
    }

    /// Returns the port that the node listened on last time.
    pub fn saved_port(&self) -> Option<u16> {
        let bytes = self.read_private(PORT).ok().flatten()?;
        std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
    }

    /// Remembers the port that the node listens on.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn save_port(&self, port: u16) -> Result<(), HomeError> {
        if self.saved_port() == Some(port) { Ok(()) } else { self.write_private(PORT, format!("{port}\n").as_bytes()) }
    }

    /// Returns what the mesh is found again by when the store is lost, if it was kept and is sound.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn membership(&self) -> Result<Option<Membership>, HomeError> {
        let bytes = self.read_bounded(MEMBERSHIP, MEMBERSHIP_BYTES_MAX)?;
        Ok(bytes.and_then(|bytes| Membership::decode(&bytes)))
    }

    /// Keeps what the mesh is found again by when the store is lost.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn keep_membership(&self, membership: &Membership) -> Result<(), HomeError> {
        self.write_private(MEMBERSHIP, &membership.encode())
    }

    /// Returns what tells this copy of the store from any other: the machine, and the place of the store on its disk.
    ///
    /// A home that is copied or restored gets another text and so goes on as a new instance.
    ///
    /// # Errors
    /// When the store's directory can not be made or examined.
    pub fn machine(&self) -> Result<String, HomeError> {
        let store = self.store();
        if !store.is_dir() {
            make(&store)?;
        }
        Self::machine_at(&store)
    }

    /// Returns what `machine` will return once the store at this place has been moved to its own.
    pub(crate) fn machine_at(store: &Path) -> Result<String, HomeError> {
        let found = fs::metadata(store).map_err(|source| HomeError::io(store, source))?;
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let machine = if machine.trim().is_empty() { host_name() } else { machine.trim().to_owned() };
        // A number is soon given anew, to a directory that is put where one was removed; its birth tells them apart.
        let birth = found.created().ok().and_then(|birth| birth.duration_since(UNIX_EPOCH).ok());
        let birth = birth.map(|birth| format!("/{}", birth.as_nanos())).unwrap_or_default();
        Ok(format!("{machine}/{}{birth}", found.ino()))
    }

    /// Returns the files that open something, and the socket; not all of them need be there.
    pub(crate) fn private_files(&self) -> Vec<PathBuf> {
        let names = [KEY, RECOVERY, human::TOKEN, API_TOKEN, METRICS_TOKEN, BANS, SPENT, MEMBERSHIP, PORT];
        names.iter().map(|name| self.dir.join(name)).chain([self.socket()]).collect()
    }

    /// Writes a file durably as every other of ours, and removes it again.
    pub(crate) fn probe(&self) -> Result<(), HomeError> {
        self.write_private(PROBE, b"written by the doctor\n")?;
        let path = self.dir.join(PROBE);
        fs::remove_file(&path).map_err(|source| HomeError::io(&path, source))
    }

    /// Reads a small file of ours; `None` when there is none.
    fn read_private(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, HomeError> {
        self.read_bounded(name, SMALL_BYTES_MAX)
    }

    fn read_bounded(&self, name: &str, bytes_max: u64) -> Result<Option<Zeroizing<Vec<u8>>>, HomeError> {
        let path = self.dir.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(HomeError::io(&path, error)),
        };
        let found = file.metadata().map_err(|source| HomeError::io(&path, source))?;
        owned(&path, &found)?;
        let mode = found.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(HomeError::TooOpen { path, mode, wanted: 0o600 });
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(bytes_max).read_to_end(&mut bytes).map_err(|source| HomeError::io(&path, source))?;
        Ok(Some(bytes))
    }

    /// Writes a file of ours: after a power cut there is the old one or the new one.
    fn write_private(&self, name: &str, bytes: &[u8]) -> Result<(), HomeError> {
        let path = self.dir.join(name);
        let made = self.dir.join(format!("{name}.new"));
        let write = || {
            match fs::remove_file(&made) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&made, &path)
        };
        write().map_err(|source| HomeError::io(&path, source))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), HomeError> {
        sync(&self.dir)
    }
}

/// Returns what the user of that name is called as an agent.
pub fn human_name(user: &str) -> String {
    human::name_of(user)
}

/// Returns the first part of the host's name, within the bound of a name.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    let name: String = name.chars().filter(|char| !char.is_control()).collect();
    let end = name.floor_char_boundary(NAME_BYTES_MAX);
    if end == 0 { "node".to_owned() } else { name[..end].to_owned() }
}

/// Makes a private directory and what is missing above it, and makes its name durable.
fn make(dir: &Path) -> Result<(), HomeError> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(dir);
    made.map_err(|source| HomeError::io(dir, source))?;
    dir.parent().map_or(Ok(()), sync)
}

fn sync(dir: &Path) -> Result<(), HomeError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| HomeError::io(dir, source))
}

fn is_empty(dir: &Path) -> Result<bool, HomeError> {
    let mut entries = fs::read_dir(dir).map_err(|source| HomeError::io(dir, source))?;
    Ok(entries.next().is_none())
}

/// Fails when a file belongs to somebody else.
fn owned(path: &Path, found: &fs::Metadata) -> Result<(), HomeError> {
    let user = rustix::process::geteuid().as_raw();
    if found.uid() == user {
        return Ok(());
    }
    Err(HomeError::NotOurs { path: path.to_owned(), owner: found.uid(), user })
}

#[cfg(test)]
mod tests;
