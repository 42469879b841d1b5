//! The libc calls that the double answers itself; everything it does not care for goes on to libc.

use std::{ffi::CStr, mem, os::fd::RawFd, sync::OnceLock};

use libc::{c_int, c_void, off_t, size_t, ssize_t};

use crate::mirror::{Answer, Mirror};

type Sync = unsafe extern "C" fn(RawFd) -> c_int;
type Write = unsafe extern "C" fn(RawFd, *const c_void, size_t) -> ssize_t;
type Pwrite = unsafe extern "C" fn(RawFd, *const c_void, size_t, off_t) -> ssize_t;

/// Finds libc's own function of this name and type, once.
macro_rules! real {
    ($name:literal, $kind:ty) => {{
        static REAL: OnceLock<$kind> = OnceLock::new();
        // SAFETY: libc's function of this name has this type.
        *REAL.get_or_init(|| unsafe { mem::transmute::<*mut c_void, $kind>(next($name)) })
    }};
}

/// Stands before libc's `fsync`.
///
/// # Safety
///
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: RawFd) -> c_int {
    match keeping_errno(|| Mirror::get()?.fsync(fd)) {
        Some(answer) => returned(answer),
        None => {
            let real = real!(c"fsync", Sync);
            // SAFETY: the caller's promise is passed on.
            unsafe { real(fd) }
        }
    }
}

/// Stands before libc's `fdatasync`.
///
/// # Safety
///
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(fd: RawFd) -> c_int {
    match keeping_errno(|| Mirror::get()?.fdatasync(fd)) {
        Some(answer) => returned(answer),
        None => {
            let real = real!(c"fdatasync", Sync);
            // SAFETY: the caller's promise is passed on.
            unsafe { real(fd) }
        }
    }
}

/// Stands before libc's `write`, only to let pages leak.
///
/// # Safety
///
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: RawFd, data: *const c_void, len: size_t) -> ssize_t {
    let real = real!(c"write", Write);
    // SAFETY: the caller's promise is passed on.
    let written = unsafe { real(fd, data, len) };
    leak(fd, None, written);
    written
}

/// Stands before libc's `pwrite`, only to let pages leak.
///
/// # Safety
///
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(fd: RawFd, data: *const c_void, len: size_t, at: off_t) -> ssize_t {
    let real = real!(c"pwrite", Pwrite);
    // SAFETY: the caller's promise is passed on.
    let written = unsafe { real(fd, data, len, at) };
    leak(fd, Some(at), written);
    written
}

/// Stands before libc's `pwrite64`, only to let pages leak.
///
/// # Safety
///
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: RawFd, data: *const c_void, len: size_t, at: off_t) -> ssize_t {
    let real = real!(c"pwrite64", Pwrite);
    // SAFETY: the caller's promise is passed on.
    let written = unsafe { real(fd, data, len, at) };
    leak(fd, Some(at), written);
    written
}

/// Ends the process with a sentence, for a double that does not work must not pass for a disk that does.
pub(crate) fn die(text: &str) -> ! {
    let text = format!("power-loss: {text}\n");
    let real = real!(c"write", Write);
    // SAFETY: the pointer and the length are those of `text`; aborting is always allowed.
    unsafe {
        real(2, text.as_ptr().cast(), text.len());
        libc::abort()
    }
}

/// Ends the process as a power cut does, or SIGKILL: nothing more leaves it.
pub(crate) fn kill() -> ! {
    // SAFETY: a process may kill itself; aborting is always allowed.
    unsafe {
        libc::raise(libc::SIGKILL);
        libc::abort()
    }
}

/// Lets pages leak that were written at `at`, or just before the position of `fd`.
fn leak(fd: RawFd, at: Option<off_t>, written: ssize_t) {
    let Ok(len) = u64::try_from(written) else { return };
    keeping_errno(|| {
        let mirror = Mirror::get()?;
        if mirror.leaks() {
            // SAFETY: asking for the position changes nothing.
            let at = at.unwrap_or_else(|| unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) } - written as off_t);
            mirror.leak(fd, u64::try_from(at).ok()?, len);
        }
        Some(())
    });
}

fn keeping_errno<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the place is this thread's own, for as long as the thread runs.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    let result = work();
    // SAFETY: as above.
    unsafe { *errno = before };
    result
}

fn returned(answer: Answer) -> c_int {
    match answer {
        Answer::Done => 0,
        Answer::Failed => {
            // SAFETY: the place is this thread's own.
            unsafe { *libc::__errno_location() = libc::EIO };
            -1
        }
    }
}

/// Returns the definition of `name` after ours in the order of loading.
fn next(name: &CStr) -> *mut c_void {
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if found.is_null() {
        // SAFETY: aborting is always allowed. Without `write` there is no way to say why.
        unsafe { libc::abort() }
    }
    found
}
