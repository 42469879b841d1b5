//! One card: the questions that are asked of it, and what its refusals mean.

use std::collections::BTreeMap;

use beadmesh_protocol::limits::{
    ENERGY_MJ_MAX, GPU_COUNT_MAX, MEMORY_MIB_MAX, NAME_BYTES_MAX, POWER_MW_MAX, SAMPLE_TEXT_BYTES_MAX,
};
use beadmesh_protocol::sample::fitting;
use beadmesh_protocol::sample::gpu::{Facts, Health, Process, Remapped, Sample, State};
use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::{SampleValue, UsedGpuMemory};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::structs::device::FieldId;

/// Fields that have no call of their own: rows remapped after errors mended, not mended, that wait, that failed.
const REMAPPED_FIELDS: [u32; 4] = [142, 143, 144, 145];

/// Asks one card, and takes note of what its refusals mean.
pub(super) struct Probe {
    pub(super) health: Health,
    answers: u32,
    failures: u32,
    /// What is wrong with the driver as a whole.
    pub(super) broken: Option<State>,
}

impl Probe {
    pub(super) fn new() -> Self {
        Self { health: Health::Ok, answers: 0, failures: 0, broken: None }
    }

    /// Takes the card itself; without it nothing can be asked.
    pub(super) fn handle<T>(&mut self, found: Result<T, NvmlError>) -> Option<T> {
        if let Err(error) = &found {
            self.health = match state_of(error) {
                State::NoPermission => Health::NoPermission,
                State::Lost => Health::Lost,
                _ => Health::Failed,
            };
        }
        self.take(found)
    }

    /// Asks, unless the card is gone: a lost one takes its time over each answer.
    fn ask<T>(&mut self, question: impl FnOnce() -> Result<T, NvmlError>) -> Option<T> {
        if self.health == Health::Lost || self.broken.is_some() {
            return None;
        }
        self.take(question())
    }

    fn take<T>(&mut self, answer: Result<T, NvmlError>) -> Option<T> {
        let error = match answer {
            Ok(value) => {
                self.answers += 1;
                return Some(value);
            }
            Err(error) => error,
        };
        match state_of(&error) {
            State::Lost => self.health = Health::Lost,
            state @ (State::DriverNotLoaded | State::VersionMismatch) => self.broken = Some(state),
            // One question may be for others to ask.
            State::NoPermission => {}
            _ if is_no_answer(&error) => {}
            _ => self.failures += 1,
        }
        None
    }

    /// Returns how it stands with the card: one that answered nothing but errors does not answer.
    pub(super) fn verdict(&self) -> Health {
        match self.health {
            // The handle itself is an answer.
            Health::Ok if self.answers <= 1 && self.failures > 0 => Health::Failed,
            health => health,
        }
    }
}

/// Returns what an error says of the driver or the card it came from.
pub(super) fn state_of(error: &NvmlError) -> State {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => State::Absent,
        NvmlError::DriverNotLoaded | NvmlError::Uninitialized => State::DriverNotLoaded,
        NvmlError::LibRmVersionMismatch => State::VersionMismatch,
        NvmlError::GpuLost | NvmlError::ResetRequired => State::Lost,
        NvmlError::NoPermission | NvmlError::OperatingSystem => State::NoPermission,
        NvmlError::NotFound => State::NoDevices,
        _ => State::Failed,
    }
}

/// Returns whether an error only says that a card has no answer to a question, or its library does not know the question.
fn is_no_answer(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::NotSupported
            | NvmlError::NotFound
            | NvmlError::NoData
            | NvmlError::FunctionNotFound
            | NvmlError::FailedToLoadSymbol(_)
            | NvmlError::InvalidArg
            | NvmlError::UnexpectedVariant(_)
    )
}

/// Returns what is known of a card that does not answer: that, and the last error that its driver told.
pub(super) fn silent(sample: &Sample) -> Sample {
    Sample { index: sample.index, health: sample.health, xid: sample.xid, ..Sample::default() }
}

pub(super) fn facts(index: u8, device: &Device<'_>) -> Facts {
    let small = |value: u32| u8::try_from(value).ok();
    let compute = device.cuda_compute_capability().ok();
    let pcie = device.max_pcie_link_gen().ok().zip(device.max_pcie_link_width().ok());
    Facts {
        index,
        uuid: fitting(&device.uuid().unwrap_or_default(), NAME_BYTES_MAX),
        name: fitting(&device.name().unwrap_or_default(), SAMPLE_TEXT_BYTES_MAX),
        pci: device.pci_info().ok().map(|pci| fitting(&pci.bus_id, NAME_BYTES_MAX)),
        memory_mib: device.memory_info().ok().and_then(|memory| mib(memory.total)),
        compute: compute.and_then(|it| Some((u8::try_from(it.major).ok()?, u8::try_from(it.minor).ok()?))),
        pcie_max: pcie.and_then(|(generation, lanes)| Some((small(generation)?, small(lanes)?))),
        mig: device.mig_mode().ok().map(|mode| mode.current != 0),
    }
}

