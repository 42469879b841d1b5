//! Alarms about this machine's costs: cards that idle, and a budget that is being spent.
//!
//! What is an alarm is decided by `rules`, without a clock. Here is the task that looks every two seconds, tells who watches,
//! keeps how much is spent, and runs what its user wants run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::sample::gpu::{self, Backend, Health};
use beadmesh_store::command::Command;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock;
use crate::config::Watching;
use crate::core::Core;
use crate::home::Home;
use crate::telemetry::{Telemetry, Teller, View};

mod ledger;
mod rules;
mod stop;

use ledger::Ledger;
pub(crate) use rules::{Alarm, Spent};
use rules::{Budget, Card, Idleness, LOOK_GAP_MAX};
use stop::{Causes, Ended, Stop};

/// How often it is looked: as often as the machine is read.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How often what is spent is written down; a crash loses count of so much time at most.
const KEEP_INTERVAL: Duration = Duration::from_secs(60);

/// For how long after its start a node runs no command for a spent budget of which that can not be written down.
const GRACE: Duration = Duration::from_secs(600);

/// How long the letters on the alarms of one look are waited for.
const LETTER_PATIENCE: Duration = Duration::from_secs(5);

/// Under which key it is shown how the command ended.
const STOP_KEY: &str = "watch.stop_command";

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
    ledger: Ledger,
    /// What is not known of the budget.
    unknown: Option<Alarm>,
    is_unknown_told: bool,
    stop: Option<Stop>,
    started_at: Instant,
    kept_at: Instant,
}

impl Lookout {
    /// Begins to watch what its user wants watched; goes on with what was spent before.
    pub(crate) fn new(teller: &Teller, home: Arc<Home>, watching: Watching) -> Self {
        let now = clock::mono();
        let Watching { gpu_idle, cost_per_hour, budget, stop_command } = watching;
        let (mut ledger, mut unknown) = (Ledger::new(Arc::clone(&home)), None);
        let budget = match (cost_per_hour, budget) {
            (Some(cost), Some(limit)) => {
                let spent = ledger.read().unwrap_or_else(|alarm| {
                    unknown = Some(alarm);
                    Spent::default()
                });
                Some(Budget::new((cost, limit), spent, now))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                warn!("watch.cost_per_hour and watch.budget do nothing without each other");
                None
            }
        };
        Self {
            node: teller.node(),
            core: teller.core().clone(),
            home,
            telemetry: teller.known().clone(),
            idleness: gpu_idle.map(Idleness::new),
            budget,
            ledger,
            unknown,
            is_unknown_told: false,
            stop: stop_command.map(Stop::new),
            started_at: now,
            kept_at: now,
        }
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
                biased;
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
        let mut is_due = self.see_stop(now, &mut alarms);
        if let Some(idleness) = &mut self.idleness {
            let view = self.telemetry.fleet().view(self.node, now);
            alarms.extend(idleness.look(&cards(&view, &self.telemetry.unused()), now));
            let told = idleness.sentence();
            self.telemetry.watched().set("watch.gpu_idle", told, idleness.is_alarm());
        }
        if let Some(budget) = &mut self.budget {
            let alarm = budget.pass(now);
            is_due |= alarm.is_some() || now.since(self.kept_at) >= KEEP_INTERVAL;
            alarms.extend(alarm);
        }
        self.see_ledger(is_due, &mut alarms);
        let mut causes = self.causes(now);
        self.mark(causes, true);
        if is_due || causes.budget {
            // Whether it is run is written down before it runs, so that a machine it stops does not run it again.
            let is_kept = self.keep().await;
            self.kept_at = now;
            if causes.budget && !is_kept && now.since(self.started_at) < GRACE {
                // It would stop the machine at each start, before anybody could mend that.
                self.mark(Causes { budget: true, ..Causes::default() }, false);
                causes.budget = false;
                self.stop.iter_mut().for_each(|stop| stop.postpone(now.after(KEEP_INTERVAL)));
            }
        }
        if let Some(stop) = self.stop.as_mut().filter(|_| causes.any()) {
            stop.start(causes);
        }
        self.tell(alarms).await;
    }

    /// Sees how the command ended, where it did; returns whether there is something to write down.
    fn see_stop(&mut self, now: Instant, alarms: &mut Vec<Alarm>) -> bool {
        let Some(stop) = &mut self.stop else { return false };
        let has_failed_before = stop.has_failed();
        match stop.ended(now) {
            None => false,
            Some(Ended::Well) => {
                self.telemetry.watched().set(STOP_KEY, "The command has ended well.".to_owned(), false);
                false
            }
            Some(Ended::Failed(causes, told)) => {
                self.telemetry.watched().set(STOP_KEY, told.clone(), true);
                if has_failed_before {
                    warn!("{told}");
                } else {
                    alarms.push(Alarm::StopFailed { told });
                }
                self.mark(causes, false);
                causes.budget
            }
        }
    }

