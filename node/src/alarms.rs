//! Alarms about this machine's costs: cards that idle, and a budget that is being spent.
//!
//! What is an alarm is decided by `rules`, without a clock. Here is the task that looks every two seconds, tells who watches,
//! keeps how much is spent, and runs what its user wants run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::sample::gpu::{self, Backend, Health};
use beadmesh_store::command::Command;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock;
use crate::config::{StopCommand, Watching};
use crate::core::Core;
use crate::home::Home;
use crate::telemetry::{Telemetry, Teller, View};

mod rules;
mod stop;

pub(crate) use rules::{Alarm, Spent};
use rules::{Budget, Card, Idleness};

/// How often it is looked: as often as the machine is read.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How often what is spent is written down; a crash loses count of so much time at most.
const KEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How long a letter on an alarm is waited for.
const LETTER_PATIENCE: Duration = Duration::from_secs(5);

/// A card that is busy no more than so many percent of the time does nothing for anybody.
const IDLE_BUSY_MAX: u8 = 5;

/// What is wrong just now, for whoever asks; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<Checks>>);

/// How it stands with what is watched: a sentence, and whether it is an alarm, by the key that asks for it.
type Checks = BTreeMap<&'static str, (String, bool)>;

impl Watched {
    /// Returns how it stands with everything that is watched.
    pub(crate) fn checks(&self) -> Checks {
        self.lock().clone()
    }

    /// Returns the sentences of what is an alarm now.
    pub(crate) fn alarms(&self) -> Vec<String> {
        self.checks().into_values().filter(|(_, is_alarm)| *is_alarm).map(|(told, _)| told).collect()
    }

    fn set(&self, key: &'static str, told: String, is_alarm: bool) {
        self.lock().insert(key, (told, is_alarm));
    }

    fn lock(&self) -> MutexGuard<'_, Checks> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for alarms.
pub(crate) struct Lookout {
    node: NodeId,
    core: Core,
    home: Arc<Home>,
    telemetry: Telemetry,
    idleness: Option<Idleness>,
    budget: Option<Budget>,
    stop_command: Option<StopCommand>,
    kept_at: Instant,
}

impl Lookout {
    /// Begins to watch what its user wants watched; goes on with what was spent before.
    pub(crate) fn new(teller: &Teller, home: Arc<Home>, watching: Watching) -> Self {
        let now = clock::mono();
        let Watching { gpu_idle, cost_per_hour, budget, stop_command } = watching;
        let budget = match (cost_per_hour, budget) {
            (Some(cost), Some(limit)) => {
                let kept = home.spent().unwrap_or_else(|error| {
                    warn!(%error, "what was spent before is not known, and counts as nothing");
                    None
                });
                Some(Budget::new((cost, limit), kept.unwrap_or_default(), now))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                warn!("watch.cost_per_hour and watch.budget do nothing without each other");
                None
            }
        };
        let idleness = gpu_idle.map(Idleness::new);
        let (node, core, telemetry) = (teller.node(), teller.core().clone(), teller.known().clone());
        Self { node, core, home, telemetry, idleness, budget, stop_command, kept_at: now }
    }

