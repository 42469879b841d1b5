//! Machines and their cards as tables.

use beadmesh_node::api::model::{Gpu, GpuNode, GpusBody, Host, Machine};

use super::paint::Paint;
use super::table::{self, Column, Painted};
use super::text;

/// Bytes in a gibibyte.
const GIBIBYTE: f64 = 1_073_741_824.0;

/// What stands where nothing is known.
const UNKNOWN: &str = "-";

/// The columns of the list of cards.
const GPUS: [Column; 9] = [
    Column::new("NODE"),
    Column::new("GPU"),
    Column::new("NAME").flexible(),
    Column::new("BUSY"),
    Column::new("MEMORY"),
    Column::new("POWER").spare(2),
    Column::new("TEMP").spare(3),
    Column::new("STATE"),
    Column::new("USED BY").spare(4),
];

/// The columns of the list of machines.
const NODES: [Column; 8] = [
    Column::new("NODE").flexible(),
    Column::new("HEARD"),
    Column::new("CPU"),
    Column::new("LOAD").spare(3),
    Column::new("MEMORY"),
    Column::new("DISK").spare(2),
    Column::new("GPUS"),
    Column::new("OS").spare(4),
];

/// Returns a line for each card, below a heading; none where there is no card.
pub(crate) fn gpus(gpus: &[Gpu], columns: Option<u16>) -> Vec<String> {
    if gpus.is_empty() {
        return Vec::new();
    }
    let rows: Vec<Vec<Painted>> = gpus.iter().map(gpu).collect();
    table::lines(&GPUS, &rows, columns)
}

fn gpu(gpu: &Gpu) -> Vec<Painted> {
    let plain = |text: Option<String>| (Paint::Plain, text.unwrap_or_else(|| UNKNOWN.to_owned()));
    let health = match gpu.health.as_str() {
        "ok" if gpu.stale => (Paint::Slow, "stale".to_owned()),
        "ok" => (Paint::Good, if gpu.backend == "demo" { "demo" } else { "ok" }.to_owned()),
        "unknown" => (Paint::Slow, "unknown".to_owned()),
        other => (Paint::Bad, other.to_owned()),
    };
    let state = match gpu.xid {
        Some(xid) => (Paint::Bad, format!("{}, Xid {}", health.1, xid.code)),
        None => health,
    };
    let users: Vec<String> = gpu
        .processes
        .iter()
        .map(|process| {
            let agent = process.agent.clone().or_else(|| process.name.clone());
            agent.unwrap_or_else(|| process.pid.to_string())
        })
        .collect();
    vec![
        (Paint::Strong, gpu.node.clone()),
        (Paint::Plain, gpu.index.to_string()),
        (Paint::Plain, gpu.name.clone().unwrap_or_else(|| UNKNOWN.to_owned())),
        plain(gpu.busy_percent.map(|busy| format!("{busy}%"))),
        plain(of(gpu.memory_used_bytes, gpu.memory_total_bytes)),
        plain(gpu.power_watts.map(|watts| match gpu.power_limit_watts {
            Some(limit) => format!("{watts:.0}/{limit:.0} W"),
            None => format!("{watts:.0} W"),
        })),
        plain(gpu.temperature_celsius.map(|degrees| format!("{degrees} °C"))),
        state,
        (Paint::Faint, users.join(", ")),
    ]
}

/// Returns what the table of cards does not say: which are made up, what is wrong and what to do, and who has none.
pub(crate) fn remarks(body: &GpusBody, columns: usize) -> Vec<String> {
    let mut remarks: Vec<String> = Vec::new();
    let name = |node: &GpuNode| text::clean_line(&node.node.name);
    for node in &body.nodes {
        if node.backend.as_deref() == Some("demo") {
            remarks.push(format!("{}: demo, these cards are made up.", name(node)));
        }
        let is_common = matches!(node.state.as_str(), "ok" | "absent" | "off" | "unknown");
        if let Some(advice) = node.advice.as_ref().filter(|_| !is_common) {
            remarks.push(format!("{}: {}: {}.", name(node), node.state, text::clean_line(advice)));
        }
        if node.stale {
            remarks.push(unheard(&name(node), node.age_s.unwrap_or_default()));
        }
    }
    let listed = |state: &str| {
        let names: Vec<String> = body.nodes.iter().filter(|node| node.state == state).map(name).collect();
        names.join(", ")
    };
    let reasons = [("absent", "No NVIDIA driver"), ("off", "Cards not looked for"), ("unknown", "Nothing heard yet")];
    for (state, reason) in reasons {
        let names = listed(state);
        if !names.is_empty() {
            remarks.push(format!("{reason}: {names}."));
        }
    }
    remarks.iter().flat_map(|remark| text::wrap(remark, columns)).collect()
}

