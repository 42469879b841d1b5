//! What a bead needs of the machine that works on it, and whether a machine has it.
//!
//! Needs are words and amounts in the bead: `gpu` cards, `vram` free on each of them, `cpu` cores, `memory` and `disk`
//! free, and a `label:WORD` that the machine bears. Whether a machine has them is read off what it says of itself
//! (`sample`), as it stands; nothing is reserved. What nobody understands is met by no machine.

use std::collections::BTreeMap;
use std::fmt;

use crate::limits::{GPUS_MAX, NEEDS_MAX, NODE_LABEL_BYTES_MAX};
use crate::sample::gpu::{Backend, Health, State};
use crate::sample::{Facts, Sample};

/// Bytes of a mebibyte: cards tell of their memory in those.
const MIB: u64 = 1 << 20;

/// What stands before the word of a label.
const LABEL: &str = "label:";

/// Units of memory, the longest word first where one ends another.
const UNITS: [(&str, u64); 7] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("B", 1),
];

/// One thing that a bead needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// So many cards.
    Gpu(u8),
    /// So many bytes free on each of the cards.
    Vram(u64),
    /// So many cores.
    Cpu(u16),
    /// So many bytes of memory that can be had.
    Memory(u64),
    /// So many bytes free where the home is.
    Disk(u64),
    /// A label.
    Label(String),
    /// What this version does not understand.
    Unknown(String),
}

/// Why a text says no needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeedsError {
    /// A part has no amount.
    #[error("{0:?} is no need: write NAME:AMOUNT, such as gpu:1 or vram:40GiB")]
    NoAmount(String),
    /// The name is not known.
    #[error("{0:?} can not be needed: gpu, vram, cpu, memory, disk and label can")]
    Name(String),
    /// The amount is no number in its bounds.
    #[error("{name}:{amount} is not understood: {name} is a number from 1 to {max}")]
    Count {
        /// What is needed.
        name: &'static str,
        /// How much, as written.
        amount: String,
        /// The most that can be needed.
        max: u64,
    },
    /// The amount has no unit, or is no number.
    #[error("{name}:{amount} is not understood: write a whole number and a unit, such as 40GiB or 512MiB")]
    Bytes {
        /// What is needed.
        name: &'static str,
        /// How much, as written.
        amount: String,
    },
    /// The label has a form that none has.
    #[error("{0:?} is no label: it has 1 to {NODE_LABEL_BYTES_MAX} bytes of a-z, 0-9, - _ . /")]
    Label(String),
    /// Something is needed twice.
    #[error("{0} is said twice")]
    Twice(String),
    /// There are too many.
    #[error("{0} needs; a bead has at most {NEEDS_MAX}")]
    TooMany(usize),
}

/// What a machine lacks of what a bead needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// It has not said how it stands with it, or not lately.
    Unheard(Need),
    /// Its cards are made up.
    MadeUp,
    /// It stands so with its cards that none can be used.
    Unusable(State),
    /// Fewer of its cards have so much memory free than are needed.
    Free {
        /// How many cards are needed.
        cards: u8,
        /// With how many bytes free each.
        bytes: u64,
        /// How many have that.
        has: usize,
        /// The most that is free on one.
        most: u64,
    },
    /// It has less than is needed, in the unit of the need.
    Less(Need, u64),
    /// It does not bear the label.
    Label(String),
    /// Nobody can tell.
    Unknown(String),
}

/// What is known of a machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine<'a> {
    /// What stays as it is.
    pub facts: Option<&'a Facts>,
    /// What was measured, unless that is stale.
    pub sample: Option<&'a Sample>,
}

/// Reads needs as a person writes them, such as `gpu:1,vram:40GiB,label:a100`; returns them as a bead keeps them.
///
/// # Errors
/// What is wrong with the first part that is no need.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, NeedsError> {
    let mut needs = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, amount) = part.split_once(':').ok_or_else(|| NeedsError::NoAmount(cut(part)))?;
        let (name, amount) = (name.trim().to_ascii_lowercase(), amount.trim());
        let need = Need::read(&name, amount)?;
        if let Some(twice) = needs.insert(need.key(), need.amount()).and(Some(need.key())) {
            return Err(NeedsError::Twice(twice));
        }
    }
    if needs.len() > NEEDS_MAX { Err(NeedsError::TooMany(needs.len())) } else { Ok(needs) }
}

