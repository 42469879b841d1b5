//! The week on disk: a file a day, of rows with a checksum each, appended and never changed.
//!
//! A crash or a full disk tears the last row at most; it is cut off before the next is written, and readers end at it. Nothing is
//! synced: what a power cut takes is a few minutes of measurements.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use beadmesh_protocol::id::NodeId;
use serde::{Deserialize, Serialize};

use super::super::metric::Metric;

/// Slots of five minutes in a day.
const DAY_SLOTS: u64 = 288;

/// Days that are kept, today's among them: a week is whole while one more begins.
const DAYS: u64 = 8;
const DAYS_KEPT: usize = 8;

/// Bytes of one day's file: sixteen machines with eight cards each write half of it.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes of one row, and of what stands before it: its length and its checksum.
const ROW_BYTES_MAX: usize = 4 * 1024;
const HEAD_BYTES: usize = 8;

/// What the names of files begin and end with.
const PREFIX: &str = "history-";
const SUFFIX: &str = ".log";

/// What was measured on one machine in one slot, in the mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::telemetry) struct Row {
    /// The machine.
    pub(super) node: NodeId,
    /// The slot, counted since 1970.
    pub(super) slot: u64,
    /// The means.
    pub(super) values: Vec<(Metric, f32)>,
}

/// Writes rows.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    /// The day whose file was written last, and how much of that file is sound.
    sound: Option<(u64, u64)>,
}

/// Reads rows.
#[derive(Debug)]
pub(super) struct Reader {
    dir: PathBuf,
}

impl Journal {
    pub(super) fn at(dir: PathBuf) -> Self {
        Self { dir, sound: None }
    }

    pub(super) fn reader(&self) -> Reader {
        Reader { dir: self.dir.clone() }
    }

    /// Appends rows, each to the file of its day.
    ///
    /// # Errors
    /// When the disk does not take them; those that it did not take are lost.
    pub(super) fn append(&mut self, rows: &[Row]) -> io::Result<()> {
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let day = first.slot / DAY_SLOTS;
            let count = rest.iter().take_while(|row| row.slot / DAY_SLOTS == day).count();
            let bytes: Vec<u8> = rest[..count].iter().flat_map(encoded).collect();
            self.append_to(day, &bytes)?;
            rest = &rest[count..];
        }
        Ok(())
    }

    fn append_to(&mut self, day: u64, bytes: &[u8]) -> io::Result<()> {
        let path = self.dir.join(name(day));
        fs::create_dir_all(&self.dir)?;
        let known = self.sound.take().filter(|(known, _)| *known == day).map(|(_, sound)| sound);
        if known.is_none() {
            self.remove_old(day);
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        // Somebody may have removed or cut the file meanwhile.
        let length = file.metadata()?.len();
        let sound = match known.filter(|sound| *sound <= length) {
            Some(sound) => sound,
            None => sound_bytes(&read_bounded(&mut file)?, |_| {}),
        };
        // What a crash or a full disk has torn.
        file.set_len(sound)?;
        let after = sound.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if after <= FILE_BYTES_MAX {
            file.seek(SeekFrom::Start(sound))?;
            file.write_all(bytes)?;
            self.sound = Some((day, after));
        }
        Ok(())
    }

    /// Removes files until there is room for today's: those farthest from today, so that a clock put wrong takes a day at most.
    fn remove_old(&self, today: u64) {
        let mut others: Vec<_> = days(&self.dir).filter(|(day, _)| *day != today).collect();
        others.sort_by_key(|(day, _)| day.abs_diff(today));
        for (_, path) in others.into_iter().skip(DAYS_KEPT - 1) {
            // One that stays is looked at again tomorrow.
            let _ = fs::remove_file(path);
        }
    }
}

impl Reader {
    /// Hands out the rows of the week before a slot, by day, in the order in which they were written.
    pub(super) fn read(&self, now: u64, mut take: impl FnMut(Row)) {
        let oldest = now.saturating_sub(DAY_SLOTS * (DAYS - 1));
        let mut days: Vec<_> = days(&self.dir).collect();
        days.sort();
        for (day, path) in days {
            if day < oldest / DAY_SLOTS || day > now / DAY_SLOTS {
                continue;
            }
            let Ok(bytes) = File::open(&path).and_then(|mut file| read_bounded(&mut file)) else { continue };
            sound_bytes(&bytes, |row| {
                if (oldest..=now).contains(&row.slot) {
                    take(row);
                }
            });
        }
    }
}

fn name(day: u64) -> String {
    format!("{PREFIX}{day}{SUFFIX}")
}

/// Returns the files of a folder, each with its day.
fn days(dir: &Path) -> impl Iterator<Item = (u64, PathBuf)> {
    let files = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    files.filter_map(|file| {
        let name = file.file_name();
        let day = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?;
        Some((day, file.path()))
    })
}

