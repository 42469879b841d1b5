//! The machine itself, as Linux tells of it in `/proc` and `/sys`; elsewhere little is known.
//!
//! A few small files every two seconds: a crate for it would bring more than it spares.

use std::fs;
use std::path::{Path, PathBuf};

use beadmesh_protocol::limits::SAMPLE_TEXT_BYTES_MAX;
use beadmesh_protocol::sample::fitting;
use beadmesh_protocol::sample::host::{Battery, Facts, Sample};

use super::watch::Source;

/// Bytes in a kibibyte, in which the kernel counts memory.
const KIBIBYTE: u64 = 1_024;

/// Sensors of processors, by the names of their drivers.
const PROCESSOR_SENSORS: [&str; 5] = ["coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal"];

/// Networks that stay on the machine or count what others count already.
const INNER_NETWORKS: [&str; 6] = ["lo", "docker", "br-", "veth", "virbr", "tun"];

/// What was read of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) facts: Facts,
    pub(super) sample: Sample,
}

/// Reads the machine.
pub(super) struct Host {
    proc: PathBuf,
    sys: PathBuf,
    etc: PathBuf,
    home: PathBuf,
    /// What its owner calls it.
    labels: Vec<String>,
    facts: Option<Facts>,
    /// What processors had done when they were last looked at.
    spent: Option<Spent>,
}

/// What processors have done since the start, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spent {
    busy: u64,
    all: u64,
}

impl Host {
    /// Looks at this machine, which bears these labels, and at the disk that the home is on.
    pub(super) fn new(home: &Path, labels: Vec<String>) -> Self {
        Self { labels, ..Self::at("/proc".into(), "/sys".into(), "/etc".into(), home.to_owned()) }
    }

    fn at(proc: PathBuf, sys: PathBuf, etc: PathBuf, home: PathBuf) -> Self {
        Self { proc, sys, etc, home, labels: Vec::new(), facts: None, spent: None }
    }

    fn facts(&self) -> Facts {
        let text = |text: String| Some(fitting(&text, SAMPLE_TEXT_BYTES_MAX)).filter(|text| !text.is_empty());
        let uname = rustix::system::uname();
        let memory = self.file("meminfo");
        Facts {
            os: fs::read_to_string(self.etc.join("os-release")).ok().and_then(|file| os(&file)).and_then(text),
            kernel: text(uname.release().to_string_lossy().into_owned()),
            arch: fitting(&uname.machine().to_string_lossy(), SAMPLE_TEXT_BYTES_MAX),
            cpu: self.file("cpuinfo").and_then(|file| cpu(&file)).and_then(text),
            cores: std::thread::available_parallelism().ok().and_then(|cores| u16::try_from(cores.get()).ok()),
            memory_total: memory.and_then(|file| memory_of(&file, "MemTotal")),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            labels: self.labels.clone(),
        }
    }

    fn sample(&mut self) -> Sample {
        let memory = self.file("meminfo").unwrap_or_default();
        let swap = memory_of(&memory, "SwapTotal").zip(memory_of(&memory, "SwapFree"));
        Sample {
            cpu_permille: self.cpu_permille(),
            load_centi: self.file("loadavg").and_then(|file| load(&file)),
            memory_available: memory_of(&memory, "MemAvailable"),
            swap,
            disk: self.disk(),
            network: self.file("net/dev").and_then(|file| network(&file)),
            uptime_s: self.file("uptime").and_then(|file| uptime(&file)),
            temperature: self.temperature(),
            battery: self.battery(),
        }
    }

    /// Returns how much processors did since they were last looked at; nothing the first time.
    fn cpu_permille(&mut self) -> Option<u16> {
        let now = self.file("stat").and_then(|file| spent(&file))?;
        let before = self.spent.replace(now)?;
        let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let busy = now.busy.saturating_sub(before.busy).min(all);
        u16::try_from(busy * 1_000 / all).ok()
    }

    fn disk(&self) -> Option<(u64, u64)> {
        let found = rustix::fs::statvfs(&self.home).ok()?;
        let bytes = |blocks: u64| blocks.checked_mul(found.f_frsize);
        bytes(found.f_blocks).zip(bytes(found.f_bavail))
    }

