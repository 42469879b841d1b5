//! The checks of this machine's cards and of what is watched: how it stands with them, and what to do.

use beadmesh_protocol::sample::gpu::{Backend, Health, State};
use beadmesh_protocol::sample::{Facts, Sample};

use crate::alarms::Watched;
use crate::api::model::Check;

const ID: &str = "gpu.state";

/// Returns the row of what was measured last. A machine without cards is well.
pub(crate) fn check(sample: &Sample, facts: Option<&Facts>) -> Check {
    let backend = facts.map(|facts| facts.driver.backend).unwrap_or_default();
    let count = sample.gpus.len();
    let cards = if count == 1 { "1 card answers".to_owned() } else { format!("{count} cards answer") };
    match (sample.state, backend) {
        (State::Ok, Backend::Demo) => {
            let remedy = "start the node without `--gpu-backend demo`, or with another `gpu.backend` where that is set";
            Check::warn(ID, format!("demo: {count} cards are made up."), remedy)
        }
        (State::Ok, _) => Check::ok(ID, format!("{cards}.")),
        (State::Absent, _) => Check::ok(ID, "There is no NVIDIA driver on this machine."),
        (State::Off, _) => Check::ok(ID, "Cards are not looked for: `gpu.backend` is off."),
        (state, _) => {
            let lost: Vec<String> = sample
                .gpus
                .iter()
                .filter(|card| card.health != Health::Ok)
                .map(|card| format!("gpu{} is {}", card.index, card.health.as_str()))
                .collect();
            let lost = if lost.is_empty() { String::new() } else { format!(": {}", lost.join(", ")) };
            Check::warn(ID, format!("Cards: {state}{lost}."), state.advice().unwrap_or_default())
        }
    }
}

/// Returns a row for each thing that is watched on this machine, by the key that asks for it.
pub(crate) fn watched(watched: &Watched) -> Vec<Check> {
    let row = |(key, (told, is_alarm)): (&'static str, (String, bool))| match (key, is_alarm) {
        (_, false) => Check::ok(key, told),
        ("watch.gpu_idle", true) => Check::warn(key, told, "give them work, or stop the machine"),
        ("watch.stop_command", true) => {
            Check::warn(key, told, "run it as the user of the node to see why; `sudo` does not work in its service")
        }
        (_, true) => Check::warn(key, told, "stop the machine, or raise `watch.budget`"),
    };
    watched.checks().into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::sample::gpu;

    use super::*;
    use crate::api::model::Grade;

    fn checked(state: State, backend: Backend, healths: &[Health]) -> Check {
        let card = |health: &Health| gpu::Sample { health: *health, ..gpu::Sample::default() };
        let sample = Sample { state, gpus: healths.iter().map(card).collect(), ..Sample::default() };
        let mut facts = Facts::default();
        facts.driver.backend = backend;
        check(&sample, Some(&facts))
    }

    #[test]
    fn a_machine_is_well_with_cards_and_without_and_not_with_lost_or_made_up_ones() {
        let well = [(State::Ok, vec![Health::Ok]), (State::Absent, vec![]), (State::Off, vec![])];
        for (state, healths) in well {
            assert_eq!(checked(state, Backend::Nvml, &healths).grade, Grade::Ok, "{state}");
        }
        let lost = checked(State::Lost, Backend::Nvml, &[Health::Ok, Health::Lost]);
        assert_eq!((lost.grade, lost.found.as_str()), (Grade::Warn, "Cards: lost: gpu0 is lost."));
        assert_eq!(lost.remedy.as_deref(), State::Lost.advice());
        let demo = checked(State::Ok, Backend::Demo, &[Health::Ok]);
        assert!(demo.grade == Grade::Warn && demo.found.starts_with("demo"));
    }
}