    /// Looks until the node is to stop, and writes down what was spent.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        if self.idleness.is_none() && self.budget.is_none() {
            return;
        }
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = looks.tick() => self.look().await,
            }
        }
        if let Some(budget) = &mut self.budget {
            budget.pass(clock::mono());
        }
        self.keep().await;
    }

    async fn look(&mut self) {
        let now = clock::mono();
        let mut alarms = Vec::new();
        let mut wants_stop = false;
        if let Some(idleness) = &mut self.idleness {
            alarms.extend(idleness.look(&cards(&self.telemetry.fleet().view(self.node, now)), now));
            wants_stop |= idleness.wants_stop();
            let told = idleness.sentence();
            self.telemetry.watched().set("watch.gpu_idle", told, idleness.is_alarm());
        }
        if let Some(budget) = &mut self.budget {
            let alarm = budget.pass(now);
            let is_due = alarm.is_some() || now.since(self.kept_at) >= KEEP_INTERVAL;
            alarms.extend(alarm);
            // Whether it is run is written down before it runs, so that a machine it stops does not run it again.
            let stops = budget.wants_stop();
            wants_stop |= stops;
            self.telemetry.watched().set("watch.budget", budget.sentence(), budget.is_alarm());
            if is_due || stops {
                self.keep().await;
                self.kept_at = now;
            }
        }
        for alarm in alarms {
            warn!(alarm = alarm.kind(), "{}", alarm.sentence());
            self.write_letter(&alarm).await;
            self.telemetry.fleet().alarm(self.node, alarm);
        }
        if let Some(command) = self.stop_command.clone().filter(|_| wants_stop) {
            info!(%command, "running watch.stop_command");
            // Nothing waits for it: its own bound ends it.
            drop(spawn_blocking(move || stop::run(&command, stop::PATIENCE)));
        }
    }

    /// Writes to the user of this node, who may not be watching.
    async fn write_letter(&self, alarm: &Alarm) {
        let name = match self.home.human() {
            Ok(human) => human.map(|human| human.name),
            Err(error) => {
                warn!(%error, "whom to write to of an alarm is not known");
                None
            }
        };
        let Some(name) = name else { return };
        // A replica that hangs does not keep a machine from being stopped.
        match timeout(LETTER_PATIENCE, self.core.call(Command::AgentAlarm(name, alarm.sentence()))).await {
            Ok(Ok(_)) => {}
            // An observer has no agents; whoever watches is told all the same.
            Ok(Err(error)) => warn!(%error, "nobody is written to of an alarm"),
            Err(_) => warn!("a letter on an alarm is late: the replica does not answer"),
        }
    }

    async fn keep(&self) {
        let Some(spent) = self.budget.as_ref().map(Budget::spent) else { return };
        let home = Arc::clone(&self.home);
        let kept = spawn_blocking(move || home.keep_spent(spent)).await;
        if let Ok(Err(error)) = kept {
            warn!(%error, "what was spent can not be written down");
        }
    }
}

/// Returns the cards that answer, and whether each does something for somebody; those that are made up do not count.
///
/// What is not known is not idle: a card that does not say how busy it is, as one that is split, never raises an alarm.
fn cards(view: &View) -> Vec<Card> {
    let is_made_up = view.facts.as_ref().is_none_or(|facts| facts.driver.backend != Backend::Nvml);
    let Some(sample) = view.sample.as_ref().filter(|_| !view.stale && !is_made_up) else { return Vec::new() };
    let card = |card: &gpu::Sample| {
        let is_used = view.processes.iter().any(|process| process.gpu == card.index);
        let is_quiet = card.busy.is_some_and(|busy| busy <= IDLE_BUSY_MAX);
        Card { index: card.index, is_idle: card.health == Health::Ok && is_quiet && !is_used }
    };
    sample.gpus.iter().map(card).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use beadmesh_protocol::sample::gpu::{self, Process};
    use beadmesh_protocol::sample::{Facts, Sample};

    use super::*;

    fn view(busy: Option<u8>, users: &[u8], backend: Backend) -> View {
        let mut facts = Facts::default();
        facts.driver.backend = backend;
        let process = |gpu: &u8| Process { gpu: *gpu, pid: 7, name: None, owner: None, agent: None, memory_mib: None };
        let card = |index| gpu::Sample { index, busy, ..gpu::Sample::default() };
        View {
            facts: Some(Arc::new(facts)),
            sample: Some(Arc::new(Sample { gpus: vec![card(0), card(1)], ..Sample::default() })),
            processes: Arc::new(users.iter().map(process).collect()),
            ..View::default()
        }
    }

    fn idle(view: &View) -> Vec<bool> {
        cards(view).iter().map(|card| card.is_idle).collect()
    }

    #[test]
    fn a_card_idles_that_nobody_uses_and_that_says_so() {
        assert_eq!(idle(&view(Some(5), &[], Backend::Nvml)), [true, true]);
        assert_eq!(idle(&view(Some(6), &[], Backend::Nvml)), [false, false]);
        assert_eq!(idle(&view(Some(0), &[1], Backend::Nvml)), [true, false]);
        assert_eq!(idle(&view(None, &[], Backend::Nvml)), [false, false]);
        assert!(idle(&view(Some(0), &[], Backend::Demo)).is_empty());
        assert!(idle(&View { stale: true, ..view(Some(0), &[], Backend::Nvml) }).is_empty());
    }
}
