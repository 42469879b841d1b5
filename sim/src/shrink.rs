//! Cuts a failing plan down to the little that makes it fail.
//!
//! Delta debugging: A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2),
//! 2002, figure 4 (ddmin), here by complements alone; first the faults, then the wishes, then the nodes, then times. It
//! runs nothing itself.

use std::ops::ControlFlow;

use crate::outcome::Violation;
use crate::plan::Plan;
use crate::planner::budget;

mod nodes;

/// Shortest time a fault is cut to, in milliseconds.
const FAULT_MS_MIN: u64 = 100;

/// What a plan was cut down to.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The smallest plan that still fails in the same way.
    pub plan: Plan,
    /// What it fails with; absent when nothing could be taken away.
    pub violation: Option<Violation>,
    /// Runs it took.
    pub runs: u32,
    /// Why it went no further.
    pub end: End,
}

/// Why a plan was not cut down further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing more can be taken away alone.
    Smallest,
    /// All runs it was allowed are used up.
    Spent,
    /// It was stopped from outside.
    Stopped,
}

/// What one run of a candidate says: its violations, or that all is to stop.
pub type Verdict = ControlFlow<(), Vec<Violation>>;

/// Cuts `plan`, which fails with a violation of `check`, down as far as `runs_max` runs allow.
///
/// A candidate counts only when it fails with a violation of the same checker, and keeps the planner's budget if `plan`
/// does: over it there may be failures that are none.
pub fn shrink(plan: &Plan, check: &str, runs_max: u32, run: &mut dyn FnMut(&Plan) -> Verdict) -> Shrunk {
    let mut search = Search {
        check,
        runs_max,
        run,
        keeps_budget: budget::check(plan).is_ok(),
        best: plan.clone(),
        violation: None,
        runs: 0,
        limit: runs_max,
        end: End::Smallest,
    };
    loop {
        let before = search.best.clone();
        if search.pass().is_err() || search.best == before {
            let Search { best: plan, violation, runs, end, .. } = search;
            return Shrunk { plan, violation, runs, end };
        }
    }
}

/// Says that a part of the search is over before its time.
struct Over;

/// The search for a smaller plan.
struct Search<'a> {
    check: &'a str,
    runs_max: u32,
    run: &'a mut dyn FnMut(&Plan) -> Verdict,
    keeps_budget: bool,
    best: Plan,
    violation: Option<Violation>,
    runs: u32,
    /// How many runs may be used up at the end of the part that is going on.
    limit: u32,
    end: End,
}

impl Search<'_> {
    /// Tries everything once.
    fn pass(&mut self) -> Result<(), Over> {
        self.part(self.best.faults.len(), &|plan, kept| {
            plan.faults = kept.iter().map(|at| plan.faults[*at].clone()).collect();
        })?;
        // There are many wishes, and nodes count more for whoever reads the plan.
        self.limit = self.runs + (self.runs_max - self.runs) / 2;
        let wishes = self.part(self.best.wishes.len(), &|plan, kept| {
            plan.wishes = kept.iter().map(|at| plan.wishes[*at].clone()).collect();
        });
        self.limit = self.runs_max;
        if wishes.is_err() && self.end == End::Stopped {
            return Err(Over);
        }
        self.part(self.best.nodes.len() - 1, &|plan, kept| {
            let kept: Vec<usize> = std::iter::once(0).chain(kept.iter().map(|at| at + 1)).collect();
            nodes::keep(plan, &kept);
        })?;
        self.shorten()?;
        self.calm()
    }

    /// Takes away as many of `count` things as it can; `cut` leaves those in a plan that it is given, by place.
    fn part(&mut self, count: usize, cut: &dyn Fn(&mut Plan, &[usize])) -> Result<(), Over> {
        let whole = self.best.clone();
        let try_kept = |search: &mut Self, kept: &[usize]| {
            let mut candidate = whole.clone();
            cut(&mut candidate, kept);
            search.holds(candidate)
        };
        let mut kept: Vec<usize> = (0..count).collect();
        if kept.is_empty() || try_kept(self, &[])? {
            return Ok(());
        }
        let mut parts = 2;
        while kept.len() > 1 {
            let size = kept.len().div_ceil(parts);
            let mut smaller = None;
            for from in (0..kept.len()).step_by(size) {
                let to = (from + size).min(kept.len());
                let rest = [&kept[..from], &kept[to..]].concat();
                // To keep nothing was tried already.
                if !rest.is_empty() && try_kept(self, &rest)? {
                    smaller = Some(rest);
                    break;
                }
            }
            match smaller {
                Some(rest) => {
                    kept = rest;
                    parts = (parts - 1).max(2);
                }
                None if size == 1 => break,
                None => parts = (parts * 2).min(kept.len()),
            }
        }
        Ok(())
    }

    /// Makes the plan and its faults shorter.
    fn shorten(&mut self) -> Result<(), Over> {
        let ends = |plan: &Plan| {
            let faults = plan.faults.iter().map(|fault| fault.at_ms.saturating_add(fault.for_ms));
            faults
                .chain(plan.wishes.iter().map(|wish| wish.at_ms))
                .chain(plan.nodes.iter().map(|node| node.joins_ms))
                .max()
        };
        let needed = ends(&self.best).unwrap_or(0).saturating_add(1);
        if needed < self.best.span_ms {
            let plan = self.best.clone();
            self.holds(Plan { span_ms: needed, ..plan })?;
        }
        loop {
            let mut candidate = self.best.clone();
            candidate.span_ms /= 2;
            let span_ms = candidate.span_ms;
            candidate.faults.retain(|fault| fault.at_ms <= span_ms);
            candidate.wishes.retain(|wish| wish.at_ms <= span_ms);
            candidate.nodes.iter_mut().for_each(|node| node.joins_ms = node.joins_ms.min(span_ms));
            if span_ms == 0 || !self.holds(candidate)? {
                break;
            }
        }
        for at in 0..self.best.faults.len() {
            while self.best.faults.get(at).is_some_and(|fault| fault.for_ms / 2 >= FAULT_MS_MIN) {
                let mut candidate = self.best.clone();
                candidate.faults[at].for_ms /= 2;
                if !self.holds(candidate)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sets clocks right and takes losses away, each for all at once.
    fn calm(&mut self) -> Result<(), Over> {
        let calmer: [fn(&mut Plan); 4] = [
            |plan| plan.nodes.iter_mut().for_each(|node| node.drift_ppm = 0),
            |plan| plan.nodes.iter_mut().for_each(|node| node.wall_ahead_ms = 0),
            |plan| plan.nodes.iter_mut().for_each(|node| node.joins_ms = 0),
            |plan| plan.network.loss_per_mille = 0,
        ];
        for calm in calmer {
            let mut candidate = self.best.clone();
            calm(&mut candidate);
            self.holds(candidate)?;
        }
        Ok(())
    }

    /// Runs a candidate, and keeps it when it fails in the same way.
    fn holds(&mut self, candidate: Plan) -> Result<bool, Over> {
        if candidate == self.best || (self.keeps_budget && budget::check(&candidate).is_err()) {
            return Ok(false);
        }
        if self.runs >= self.limit {
            self.end = End::Spent;
            return Err(Over);
        }
        self.runs += 1;
        let ControlFlow::Continue(violations) = (self.run)(&candidate) else {
            self.end = End::Stopped;
            return Err(Over);
        };
        let same = violations.into_iter().find(|violation| violation.check == self.check);
        let holds = same.is_some();
        if holds {
            self.violation = same;
            self.best = candidate;
        }
        Ok(holds)
    }
}

#[cfg(test)]
mod tests;
