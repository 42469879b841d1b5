//! What is measured on this machine, its cards and its containers, as the mesh is told.

use beadmesh_protocol::sample::container::{Containers, Health, Status};
use beadmesh_protocol::sample::{Facts, Sample, gpu, host};

use crate::metrics::{Sheet, Title};
use crate::telemetry::View;

/// Bytes in a mebibyte.
const MEBIBYTE: f64 = 1_048_576.0;

/// How a card or an engine may stand, so that each state is told, also where it is not so.
const CARD_STATES: [gpu::State; 10] = [
    gpu::State::Ok,
    gpu::State::Absent,
    gpu::State::DriverNotLoaded,
    gpu::State::VersionMismatch,
    gpu::State::NoDevices,
    gpu::State::Lost,
    gpu::State::NoPermission,
    gpu::State::Stalled,
    gpu::State::Failed,
    gpu::State::Off,
];

/// How containers may stand.
const STATUSES: [Status; 6] =
    [Status::Created, Status::Running, Status::Paused, Status::Restarting, Status::Exited, Status::Dead];

/// Notes what this machine said of itself last.
pub(super) fn note(sheet: &mut Sheet, view: &View) {
    if let Some(sample) = &view.sample {
        note_host(sheet, &sample.host, view.facts.as_ref().map(|facts| &facts.host));
        note_cards(sheet, sample, view.facts.as_deref());
    }
    if let Some(containers) = &view.containers {
        note_containers(sheet, containers);
    }
}

fn note_host(sheet: &mut Sheet, host: &host::Sample, facts: Option<&host::Facts>) {
    let levels = [
        (
            Title::of("host_cpu_busy_ratio", "How busy the processors are"),
            host.cpu_permille.map(|part| f64::from(part) / 1e3),
        ),
        (Title::bytes("host_memory", "Memory"), facts.and_then(|facts| facts.memory_total).map(exact)),
        (Title::bytes("host_memory_available", "Memory that can be had"), host.memory_available.map(exact)),
        (Title::bytes("host_swap", "Room for what does not fit memory"), host.swap.map(|(total, _)| exact(total))),
        (Title::bytes("host_swap_free", "How much of it is free"), host.swap.map(|(_, free)| exact(free))),
        (Title::bytes("home_disk", "The file system of the home"), host.disk.map(|(total, _)| exact(total))),
        (Title::seconds("host_uptime", "Since the machine was started"), host.uptime_s.map(exact)),
        (Title::of("host_temperature_celsius", "Of the processors"), host.temperature.map(f64::from)),
        (
            Title::of("host_battery_ratio", "How full the battery is"),
            host.battery.map(|battery| f64::from(battery.percent) / 100.0),
        ),
    ];
    for (title, level) in levels {
        if let Some(level) = level {
            sheet.level(title, level);
        }
    }
    if let Some((one, five, fifteen)) = host.load_centi {
        let loads = [("1", one), ("5", five), ("15", fifteen)];
        let loads = loads.map(|(minutes, centi)| (minutes.to_owned(), f64::from(centi) / 100.0));
        sheet.levels(Title::of("host_load", "Load over some minutes"), "minutes", loads);
    }
    if let Some((received, sent)) = host.network {
        let bytes = [("received", received), ("sent", sent)].map(|(way, bytes)| (way.to_owned(), bytes));
        sheet.totals(Title::bytes("host_network", "Bytes over the networks"), "direction", bytes);
    }
}

fn note_cards(sheet: &mut Sheet, sample: &Sample, facts: Option<&Facts>) {
    let states = CARD_STATES.map(|state| (state.as_str().to_owned(), f64::from(u8::from(state == sample.state))));
    sheet.levels(Title::of("gpu_state", "1 for how it stands with the cards"), "state", states);
    let backend = facts.map(|facts| facts.driver.backend).unwrap_or_default().as_str();
    let named = facts.into_iter().flat_map(|facts| &facts.gpus).map(|card| {
        let (gpu, backend) = (card.index.to_string(), backend.to_owned());
        vec![("gpu", gpu), ("name", card.name.clone()), ("uuid", card.uuid.clone()), ("backend", backend)]
    });
    sheet.facts(Title::of("gpu", "The cards; those of the backend demo are made up"), named);
    let cards = &sample.gpus;
    let mut each = |title: Title, value: fn(&gpu::Sample) -> Option<f64>| {
        let values = cards.iter().filter_map(|card| Some((card.index.to_string(), value(card)?)));
        sheet.levels(title, "gpu", values);
    };
    each(Title::of("gpu_healthy", "Whether a card answers"), |card| {
        Some(f64::from(u8::from(card.health == gpu::Health::Ok)))
    });
    each(Title::of("gpu_busy_ratio", "How busy a card is"), |card| card.busy.map(|busy| f64::from(busy) / 100.0));
    let help = "Memory of a card in use";
    each(Title::bytes("gpu_memory_used", help), |card| card.memory_used_mib.map(mebibytes));
    each(Title::bytes("gpu_memory_free", "Memory of a card that is free"), |card| card.memory_free_mib.map(mebibytes));
    each(Title::of("gpu_power_watts", "What a card draws"), |card| card.power_mw.map(|power| f64::from(power) / 1e3));
    let help = "What a card may draw";
    each(Title::of("gpu_power_limit_watts", help), |card| card.power_limit_mw.map(|power| f64::from(power) / 1e3));
    each(Title::of("gpu_temperature_celsius", "Of a card"), |card| card.temperature.map(f64::from));
    let mut counted = |title: Title, value: fn(&gpu::Sample) -> Option<u64>| {
        let values = cards.iter().filter_map(|card| Some((card.index.to_string(), value(card)?)));
        sheet.totals(title, "gpu", values);
    };
    counted(Title::of("gpu_xid_errors", "Errors that the driver reported of a card"), |card| {
        Some(card.xid.map_or(0, |xid| xid.count.into()))
    });
    let help = "Errors of memory that could not be corrected";
    counted(Title::of("gpu_ecc_uncorrected_errors", help), |card| card.ecc_uncorrected.map(u64::from));
}