    /// Returns the highest temperature that a sensor of the processors tells.
    fn temperature(&self) -> Option<u8> {
        let mut sensors = fs::read_dir(self.sys.join("class/hwmon")).ok()?.filter_map(Result::ok);
        let sensor = sensors.find(|sensor| {
            let name = fs::read_to_string(sensor.path().join("name")).unwrap_or_default();
            PROCESSOR_SENSORS.contains(&name.trim())
        })?;
        let inputs = fs::read_dir(sensor.path()).ok()?.filter_map(Result::ok).filter(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("temp") && name.ends_with("_input")
        });
        let degrees = inputs.filter_map(|file| {
            let millidegrees: i64 = fs::read_to_string(file.path()).ok()?.trim().parse().ok()?;
            u8::try_from(millidegrees / 1_000).ok()
        });
        degrees.max()
    }

    /// Returns how it stands with the first battery that there is.
    fn battery(&self) -> Option<Battery> {
        let supplies = fs::read_dir(self.sys.join("class/power_supply")).ok()?.filter_map(Result::ok);
        let mut batteries: Vec<PathBuf> =
            supplies.map(|supply| supply.path()).filter(|path| read_word(path, "type") == "Battery").collect();
        batteries.sort();
        // That of a mouse says so.
        let battery = batteries.iter().find(|path| read_word(path, "scope") != "Device")?;
        let percent: u8 = read_word(battery, "capacity").parse().ok()?;
        Some(Battery { percent: percent.min(100), discharging: read_word(battery, "status") == "Discharging" })
    }

    fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.proc.join(name)).ok()
    }
}

impl Source for Host {
    type Reading = Reading;

    fn read(&mut self) -> Reading {
        let facts = self.facts.take().unwrap_or_else(|| self.facts());
        self.facts = Some(facts.clone());
        Reading { facts, sample: self.sample() }
    }
}

fn read_word(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap_or_default().trim().to_owned()
}

/// Reads what the system calls itself, from `os-release`.
fn os(file: &str) -> Option<String> {
    let line = file.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

/// Reads what the first processor is called, from `cpuinfo`.
fn cpu(file: &str) -> Option<String> {
    let line = file.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

/// Reads a row of `meminfo`, in bytes.
fn memory_of(file: &str, row: &str) -> Option<u64> {
    let value = file.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix(':'))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(KIBIBYTE)
}

/// Reads loads, in hundredths, from `loadavg`.
fn load(file: &str) -> Option<(u32, u32, u32)> {
    let mut loads = file.split_whitespace().map(|word| {
        let (whole, hundredths) = word.split_once('.')?;
        let (whole, hundredths): (u32, u32) = (whole.parse().ok()?, hundredths.parse().ok()?);
        whole.checked_mul(100)?.checked_add(hundredths)
    });
    Some((loads.next()??, loads.next()??, loads.next()??))
}

/// Reads what processors have done, from the first line of `stat`. Waiting for a disk is idle; what guests did is within `user`.
fn spent(file: &str) -> Option<Spent> {
    let ticks: Option<Vec<u64>> =
        file.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8).map(|word| word.parse().ok()).collect();
    let ticks = ticks.filter(|ticks| ticks.len() >= 5)?;
    let all: u64 = ticks.iter().sum();
    Some(Spent { busy: all - ticks[3] - ticks[4], all })
}

/// Reads bytes that came and went, from `net/dev`, over networks that leave the machine.
fn network(file: &str) -> Option<(u64, u64)> {
    let rows = file.lines().filter_map(|line| line.split_once(':'));
    let outer = rows.filter(|(name, _)| !INNER_NETWORKS.iter().any(|inner| name.trim().starts_with(inner)));
    let counts = outer.filter_map(|(_, counts)| {
        let mut counts = counts.split_whitespace();
        Some((counts.next()?.parse::<u64>().ok()?, counts.nth(7)?.parse::<u64>().ok()?))
    });
    counts.reduce(|(one, other), (came, went)| (one.wrapping_add(came), other.wrapping_add(went)))
}

