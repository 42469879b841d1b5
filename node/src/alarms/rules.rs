//! When there is an alarm: pure, the time is handed in.

use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::clock::Instant;

use crate::config::Amount;

/// Shares of a budget that are told, in percent; the last is all of it.
const SHARES: [u8; 3] = [50, 80, 100];

/// The longest time between two looks; after a longer one, nothing is known of what was in between: the machine slept.
pub(super) const LOOK_GAP_MAX: Duration = Duration::from_secs(10);

/// Milliseconds of an hour.
const HOUR_MS: u128 = 3_600_000;

/// Something that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// A card has done nothing for nobody for a while.
    GpuIdle {
        /// Its index.
        gpu: u8,
        /// For how long at least.
        span: Duration,
    },
    /// So much of the budget is spent.
    Budget {
        /// The share that was passed, in percent.
        percent: u8,
        /// What is spent.
        spent: Amount,
        /// What may be.
        limit: Amount,
    },
    /// What was spent of the budget before is not known.
    SpentUnknown {
        /// Why, in a sentence.
        told: String,
    },
    /// The command that is run when there is an alarm has failed.
    StopFailed {
        /// How, in a sentence.
        told: String,
    },
}

impl Alarm {
    /// Returns the word for what it is.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::GpuIdle { .. } => "gpu_idle",
            Self::Budget { .. } => "budget",
            Self::SpentUnknown { .. } => "spent_unknown",
            Self::StopFailed { .. } => "stop_failed",
        }
    }

    /// Says it in a sentence.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::GpuIdle { gpu, span } => format!("gpu{gpu} has been used by nobody for {}.", lasted(*span)),
            Self::Budget { percent, spent, limit } => {
                format!("{percent}% of the budget is spent: {spent} of {limit}.")
            }
            Self::SpentUnknown { told } | Self::StopFailed { told } => told.clone(),
        }
    }
}

/// A card at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) index: u8,
    pub(super) is_idle: bool,
}

/// Cards that idle, and since when.
#[derive(Debug)]
pub(super) struct Idleness {
    span: Duration,
    /// Since when each card idles, and whether that was told.
    idle: BTreeMap<u8, (Instant, bool)>,
    cards: usize,
    /// Whether the machine was to be stopped since a card last worked.
    is_stopped: bool,
    looked_at: Option<Instant>,
}

impl Idleness {
    pub(super) fn new(span: Duration) -> Self {
        Self { span, idle: BTreeMap::new(), cards: 0, is_stopped: false, looked_at: None }
    }

    /// Takes how the cards are at `now`; each that has idled for long enough is told of once, until it has worked again.
    pub(super) fn look(&mut self, cards: &[Card], now: Instant) -> Vec<Alarm> {
        self.cards = cards.len();
        if self.looked_at.replace(now).is_some_and(|last| now.since(last) > LOOK_GAP_MAX) {
            self.idle.clear();
        }
        // What is not seen may have worked.
        self.idle.retain(|index, _| cards.iter().any(|card| card.index == *index && card.is_idle));
        let mut alarms = Vec::new();
        for card in cards.iter().filter(|card| card.is_idle) {
            let (since, is_told) = self.idle.entry(card.index).or_insert((now, false));
            if !*is_told && now.since(*since) >= self.span {
                *is_told = true;
                alarms.push(Alarm::GpuIdle { gpu: card.index, span: self.span });
            }
        }
        if !self.is_all() {
            self.is_stopped = false;
        }
        alarms
    }

    /// Returns whether all cards have idled for long enough, and the machine was not stopped for that since one worked.
    pub(super) fn wants_stop(&self) -> bool {
        self.is_all() && !self.is_stopped
    }

    /// Takes note whether the machine is being stopped for it.
    pub(super) fn set_stopped(&mut self, is_stopped: bool) {
        self.is_stopped = is_stopped;
    }

    /// Returns whether a card has idled for long enough.
    pub(super) fn is_alarm(&self) -> bool {
        self.idle.values().any(|(_, is_told)| *is_told)
    }

    /// Says which cards have.
    pub(super) fn sentence(&self) -> String {
        let told = self.idle.iter().filter(|(_, (_, is_told))| *is_told);
        let names: Vec<String> = told.map(|(index, _)| format!("gpu{index}")).collect();
        match names.len() {
            0 => format!("No card has been used by nobody for {}.", lasted(self.span)),
            1 => format!("{} has been used by nobody for {} and more.", names[0], lasted(self.span)),
            _ => format!("{} have been used by nobody for {} and more.", names.join(", "), lasted(self.span)),
        }
    }

    fn is_all(&self) -> bool {
        self.cards > 0 && self.idle.values().filter(|(_, is_told)| *is_told).count() == self.cards
    }
}

/// What was spent since a budget began: what is written down of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Ten-thousandths, times the milliseconds of an hour: exact, however short the time and small the cost.
    units: u128,
    /// The share that was told, in percent.
    told: u8,
    /// Whether a stop was asked for.
    is_stopped: bool,
}

