use super::plan::Plan;
use super::run;

#[test]
fn many_seeds_break_nothing_and_are_the_same_twice() {
    let mut leases = 0;
    for seed in 1..=24 {
        let plan = Plan::draw(seed);
        let outcome = run(&plan);
        assert_eq!(outcome.violations, [], "seed {seed}: {plan:?}");
        leases += outcome.leases;
        if seed % 6 == 0 {
            assert_eq!(run(&plan), outcome, "seed {seed}");
        }
    }
    assert!(leases > 500, "{leases}");
}