/// Reads whole seconds since the start, from `uptime`.
fn uptime(file: &str) -> Option<u64> {
    file.split('.').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 100 0 50 800 50 0 0 0 0 0\n";
    const MEMINFO: &str = "MemTotal:       16384000 kB\nMemFree:         1 kB\nMemAvailable:    8192000 kB\n\
        SwapTotal:       2048 kB\nSwapFree:        1024 kB\n";
    const NET: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n\
        \x20   lo: 900 1 0 0 0 0 0 0 900 1 0 0 0 0 0 0\n  eth0: 1000 7 0 0 0 0 0 0 2000 9 0 0 0 0 0 0\n\
        docker0: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n wlan0:30 1 0 0 0 0 0 0 40 1 0 0 0 0 0 0\n";

    struct Machine {
        dir: tempfile::TempDir,
        host: Host,
    }

    impl Machine {
        fn new(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            let host = Host::at(at("proc"), at("sys"), at("etc"), dir.path().to_owned());
            let machine = Self { dir, host };
            files.iter().for_each(|(name, content)| machine.write(name, content));
            machine
        }

        fn write(&self, name: &str, content: &str) {
            let path = self.dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    #[test]
    fn a_machine_is_read_from_what_its_kernel_tells() {
        let mut machine = Machine::new(&[
            ("proc/stat", STAT),
            ("proc/meminfo", MEMINFO),
            ("proc/loadavg", "12.10 9.87 0.05 3/1024 4711\n"),
            ("proc/net/dev", NET),
            ("proc/uptime", "3000000.55 1.0\n"),
            ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some Processor @ 3 GHz\n"),
            ("etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n"),
            ("sys/class/hwmon/hwmon0/name", "nvme\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "99000\n"),
            ("sys/class/hwmon/hwmon1/name", "k10temp\n"),
            ("sys/class/hwmon/hwmon1/temp1_input", "61500\n"),
            ("sys/class/hwmon/hwmon1/temp3_input", "64125\n"),
            ("sys/class/power_supply/BAT0/type", "Battery\n"),
            ("sys/class/power_supply/BAT0/capacity", "83\n"),
            ("sys/class/power_supply/BAT0/status", "Discharging\n"),
            ("sys/class/power_supply/AC/type", "Mains\n"),
        ]);
        let Reading { facts, sample } = machine.host.read();
        assert_eq!(facts.os.as_deref(), Some("Debian GNU/Linux 13 (trixie)"));
        assert_eq!(facts.cpu.as_deref(), Some("Some Processor @ 3 GHz"));
        assert_eq!(facts.memory_total, Some(16_384_000 * 1_024));
        assert_eq!(sample.cpu_permille, None, "there is nothing to compare with yet");
        assert_eq!(sample.load_centi, Some((1_210, 987, 5)));
        assert_eq!(sample.memory_available, Some(8_192_000 * 1_024));
        assert_eq!(sample.swap, Some((2_048 * 1_024, 1_024 * 1_024)));
        assert_eq!(sample.network, Some((1_030, 2_040)), "what stays on the machine does not count");
        assert_eq!(sample.uptime_s, Some(3_000_000));
        assert_eq!(sample.temperature, Some(64));
        assert_eq!(sample.battery, Some(Battery { percent: 83, discharging: true }));
        assert!(sample.disk.is_some_and(|(total, free)| total >= free && total > 0));
        machine.write("proc/stat", "cpu  400 0 50 1000 150 0 0 0 0 0\n");
        assert_eq!(machine.host.read().sample.cpu_permille, Some(500));
    }

    #[test]
    fn what_is_not_told_is_not_known() {
        let mut machine = Machine::new(&[("proc/loadavg", "garbage"), ("proc/meminfo", "MemTotal: many kB\n")]);
        let Reading { facts, sample } = machine.host.read();
        assert_eq!((facts.os, facts.cpu, facts.memory_total), (None, None, None));
        assert_eq!(Sample { disk: None, ..sample }, Sample::default());
    }

    #[test]
    fn the_battery_of_a_mouse_is_not_the_machines() {
        let mut machine = Machine::new(&[
            ("sys/class/power_supply/hid0/type", "Battery\n"),
            ("sys/class/power_supply/hid0/scope", "Device\n"),
            ("sys/class/power_supply/hid0/capacity", "5\n"),
        ]);
        assert_eq!(machine.host.read().sample.battery, None);
    }
}