impl Spent {
    /// Writes it as a line.
    pub(crate) fn write(self) -> String {
        format!("{} {} {}\n", self.units, self.told, u8::from(self.is_stopped))
    }

    /// Reads what `write` has written; `None` for anything else.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.trim_end().split(' ').collect();
        let [units, told, is_stopped] = parts[..] else { return None };
        let is_stopped = match is_stopped {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let told = told.parse().ok().filter(|told| *told <= 100)?;
        Some(Self { units: units.parse().ok()?, told, is_stopped })
    }
}

/// A budget, and what is spent of it.
#[derive(Debug)]
pub(super) struct Budget {
    cost_per_hour: Amount,
    limit: Amount,
    spent: Spent,
    counted_at: Instant,
}

impl Budget {
    /// Goes on with what was spent until `now`. Of a budget that was raised, shares are told again.
    pub(super) fn new((cost_per_hour, limit): (Amount, Amount), spent: Spent, now: Instant) -> Self {
        let mut budget = Self { cost_per_hour, limit, spent, counted_at: now };
        budget.spent.told = spent.told.min(budget.share().unwrap_or(0));
        budget.spent.is_stopped &= budget.spent.told == 100;
        budget
    }

    /// Counts the time until `now`; a share that was passed is told of once, and of several the largest.
    pub(super) fn pass(&mut self, now: Instant) -> Option<Alarm> {
        let span = now.since(self.counted_at);
        self.counted_at = now;
        let cost = u128::from(self.cost_per_hour.get()) * span.as_millis();
        self.spent.units = self.spent.units.saturating_add(cost);
        let percent = self.share().filter(|share| *share > self.spent.told)?;
        self.spent.told = percent;
        Some(Alarm::Budget { percent, spent: self.amount(), limit: self.limit })
    }

    /// Goes on with what turned out to have been spent before.
    pub(super) fn resume(&mut self, spent: Spent) {
        let units = self.spent.units.saturating_add(spent.units);
        let money = (self.cost_per_hour, self.limit);
        *self = Self::new(money, Spent { units, ..spent }, self.counted_at);
    }

    /// Returns whether all of it is spent, and the machine was not stopped for that, also before a restart.
    pub(super) fn wants_stop(&self) -> bool {
        self.spent.told == 100 && !self.spent.is_stopped
    }

    /// Takes note whether the machine is being stopped for it.
    pub(super) fn set_stopped(&mut self, is_stopped: bool) {
        self.spent.is_stopped = is_stopped;
    }

    /// Returns what is to be written down.
    pub(super) fn spent(&self) -> Spent {
        self.spent
    }

    /// Returns whether a share was told.
    pub(super) fn is_alarm(&self) -> bool {
        self.spent.told > 0
    }

    /// Says how much is spent.
    pub(super) fn sentence(&self) -> String {
        format!("{} of the budget of {} is spent, at {} an hour.", self.amount(), self.limit, self.cost_per_hour)
    }

    fn amount(&self) -> Amount {
        Amount::new(u64::try_from(self.spent.units / HOUR_MS).unwrap_or(u64::MAX))
    }

    /// Returns the largest share that is spent.
    fn share(&self) -> Option<u8> {
        let whole = u128::from(self.limit.get()) * HOUR_MS;
        let is_spent = |share: u8| self.spent.units.saturating_mul(100) >= whole * u128::from(share);
        SHARES.into_iter().rev().find(|share| is_spent(*share))
    }
}