/// Reads the needs of a bead, whoever wrote them; more than may be set are understood by nobody.
pub fn of(needs: &BTreeMap<String, String>) -> Vec<Need> {
    let read = |(key, amount): (&String, &String)| {
        let label = key.strip_prefix(LABEL).map(|label| Need::read("label", label));
        let need = label.unwrap_or_else(|| Need::read(&key.to_ascii_lowercase(), amount));
        need.unwrap_or_else(|_| Need::Unknown(cut(&format!("{key}:{amount}"))))
    };
    if needs.len() > NEEDS_MAX {
        return vec![Need::Unknown(format!("of {} things", needs.len()))];
    }
    needs.iter().map(read).collect()
}

/// Returns whether a text can be a label of a node.
pub fn is_label(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_./".contains(&byte);
    !text.is_empty() && text.len() <= NODE_LABEL_BYTES_MAX && text.bytes().all(is_fit)
}

impl Machine<'_> {
    /// Returns what the machine lacks of some needs; nothing where it has all.
    pub fn lacks(&self, needs: &[Need]) -> Vec<Lack> {
        let (mut lacks, mut cards, mut vram) = (Vec::new(), None, None);
        for need in needs {
            match need {
                Need::Gpu(count) => cards = Some(*count),
                Need::Vram(bytes) => vram = Some(*bytes),
                Need::Cpu(cores) => {
                    let has = self.facts.and_then(|facts| facts.host.cores);
                    lacks.extend(less(need, has.map(u64::from), u64::from(*cores)));
                }
                Need::Memory(bytes) => {
                    let has = self.sample.and_then(|sample| sample.host.memory_available);
                    lacks.extend(less(need, has, *bytes));
                }
                Need::Disk(bytes) => {
                    let has = self.sample.and_then(|sample| sample.host.disk).map(|(_, free)| free);
                    lacks.extend(less(need, has, *bytes));
                }
                Need::Label(label) => match self.facts {
                    None => lacks.push(Lack::Unheard(need.clone())),
                    Some(facts) if facts.host.labels.contains(label) => {}
                    Some(_) => lacks.push(Lack::Label(label.clone())),
                },
                Need::Unknown(what) => lacks.push(Lack::Unknown(what.clone())),
            }
        }
        if cards.is_some() || vram.is_some() {
            lacks.extend(self.lacks_cards(cards.unwrap_or(1), vram.unwrap_or(0)));
        }
        lacks
    }

    /// Returns what keeps so many cards with so much memory free from being had here.
    fn lacks_cards(&self, cards: u8, bytes: u64) -> Option<Lack> {
        let unheard = || Lack::Unheard(if bytes > 0 { Need::Vram(bytes) } else { Need::Gpu(cards) });
        let (Some(facts), Some(sample)) = (self.facts, self.sample) else { return Some(unheard()) };
        if facts.driver.backend == Backend::Demo {
            return Some(Lack::MadeUp);
        }
        if !matches!(sample.state, State::Ok | State::Lost) {
            return Some(Lack::Unusable(sample.state));
        }
        let free = free_of(facts, sample);
        let has = free.iter().filter(|part| part.bytes >= bytes).count();
        let most = free.into_iter().map(|part| part.bytes).max().unwrap_or(0);
        (has < usize::from(cards)).then_some(Lack::Free { cards, bytes, has, most })
    }
}

/// Memory that is free on a card, or on a part of one that is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// The index of the card.
    pub gpu: u8,
    /// The number of the part; none for a card that is whole.
    pub slice: Option<u8>,
    /// How much is free.
    pub bytes: u64,
}

/// Returns what is free on each healthy card, or on each part of one that is split.
pub fn free_of(facts: &Facts, sample: &Sample) -> Vec<Free> {
    let bytes = |mib: u32| u64::from(mib) * MIB;
    let is_split = |gpu: u8| facts.slices.iter().any(|slice| slice.gpu == gpu);
    let healthy = sample.gpus.iter().filter(|gpu| gpu.health == Health::Ok);
    let whole = healthy.clone().filter(|gpu| !is_split(gpu.index));
    let whole = whole.map(|gpu| Free { gpu: gpu.index, slice: None, bytes: gpu.memory_free_mib.map_or(0, bytes) });
    let parts = facts.slices.iter().filter(|slice| healthy.clone().any(|gpu| gpu.index == slice.gpu));
    let parts = parts.map(|part| {
        let measured = sample.slices.iter().find(|known| (known.gpu, known.slice) == (part.gpu, part.slice));
        let used = measured.and_then(|known| known.memory_used_mib);
        let free = part.memory_mib.zip(used).map_or(0, |(all, used)| bytes(all.saturating_sub(used)));
        Free { gpu: part.gpu, slice: Some(part.slice), bytes: free }
    });
    whole.chain(parts).collect()
}

