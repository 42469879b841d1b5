//! The mirror: what the disk would hold after a power cut.

use std::{
    collections::BTreeSet,
    env, fs,
    fs::File,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::fs::{FileExt as _, symlink},
    },
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::interpose::{die, kill};

/// Bytes compared and copied at a time.
const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes that a kernel writes back as one.
const PAGE_BYTES: u64 = 4 * 1024;

/// What a sync returns to its caller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Success, true or feigned.
    Done,
    /// `EIO`.
    Failed,
}

/// How syncs behave.
enum Mode {
    Faithful,
    /// Neither call does anything.
    Noop,
    /// `fdatasync` does nothing.
    Skip,
    /// `fdatasync` fails once so many have worked.
    Fail(u64),
}

/// One tree and its mirror.
pub(crate) struct Mirror {
    from: PathBuf,
    to: PathBuf,
    disk: PathBuf,
    mode: Mode,
    /// The file that makes the next `fdatasync` the last thing that the process does.
    last: Option<PathBuf>,
    /// Calls of `fdatasync` so far.
    calls: AtomicU64,
    /// State of the generator that picks leaking pages, if any leak; also held while the mirror changes.
    seed: Mutex<Option<u64>>,
    leaks: bool,
}

impl Mirror {
    /// Returns the mirror that the environment asks for, if it does.
    pub(crate) fn get() -> Option<&'static Self> {
        static MIRROR: OnceLock<Option<Mirror>> = OnceLock::new();
        static BEGUN: AtomicBool = AtomicBool::new(false);
        let mirror = MIRROR.get_or_init(Self::from_env).as_ref()?;
        // Copying calls `write`, which comes by here again and must pass.
        if !BEGUN.swap(true, Ordering::Relaxed) && mirror.from.is_dir() && !mirror.to.exists() {
            let _changing = mirror.seed.lock().unwrap_or_else(PoisonError::into_inner);
            mirror.begin(&mirror.from).unwrap_or_else(|e| die(&format!("the first copy failed: {e}")));
        }
        Some(mirror)
    }

    /// Takes all that lies under `dir` when the first process starts as durable.
    fn begin(&self, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.begin(&entry.path())?;
            } else if entry.file_type()?.is_file() {
                self.sync_contents(File::open(entry.path())?.as_raw_fd())?;
            }
        }
        self.sync_names(dir)
    }

    fn from_env() -> Option<Self> {
        let from = absolute(&PathBuf::from(env::var_os("POWER_LOSS_FROM")?));
        // The mirror itself may be there already, as a link; only what is above it is resolved.
        let to = beside(&PathBuf::from(env::var_os("POWER_LOSS_TO")?));
        let mode = match env::var("POWER_LOSS_FDATASYNC").as_deref() {
            Err(_) | Ok("") => Mode::Faithful,
            Ok("noop") => Mode::Noop,
            Ok("skip") => Mode::Skip,
            Ok(other) => match other.strip_prefix("fail:").and_then(|calls| calls.parse().ok()) {
                Some(calls) => Mode::Fail(calls),
                None => die("POWER_LOSS_FDATASYNC is not noop, skip or fail:N"),
            },
        };
        let seed = env::var("POWER_LOSS_SEED").ok().map(|text| match text.parse() {
            Ok(seed) => seed,
            Err(_) => die("POWER_LOSS_SEED is not a number"),
        });
        let last = env::var_os("POWER_LOSS_LAST").map(PathBuf::from);
        let disk = to.with_added_extension("disk");
        if to.starts_with(&from) {
            die("POWER_LOSS_TO lies in POWER_LOSS_FROM");
        }
        if fs::create_dir_all(&disk).is_err() {
            die("the mirror can not be made");
        }
        Some(Self {
            from,
            to,
            disk,
            mode,
            last,
            calls: AtomicU64::new(0),
            leaks: seed.is_some(),
            seed: Mutex::new(seed),
        })
    }

    /// Answers an `fsync`, unless `fd` is none of our business.
    pub(crate) fn fsync(&self, fd: RawFd) -> Option<Answer> {
        let path = self.path(fd)?;
        if !matches!(self.mode, Mode::Noop) {
            self.sync(fd, &path);
        }
        Some(Answer::Done)
    }

    /// Answers an `fdatasync`, unless `fd` is none of our business.
    pub(crate) fn fdatasync(&self, fd: RawFd) -> Option<Answer> {
        let path = self.path(fd)?;
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.mode {
            Mode::Noop | Mode::Skip => {}
            Mode::Fail(working) if calls >= working => return Some(Answer::Failed),
            Mode::Faithful | Mode::Fail(_) => self.sync(fd, &path),
        }
        if self.last.as_ref().is_some_and(|last| fs::remove_file(last).is_ok()) {
            kill();
        }
        Some(Answer::Done)
    }

    /// Tells whether pages leak at all.
    pub(crate) fn leaks(&self) -> bool {
        self.leaks
    }

    /// Lets some of the pages in the `len` bytes from `at` reach the mirror.
    pub(crate) fn leak(&self, fd: RawFd, at: u64, len: u64) {
        if self.path(fd).is_none() {
            return;
        }
        let mut seed = self.seed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seed) = seed.as_mut() else { return };
        let pages = (at / PAGE_BYTES..(at + len).div_ceil(PAGE_BYTES)).filter(|_| next(seed).is_multiple_of(2));
        let copy = || -> io::Result<()> {
            let (real, kept) = self.pair(fd)?;
            for page in pages {
                let mut bytes = [0; PAGE_BYTES as usize];
                let len = read(&real, &mut bytes, page * PAGE_BYTES)?;
                kept.write_all_at(&bytes[..len], page * PAGE_BYTES)?;
            }
            Ok(())
        };
        copy().unwrap_or_else(|e| die(&format!("a page did not leak: {e}")));
    }

    /// Returns where `fd` lies if that is in our tree and still has a name.
    fn path(&self, fd: RawFd) -> Option<PathBuf> {
        let path = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
        path.starts_with(&self.from).then_some(path).filter(|path| path.exists())
    }

    fn sync(&self, fd: RawFd, path: &Path) {
        let _changing = self.seed.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = fs::metadata(format!("/proc/self/fd/{fd}"))
            .and_then(|metadata| if metadata.is_dir() { self.sync_names(path) } else { self.sync_contents(fd) });
        synced.unwrap_or_else(|e| die(&format!("{} was not mirrored: {e}", path.display())));
    }

    fn sync_contents(&self, fd: RawFd) -> io::Result<()> {
        let (real, kept) = self.pair(fd)?;
        let mut blocks = [vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]];
        let mut at = 0;
        loop {
            let [real_block, kept_block] = &mut blocks;
            let len = read(&real, real_block, at)?;
            let kept_len = read(&kept, kept_block, at)?;
            if real_block[..len] != kept_block[..kept_len] {
                kept.write_all_at(&real_block[..len], at)?;
            }
            at += len as u64;
            if len < BLOCK_BYTES {
                return kept.set_len(at);
            }
        }
    }

    fn sync_names(&self, dir: &Path) -> io::Result<()> {
        let kept_dir = self.kept_dir(dir)?;
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // It may be gone by now, and then so is its name.
            let Ok(kind) = entry.file_type() else { continue };
            let name = kept_dir.join(entry.file_name());
            if kind.is_dir() {
                let target = self.kept_dir(&entry.path())?;
                if !fs::read_link(&name).is_ok_and(|old| old == target) {
                    self.put(&name, |made| symlink(target, made))?;
                }
            } else if kind.is_file() {
                let Ok(file) = File::open(entry.path()) else { continue };
                let target = self.disk.join(format!("f-{}", identity(file.as_raw_fd())?));
                File::options().append(true).create(true).open(&target)?;
                let same = File::open(&name).and_then(|old| Ok(identity(old.as_raw_fd())? == identify(&target)?));
                if !same.unwrap_or(false) {
                    self.put(&name, |made| fs::hard_link(target, made))?;
                }
            }
            names.insert(entry.file_name());
        }
        for entry in fs::read_dir(&kept_dir)? {
            let entry = entry?;
            if !names.contains(&entry.file_name()) {
                fs::remove_file(entry.path())?;
            }
        }
        // The mirror shows up once it is whole: a process killed during its first copy leaves none.
        if dir == self.from && !fs::read_link(&self.to).is_ok_and(|old| old == kept_dir) {
            self.put(&self.to, |made| symlink(&kept_dir, made))?;
        }
        Ok(())
    }

    /// Puts a link at `name`, over whatever is there, at one blow.
    fn put(&self, name: &Path, link: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        let made = self.disk.join("new");
        let _ = fs::remove_file(&made);
        link(&made)?;
        fs::rename(&made, name)
    }

    /// Returns where the names in `dir` are kept; made if missing.
    fn kept_dir(&self, dir: &Path) -> io::Result<PathBuf> {
        let kept = self.disk.join(format!("d-{}", identify(dir)?));
        fs::create_dir_all(&kept)?;
        Ok(kept)
    }

    /// Opens the file behind `fd` for reading, and what is kept of it for writing.
    fn pair(&self, fd: RawFd) -> io::Result<(File, File)> {
        let kept = self.disk.join(format!("f-{}", identity(fd)?));
        let kept = File::options().read(true).write(true).create(true).truncate(false).open(kept)?;
        Ok((File::open(format!("/proc/self/fd/{fd}"))?, kept))
    }
}