/// Says how long something lasted.
fn lasted(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn cards(idle: &[bool]) -> Vec<Card> {
        (0..).zip(idle).map(|(index, is_idle)| Card { index, is_idle: *is_idle }).collect()
    }

    /// Looks every two seconds from the last look to `seconds`; returns what was told by then.
    fn looks(idleness: &mut Idleness, idle: &[bool], seconds: std::ops::RangeInclusive<u64>) -> Vec<u8> {
        let alarms = seconds.step_by(2).flat_map(|second| idleness.look(&cards(idle), at(second)));
        alarms.filter_map(|alarm| if let Alarm::GpuIdle { gpu, .. } = alarm { Some(gpu) } else { None }).collect()
    }

    #[test]
    fn a_card_that_idles_is_told_once_and_again_after_it_has_worked() {
        let mut idleness = Idleness::new(Duration::from_secs(60));
        assert!(looks(&mut idleness, &[true, false], 0..=58).is_empty());
        assert_eq!(looks(&mut idleness, &[true, true], 60..=90), [0]);
        assert!(idleness.is_alarm());
        assert_eq!(looks(&mut idleness, &[true, true], 92..=120), [1]);
        assert!(looks(&mut idleness, &[false, false], 122..=122).is_empty() && !idleness.is_alarm());
        assert!(looks(&mut idleness, &[true, true], 124..=180).is_empty());
        assert!(looks(&mut idleness, &[], 182..=182).is_empty(), "what is not seen may have worked");
        assert!(looks(&mut idleness, &[true, true], 184..=242).is_empty());
        assert_eq!(looks(&mut idleness, &[true, true], 244..=244), [0, 1]);
    }

    #[test]
    fn a_stop_is_wanted_when_all_cards_idle_and_once_until_one_has_worked() {
        let mut idleness = Idleness::new(Duration::from_secs(60));
        looks(&mut idleness, &[], 0..=0);
        assert!(!idleness.wants_stop(), "a machine without cards does not idle");
        looks(&mut idleness, &[true, false], 2..=62);
        assert!(!idleness.wants_stop());
        looks(&mut idleness, &[true, true], 64..=124);
        assert!(idleness.wants_stop());
        idleness.set_stopped(true);
        looks(&mut idleness, &[true, true], 126..=226);
        assert!(!idleness.wants_stop());
        idleness.set_stopped(false);
        assert!(idleness.wants_stop(), "stopping it failed");
        idleness.set_stopped(true);
        looks(&mut idleness, &[true, false], 228..=228);
        looks(&mut idleness, &[true, true], 230..=288);
        assert!(!idleness.wants_stop());
        looks(&mut idleness, &[true, true], 290..=290);
        assert!(idleness.wants_stop());
    }

    #[test]
    fn nothing_has_idled_when_a_machine_wakes_up() {
        let mut idleness = Idleness::new(Duration::from_secs(60));
        assert!(looks(&mut idleness, &[true], 0..=40).is_empty());
        assert!(looks(&mut idleness, &[true], 4_000..=4_058).is_empty() && !idleness.wants_stop());
        assert_eq!(looks(&mut idleness, &[true], 4_060..=4_060), [0]);
        assert!(idleness.wants_stop());
        looks(&mut idleness, &[true], 9_000..=9_000);
        assert!(!idleness.wants_stop() && !idleness.is_alarm());
    }

    #[test]
    fn shares_of_a_budget_are_told_once_each_and_over_restarts() {
        let money = (Amount::new(25_000), Amount::new(100_000));
        let mut budget = Budget::new(money, Spent::default(), at(5));
        let told = |alarm: Option<Alarm>| alarm.map(|alarm| alarm.sentence());
        assert_eq!(told(budget.pass(at(5 + HOUR))), None);
        assert_eq!(told(budget.pass(at(5 + 2 * HOUR))).unwrap(), "50% of the budget is spent: 5 of 10.");
        assert_eq!(told(budget.pass(at(6 + 2 * HOUR))), None);
        let kept = Spent::read(&budget.spent().write()).unwrap();
        assert_eq!(kept, budget.spent());
        // The clock of a machine that was started anew begins at nothing.
        let mut budget = Budget::new(money, kept, at(1));
        assert_eq!(told(budget.pass(at(HOUR))), None);
        assert!(!budget.wants_stop());
        assert!(told(budget.pass(at(3 * HOUR))).unwrap().starts_with("100% of the budget"));
        assert!(budget.wants_stop());
        budget.set_stopped(true);
        let mut budget = Budget::new(money, Spent::read(&budget.spent().write()).unwrap(), at(1));
        assert_eq!((told(budget.pass(at(HOUR))), budget.wants_stop()), (None, false));
        budget.set_stopped(false);
        assert!(budget.wants_stop(), "stopping it failed");
        let mut raised = Budget::new((money.0, Amount::new(1_000_000)), budget.spent(), at(1));
        assert_eq!((told(raised.pass(at(2))), raised.wants_stop()), (None, false));
        assert!(told(raised.pass(at(20 * HOUR))).unwrap().starts_with("50% of the budget"));
    }

    #[test]
    fn what_turns_out_to_have_been_spent_before_counts() {
        let money = (Amount::new(10_000), Amount::new(100_000));
        let mut before = Budget::new(money, Spent::default(), at(0));
        assert!(before.pass(at(6 * HOUR)).is_some());
        let mut budget = Budget::new(money, Spent::default(), at(0));
        assert!(budget.pass(at(HOUR)).is_none());
        budget.resume(before.spent());
        assert!(budget.sentence().starts_with("7 of the budget of 10"), "{}", budget.sentence());
        assert!(budget.pass(at(HOUR)).is_none(), "half of it was told");
    }

    #[test]
    fn however_little_a_look_costs_it_is_counted() {
        let mut budget = Budget::new((Amount::new(1), Amount::new(1)), Spent::default(), at(0));
        let told: Vec<u64> = (1..=HOUR / 2).filter(|look| budget.pass(at(look * 2)).is_some()).collect();
        assert_eq!(told, [HOUR / 4, HOUR * 2 / 5, HOUR / 2]);
    }

    #[test]
    fn nothing_else_is_read_as_what_was_spent() {
        for text in ["", "1", "1 2", "1 101 0", "1 50 2", "x 50 0", "-1 50 0", "1 50 0 0"] {
            assert_eq!(Spent::read(text), None, "{text:?}");
        }
    }
}
