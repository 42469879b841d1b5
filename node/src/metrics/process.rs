//! What the process takes of the machine; what a system does not tell is left out.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::sheet::{Sheet, Title};

/// What the process takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Process {
    /// Processor time since the start.
    cpu_seconds: f64,
    resident_bytes: Option<f64>,
    threads: Option<f64>,
    open_files: Option<f64>,
    open_files_max: Option<f64>,
}

impl Process {
    /// Reads it; a few small files of `/proc`.
    pub(crate) fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        // The directory that is read here is open as well.
        let open_files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as f64);
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: number(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024.0),
            threads: number(&status, "Threads:"),
            open_files,
            open_files_max: getrlimit(Resource::Nofile).current.map(|most| most as f64),
        }
    }

    /// Notes it all.
    pub(crate) fn note(&self, sheet: &mut Sheet) {
        sheet.used(Title::seconds("process_cpu", "Processor time used since the start"), self.cpu_seconds);
        let levels = [
            (Title::bytes("process_resident_memory", "Memory in use"), self.resident_bytes),
            (Title::of("process_threads", "Threads"), self.threads),
            (Title::of("process_open_fds", "Files and sockets that are open"), self.open_files),
            (Title::of("process_max_fds", "Files and sockets that may be open"), self.open_files_max),
        ];
        for (title, level) in levels {
            if let Some(level) = level {
                sheet.level(title, level);
            }
        }
    }
}

/// Returns the number behind a word at the beginning of a line.
fn number(text: &str, word: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(word))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_running_process_takes_memory_threads_and_files() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 1024.0 * 1024.0, "{process:?}");
        assert!(process.threads.unwrap() >= 1.0 && process.open_files.unwrap() >= 3.0, "{process:?}");
        assert!(process.open_files_max.unwrap() >= process.open_files.unwrap());
        assert!(process.cpu_seconds > 0.0);
    }

    #[test]
    fn a_number_is_read_behind_its_word_and_nothing_else_is() {
        assert_eq!(number("VmHWM:\t  9 kB\nVmRSS:\t  120 kB\n", "VmRSS:"), Some(120.0));
        assert_eq!(number("Name: VmRSS: 1\n", "VmRSS:"), None);
    }
}
