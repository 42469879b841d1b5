//! Test double for a disk that loses its power: a library to preload into a process with `LD_PRELOAD`.
//!
//! It keeps a second copy, the mirror, of a directory tree, and lets data reach it only when the process asks for
//! durability: a file's contents on `fsync` and `fdatasync` of it, a directory's names on `fsync` of the directory.
//! After a kill at any moment the mirror is what the disk would hold. `sync_file_range` is left alone, for it makes
//! nothing durable. The real disk is not asked to sync, so cuts are cheap.
//!
//! - `POWER_LOSS_FROM`: the directory that the process works in.
//! - `POWER_LOSS_TO`: where the mirror is made, outside the former; `POWER_LOSS_TO.disk` beside it is taken too.
//! - `POWER_LOSS_FDATASYNC=noop`: both calls succeed and do nothing. `=skip`: only `fdatasync` does nothing.
//!   `=fail:N`: after `N` calls that work, `fdatasync` fails with `EIO`.
//! - `POWER_LOSS_LAST`: once a file of this name is there, the next `fdatasync` is the last thing that the process does: it
//!   is carried out, the file is removed, and the process is killed before it hears of it.
//! - `POWER_LOSS_SEED`: half of all pages written, chosen by this number, reach the mirror at once, as a kernel may
//!   write them back at any time and in any order.
//!
//! The mirror keeps contents under `POWER_LOSS_TO.disk`, by the file's identity, and names as hard links to them
//! (directories: as symbolic links), so names and contents are durable apart from each other, as on a disk. What it
//! does not model: `O_SYNC` and `msync` (they lose more here), permissions, and names that become durable unasked.
//!
//! Only calls through libc are seen. Files are recognised by what `/proc/self/fd` says of them, so it matters not how
//! a descriptor came to be: `openat`, `creat` and `dup` need no care.

mod interpose;
mod mirror;
