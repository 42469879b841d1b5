//! The planner: expands a seed into a plan. Everything random about a plan is decided here and in its parts, each from
//! a stream of its own, so that a change of one class of faults or wishes leaves the others as they were.

use crate::plan::{FAULTS_MAX, NODES_MAX, Plan, PlanError, SCHEMA, SPAN_MS_MAX, WISHES_MAX};
use crate::random::Stream;
use crate::scenario::Scenario;

pub mod budget;
mod faults;
mod topology;
mod troubles;
mod wishes;

/// How long a mesh may take to become equal once all is healed.
const SETTLE_MS: u64 = 600_000;

/// The shortest plan that can be asked for.
const SPAN_MS_MIN: u64 = 1_000;

/// What was asked for; what was not, the seed decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How many nodes.
    pub nodes: Option<usize>,
    /// How many virtual milliseconds wishes and faults go on.
    pub span_ms: Option<u64>,
    /// How many wishes a virtual second, in the whole mesh.
    pub edits_per_s: Option<u32>,
    /// How many nodes of a thousand are killed and started again each virtual minute, besides all other faults.
    pub churn_per_min: Option<u32>,
}

/// How much of everything there is to be.
struct Shape {
    nodes: usize,
    span_ms: u64,
    wishes: u64,
    /// Kills for churn.
    kills: u64,
}

/// Expands a seed into the plan of a scenario; the same always gives the same.
///
/// # Errors
/// Names the bound that what is wanted breaks.
pub fn plan(seed: u64, scenario: Scenario, wanted: &Wanted) -> Result<Plan, PlanError> {
    let shape = Shape::drawn(seed, scenario, wanted)?;
    let mut plan = Plan {
        schema: SCHEMA,
        seed,
        scenario: scenario.name().to_owned(),
        planted: None,
        span_ms: shape.span_ms,
        settle_ms: SETTLE_MS,
        network: topology::network(seed, scenario),
        nodes: topology::nodes(seed, scenario, shape.nodes, shape.span_ms),
        wishes: Vec::new(),
        faults: Vec::new(),
    };
    let ask = if wanted.edits_per_s.is_some() { wishes::Ask::Edits } else { wishes::Ask::Anything };
    plan.wishes = wishes::drawn(&plan, scenario, ask, shape.wishes);
    plan.faults = faults::drawn(&plan, scenario, shape.kills);
    faults::add_outcasts(&mut plan, scenario);
    plan.check()?;
    Ok(plan)
}

impl Shape {
    fn drawn(seed: u64, scenario: Scenario, wanted: &Wanted) -> Result<Self, PlanError> {
        let stream = |name| Stream::keyed(seed, name, 0, 0);
        let (low, high) = scenario.nodes_range();
        let drawn = match (scenario, stream("nodes").below(100)) {
            // A few seeds try what most do not.
            (Scenario::Swarm, 0..3) => stream("nodes few").between(1, 2),
            (Scenario::Swarm, 3..8) => stream("nodes many").between(9, 16),
            _ => stream("nodes usual").between(low, high),
        };
        let nodes = wanted.nodes.unwrap_or(usize::try_from(drawn).unwrap_or(NODES_MAX));
        if !(1..=NODES_MAX).contains(&nodes) {
            return Err(PlanError::bound("nodes", nodes, format!("1 to {NODES_MAX}")));
        }
        let span_ms = wanted.span_ms.unwrap_or_else(|| span_ms(&mut stream("span"), scenario));
        if !(SPAN_MS_MIN..=SPAN_MS_MAX).contains(&span_ms) {
            return Err(PlanError::bound("span_ms", span_ms, format!("{SPAN_MS_MIN} to {SPAN_MS_MAX}")));
        }
        let wishes = match wanted.edits_per_s {
            Some(per_s) => u64::from(per_s).saturating_mul(span_ms) / 1_000,
            None => wishes(&mut stream("wishes")),
        };
        if wishes > u64::try_from(WISHES_MAX).unwrap_or(u64::MAX) {
            let bound = format!("too many for {span_ms} ms: at most {WISHES_MAX} wishes in all");
            return Err(PlanError::bound("edits_per_s", wanted.edits_per_s.unwrap_or(0), bound));
        }
        let churn = u64::from(wanted.churn_per_min.unwrap_or(0));
        let mesh = u64::try_from(nodes).unwrap_or(u64::MAX);
        let kills = u128::from(churn) * u128::from(mesh) * u128::from(span_ms) / 60_000_000;
        // Half of what a plan may hold, so that there is room for the scenario's own.
        let kills = u64::try_from(kills).ok().filter(|_| churn <= 1_000);
        let kills = kills.filter(|kills| usize::try_from(*kills).is_ok_and(|kills| kills <= FAULTS_MAX / 2));
        let kills = kills.ok_or_else(|| {
            let bound = format!("at most 1000, and at most {} kills in all", FAULTS_MAX / 2);
            PlanError::bound("churn_per_min", churn, bound)
        })?;
        Ok(Self { nodes, span_ms, wishes, kills })
    }
}

fn span_ms(stream: &mut Stream, scenario: Scenario) -> u64 {
    const HOUR: u64 = 3_600_000;
    let (low, high) = match scenario {
        Scenario::Laptop => (2 * HOUR, 60 * HOUR),
        _ => (20_000, 180_000),
    };
    // The lower of two: most plans are short, for there are to be many.
    stream.between(low, high).min(stream.between(low, high))
}

/// Draws how many wishes: few as a rule, for there are to be many plans.
fn wishes(stream: &mut Stream) -> u64 {
    match stream.below(100) {
        0..65 => stream.between(15, 45),
        65..96 => stream.between(45, 90),
        _ => stream.between(90, 300),
    }
}

#[cfg(test)]
mod tests;