    /// Shows how it stands with the budget; asks again for what was not known, where that is due.
    fn see_ledger(&mut self, is_due: bool, alarms: &mut Vec<Alarm>) {
        let Some(budget) = &mut self.budget else { return };
        if is_due && !self.ledger.is_read() {
            self.unknown = match self.ledger.read() {
                Ok(spent) => {
                    budget.resume(spent);
                    None
                }
                Err(alarm) => Some(alarm),
            };
        }
        let mut told = budget.sentence();
        if let Some(unknown) = &self.unknown {
            told = format!("{told} {}", unknown.sentence());
            if !std::mem::replace(&mut self.is_unknown_told, true) {
                alarms.push(unknown.clone());
            }
        }
        self.telemetry.watched().set("watch.budget", told, budget.is_alarm() || self.unknown.is_some());
    }

    /// Returns what asks for the command now, where there is one that may be run.
    fn causes(&self, now: Instant) -> Causes {
        if !self.stop.as_ref().is_some_and(|stop| stop.is_ready(now)) {
            return Causes::default();
        }
        Causes {
            idle: self.idleness.as_ref().is_some_and(Idleness::wants_stop),
            budget: self.budget.as_ref().is_some_and(Budget::wants_stop),
        }
    }

    /// Takes note whether the machine is being stopped for some causes.
    fn mark(&mut self, causes: Causes, is_stopped: bool) {
        if let Some(idleness) = self.idleness.as_mut().filter(|_| causes.idle) {
            idleness.set_stopped(is_stopped);
        }
        if let Some(budget) = self.budget.as_mut().filter(|_| causes.budget) {
            budget.set_stopped(is_stopped);
        }
    }

    /// Tells who watches of alarms, and writes to the user of this node, who may not.
    async fn tell(&self, alarms: Vec<Alarm>) {
        if alarms.is_empty() {
            return;
        }
        for alarm in &alarms {
            warn!(alarm = alarm.kind(), "{}", alarm.sentence());
            self.telemetry.fleet().alarm(self.node, alarm.clone());
        }
        let name = match self.home.human() {
            Ok(human) => human.map(|human| human.name),
            Err(error) => {
                warn!(%error, "whom to write to of an alarm is not known");
                None
            }
        };
        let Some(name) = name else { return };
        let letters = async {
            for alarm in alarms {
                let written = self.core.call(Command::AgentAlarm(name.clone(), alarm.sentence())).await;
                if let Err(error) = written {
                    // An observer has no agents; whoever watches is told all the same.
                    warn!(%error, "nobody is written to of an alarm");
                }
            }
        };
        // A replica that hangs keeps nobody from looking on.
        if timeout(LETTER_PATIENCE, letters).await.is_err() {
            warn!("letters on alarms are late: the replica does not answer");
        }
    }

    /// Writes down what is spent; returns whether that is done.
    async fn keep(&mut self) -> bool {
        match self.budget.as_ref().map(Budget::spent) {
            Some(spent) => self.ledger.keep(spent).await,
            None => true,
        }
    }
}

/// Returns the cards that answer, and whether each does something for somebody; those that are made up do not count.
///
/// What is not known is not idle: a card that does not say how busy it is, as one that is split, or who is on it, never
/// raises an alarm. `unused` are those of which it is known that nobody is.
fn cards(view: &View, unused: &BTreeSet<u8>) -> Vec<Card> {
    let is_made_up = view.facts.as_ref().is_none_or(|facts| facts.driver.backend != Backend::Nvml);
    let is_old = view.stale || view.age > LOOK_GAP_MAX;
    let Some(sample) = view.sample.as_ref().filter(|_| !is_old && !is_made_up) else { return Vec::new() };
    let card = |card: &gpu::Sample| {
        let is_quiet = card.busy.is_some_and(|busy| busy <= IDLE_BUSY_MAX);
        let is_idle = card.health == Health::Ok && is_quiet && unused.contains(&card.index);
        Card { index: card.index, is_idle }
    };
    sample.gpus.iter().map(card).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use beadmesh_protocol::sample::{Facts, Sample};

    use super::*;

    fn view(busy: Option<u8>, backend: Backend) -> View {
        let mut facts = Facts::default();
        facts.driver.backend = backend;
        let card = |index| gpu::Sample { index, busy, ..gpu::Sample::default() };
        View {
            facts: Some(Arc::new(facts)),
            sample: Some(Arc::new(Sample { gpus: vec![card(0), card(1)], ..Sample::default() })),
            ..View::default()
        }
    }

    fn idle(view: &View, unused: &[u8]) -> Vec<bool> {
        cards(view, &unused.iter().copied().collect()).iter().map(|card| card.is_idle).collect()
    }

    #[test]
    fn a_card_idles_that_is_known_to_be_used_by_nobody_and_that_says_so() {
        let quiet = view(Some(5), Backend::Nvml);
        assert_eq!(idle(&quiet, &[0, 1]), [true, true]);
        assert_eq!(idle(&quiet, &[0]), [true, false]);
        assert_eq!(idle(&view(Some(6), Backend::Nvml), &[0, 1]), [false, false]);
        assert_eq!(idle(&view(None, Backend::Nvml), &[0, 1]), [false, false]);
        assert!(idle(&view(Some(0), Backend::Demo), &[0, 1]).is_empty());
        assert!(idle(&View { stale: true, ..quiet.clone() }, &[0, 1]).is_empty());
        assert!(idle(&View { age: Duration::from_secs(11), ..quiet }, &[0, 1]).is_empty(), "read before a sleep");
    }
}
