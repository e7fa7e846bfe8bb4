//! The range of least mean squared error: clipping the tails costs their distance, keeping them costs
//! everything else its resolution.

use super::histogram::Histogram;
use super::{Affine, Range};
use crate::device::int8::ActivationType;

/// Ends are tried at these shares of what was seen, in steps of a hundredth.
const SMALLEST: usize = 20;

/// Searches the upper end first, then the lower, twice: two one-dimensional searches that hardly depend on each
/// other.
pub fn range(histogram: &Histogram, seen: Range, kind: ActivationType) -> Range {
    let bins: Vec<(f64, u64)> = histogram.bins().collect();
    let error = |range: Range| squared_error(&bins, &Affine::covering(range, kind));
    let mut best = (error(seen), seen);
    for _ in 0..2 {
        for upper in [true, false] {
            let at = best.1;
            let full = if upper { seen.hi } else { seen.lo };
            if (upper && full <= 0.0) || (!upper && full >= 0.0) {
                continue;
            }
            for percent in SMALLEST..100 {
                let end = full * percent as f32 / 100.0;
                let range = if upper { Range { hi: end, ..at } } else { Range { lo: end, ..at } };
                let found = error(range);
                if found < best.0 {
                    best = (found, range);
                }
            }
        }
    }
    best.1
}

/// Returns the squared error of quantising the histogram's values with `affine`, summed over them.
pub fn squared_error(bins: &[(f64, u64)], affine: &Affine) -> f64 {
    let error = |&(x, n): &(f64, u64)| {
        let e = x - affine.round_trip(x);
        e * e * n as f64
    };
    bins.iter().map(error).sum()
}
