//! Telemetry: what a node does while a call into the driver of its cards hangs, beside what it does while none does.

use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::node::Node;
use crate::table::{Budget, percentile};
use crate::{Bench, FLAT_RATIO, LOOK_INTERVAL, Outcome, SYNC_PATIENCE, create, repeat, sync, times_until_seen};

/// What is asked of the node whose driver hangs, by the names of rows.
const PAGES: [(&str, &str); 2] = [("API status", "/v1/status"), ("API gpus", "/v1/gpus")];

/// A folder with a library in the place of NVIDIA's, and a file that says how the machine fares.
struct Driver(PathBuf);

impl Driver {
    fn new(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let driver = Self(folder.join("driver"));
        fs::create_dir(&driver.0)?;
        let double = std::env::current_exe()?.with_file_name("libnvml_double.so");
        if !double.exists() {
            return Err(format!("there is no {}", double.display()).into());
        }
        symlink(double, driver.0.join("libnvidia-ml.so.1"))?;
        mknodat(CWD, driver.0.join("gate"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        driver.turns("healthy")?;
        Ok(driver)
    }

    /// Lets the machine fare otherwise from now on.
    fn turns(&self, scenario: &str) -> Outcome {
        fs::write(self.0.join("new"), scenario)?;
        Ok(fs::rename(self.0.join("new"), self.0.join("scenario"))?)
    }

    /// Has every call wait at a pipe that nobody writes to.
    fn hangs(&self) -> Outcome {
        self.turns(&format!("hung:{}", self.0.join("gate").display()))
    }

    fn start(&self, folder: &Path, name: &str) -> Result<Node, Box<dyn Error>> {
        let scenario = self.0.join("scenario");
        Node::start_in(folder, name, &[("LD_LIBRARY_PATH", &self.0), ("BEADMESH_NVML_SCENARIO", &scenario)])
    }
}

impl Bench {
    /// Measures pages and writes of a node whose driver answers, and of the same node while it does not.
    pub(crate) fn telemetry(&mut self) -> Outcome {
        let driver = Driver::new(self.folder.path())?;
        let source = driver.start(self.folder.path(), "carded")?;
        let target = Node::start(self.folder.path(), "cardless")?;
        create(&mut source.api()?, 0)?;
        sync(&source, &target)?;
        await_state(&source, "ok")?;
        self.faring(&source, &target, "driver answers")?;
        driver.hangs()?;
        await_state(&source, "stalled")?;
        self.faring(&source, &target, "driver hangs")?;
        // A node that was asked while its driver came back would not have been measured while it hung.
        await_state(&source, "stalled")?;
        for name in PAGES.map(|(name, _)| name).into_iter().chain(["write seen elsewhere"]) {
            let value = |fares: &str| self.table.value(&format!("{name}, {fares}, p50"));
            if let (Some(calm), Some(hung)) = (value("driver answers"), value("driver hangs")) {
                let note = "p50 while it hangs over p50 while it answers".to_owned();
                self.table.add(&format!("{name}, hung driver"), hung / calm, "x", Budget::AtMost(FLAT_RATIO), note);
            }
        }
        Ok(())
    }

    fn faring(&mut self, source: &Node, target: &Node, fares: &str) -> Outcome {
        let mut api = source.api()?;
        for (name, path) in PAGES {
            let mut times = repeat(self.sizes.samples, || {
                let started = Instant::now();
                api.fetch("GET", path, "")?;
                Ok(started.elapsed())
            })?;
            let (high, note) = (percentile(&mut times, 99), format!("of {}", times.len()));
            self.table.add_median(&format!("{name}, {fares}, p50"), &mut times, Budget::AtMost(5.0));
            self.table.add(&format!("{name}, {fares}, p99"), high, "ms", Budget::Free, note);
        }
        let name = format!("write seen elsewhere, {fares}");
        let mut times = times_until_seen(source, target, self.sizes.samples)?;
        self.visibility_rows(&name, &mut times);
        Ok(())
    }
}

/// Waits until a node says that its cards stand so.
fn await_state(node: &Node, state: &str) -> Outcome {
    let mut api = node.api()?;
    let deadline = Instant::now() + SYNC_PATIENCE;
    while Instant::now() < deadline {
        let told = api.ask("GET", "/v1/gpus", "")?;
        let nodes = told["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        if nodes.iter().any(|node| node["here"] == true && node["state"] == state) {
            return Ok(());
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Err(format!("the cards are not {state} within {} s", SYNC_PATIENCE.as_secs()).into())
}
