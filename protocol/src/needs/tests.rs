use proptest::prelude::{prop_assert, proptest};

use super::*;
use crate::sample::{gpu, host};

const GIB: u64 = 1 << 30;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, amount)| ((*key).to_owned(), (*amount).to_owned())).collect()
}

/// Returns a machine with cards that have so many GiB free.
fn machine(free_gib: &[u32]) -> (Facts, Sample) {
    let host = host::Facts { cores: Some(16), labels: vec!["a100".to_owned()], ..host::Facts::default() };
    let card = |(index, free): (u8, &u32)| gpu::Sample {
        index,
        memory_free_mib: Some(free * 1_024),
        ..gpu::Sample::default()
    };
    let sample = Sample {
        host: host::Sample { memory_available: Some(64 * GIB), disk: Some((100 * GIB, 9 * GIB)), ..Default::default() },
        state: State::Ok,
        gpus: (0..).zip(free_gib).map(card).collect(),
        ..Sample::default()
    };
    (Facts { host, ..Facts::default() }, sample)
}

fn lacks((facts, sample): &(Facts, Sample), text: &str) -> Vec<String> {
    let machine = Machine { facts: Some(facts), sample: Some(sample) };
    machine.lacks(&of(&parse(text).unwrap())).iter().map(ToString::to_string).collect()
}

#[test]
fn needs_are_kept_in_one_spelling() {
    let read = parse(" gpu:2, vram:40960MiB ,label:a100,memory:64GB,CPU:8").unwrap();
    let kept = map(&[("gpu", "2"), ("vram", "40GiB"), ("label:a100", ""), ("memory", "64000000000B"), ("cpu", "8")]);
    assert_eq!(read, kept);
    assert_eq!(parse("").unwrap(), map(&[]));
    let shown: Vec<String> = of(&read).iter().map(ToString::to_string).collect();
    assert_eq!(parse(&shown.join(",")).unwrap(), read);
}

#[test]
fn what_is_no_need_is_named() {
    for (text, told) in [
        ("gpu", "\"gpu\" is no need: write NAME:AMOUNT, such as gpu:1 or vram:40GiB"),
        ("gpu:0", "gpu:0 is not understood: gpu is a number from 1 to 16"),
        ("gpu:-5", "gpu:-5 is not understood: gpu is a number from 1 to 16"),
        ("cpu:65536", "cpu:65536 is not understood: cpu is a number from 1 to 65535"),
        ("vram:40", "vram:40 is not understood: write a whole number and a unit, such as 40GiB or 512MiB"),
        ("vram:0GiB", "vram:0GiB is not understood: write a whole number and a unit, such as 40GiB or 512MiB"),
        (
            "disk:99999999TiB",
            "disk:99999999TiB is not understood: write a whole number and a unit, such as 40GiB or 512MiB",
        ),
        ("label:A 100", "\"A 100\" is no label: it has 1 to 64 bytes of a-z, 0-9, - _ . /"),
        ("tpu:1", "\"tpu\" can not be needed: gpu, vram, cpu, memory, disk and label can"),
        ("gpu:1,gpu:2", "gpu is said twice"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), told);
    }
    let many: Vec<String> = (0..17).map(|at| format!("label:l{at}")).collect();
    assert_eq!(parse(&many.join(",")), Err(NeedsError::TooMany(17)));
}

#[test]
fn a_machine_has_what_stands_free_on_as_many_cards_as_are_needed() {
    let machine = machine(&[80, 12]);
    for met in ["gpu:2", "vram:80GiB", "gpu:2,vram:12GiB", "cpu:16,memory:64GiB,disk:9GiB,label:a100", ""] {
        assert_eq!(lacks(&machine, met), [] as [&str; 0], "{met}");
    }
    for (text, told) in [
        ("gpu:3", "it has 2 of 3 cards"),
        ("gpu:2,vram:40GiB", "it has 1 of 2 cards with 40GiB free: the most on one is 80.0 GiB"),
        ("vram:81GiB", "it has 0 of 1 cards with 81GiB free: the most on one is 80.0 GiB"),
        ("cpu:17", "it has 16 for cpu:17"),
        ("memory:65GiB", "it has 64.0 GiB for memory:65GiB"),
        ("disk:10GiB", "it has 9.0 GiB for disk:10GiB"),
        ("label:h100", "it does not bear the label h100"),
    ] {
        assert_eq!(lacks(&machine, text), [told], "{text}");
    }
}

#[test]
fn a_card_that_is_lost_counts_for_nothing_and_one_that_is_split_as_its_parts() {
    let (mut facts, mut sample) = machine(&[80, 80]);
    sample.gpus[0].health = Health::Lost;
    sample.state = State::Lost;
    assert_eq!(lacks(&(facts.clone(), sample.clone()), "gpu:2"), ["it has 1 of 2 cards"]);
    for slice in 0..2 {
        let part = gpu::SliceFacts { gpu: 1, slice, memory_mib: Some(40 * 1_024), ..Default::default() };
        facts.slices.push(part);
        sample.slices.push(gpu::SliceSample { gpu: 1, slice, memory_used_mib: Some(u32::from(slice) * 10_240) });
    }
    let split = (facts, sample);
    assert_eq!(lacks(&split, "gpu:2,vram:30GiB"), [] as [&str; 0]);
    assert_eq!(lacks(&split, "gpu:2,vram:40GiB").len(), 1);
}

#[test]
fn what_is_not_known_is_not_there() {
    let machine = Machine::default();
    let needs = of(&parse("gpu:1,cpu:1,memory:1GiB,disk:1GiB,label:x").unwrap());
    assert_eq!(machine.lacks(&needs).len(), 5);
    assert!(machine.lacks(&needs).iter().all(|lack| matches!(lack, Lack::Unheard(_))));
    let foreign = of(&map(&[("tpu", "4"), ("gpu", "many")]));
    assert_eq!(machine.lacks(&foreign).len(), 2);
    assert!(machine.lacks(&foreign).iter().all(|lack| matches!(lack, Lack::Unknown(_))));
    let (mut facts, sample) = self::machine(&[80]);
    facts.driver.backend = Backend::Demo;
    assert_eq!(lacks(&(facts, sample), "gpu:1"), ["its cards are made up"]);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_what_was_read_is_kept_as_it_is(text in "\\PC{0,40}|(gpu|vram|label|cpu|disk):[0-9a-zA-Z:, ]{0,12}") {
        if let Ok(needs) = parse(&text) {
            let read = of(&needs);
            prop_assert!(!read.iter().any(|need| matches!(need, Need::Unknown(_))));
            let again: Vec<String> = read.iter().map(ToString::to_string).collect();
            prop_assert!(parse(&again.join(",")) == Ok(needs));
        }
    }
}
