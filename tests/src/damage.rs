//! Damaged model files, for whatever reads them.

use gtn_core::rng::Rng;

/// One change where the graph is (weights take any value): a byte, a bit, a gap, a copy, an end.
pub fn mutate(model: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = model.to_vec();
    let mut below = |n: usize| rng.below(n as u64) as usize;
    let near_an_end = |at: usize| if at < 4000 { at } else { model.len() - (at - 4000) - 1 };
    let at = near_an_end(below(5000.min(model.len()))).min(model.len() - 1);
    match below(5) {
        0 => bytes[at] = below(256) as u8,
        1 => bytes[at] ^= 1 << below(8),
        2 => drop(bytes.drain(at..(at + 1 + below(8)).min(model.len()))),
        3 => {
            let copy = bytes[at..(at + 1 + below(16)).min(model.len())].to_vec();
            bytes.splice(at..at, copy);
        }
        _ => bytes.truncate(at),
    }
    bytes
}