fn less(need: &Need, has: Option<u64>, wanted: u64) -> Option<Lack> {
    match has {
        None => Some(Lack::Unheard(need.clone())),
        Some(has) if has < wanted => Some(Lack::Less(need.clone(), has)),
        Some(_) => None,
    }
}

impl Need {
    fn read(name: &str, amount: &str) -> Result<Self, NeedsError> {
        let count = |name: &'static str, max: u64| match amount.parse() {
            Ok(count) if (1..=max).contains(&count) => Ok(count),
            _ => Err(NeedsError::Count { name, amount: cut(amount), max }),
        };
        let bytes =
            |name: &'static str| read_bytes(amount).ok_or_else(|| NeedsError::Bytes { name, amount: cut(amount) });
        match name {
            "gpu" => count("gpu", GPUS_MAX as u64).map(|count| Self::Gpu(u8::try_from(count).unwrap_or(u8::MAX))),
            "cpu" => count("cpu", u16::MAX.into()).map(|count| Self::Cpu(u16::try_from(count).unwrap_or(u16::MAX))),
            "vram" => bytes("vram").map(Self::Vram),
            "memory" => bytes("memory").map(Self::Memory),
            "disk" => bytes("disk").map(Self::Disk),
            "label" if is_label(amount) => Ok(Self::Label(amount.to_owned())),
            "label" => Err(NeedsError::Label(cut(amount))),
            _ => Err(NeedsError::Name(cut(name))),
        }
    }

    /// Returns under which key a bead keeps it.
    fn key(&self) -> String {
        match self {
            Self::Gpu(_) => "gpu".to_owned(),
            Self::Vram(_) => "vram".to_owned(),
            Self::Cpu(_) => "cpu".to_owned(),
            Self::Memory(_) => "memory".to_owned(),
            Self::Disk(_) => "disk".to_owned(),
            Self::Label(label) => format!("{LABEL}{label}"),
            Self::Unknown(what) => what.clone(),
        }
    }

    /// Returns the amount as a bead keeps it; a label has none.
    fn amount(&self) -> String {
        match self {
            Self::Gpu(count) => count.to_string(),
            Self::Cpu(count) => count.to_string(),
            Self::Vram(bytes) | Self::Memory(bytes) | Self::Disk(bytes) => show_bytes(*bytes),
            Self::Label(_) | Self::Unknown(_) => String::new(),
        }
    }
}

/// Writes it as `parse` reads it.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(_) | Self::Unknown(_) => f.write_str(&self.key()),
            _ => write!(f, "{}:{}", self.key(), self.amount()),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unheard(need) => write!(f, "it has not said whether it has {need}"),
            Self::MadeUp => f.write_str("its cards are made up"),
            Self::Unusable(State::Absent | State::NoDevices) => f.write_str("it has no cards"),
            Self::Unusable(state) => write!(f, "it has no cards that can be used: {state}"),
            Self::Free { bytes: 0, cards, has, .. } => write!(f, "it has {has} of {cards} cards"),
            Self::Free { cards, bytes, has, most } => write!(
                f,
                "it has {has} of {cards} cards with {} free: the most on one is {}",
                show_bytes(*bytes),
                near_bytes(*most)
            ),
            Self::Less(need @ (Need::Memory(_) | Need::Disk(_)), has) => {
                write!(f, "it has {} for {need}", near_bytes(*has))
            }
            Self::Less(need, has) => write!(f, "it has {has} for {need}"),
            Self::Label(label) => write!(f, "it does not bear the label {label}"),
            Self::Unknown(what) => write!(f, "nobody here understands the need {what}"),
        }
    }
}

/// Reads a whole number of bytes with its unit, such as 40GiB; at least one.
pub fn read_bytes(text: &str) -> Option<u64> {
    let split = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let (_, size) = UNITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(unit.trim()))?;
    number.parse::<u64>().ok()?.checked_mul(*size).filter(|bytes| *bytes > 0)
}

/// Writes bytes in the largest unit in which they are whole.
fn show_bytes(bytes: u64) -> String {
    let whole = UNITS[..3].iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    whole.map_or_else(|| format!("{bytes}B"), |(unit, size)| format!("{}{unit}", bytes / size))
}

/// Writes about how many bytes there are, with one digit behind the point.
fn near_bytes(bytes: u64) -> String {
    let (unit, size) = UNITS[..3].iter().find(|(_, size)| bytes >= *size).unwrap_or(&("B", 1));
    let tenths = u128::from(bytes) * 10 / u128::from(*size);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
