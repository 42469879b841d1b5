//! What the store promises about power cuts, with a writer killed at many moments on a disk that forgets what was
//! never synced (`tests/power-loss`).

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use beadmesh_store::{Kv, Origin, open};
use tempfile::TempDir;

/// Cuts in a row on one disk; each finds what the one before has left.
const CUTS_EACH: usize = 10;

/// Lets the writer flush so rarely that sled reuses space between two flushes.
const RARELY: (&str, &str) = ("KV_WRITER_EVERY", "60");

/// What came of some cuts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Losses {
    cuts: usize,
    /// Cuts after which an acknowledged batch was missing.
    losing: usize,
    /// Cuts after which the store could not be read.
    unreadable: usize,
    /// Cuts after which half a batch was there.
    torn: usize,
}

#[test]
fn acknowledged_batches_survive_fifty_power_cuts() {
    let mut losses = Losses::default();
    for disk in 0..5 {
        cut_in_a_row(&[], disk, &mut losses);
    }
    assert_eq!(losses, Losses { cuts: 50, ..Losses::default() });
}

#[test]
fn acknowledged_batches_survive_when_other_pages_reach_the_disk_early() {
    let mut losses = Losses::default();
    for disk in 0..2 {
        cut_in_a_row(&[("POWER_LOSS_SEED", &disk.to_string())], disk, &mut losses);
        cut_in_a_row(&[("POWER_LOSS_SEED", &disk.to_string()), RARELY], disk, &mut losses);
    }
    assert_eq!(losses, Losses { cuts: 40, ..Losses::default() });
}

#[test]
fn without_fdatasync_power_cuts_lose_data_so_the_tests_above_can_fail() {
    for mode in ["noop", "skip"] {
        let mut losses = Losses::default();
        cut_in_a_row(&[("POWER_LOSS_FDATASYNC", mode)], 0, &mut losses);
        assert!(losses.losing >= CUTS_EACH / 2, "{mode}: {losses:?}");
    }
}

#[test]
fn a_failed_fdatasync_stops_the_writer_and_the_next_start_copies_the_store() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("home");
    fs::create_dir(&home).unwrap();
    let output = writer(&home, &temp.path().join("mirror"), &[("POWER_LOSS_FDATASYNC", "fail:30")]).output().unwrap();
    assert!(!output.status.success());
    let opened = open(&home).unwrap();
    assert_eq!(opened.origin, Origin::Copied { kept: home.join("sled-1") });
    assert_eq!(missing(&opened.kv, &numbers(&output.stdout[..])), Vec::<u64>::new());
}

/// Cuts the power of one disk again and again, and adds what was lost to `losses`.
fn cut_in_a_row(env: &[(&str, &str)], disk: usize, losses: &mut Losses) {
    let temp = tempfile::tempdir().unwrap();
    let mut home = temp.path().join("disk");
    fs::create_dir(&home).unwrap();
    let mut acknowledged = BTreeSet::new();
    for cut in 0..CUTS_EACH {
        let count = if env.contains(&RARELY) { cut % 4 } else { (disk * 7 + cut * 11) % 37 };
        home = power_cut(&temp, &home, env, count, &mut acknowledged);
        let spare = temp.path().join(format!("spare-{cut}"));
        copy(&home, &spare);
        losses.cuts += 1;
        // The second opening finds what the first has made of it.
        let twice = [&spare, &spare].map(|dir| {
            let opened = open(dir).unwrap();
            let readable = !matches!(opened.origin, Origin::Replaced { .. });
            (readable, missing(&opened.kv, &acknowledged), torn(&opened.kv))
        });
        losses.unreadable += usize::from(twice.iter().any(|(readable, ..)| !readable));
        losses.losing += usize::from(twice.iter().any(|(_, missing, _)| !missing.is_empty()));
        losses.torn += usize::from(twice.iter().any(|(.., torn)| *torn));
        acknowledged = acknowledged.difference(&twice[0].1.iter().copied().collect()).copied().collect();
        fs::remove_dir_all(spare).unwrap();
    }
}

/// Runs the writer on `home` until it has acknowledged `count` batches, kills it and returns what the disk then holds.
fn power_cut(temp: &TempDir, home: &Path, env: &[(&str, &str)], count: usize, known: &mut BTreeSet<u64>) -> PathBuf {
    let mirror = temp.path().join(format!("{}-mirror", home.file_name().unwrap().display()));
    let mut child = writer(home, &mirror, env).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The first line is the origin.
    let mut said: Vec<_> = lines.by_ref().take(count + 1).map(Result::unwrap).collect();
    assert_eq!(said.len(), count + 1, "the writer died by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died counts too; a line cut short does not occur, for lines are written whole.
    said.extend(lines.map(Result::unwrap));
    known.extend(numbers(said.join("\n").as_bytes()));
    let left = temp.path().join(format!("{}-", home.file_name().unwrap().display()));
    copy(&mirror, &left);
    left
}

fn writer(home: &Path, mirror: &Path, env: &[(&str, &str)]) -> Command {
    let deps = std::env::current_exe().unwrap();
    let double = deps.with_file_name("libpower_loss.so");
    assert!(double.exists(), "there is no {}", double.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-writer"));
    command.arg(home).env("LD_PRELOAD", double).env("POWER_LOSS_FROM", home).env("POWER_LOSS_TO", mirror);
    command.envs(env.iter().copied()).stdout(Stdio::piped()).stdin(Stdio::null());
    command
}

/// Returns the numbers acknowledged in `said`, which begins with the origin.
fn numbers(said: &[u8]) -> BTreeSet<u64> {
    said.lines().skip(1).map(|line| line.unwrap().parse().unwrap()).collect()
}

/// Returns which of `numbers` the store has lost; those that end in 5 may have been deleted.
fn missing(kv: &dyn Kv, numbers: &BTreeSet<u64>) -> Vec<u64> {
    let lost = |number: &&u64| {
        let key = [&[1], number.to_be_bytes().as_slice()].concat();
        *number % 10 != 5 && kv.get(&key).ok().flatten() != Some(number.to_be_bytes().to_vec())
    };
    numbers.iter().filter(lost).copied().collect()
}

/// Tells whether the store holds half a batch: a slot without its twin, or with that of another batch.
fn torn(kv: &dyn Kv) -> bool {
    (0..16_u64).any(|slot| {
        let [value, twin] = [2_u8, 3].map(|kind| kv.get(&[&[kind], slot.to_be_bytes().as_slice()].concat()));
        match (value, twin) {
            (Ok(None), Ok(None)) => false,
            (Ok(Some(value)), Ok(Some(twin))) => (value.len() as u64).to_be_bytes() != twin.as_slice(),
            _ => true,
        }
    })
}

/// Copies a tree with links resolved; what is missing is empty.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    if !from.exists() {
        return;
    }
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if fs::metadata(entry.path()).unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
