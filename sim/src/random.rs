//! temporary
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
#[derive(Debug, Clone)]
pub(crate) struct Stream(ChaCha8Rng);
impl Stream {
    pub(crate) fn keyed(seed: u64, name: &str, a: u64, b: u64) -> Self {
        let mut h = blake3::Hasher::new_derive_key("beadmesh 2026 sim stream v1");
        h.update(&seed.to_le_bytes()).update(&a.to_le_bytes()).update(&b.to_le_bytes()).update(name.as_bytes());
        Self(ChaCha8Rng::from_seed(*h.finalize().as_bytes()))
    }
    pub(crate) fn below(&mut self, n: u64) -> u64 { self.0.next_u64() % n }
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 { low + self.below(high - low + 1) }
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool { self.below(1000) < u64::from(per_mille) }
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] { let mut b = [0; N]; self.0.fill_bytes(&mut b); b }
    pub(crate) fn exponential_us(&mut self, mean: u64) -> u64 { if mean == 0 { 0 } else { self.below(2 * mean) } }
}