/// Returns a line for each machine, below a heading.
pub(crate) fn nodes(nodes: &[Machine], columns: Option<u16>) -> Vec<String> {
    let rows: Vec<Vec<Painted>> = nodes.iter().map(node).collect();
    table::lines(&NODES, &rows, columns)
}

/// Returns the same with how each machine stands beside its name.
pub(crate) fn fleet(nodes: &[(Machine, Painted)], columns: Option<u16>) -> Vec<String> {
    let mut layout = NODES.to_vec();
    layout.insert(1, Column::new("STATE"));
    let rows: Vec<Vec<Painted>> = nodes
        .iter()
        .map(|(machine, state)| {
            let mut row = node(machine);
            row.insert(1, state.clone());
            row
        })
        .collect();
    table::lines(&layout, &rows, columns)
}

fn node(machine: &Machine) -> Vec<Painted> {
    let Machine { standing, host, gpus } = machine;
    let plain = |text: Option<String>| (Paint::Plain, text.unwrap_or_else(|| UNKNOWN.to_owned()));
    let heard = match standing.age_s {
        None => (Paint::Faint, "never".to_owned()),
        Some(_) if standing.stale => (Paint::Slow, format!("{} ago", age(standing))),
        Some(_) => (Paint::Good, "now".to_owned()),
    };
    let cards = match standing.state.as_str() {
        "unknown" => (Paint::Faint, UNKNOWN.to_owned()),
        "ok" if standing.backend.as_deref() == Some("demo") => (Paint::Slow, format!("{} demo", gpus.len())),
        "ok" => (Paint::Good, gpus.len().to_string()),
        "absent" | "off" => (Paint::Faint, "none".to_owned()),
        state => (Paint::Bad, state.to_owned()),
    };
    vec![
        (Paint::Strong, standing.node.name.clone()),
        heard,
        plain(host.cpu_percent.map(|percent| format!("{percent:.0}%"))),
        plain(host.load.map(|[minute, ..]| format!("{minute:.2}"))),
        plain(of(memory_used(host), host.memory_total_bytes)),
        plain(of(disk_used(host), host.disk_total_bytes)),
        cards,
        (Paint::Faint, host.os.clone().unwrap_or_default()),
    ]
}

/// Returns how much memory is in use.
pub(crate) fn memory_used(host: &Host) -> Option<u64> {
    Some(host.memory_total_bytes?.saturating_sub(host.memory_available_bytes?))
}

/// Returns how much of the disk is in use.
pub(crate) fn disk_used(host: &Host) -> Option<u64> {
    Some(host.disk_total_bytes?.saturating_sub(host.disk_free_bytes?))
}

/// Says that a machine was not heard for a while.
pub(crate) fn unheard(name: &str, age_s: f64) -> String {
    format!("{name}: not heard for {}; the node or its link may be down.", aged(age_s))
}

/// Says how long ago a machine was heard.
pub(crate) fn age(node: &GpuNode) -> String {
    aged(node.age_s.unwrap_or_default())
}

fn aged(seconds: f64) -> String {
    match seconds {
        minutes if minutes >= 120.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{seconds:.0} s"),
    }
}

/// Says how much of how much, in GiB.
pub(crate) fn of(used: Option<u64>, total: Option<u64>) -> Option<String> {
    match (used, total) {
        (Some(used), Some(total)) => Some(format!("{}/{} GiB", gibibytes(used), gibibytes(total))),
        (None, Some(total)) => Some(format!("{UNKNOWN}/{} GiB", gibibytes(total))),
        (Some(used), None) => Some(format!("{} GiB", gibibytes(used))),
        (None, None) => None,
    }
}

/// Writes a size in GiB, with one digit behind the point where there are few before it.
pub(crate) fn gibibytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let gibibytes = bytes as f64 / GIBIBYTE;
    if gibibytes < 10.0 { format!("{gibibytes:.1}") } else { format!("{gibibytes:.0}") }
}

#[cfg(test)]
mod tests {
    use beadmesh_node::api::model::{GpuProcess, Node, Xid};

