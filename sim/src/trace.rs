//! The digest of a run: what happens is folded into it in order, so that two runs that part anywhere differ at the end.

/// Things folded in between two digests that are kept.
pub(crate) const TRACE_STEP: u64 = 1_000;

/// A running digest.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    digest: u64,
    folded: u64,
    pub(crate) steps: Vec<u64>,
}

impl Trace {
    /// Folds what happened: a number for its kind, when, to whom, and what else tells it apart.
    pub(crate) fn fold(&mut self, kind: u64, at_us: u64, place: u64, detail: u64) {
        for word in [kind, at_us, place, detail] {
            // The mixing step of SplitMix64 (Steele, Lea, Flood 2014).
            let mut mixed = (self.digest ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            self.digest = mixed ^ (mixed >> 31);
        }
        self.folded += 1;
        if self.folded.is_multiple_of(TRACE_STEP) {
            self.steps.push(self.digest);
        }
    }

    /// Folds bytes.
    pub(crate) fn fold_bytes(&mut self, kind: u64, at_us: u64, place: u64, bytes: &[u8]) {
        let hash = blake3::hash(bytes);
        let detail = hash.as_bytes().first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first));
        self.fold(kind, at_us, place, detail);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }
}