/// Asks a card for what changes all the time.
pub(super) fn quick(sample: Sample, device: &Device<'_>, probe: &mut Probe) -> Sample {
    let memory = probe.ask(|| device.memory_info());
    let rates = probe.ask(|| device.utilization_rates());
    let clock =
        |probe: &mut Probe, clock| probe.ask(|| device.clock_info(clock)).and_then(|mhz| u16::try_from(mhz).ok());
    Sample {
        busy: rates.as_ref().map(|rates| percent(rates.gpu)),
        memory_busy: rates.as_ref().map(|rates| percent(rates.memory)),
        encoder_busy: probe.ask(|| device.encoder_utilization()).map(|encoder| percent(encoder.utilization)),
        decoder_busy: probe.ask(|| device.decoder_utilization()).map(|decoder| percent(decoder.utilization)),
        memory_used_mib: memory.as_ref().and_then(|memory| mib(memory.used)),
        memory_free_mib: memory.as_ref().and_then(|memory| mib(memory.free)),
        memory_reserved_mib: memory.as_ref().and_then(|memory| mib(memory.reserved)),
        power_mw: probe.ask(|| device.power_usage()).map(|power| power.min(POWER_MW_MAX)),
        energy_mj: probe.ask(|| device.total_energy_consumption()).map(|energy| energy.min(ENERGY_MJ_MAX)),
        temperature: probe
            .ask(|| device.temperature(TemperatureSensor::Gpu))
            .and_then(|degrees| u8::try_from(degrees).ok()),
        clock_sm_mhz: clock(probe, Clock::SM),
        clock_memory_mhz: clock(probe, Clock::Memory),
        clock_video_mhz: clock(probe, Clock::Video),
        pstate: probe.ask(|| device.performance_state()).and_then(|state| u8::try_from(state.as_c()).ok()),
        throttle: probe
            .ask(|| device.current_throttle_reasons())
            .map(|reasons| u16::try_from(reasons.bits() & u64::from(u16::MAX)).unwrap_or_default()),
        ..sample
    }
}

/// Asks a card for what changes seldom.
pub(super) fn slow(before: Sample, device: &Device<'_>, probe: &mut Probe) -> Sample {
    let small = |value: u32| u8::try_from(value).ok();
    let errors = |probe: &mut Probe, kind| {
        let counted = probe.ask(|| device.total_ecc_errors(kind, EccCounter::Volatile));
        counted.map(|errors| u32::try_from(errors).unwrap_or(u32::MAX).min(GPU_COUNT_MAX))
    };
    let generation = probe.ask(|| device.current_pcie_link_gen()).and_then(small);
    let lanes = probe.ask(|| device.current_pcie_link_width()).and_then(small);
    Sample {
        power_limit_mw: probe.ask(|| device.enforced_power_limit()).map(|limit| limit.min(POWER_MW_MAX)),
        fan: probe.ask(|| device.fan_speed(0)).and_then(small),
        ecc_corrected: errors(probe, MemoryError::Corrected),
        ecc_uncorrected: errors(probe, MemoryError::Uncorrected),
        remapped: remapped(device, probe),
        pcie: generation.zip(lanes),
        pcie_replays: probe.ask(|| device.pcie_replay_counter()).map(|replays| replays.min(GPU_COUNT_MAX)),
        ..before
    }
}

pub(super) fn with_slow(sample: Sample, slow: &Sample) -> Sample {
    let Sample { power_limit_mw, fan, ecc_corrected, ecc_uncorrected, remapped, pcie, pcie_replays, .. } = *slow;
    Sample { power_limit_mw, fan, ecc_corrected, ecc_uncorrected, remapped, pcie, pcie_replays, ..sample }
}

fn remapped(device: &Device<'_>, probe: &mut Probe) -> Option<Remapped> {
    let fields = REMAPPED_FIELDS.map(FieldId);
    let values = probe.ask(|| device.field_values_for(&fields))?;
    let value = |at: usize| match values.get(at)?.as_ref().ok()?.value.as_ref().ok()? {
        SampleValue::U32(value) => Some(u64::from(*value)),
        SampleValue::U64(value) => Some(*value),
        SampleValue::I64(value) => u64::try_from(*value).ok(),
        SampleValue::F64(_) => None,
    };
    let count = |at| value(at).map(|count| u16::try_from(count).unwrap_or(u16::MAX));
    Some(Remapped { corrected: count(0)?, uncorrected: count(1)?, pending: value(2)? != 0, failed: value(3)? != 0 })
}