/// Reads until `block` is full or the file ends, and returns how much.
fn read(file: &File, block: &mut [u8], at: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < block.len() {
        match file.read_at(&mut block[len..], at + len as u64)? {
            0 => break,
            more => len += more,
        }
    }
    Ok(len)
}

fn identify(path: &Path) -> io::Result<String> {
    identity(File::open(path)?.as_raw_fd())
}

/// Names a file or directory whatever it is called: by number and birth, for numbers are used again.
fn identity(fd: RawFd) -> io::Result<String> {
    let mut found = MaybeUninit::<libc::statx>::uninit();
    let mask = libc::STATX_INO | libc::STATX_BTIME;
    // SAFETY: the path is an empty C string, and the result has the type asked for.
    let result = unsafe { libc::statx(fd, c"".as_ptr(), libc::AT_EMPTY_PATH, mask, found.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and so has filled it.
    let found = unsafe { found.assume_init() };
    Ok(format!("{:x}-{:x}.{:x}", found.stx_ino, found.stx_btime.tv_sec, found.stx_btime.tv_nsec))
}

/// Resolves all links in `path`, as `/proc` does, whether or not its last name exists yet.
fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| beside(path))
}

/// Resolves the links in what is above the last name of `path`.
fn beside(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(parent), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => die(&format!("there is no directory {}", parent.display())),
    }
}

/// Steps a splitmix64 generator (Steele, Lea and Flood, OOPSLA 2014, figure 19).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
