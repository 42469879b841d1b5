//! Everything about one row, as lines of a page.

use beadmesh_node::api::model::{Container, Gpu, Letter, Machine, Peer};
use jiff::Timestamp;

use super::{Facts, View, rows};
use crate::commands::containers::standing;
use crate::output::paint::Paint;
use crate::output::{bead, lease, letter, machine, text, time};

/// Lines of a page that can be gone to: a letter may be long, and nobody reads one of a million lines here.
pub(super) const LINES_MAX: usize = 100_000;

/// Returns the lines of the page on what the key names, at most `columns` wide; none where it is gone.
pub(super) fn lines(facts: &Facts, view: View, key: &str, columns: usize, now: Timestamp) -> Vec<String> {
    let lines = match view {
        View::Nodes => {
            let machines = facts.machines(now);
            let found = machines.iter().find(|machine| machine.standing.node.id == key);
            found.map(|machine| on_machine(facts, machine))
        }
        View::Gpus => {
            let gpus = facts.gpus(now).map(|body| body.gpus).unwrap_or_default();
            gpus.iter().find(|gpu| format!("{} {}", gpu.node, gpu.index) == key).map(on_gpu)
        }
        View::Containers => {
            let listed = facts.containers(now).map(|body| body.containers).unwrap_or_default();
            listed.iter().find(|found| format!("{} {}", found.node, found.name) == key).map(on_container)
        }
        View::Beads => {
            let found = facts.beads.iter().flat_map(|body| &body.beads).find(|bead| bead.id == key);
            found.map(|found| bead::lines(found, columns, now))
        }
        View::Leases => {
            let found = facts.leases.iter().flat_map(|body| &body.claims).find(|claim| claim.id == key);
            found.map(|claim| lease::full(claim, now))
        }
        View::Mail => on_letter(facts, key).map(|found| letter::page(found, columns, now)),
        View::Peers => facts.peer(key).map(|peer| on_peer(peer, now)),
    };
    let gone = || vec!["It is gone.".to_owned()];
    lines.unwrap_or_else(gone).iter().flat_map(|line| fitted(line, columns)).take(LINES_MAX).collect()
}

/// Breaks a line that is too wide; what is broken loses its paint.
fn fitted(line: &str, columns: usize) -> Vec<String> {
    let plain = anstream::adapter::strip_str(line).to_string();
    if text::width(&plain) <= columns { vec![line.to_owned()] } else { text::wrap(&plain, columns) }
}

/// Returns a letter whole, or as its list has it while it is being asked for.
fn on_letter<'a>(facts: &'a Facts, key: &str) -> Option<&'a Letter> {
    let whole = facts.letter.as_deref().filter(|letter| letter.id == key);
    let listed = facts.mail.as_ref().and_then(|mail| mail.as_ref().ok());
    whole.or_else(|| listed?.letters.iter().find(|letter| letter.id == key))
}

/// Lines that each say one thing, below what they are about.
struct Page(Vec<String>);

impl Page {
    fn on(what: &str) -> Self {
        Self(vec![Paint::Strong.on(&text::clean_line(what))])
    }

    fn fact(&mut self, name: &str, value: Option<impl ToString>) {
        let Some(value) = value.map(|value| text::clean_line(&value.to_string())) else { return };
        self.0.push(format!("{}  {value}", Paint::Faint.on(&format!("{name:12}"))));
    }
}

fn on_machine(facts: &Facts, found: &Machine) -> Vec<String> {
    let Machine { standing, host, gpus } = found;
    let mut page = Page::on(&standing.node.name);
    page.fact("Node", Some(&standing.node.id));
    page.fact("State", Some(rows::state(facts, standing).1));
    page.fact("Heard", standing.age_s.map(|_| format!("{} ago", machine::age(standing))));
    page.fact("Version", host.version.as_ref());
    page.fact("Labels", (!host.labels.is_empty()).then(|| host.labels.join(", ")));
    page.fact("System", host.os.as_ref());
    page.fact("Kernel", host.kernel.as_ref());
    page.fact("Processors", host.cpu.as_ref());
    page.fact("Cores", host.cores);
    page.fact("Busy", host.cpu_percent.map(|percent| format!("{percent:.0}%")));
    page.fact("Load", host.load.map(|load| load.map(|value| format!("{value:.2}")).join("  ")));
    page.fact("Memory", machine::of(machine::memory_used(host), host.memory_total_bytes));
    page.fact("Disk", machine::of(machine::disk_used(host), host.disk_total_bytes));
    page.fact("Temperature", host.temperature_celsius.map(|degrees| format!("{degrees} °C")));
    page.fact("Battery", host.battery.map(|battery| format!("{}%", battery.percent)));
    page.fact("Up for", host.uptime_s.map(lasted));
    page.fact("Cards", Some(format!("{}: {}", gpus.len(), standing.state)));
    page.fact("Driver", standing.driver.as_ref());
    page.fact("CUDA", standing.cuda.as_ref());
    page.fact("Advice", standing.advice.as_ref());
    page.0
}