    use super::*;

    fn standing(name: &str, state: &str, backend: &str) -> GpuNode {
        GpuNode {
            node: Node { id: format!("id-of-{name}"), name: name.to_owned() },
            here: name == "ada",
            state: state.to_owned(),
            advice: (state == "lost").then(|| "see `dmesg`".to_owned()),
            backend: Some(backend.to_owned()),
            driver: None,
            cuda: None,
            age_s: Some(1.2),
            stale: false,
        }
    }

    fn card(node: &str, index: u8) -> Gpu {
        Gpu {
            node: node.to_owned(),
            backend: "nvml".to_owned(),
            index,
            health: "ok".to_owned(),
            name: Some("NVIDIA H100 80GB HBM3".to_owned()),
            busy_percent: Some(97),
            memory_total_bytes: Some(80 << 30),
            memory_used_bytes: Some(7 << 30),
            power_watts: Some(412.3),
            power_limit_watts: Some(700.0),
            temperature_celsius: Some(61),
            processes: vec![GpuProcess {
                pid: 7,
                name: Some("python3".into()),
                owner: None,
                agent: Some("BlueLake".into()),
                memory_bytes: None,
            }],
            ..Gpu::default()
        }
    }

    fn plain(lines: &[String]) -> String {
        let plain: Vec<String> = lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert!(plain.iter().all(|line| text::width(line) <= 80), "{plain:#?}");
        plain.join("\n")
    }

    #[test]
    fn cards_stand_in_eighty_columns_and_what_is_not_known_is_not_zero() {
        let lost = Gpu {
            health: "lost".into(),
            xid: Some(Xid { code: 79, count: 1 }),
            name: Some("NVIDIA H100 80GB HBM3".into()),
            memory_total_bytes: Some(80 << 30),
            ..Gpu { node: "gpu-box".into(), index: 1, ..Gpu::default() }
        };
        insta::assert_snapshot!(plain(&gpus(&[card("gpu-box", 0), lost], Some(80))), @r"
        NODE     GPU  NAME                   BUSY  MEMORY      POWER      STATE
        gpu-box  0    NVIDIA H100 80GB HBM3  97%   7.0/80 GiB  412/700 W  ok
        gpu-box  1    NVIDIA H100 80GB HBM3  -     -/80 GiB    -          lost, Xid 79
        ");
        assert!(gpus(&[], Some(80)).is_empty());
    }

    #[test]
    fn remarks_name_what_is_made_up_what_is_wrong_and_who_has_none() {
        let mut gone = standing("eve", "ok", "nvml");
        (gone.stale, gone.age_s) = (true, Some(300.0));
        let nodes = vec![
            standing("ada", "ok", "demo"),
            standing("bob", "lost", "nvml"),
            standing("cyd", "absent", "nvml"),
            standing("dan", "absent", "nvml"),
            gone,
        ];
        insta::assert_snapshot!(plain(&remarks(&GpusBody { gpus: Vec::new(), nodes }, 80)), @r"
        ada: demo, these cards are made up.
        bob: lost: see `dmesg`.
        eve: not heard for 5 min; the node or its link may be down.
        No NVIDIA driver: cyd, dan.
        ");
    }

    #[test]
    fn machines_stand_in_eighty_columns() {
        let host = Host {
            os: Some("Debian GNU/Linux 13 (trixie)".into()),
            cpu_percent: Some(43.1),
            load: Some([12.1, 9.8, 10.1]),
            memory_total_bytes: Some(64 << 30),
            memory_available_bytes: Some(60 << 30),
            disk_total_bytes: Some(1_800 << 30),
            disk_free_bytes: Some(200 << 30),
            ..Host::default()
        };
        let well = Machine { standing: standing("gpu-box", "ok", "nvml"), host, gpus: vec![card("gpu-box", 0)] };
        let mut silent = standing("laptop", "unknown", "nvml");
        silent.age_s = None;
        let silent = Machine { standing: silent, host: Host::default(), gpus: Vec::new() };
        insta::assert_snapshot!(plain(&nodes(&[well, silent], Some(80))), @r"
        NODE     HEARD  CPU  LOAD   MEMORY      DISK           GPUS
        gpu-box  now    43%  12.10  4.0/64 GiB  1600/1800 GiB  1
        laptop   never  -    -      -           -              -
        ");
    }
}