/// Returns who uses a card, with how much of its memory; who both computes and draws is there once. `None` where the card
/// does not say, which is not the same as nobody.
pub(super) fn used_by(index: u8, device: &Device<'_>, probe: &mut Probe) -> Option<Vec<Process>> {
    let computing = probe.ask(|| device.running_compute_processes());
    let drawing = probe.ask(|| match device.running_graphics_processes() {
        // Nobody draws on a card that can not.
        Err(NvmlError::NotSupported) => Ok(Vec::new()),
        answer => answer,
    });
    users(index, computing, drawing)
}

fn users(index: u8, computing: Option<Vec<ProcessInfo>>, drawing: Option<Vec<ProcessInfo>>) -> Option<Vec<Process>> {
    let is_all = computing.is_some() && drawing.is_some();
    let told = computing.into_iter().chain(drawing).flatten();
    let mut users: BTreeMap<u32, Option<u32>> = BTreeMap::new();
    for process in told {
        let memory = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => mib(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        let most = users.entry(process.pid).or_default();
        *most = (*most).max(memory);
    }
    let process = |(pid, memory_mib)| Process { gpu: index, pid, memory_mib, ..Process::default() };
    let users: Vec<Process> = users.into_iter().map(process).collect();
    // Of those who are known, one is enough to say that the card is used.
    Some(users).filter(|users| is_all || !users.is_empty())
}

pub(super) fn mib(bytes: u64) -> Option<u32> {
    u32::try_from(bytes >> 20).ok().map(|mib| mib.min(MEMORY_MIB_MAX))
}

fn percent(value: u32) -> u8 {
    u8::try_from(value.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_means_a_state() {
        let states = [
            (NvmlError::LibraryNotFound, State::Absent),
            (NvmlError::DriverNotLoaded, State::DriverNotLoaded),
            (NvmlError::Uninitialized, State::DriverNotLoaded),
            (NvmlError::LibRmVersionMismatch, State::VersionMismatch),
            (NvmlError::GpuLost, State::Lost),
            (NvmlError::ResetRequired, State::Lost),
            (NvmlError::NoPermission, State::NoPermission),
            (NvmlError::OperatingSystem, State::NoPermission),
            (NvmlError::Unknown, State::Failed),
            (NvmlError::IrqIssue, State::Failed),
        ];
        for (error, state) in states {
            assert_eq!(state_of(&error), state, "{error}");
        }
    }

    #[test]
    fn a_card_that_refuses_some_questions_is_well_and_one_that_only_fails_is_not() {
        let mut probe = Probe::new();
        assert_eq!(probe.handle(Ok(())), Some(()));
        assert_eq!(probe.ask(|| Err::<(), _>(NvmlError::NotSupported)), None);
        assert_eq!(probe.verdict(), Health::Ok);
        assert_eq!(probe.ask(|| Err::<(), _>(NvmlError::Unknown)), None);
        assert_eq!(probe.verdict(), Health::Failed);
        assert_eq!(probe.ask(|| Ok(7)), Some(7));
        assert_eq!(probe.verdict(), Health::Ok);
    }

    #[test]
    fn a_card_that_does_not_say_who_uses_it_is_not_used_by_nobody() {
        let process = |pid| ProcessInfo {
            pid,
            used_gpu_memory: UsedGpuMemory::Unavailable,
            gpu_instance_id: None,
            compute_instance_id: None,
        };
        let count = |computing, drawing| users(0, computing, drawing).map(|users| users.len());
        assert_eq!(count(Some(vec![]), Some(vec![])), Some(0));
        assert_eq!(count(Some(vec![process(7)]), Some(vec![process(7)])), Some(1));
        assert_eq!(count(None, Some(vec![])), None);
        assert_eq!(count(Some(vec![]), None), None);
        assert_eq!(count(None, Some(vec![process(7)])), Some(1));
    }

    #[test]
    fn a_lost_card_is_asked_nothing_more() {
        let mut probe = Probe::new();
        assert_eq!(probe.ask(|| Err::<(), _>(NvmlError::GpuLost)), None);
        assert_eq!(probe.ask(|| -> Result<(), _> { panic!("it was asked") }), None);
        assert_eq!(probe.verdict(), Health::Lost);
        let sample = Sample { index: 3, busy: Some(9), health: Health::Lost, ..Sample::default() };
        assert_eq!(silent(&sample), Sample { index: 3, health: Health::Lost, ..Sample::default() });
    }
}