fn on_gpu(gpu: &Gpu) -> Vec<String> {
    let mut page = Page::on(&format!("{} gpu{}", gpu.node, gpu.index));
    page.fact("Readings", (gpu.backend == "demo").then_some("demo: they are made up"));
    page.fact("Health", Some(&gpu.health));
    page.fact("Stale", gpu.stale.then_some("the last readings are old"));
    page.fact("Name", gpu.name.as_ref());
    page.fact("UUID", gpu.uuid.as_ref());
    page.fact("Bus", gpu.pci.as_ref());
    page.fact("Compute", gpu.compute.as_ref());
    page.fact("Busy", gpu.busy_percent.map(|busy| format!("{busy}%")));
    page.fact("Memory", machine::of(gpu.memory_used_bytes, gpu.memory_total_bytes));
    page.fact("Power", gpu.power_watts.map(|watts| format!("{watts:.0} W")));
    page.fact("Power limit", gpu.power_limit_watts.map(|watts| format!("{watts:.0} W")));
    page.fact("Temperature", gpu.temperature_celsius.map(|degrees| format!("{degrees} °C")));
    page.fact("Fan", gpu.fan_percent.map(|percent| format!("{percent}%")));
    page.fact("Clock", gpu.clock_sm_mhz.map(|clock| format!("{clock} MHz")));
    page.fact("Held down by", gpu.throttle.as_ref().map(|reasons| reasons.join(", ")));
    page.fact("Mended", gpu.ecc_corrected.map(|errors| format!("{errors} errors of memory")));
    page.fact("Not mended", gpu.ecc_uncorrected.map(|errors| format!("{errors} errors of memory")));
    page.fact("Last error", gpu.xid.map(|xid| format!("Xid {}", xid.code)));
    for slice in &gpu.slices {
        page.fact("Part", Some(format!("{} {}", slice.index, slice.name)));
    }
    for process in &gpu.processes {
        let memory = process.memory_bytes.map(|bytes| format!("{} GiB", machine::gibibytes(bytes)));
        let said = [process.name.clone(), process.owner.clone(), process.agent.clone(), memory];
        let said: Vec<String> = said.into_iter().flatten().collect();
        page.fact("Used by", Some(format!("{} {}", process.pid, said.join(", "))));
    }
    page.0
}

fn on_container(found: &Container) -> Vec<String> {
    let mut page = Page::on(&format!("{} {}", found.node, found.name));
    page.fact("State", Some(standing(found)));
    page.fact("Image", Some(&found.image));
    page.fact("Project", found.project.as_ref());
    page.fact("Service", found.service.as_ref());
    page.fact("Restarts", Some(found.restarts));
    page.fact("Busy", found.cpu_percent.map(|percent| format!("{percent}% of a core")));
    page.fact("Memory", machine::of(found.memory_bytes, found.memory_max_bytes));
    page.0
}

fn on_peer(peer: &Peer, now: Timestamp) -> Vec<String> {
    let ago = |date: &Option<String>| date.as_deref().map(|date| time::ago(date, now));
    let mut page = Page::on(&peer.name);
    page.fact("Node", Some(&peer.id));
    page.fact("Linked", Some(if peer.connected { "yes" } else { "no" }));
    page.fact("Kept out", peer.banned.then_some("by a decision of this node's user"));
    page.fact("Way", peer.route.as_ref());
    page.fact("Through", peer.through.as_ref());
    page.fact("Address", peer.path.as_ref());
    page.fact("Round trip", peer.round_trip_us.map(|micros| format!("{micros} µs")));
    page.fact("Behind by", Some(format!("{} entries", peer.lag_entries)));
    let progress = peer.progress.map(|progress| format!("{} of {}", progress.done, progress.total));
    page.fact("Catching up", progress);
    page.fact("Last linked", ago(&peer.last_seen));
    page.fact("Last heard", ago(&peer.last_heard));
    page.0
}

/// Says how long something lasted.
fn lasted(seconds: u64) -> String {
    match seconds {
        0..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