fn note_containers(sheet: &mut Sheet, containers: &Containers) {
    let is_ok = f64::from(u8::from(containers.engine.advice().is_none()));
    sheet.level(Title::of("container_engine_up", "Whether the engine of containers answers"), is_ok);
    let listed = &containers.listed;
    let count = |is_so: &dyn Fn(&beadmesh_protocol::sample::container::Container) -> bool| {
        // A sum of no floats would be -0.
        exact(listed.iter().filter(|container| is_so(container)).map(|_| 1).sum())
    };
    let counts = STATUSES.map(|status| (status.as_str().to_owned(), count(&|container| container.status == status)));
    sheet.levels(Title::of("containers", "Containers of this machine"), "status", counts);
    let unhealthy = count(&|container| container.health == Some(Health::Unhealthy));
    sheet.level(Title::of("containers_unhealthy", "Containers whose check complains"), unhealthy);
    let killed = count(&|container| container.oom_killed);
    sheet.level(Title::of("containers_oom_killed", "Containers that ended for want of memory"), killed);
    let restarts = exact(listed.iter().map(|container| u64::from(container.restarts)).sum());
    sheet.level(Title::of("container_restarts", "How often containers that are there were started again"), restarts);
}

/// Returns a count as a measure; beyond 2^53 the last digits are of no interest.
#[expect(clippy::cast_precision_loss, reason = "a measure of bytes or seconds keeps its first 15 digits")]
fn exact(count: u64) -> f64 {
    count as f64
}

fn mebibytes(mebibytes: u32) -> f64 {
    f64::from(mebibytes) * MEBIBYTE
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use beadmesh_protocol::sample::container::{Container, Engine};

    use super::*;
    use crate::core::Meter;
    use crate::metrics::{Format, Metrics};

    fn text(view: &View) -> String {
        let mut sheet = Sheet::new();
        note(&mut sheet, view);
        Metrics::new(&Meter::new()).text(Format::Open, &sheet, None).unwrap()
    }

    fn assert_lines(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out_and_never_0() {
        let cards = vec![gpu::Sample { index: 1, busy: Some(40), power_mw: Some(61_500), ..gpu::Sample::default() }];
        let host = host::Sample { cpu_permille: Some(125), load_centi: Some((50, 75, 100)), ..host::Sample::default() };
        let sample = Sample { state: gpu::State::Ok, gpus: cards, host, ..Sample::default() };
        let text = text(&View { sample: Some(Arc::new(sample)), ..View::default() });
        assert_lines(
            &text,
            &[
                "beadmesh_gpu_state{state=\"ok\"} 1.0",
                "beadmesh_gpu_state{state=\"lost\"} 0.0",
                "beadmesh_gpu_busy_ratio{gpu=\"1\"} 0.4",
                "beadmesh_gpu_power_watts{gpu=\"1\"} 61.5",
                "beadmesh_gpu_xid_errors_total{gpu=\"1\"} 0",
                "beadmesh_host_cpu_busy_ratio 0.125",
                "beadmesh_host_load{minutes=\"5\"} 0.75",
            ],
        );
        for absent in ["gpu_temperature", "gpu_memory_used_bytes{", "host_battery", "host_uptime", "containers"] {
            assert!(!text.contains(&format!("beadmesh_{absent}")), "{absent}\n{text}");
        }
    }

    #[test]
    fn cards_that_are_made_up_are_called_so() {
        let card = gpu::Facts { index: 0, uuid: "GPU-1".into(), name: "Made Up".into(), ..gpu::Facts::default() };
        let driver = gpu::Driver { backend: gpu::Backend::Demo, ..gpu::Driver::default() };
        let facts = Facts { driver, gpus: vec![card], ..Facts::default() };
        let view = View { facts: Some(Arc::new(facts)), sample: Some(Arc::default()), ..View::default() };
        assert_lines(&text(&view), &["beadmesh_gpu{gpu=\"0\",name=\"Made Up\",uuid=\"GPU-1\",backend=\"demo\"} 1.0"]);
    }

    #[test]
    fn containers_are_counted_by_how_they_stand() {
        let container = |status, health, oom_killed| Container { status, health, oom_killed, ..Container::default() };
        let listed = vec![
            container(Status::Running, Some(Health::Healthy), false),
            container(Status::Running, Some(Health::Unhealthy), false),
            Container { restarts: 4, ..container(Status::Exited, None, true) },
        ];
        let containers = Containers { engine: Engine::Ok, listed, more: 0 };
        let text = text(&View { containers: Some(Arc::new(containers)), ..View::default() });
        assert_lines(
            &text,
            &[
                "beadmesh_container_engine_up 1.0",
                "beadmesh_containers{status=\"running\"} 2.0",
                "beadmesh_containers{status=\"paused\"} 0.0",
                "beadmesh_containers_unhealthy 1.0",
                "beadmesh_containers_oom_killed 1.0",
                "beadmesh_container_restarts 4.0",
            ],
        );
    }
}
