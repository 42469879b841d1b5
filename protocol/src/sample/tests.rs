use proptest::prelude::*;

use super::*;
use crate::id::MeshId;
use crate::limits::{ENERGY_MJ_MAX, GPU_COUNT_MAX, MEMORY_MIB_MAX, NOTICE_BYTES_MAX, POWER_MW_MAX};
use crate::notice::{Notice, NoticeError};
use crate::testing::Author;

/// Bytes that one card may take in a sample: DESIGN section 13.
const GPU_SAMPLE_BYTES_MAX: usize = 100;

fn bytes(value: &impl Serialize) -> usize {
    postcard::to_stdvec(value).unwrap().len()
}

fn small(count: usize) -> u8 {
    u8::try_from(count).unwrap()
}

/// A card on which everything is as large as it may be.
fn fullest() -> gpu::Sample {
    gpu::Sample {
        index: u8::MAX,
        health: gpu::Health::Failed,
        busy: Some(100),
        memory_busy: Some(100),
        encoder_busy: Some(100),
        decoder_busy: Some(100),
        memory_used_mib: Some(MEMORY_MIB_MAX),
        memory_free_mib: Some(MEMORY_MIB_MAX),
        memory_reserved_mib: Some(MEMORY_MIB_MAX),
        power_mw: Some(POWER_MW_MAX),
        power_limit_mw: Some(POWER_MW_MAX),
        energy_mj: Some(ENERGY_MJ_MAX),
        temperature: Some(u8::MAX),
        fan: Some(u8::MAX),
        clock_sm_mhz: Some(u16::MAX),
        clock_memory_mhz: Some(u16::MAX),
        clock_video_mhz: Some(u16::MAX),
        pstate: Some(u8::MAX),
        throttle: Some(u16::MAX),
        ecc_corrected: Some(GPU_COUNT_MAX),
        ecc_uncorrected: Some(GPU_COUNT_MAX),
        remapped: Some(gpu::Remapped { corrected: u16::MAX, uncorrected: u16::MAX, pending: true, failed: true }),
        pcie: Some((u8::MAX, u8::MAX)),
        pcie_replays: Some(GPU_COUNT_MAX),
        xid: Some(gpu::Xid { code: u16::MAX, count: u16::MAX }),
    }
}

/// A card of a data centre at work, a year after its driver was loaded.
fn at_work(index: u8) -> gpu::Sample {
    gpu::Sample {
        index,
        busy: Some(97),
        memory_busy: Some(41),
        encoder_busy: Some(0),
        decoder_busy: Some(0),
        memory_used_mib: Some(71_310),
        memory_free_mib: Some(9_800),
        memory_reserved_mib: Some(449),
        power_mw: Some(682_113),
        power_limit_mw: Some(700_000),
        energy_mj: Some(22_075_200_000_000),
        temperature: Some(71),
        clock_sm_mhz: Some(1_980),
        clock_memory_mhz: Some(2_619),
        clock_video_mhz: Some(1_665),
        pstate: Some(0),
        throttle: Some(4),
        ecc_corrected: Some(12),
        ecc_uncorrected: Some(0),
        remapped: Some(gpu::Remapped::default()),
        pcie: Some((5, 16)),
        pcie_replays: Some(0),
        ..gpu::Sample::default()
    }
}

fn host() -> host::Sample {
    host::Sample {
        cpu_permille: Some(431),
        load_centi: Some((1_210, 987, 1_015)),
        memory_available: Some(1 << 39),
        swap: Some((0, 0)),
        disk: Some((1 << 42, 1 << 40)),
        network: Some((1 << 45, 1 << 44)),
        uptime_s: Some(3_000_000),
        temperature: Some(64),
        battery: None,
    }
}

fn sample(gpus: Vec<gpu::Sample>) -> Sample {
    Sample { interval_ms: 2_000, host: host(), state: gpu::State::Ok, gpus, slices: Vec::new() }
}

fn facts(count: u8) -> Facts {
    let card = |index: u8| gpu::Facts {
        index,
        uuid: format!("GPU-00000000-0000-0000-0000-0000000000{index:02}"),
        name: "NVIDIA H100 80GB HBM3".to_owned(),
        pci: Some(format!("00000000:{index:02X}:00.0")),
        memory_mib: Some(81_559),
        compute: Some((9, 0)),
        pcie_max: Some((5, 16)),
        mig: Some(false),
    };
    Facts {
        host: host::Facts {
            os: Some("Debian GNU/Linux 13 (trixie)".to_owned()),
            kernel: Some("6.12.0-amd64".to_owned()),
            arch: "x86_64".to_owned(),
            cpu: Some("Intel(R) Xeon(R) Platinum 8480C".to_owned()),
            cores: Some(224),
            memory_total: Some(1 << 41),
            version: "0.1.0".to_owned(),
            labels: vec!["a100".to_owned()],
        },
        driver: gpu::Driver {
            backend: gpu::Backend::Nvml,
            version: Some("570.133.20".to_owned()),
            cuda: Some((12, 8)),
        },
        gpus: (0..count).map(card).collect(),
        slices: Vec::new(),
    }
}