fn read_bounded(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn encoded(row: &Row) -> Vec<u8> {
    let body = postcard::to_stdvec(row).expect("rows have a postcard form");
    let Some(length) = u32::try_from(body.len()).ok().filter(|_| body.len() <= ROW_BYTES_MAX) else {
        return Vec::new();
    };
    [length.to_le_bytes(), crc32fast::hash(&body).to_le_bytes()].into_iter().flatten().chain(body).collect()
}

/// Hands out the rows at the beginning of a file that are whole; returns how many bytes those are.
fn sound_bytes(bytes: &[u8], mut take: impl FnMut(Row)) -> u64 {
    let mut rest = bytes;
    while let Some((row, after)) = split_row(rest) {
        take(row);
        rest = after;
    }
    u64::try_from(bytes.len() - rest.len()).unwrap_or(u64::MAX)
}

fn split_row(bytes: &[u8]) -> Option<(Row, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let (length, checksum) = head.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= ROW_BYTES_MAX)?;
    let (body, rest) = rest.split_at_checked(length)?;
    if crc32fast::hash(body).to_le_bytes() != checksum {
        return None;
    }
    Some((postcard::from_bytes(body).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 20_000;

    fn row(slot: u64) -> Row {
        Row { node: NodeId::from_bytes([1; 32]), slot: DAY * DAY_SLOTS + slot, values: vec![(Metric::Cpu, 1.5)] }
    }

    fn read(dir: &Path, now: u64) -> Vec<Row> {
        let mut rows = Vec::new();
        Journal::at(dir.to_owned()).reader().read(now, |row| rows.push(row));
        rows
    }

    fn end() -> u64 {
        row(DAY_SLOTS - 1).slot
    }

    #[test]
    fn a_torn_tail_is_dropped_wherever_it_is_torn_and_what_follows_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        Journal::at(dir.path().to_owned()).append(&[row(1), row(2)]).unwrap();
        let path = dir.path().join(name(DAY));
        let whole = fs::read(&path).unwrap();
        for torn in whole.len() / 2 + 1..whole.len() {
            fs::write(&path, &whole[..torn]).unwrap();
            assert_eq!(read(dir.path(), end()), [row(1)], "{torn}");
            Journal::at(dir.path().to_owned()).append(&[row(3)]).unwrap();
            assert_eq!(read(dir.path(), end()), [row(1), row(3)], "{torn}");
        }
    }

    #[test]
    fn a_bent_byte_ends_the_file_and_never_makes_a_row() {
        let dir = tempfile::tempdir().unwrap();
        Journal::at(dir.path().to_owned()).append(&[row(1), row(2), row(3)]).unwrap();
        let path = dir.path().join(name(DAY));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 0x40;
            fs::write(&path, &bent).unwrap();
            let rows = read(dir.path(), end());
            assert!([row(1), row(2), row(3)].starts_with(&rows) && rows.len() < 3, "{at}");
        }
    }

    #[test]
    fn what_somebody_removes_or_cuts_while_it_is_written_costs_no_more_than_that() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("telemetry");
        let mut journal = Journal::at(folder.clone());
        journal.append(&[row(1)]).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        journal.append(&[row(2), row(3)]).unwrap();
        assert_eq!(read(&folder, end()), [row(2), row(3)]);
        let file = OpenOptions::new().write(true).open(folder.join(name(DAY))).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        journal.append(&[row(4)]).unwrap();
        assert_eq!(read(&folder, end()), [row(2), row(4)]);
    }

    #[test]
    fn a_week_is_kept_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::at(dir.path().to_owned());
        for day in 0..20 {
            journal.append(&[row(day * DAY_SLOTS)]).unwrap();
        }
        assert_eq!(days(dir.path()).count(), DAYS_KEPT);
        let now = row(19 * DAY_SLOTS).slot;
        let rows = read(dir.path(), now);
        assert_eq!((rows.len(), rows[0].clone()), (8, row(12 * DAY_SLOTS)));
        journal.append(&[row(0)]).unwrap();
        assert_eq!(days(dir.path()).count(), DAYS_KEPT, "a clock put back takes one day");
        assert_eq!(read(dir.path(), now).len(), 7);
    }

    #[test]
    fn a_file_never_grows_beyond_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::at(dir.path().to_owned());
        let row = Row { values: vec![(Metric::Cpu, 1.0); 600], ..row(1) };
        let rows = vec![row; 1_000];
        for _ in 0..3 {
            journal.append(&rows).unwrap();
        }
        let length = fs::metadata(dir.path().join(name(DAY))).unwrap().len();
        assert!(length <= FILE_BYTES_MAX && length > FILE_BYTES_MAX / 2, "{length}");
    }

    #[test]
    fn where_nothing_can_be_written_an_error_is_all() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("telemetry");
        fs::write(&taken, "a file where the folder should be").unwrap();
        let mut journal = Journal::at(taken.clone());
        assert!(journal.append(&[row(1)]).is_err());
        fs::remove_file(&taken).unwrap();
        journal.append(&[row(2)]).unwrap();
        assert_eq!(read(&taken, end()), [row(2)]);
    }
}
