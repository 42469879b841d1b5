//! Answers as NVML does, on a machine that `BEADMESH_NVML_SCENARIO` describes: found under its true name, it shows a node
//! cards that there are not.
//!
//! The variable names a scenario, or a file that names one and may change. What a scenario says is in `scenario`; this file
//! is the C side. Codes and layouts are those of nvml.h.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

mod scenario;

use scenario::{Card, Code, Machine};

/// A card, or a part of one, as the caller holds it: never read as an address.
type Handle = *mut c_void;

/// Cards have the numbers from here on as handles, parts of cards those from there on.
const CARDS: usize = 1;
const SLICES: usize = 1_000;

/// Parts that one card may have.
const SLICES_MAX: usize = 7;

/// The one kind of event that is told: a critical error.
const XID_EVENT: c_ulonglong = 8;

/// The kinds of values that fields have.
const UNSIGNED_INT: c_uint = 1;

/// `nvmlMemory_v2_t`.
#[repr(C)]
struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// `nvmlUtilization_t`.
#[repr(C)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

/// `nvmlPciInfo_t`.
#[repr(C)]
struct Pci {
    legacy: [c_char; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    id: c_uint,
    subsystem: c_uint,
    bus_id: [c_char; 32],
}

/// `nvmlProcessInfo_t`.
#[repr(C)]
struct Process {
    pid: c_uint,
    memory: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

/// `nvmlFieldValue_t`, whose value is as wide as its widest kind.
#[repr(C)]
struct Field {
    id: c_uint,
    scope: c_uint,
    timestamp: i64,
    latency: i64,
    kind: c_uint,
    code: c_uint,
    value: c_ulonglong,
}

/// `nvmlEventData_t`.
#[repr(C)]
struct Event {
    device: Handle,
    kind: c_ulonglong,
    data: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

fn code(outcome: Result<(), Code>) -> c_uint {
    match outcome {
        Ok(()) => 0,
        Err(code) => code as c_uint,
    }
}

/// Puts a value where the caller wants it.
fn put<T>(place: *mut T, value: T) {
    // SAFETY: callers hand in room for what they ask, as nvml.h says.
    unsafe { place.write(value) }
}

/// Puts a text with its end where the caller wants it, cut to the room there is.
fn put_text(place: *mut c_char, room: usize, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(room - 1)];
    for (at, byte) in bytes.iter().chain([&0]).enumerate() {
        // SAFETY: as `put`; no more than the room that was told.
        unsafe { place.add(at).write(*byte as c_char) }
    }
}

/// Returns the card behind a handle, as it stands now.
fn card(handle: Handle) -> Result<Card, Code> {
    let number = handle as usize;
    let index = if number >= SLICES { (number - SLICES) / SLICES_MAX } else { number - CARDS };
    Machine::now().card(index)
}

/// Answers a question about a card.
fn answer<T>(handle: Handle, place: *mut T, question: impl FnOnce(&Card) -> Result<T, Code>) -> c_uint {
    code(card(handle).and_then(|card| question(&card)).map(|value| put(place, value)))
}

macro_rules! questions {
    ($($name:ident: $kind:ty = $question:expr;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`.")]
            #[unsafe(no_mangle)]
            extern "C" fn $name(handle: Handle, place: *mut $kind) -> c_uint {
                answer(handle, place, $question)
            }
        )*
    };
}

questions! {
    nvmlDeviceGetIndex: c_uint = |card| Ok(card.index as c_uint);
    nvmlDeviceGetPowerUsage: c_uint = |card| card.told(412_345);
    nvmlDeviceGetEnforcedPowerLimit: c_uint = |card| card.told(700_000);
    nvmlDeviceGetTotalEnergyConsumption: c_ulonglong = |card| card.told(22_075_200_000_000);
    nvmlDeviceGetPerformanceState: c_uint = |card| card.told(0);
    nvmlDeviceGetCurrentClocksThrottleReasons: c_ulonglong = |card| card.told(4);
    nvmlDeviceGetCurrPcieLinkGeneration: c_uint = |card| card.told(5);
    nvmlDeviceGetCurrPcieLinkWidth: c_uint = |card| card.told(16);
    nvmlDeviceGetMaxPcieLinkGeneration: c_uint = |card| card.told(5);
    nvmlDeviceGetMaxPcieLinkWidth: c_uint = |card| card.told(16);
    nvmlDeviceGetPcieReplayCounter: c_uint = |card| card.told(3);
    nvmlDeviceGetMaxMigDeviceCount: c_uint = |card| card.told(SLICES_MAX as c_uint);
    nvmlDeviceGetSupportedEventTypes: c_ulonglong = |card| card.told(XID_EVENT);
}

/// `nvmlInit_v2`.
#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> c_uint {
    code(Machine::now().start())
}

/// `nvmlShutdown`.
#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> c_uint {
    0
}

/// `nvmlSystemGetDriverVersion`.
#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetDriverVersion(place: *mut c_char, room: c_uint) -> c_uint {
    put_text(place, room as usize, "570.133.20");
    0
}

/// `nvmlSystemGetCudaDriverVersion_v2`.
#[unsafe(no_mangle)]
extern "C" fn nvmlSystemGetCudaDriverVersion_v2(place: *mut c_int) -> c_uint {
    put(place, 12_080);
    0
}

/// `nvmlDeviceGetCount_v2`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetCount_v2(place: *mut c_uint) -> c_uint {
    put(place, Machine::now().count() as c_uint);
    0
}

/// `nvmlDeviceGetHandleByIndex_v2`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, place: *mut Handle) -> c_uint {
    let found = Machine::now().card(index as usize);
    code(found.and_then(|card| card.handle()).map(|()| put(place, (CARDS + index as usize) as Handle)))
}

/// `nvmlDeviceGetName`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetName(handle: Handle, place: *mut c_char, room: c_uint) -> c_uint {
    let name = if handle as usize >= SLICES { "NVIDIA H100 MIG 1g.10gb" } else { "NVIDIA H100 80GB HBM3" };
    code(card(handle).map(|_| put_text(place, room as usize, name)))
}

/// `nvmlDeviceGetUUID`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetUUID(handle: Handle, place: *mut c_char, room: c_uint) -> c_uint {
    let kind = if handle as usize >= SLICES { "MIG" } else { "GPU" };
    let uuid = format!("{kind}-00000000-0000-0000-0000-{:012}", handle as usize);
    code(card(handle).map(|_| put_text(place, room as usize, &uuid)))
}

/// `nvmlDeviceGetPciInfo_v3`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetPciInfo_v3(handle: Handle, place: *mut Pci) -> c_uint {
    answer(handle, place, |card| {
        let mut pci = Pci {
            legacy: [0; 16],
            domain: 0,
            bus: card.index as c_uint,
            device: 0,
            id: 0x2330_10de,
            subsystem: 0,
            bus_id: [0; 32],
        };
        put_text(pci.bus_id.as_mut_ptr(), 32, &format!("00000000:{:02X}:00.0", card.index));
        card.told(pci)
    })
}

/// `nvmlDeviceGetMemoryInfo_v2`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMemoryInfo_v2(handle: Handle, place: *mut Memory) -> c_uint {
    const GIB: c_ulonglong = 1 << 30;
    let total = if handle as usize >= SLICES { 10 * GIB } else { 80 * GIB };
    let used = if Machine::now().is_full() { total - GIB } else { total / 4 };
    let reserved = GIB / 2;
    let memory = Memory { version: 0, total, reserved, free: total - used - reserved, used };
    code(card(handle).map(|_| put(place, memory)))
}

/// `nvmlDeviceGetUtilizationRates`: the call that takes its time, or hangs, where any does.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetUtilizationRates(handle: Handle, place: *mut Utilization) -> c_uint {
    Machine::now().linger();
    let busy =
        if Machine::now().is_idle() { Utilization { gpu: 3, memory: 0 } } else { Utilization { gpu: 97, memory: 41 } };
    answer(handle, place, |card| card.told(busy))
}

/// `nvmlDeviceGetEncoderUtilization`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetEncoderUtilization(handle: Handle, busy: *mut c_uint, period: *mut c_uint) -> c_uint {
    put(period, 167_000);
    answer(handle, busy, |card| card.told(12))
}

/// `nvmlDeviceGetDecoderUtilization`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetDecoderUtilization(handle: Handle, busy: *mut c_uint, period: *mut c_uint) -> c_uint {
    put(period, 167_000);
    answer(handle, busy, |card| card.told(0))
}

/// `nvmlDeviceGetTemperature`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetTemperature(handle: Handle, _sensor: c_uint, place: *mut c_uint) -> c_uint {
    answer(handle, place, |card| card.told(61 + card.index as c_uint))
}

/// `nvmlDeviceGetFanSpeed_v2`: cards of servers have none.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetFanSpeed_v2(handle: Handle, _fan: c_uint, place: *mut c_uint) -> c_uint {
    answer(handle, place, |_| Err(Code::NotSupported))
}

/// `nvmlDeviceGetClockInfo`: graphics, multiprocessors, memory, video.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetClockInfo(handle: Handle, kind: c_uint, place: *mut c_uint) -> c_uint {
    answer(handle, place, |card| card.told([1_980, 1_980, 2_619, 1_665][kind as usize]))
}

/// `nvmlDeviceGetTotalEccErrors`: kind 0 is mended, 1 is not.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetTotalEccErrors(
    handle: Handle,
    kind: c_uint,
    _counter: c_uint,
    place: *mut c_ulonglong,
) -> c_uint {
    answer(handle, place, |card| card.told(if kind == 0 { 12 } else { 0 }))
}

/// `nvmlDeviceGetFieldValues`: rows remapped, in fields 142 to 145.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetFieldValues(handle: Handle, count: c_int, fields: *mut Field) -> c_uint {
    code(card(handle).and_then(|card| card.told(())).map(|()| {
        for at in 0..count as usize {
            // SAFETY: the caller hands in that many fields.
            let field = unsafe { &mut *fields.add(at) };
            let value = [2, 1, 1, 0].get((field.id as usize).wrapping_sub(142)).copied();
            (field.kind, field.value) = (UNSIGNED_INT, value.unwrap_or(0));
            field.code = code(value.map(|_| ()).ok_or(Code::NotSupported));
        }
    }))
}

/// `nvmlDeviceGetCudaComputeCapability`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetCudaComputeCapability(handle: Handle, major: *mut c_int, minor: *mut c_int) -> c_uint {
    put(minor, 0);
    answer(handle, major, |card| card.told(9))
}

/// `nvmlDeviceGetMigMode`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMigMode(handle: Handle, current: *mut c_uint, pending: *mut c_uint) -> c_uint {
    answer(handle, current, |card| {
        let mode = card.told(c_uint::from(card.slices > 0))?;
        put(pending, mode);
        Ok(mode)
    })
}

/// `nvmlDeviceGetMigDeviceHandleByIndex`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(handle: Handle, slice: c_uint, place: *mut Handle) -> c_uint {
    answer(handle, place, |card| {
        let slice = slice as usize;
        if slice < card.slices { Ok((SLICES + card.index * SLICES_MAX + slice) as Handle) } else { Err(Code::NotFound) }
    })
}

/// `nvmlDeviceGetComputeRunningProcesses_v3`: this very process, unless the machine idles.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    handle: Handle,
    count: *mut c_uint,
    processes: *mut Process,
) -> c_uint {
    code(card(handle).and_then(|card| card.told(())).and_then(|()| {
        if Machine::now().is_idle() {
            put(count, 0);
            return Ok(());
        }
        // SAFETY: the caller says how many it has room for.
        let room = unsafe { count.replace(1) };
        if room == 0 {
            return Err(Code::InsufficientSize);
        }
        put(
            processes,
            Process {
                pid: std::process::id(),
                memory: 1 << 30,
                gpu_instance: c_uint::MAX,
                compute_instance: c_uint::MAX,
            },
        );
        Ok(())
    }))
}

/// `nvmlDeviceGetGraphicsRunningProcesses_v3`: none.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    handle: Handle,
    count: *mut c_uint,
    _processes: *mut Process,
) -> c_uint {
    answer(handle, count, |card| card.told(0))
}

/// `nvmlEventSetCreate`.
#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetCreate(place: *mut Handle) -> c_uint {
    put(place, std::ptr::dangling_mut::<u8>().cast());
    0
}

/// `nvmlEventSetFree`.
#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetFree(_set: Handle) -> c_uint {
    0
}

/// `nvmlDeviceRegisterEvents`.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceRegisterEvents(handle: Handle, _kinds: c_ulonglong, _set: Handle) -> c_uint {
    code(card(handle).map(|_| ()))
}

/// `nvmlEventSetWait_v2`: an error of the last card, once, where there is to be one; else the wait is in vain.
#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetWait_v2(_set: Handle, place: *mut Event, wait_ms: c_uint) -> c_uint {
    let machine = Machine::now();
    if machine.is_deaf() {
        return Code::Unknown as c_uint;
    }
    let Some(xid) = machine.xid() else {
        static NEVER: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
        let waiting = NEVER.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = NEVER.1.wait_timeout(waiting, Duration::from_millis(wait_ms.into()));
        return Code::Timeout as c_uint;
    };
    let device = (CARDS + machine.count() - 1) as Handle;
    put(place, Event { device, kind: XID_EVENT, data: xid, gpu_instance: 0, compute_instance: 0 });
    0
}