fn said(said: Said) -> Telemetry {
    let stamp = Stamp { started: Wall::from_millis(1_800_000_000_000), counter: 100_000 };
    Telemetry { node: Author::seeded(1).node(), stamp, said }
}

fn decoded(telemetry: Telemetry) -> Result<Notice, NoticeError> {
    let node = telemetry.node;
    let notice = Notice::Telemetry(Box::new(telemetry));
    let decoded = Notice::decode(MeshId::from_bytes([9; 32]), node, &notice.encode())?;
    assert_eq!(decoded, notice);
    Ok(decoded)
}

fn refused(words: Said) -> SampleError {
    match decoded(said(words)).unwrap_err() {
        NoticeError::Telemetry(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_card_takes_at_most_a_hundred_bytes_whatever_is_measured() {
    assert!(fullest().check().is_ok());
    assert!(bytes(&fullest()) <= GPU_SAMPLE_BYTES_MAX, "{}", bytes(&fullest()));
    assert_eq!((bytes(&fullest()), bytes(&at_work(0)), bytes(&gpu::Sample::default())), (94, 67, 25));
}

#[test]
fn a_machine_with_eight_cards_says_little() {
    let length = |said: Telemetry| Notice::Telemetry(Box::new(said)).encode().len();
    let cards = (0..8).map(at_work).collect();
    assert_eq!(length(said(Said::Sample(sample(cards)))), 642);
    assert_eq!(length(said(Said::Sample(sample(Vec::new())))), 106);
    assert!(length(said(Said::Facts(facts(8)))) < 1_000);
}

#[test]
fn all_that_may_be_said_fits_a_notice() {
    let long = "x".repeat(NAME_BYTES_MAX);
    let text = "x".repeat(SAMPLE_TEXT_BYTES_MAX);
    let process = |pid| gpu::Process {
        gpu: 255,
        pid: u32::MAX - pid,
        name: Some(long.clone()),
        owner: Some(long.clone()),
        agent: Some(text.clone()),
        memory_mib: Some(MEMORY_MIB_MAX),
    };
    let mut processes: Vec<_> = (0..small(PROCESSES_MAX).into()).map(process).collect();
    processes.reverse();
    let slice = |number: usize| gpu::SliceFacts {
        gpu: u8::try_from(number / 7).unwrap(),
        slice: u8::try_from(number % 7).unwrap(),
        uuid: long.clone(),
        name: long.clone(),
        memory_mib: Some(MEMORY_MIB_MAX),
    };
    let mut facts = facts(small(GPUS_MAX));
    facts.gpus.iter_mut().for_each(|gpu| gpu.name.clone_from(&text));
    facts.slices = (0..SLICES_MAX).map(slice).collect();
    let mut cards: Vec<_> = (0..small(GPUS_MAX)).map(|index| gpu::Sample { index, ..fullest() }).collect();
    cards.sort_by_key(|card| card.index);
    for words in [Said::Facts(facts), Said::Processes(processes), Said::Sample(sample(cards))] {
        let telemetry = said(words);
        let length = Notice::Telemetry(Box::new(telemetry.clone())).encode().len();
        assert!(length <= NOTICE_BYTES_MAX, "{length}");
        decoded(telemetry).unwrap();
    }
}

#[test]
fn what_is_out_of_bounds_is_refused_with_its_field() {
    let too_busy = gpu::Sample { memory_busy: Some(101), ..at_work(0) };
    let error = refused(Said::Sample(sample(vec![too_busy])));
    assert_eq!(error, SampleError::Number { field: "memory busy", value: 101, max: 100 });
    let too_large = gpu::Sample { memory_used_mib: Some(MEMORY_MIB_MAX + 1), ..at_work(0) };
    assert!(matches!(refused(Said::Sample(sample(vec![too_large]))), SampleError::Number { field: "memory used", .. }));
    let too_hard = Sample { host: host::Sample { cpu_permille: Some(1_001), ..host() }, ..sample(Vec::new()) };
    assert!(matches!(refused(Said::Sample(too_hard)), SampleError::Number { field: "processors busy", .. }));
    let mut long = facts(1);
    long.gpus[0].name = "x".repeat(SAMPLE_TEXT_BYTES_MAX + 1);
    assert!(matches!(refused(Said::Facts(long)), SampleError::Text { field: "name of a card", bytes: 97, max: 96 }));
    let mut lines = facts(1);
    lines.host.os = Some("two\nlines".to_owned());
    assert!(matches!(refused(Said::Facts(lines)), SampleError::Text { field: "operating system", .. }));
}

#[test]
fn too_many_of_anything_or_out_of_order_is_refused() {
    let many = (0..=small(GPUS_MAX)).map(at_work).collect();
    assert_eq!(
        refused(Said::Sample(sample(many))),
        SampleError::TooMany { what: "cards", count: GPUS_MAX + 1, max: GPUS_MAX }
    );
    assert_eq!(refused(Said::Sample(sample(vec![at_work(1), at_work(0)]))), SampleError::Order("cards"));
    assert_eq!(refused(Said::Sample(sample(vec![at_work(1), at_work(1)]))), SampleError::Order("cards"));
    let process = |pid| gpu::Process { pid, ..gpu::Process::default() };
    let many = (0..=small(PROCESSES_MAX).into()).map(process).collect();
    assert!(matches!(refused(Said::Processes(many)), SampleError::TooMany { what: "processes", .. }));
    assert_eq!(refused(Said::Processes(vec![process(7), process(7)])), SampleError::Order("processes"));
}

#[test]
fn samples_that_come_too_often_or_never_are_refused() {
    let every = |interval_ms| Said::Sample(Sample { interval_ms, ..sample(Vec::new()) });
    for interval in [0, 999, 600_001, u32::MAX] {
        assert_eq!(refused(every(interval)), SampleError::Interval(interval));
    }
    assert!(decoded(said(every(1_000))).is_ok() && decoded(said(every(600_000))).is_ok());
}

#[test]
fn nobody_speaks_for_another_machine() {
    let notice = Notice::Telemetry(Box::new(said(Said::Sample(sample(Vec::new())))));
    let (mesh, here) = (MeshId::from_bytes([9; 32]), Author::seeded(1).node());
    let error = Notice::decode(mesh, Author::seeded(2).node(), &notice.encode()).unwrap_err();
    assert_eq!(error, NoticeError::Foreign(here));
    assert!(error.is_violation());
}

#[test]
fn a_start_comes_after_all_that_was_said_before_it() {
    let stamp = |started, counter| Stamp { started: Wall::from_millis(started), counter };
    assert!(stamp(2, 1) > stamp(1, 900) && stamp(1, 901) > stamp(1, 900));
}

#[test]
fn a_text_is_cut_to_what_fits_between_characters() {
    assert_eq!(fitting(" a\nb\u{0}c ", 96), "abc");
    assert_eq!(fitting("ääää", 5), "ää");
}

#[test]
fn every_state_but_that_of_health_has_its_advice_in_one_line() {
    use gpu::State;
    let all = [
        State::Absent,
        State::DriverNotLoaded,
        State::VersionMismatch,
        State::NoDevices,
        State::Lost,
        State::NoPermission,
        State::Stalled,
        State::Failed,
    ];
    let advice: BTreeSet<_> = all.iter().map(|state| state.advice().expect("what is wrong has its advice")).collect();
    assert_eq!(advice.len(), all.len(), "each its own");
    assert!(advice.iter().all(|advice| !advice.contains('\n') && advice.len() < 120));
    assert_eq!((State::Ok.advice(), State::Off.advice()), (None, None));
}

fn cards() -> impl Strategy<Value = gpu::Sample> {
    let percent = || proptest::option::of(0..=100_u8);
    let mib = || proptest::option::of(0..=MEMORY_MIB_MAX);
    let words = (any::<u8>(), percent(), percent(), mib(), mib(), proptest::option::of(0..=ENERGY_MJ_MAX));
    let more = (any::<Option<u16>>(), any::<Option<u8>>(), any::<Option<(u8, u8)>>(), any::<Option<(u16, u16)>>());
    (words, more).prop_map(|((index, busy, memory_busy, used, free, energy), (clock, fan, pcie, xid))| gpu::Sample {
        index,
        busy,
        memory_busy,
        memory_used_mib: used,
        memory_free_mib: free,
        energy_mj: energy,
        clock_sm_mhz: clock,
        fan,
        pcie,
        xid: xid.map(|(code, count)| gpu::Xid { code, count }),
        ..gpu::Sample::default()
    })
}

proptest! {
    #[test]
    fn every_sound_sample_reads_back_and_keeps_within_its_bytes(
        cards in proptest::collection::btree_map(any::<u8>(), cards(), 0..=GPUS_MAX),
        counter in any::<u64>(),
    ) {
        let cards: Vec<_> = cards.into_iter().map(|(index, card)| gpu::Sample { index, ..card }).collect();
        prop_assert!(cards.iter().all(|card| bytes(card) <= GPU_SAMPLE_BYTES_MAX));
        let telemetry = said(Said::Sample(sample(cards)));
        let telemetry = Telemetry { stamp: Stamp { counter, ..telemetry.stamp }, ..telemetry };
        prop_assert!(decoded(telemetry).is_ok());
    }

    #[test]
    fn no_bytes_make_the_decoder_of_telemetry_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..4_u8) {
        let node = Author::seeded(1).node();
        let bytes = [&[1, 2], node.as_bytes().as_slice(), &[7, 1, kind], &tail].concat();
        if let Ok(notice) = Notice::decode(MeshId::from_bytes([9; 32]), node, &bytes) {
            prop_assert_eq!(notice.encode(), bytes);
        }
    }

    #[test]
    fn what_is_fitting_always_may_be_said(text in any::<String>(), max in 0..100_usize) {
        let fitting = fitting(&text, max);
        prop_assert!(fitting.len() <= max && !fitting.contains(char::is_control));
    }
}
