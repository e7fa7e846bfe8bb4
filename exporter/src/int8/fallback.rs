//! Which layers stay in fp32 so that int8 loses no more than it may: the fewest, the worst first.

use crate::int8::calibration::Reference;
use crate::int8::search::{Int8Recipe, Judged, Search, units};
use gtn_core::program::progress::Progress;
use gtn_core::{Error, Result};
use std::collections::BTreeSet;

/// Finds which layers stay in fp32. Layers are ordered by what each does when it alone is int8. The smallest
/// number of the worst ones that brings the drop within `max_drop` (points) is found, then every one that turns
/// out not to be needed goes back to int8. It is an error if more than half of the layers would stay in fp32:
/// that is no int8 network.
pub fn find(
    search: &Search,
    recipe: Int8Recipe,
    max_drop: f64,
    fp32: &Reference,
) -> Result<(Int8Recipe, Judged)> {
    let worst = by_sensitivity(search, &recipe)?;
    let most = worst.len() / 2;
    let keep = |k: usize| Int8Recipe { fp32: worst.iter().take(k).cloned().collect(), ..recipe.clone() };
    let judge = |recipe: &Int8Recipe| search.judge(recipe, fp32);
    // Doubling, then bisection: the drop falls with k, near enough.
    let (mut low, mut high) = (0, 1);
    let mut best = judge(&keep(high))?;
    while !best.within(max_drop) {
        if high >= most {
            return Err(Error::Failed(format!(
                "int8 loses {:.2} points of top-1 on {} val images with {high} of {} layers in fp32 ({}, ...), \
                 --max-drop allows {max_drop}",
                best.drop,
                best.images,
                worst.len(),
                worst.iter().take(3).cloned().collect::<Vec<_>>().join(", ")
            )));
        }
        (low, high) = (high, (high * 2).min(most));
        best = judge(&keep(high))?;
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        let found = judge(&keep(middle))?;
        if found.within(max_drop) {
            (high, best) = (middle, found);
        } else {
            low = middle;
        }
    }
    let mut kept = keep(high);
    // The least sensitive first: it is the likeliest not to be needed.
    for name in worst.iter().take(high).rev().filter(|_| high > 1) {
        let mut without = kept.clone();
        without.fp32.remove(name);
        let found = judge(&without)?;
        if found.within(max_drop) {
            (kept, best) = (without, found);
        }
    }
    Ok((kept, best))
}

/// Units by the divergence that each causes alone, largest first.
fn by_sensitivity(search: &Search, recipe: &Int8Recipe) -> Result<Vec<String>> {
    let all = units(&search.prepared(recipe.equalise)?.graph);
    let mut bar = Progress::new("sensitivity", all.len() as u64);
    let mut found = Vec::new();
    for (i, name) in all.iter().enumerate() {
        let others: BTreeSet<String> = all.iter().filter(|n| *n != name).cloned().collect();
        let alone = Int8Recipe { fp32: others, ..recipe.clone() };
        found.push((search.divergence(&alone)?, name.clone()));
        bar.tick(i as u64 + 1, name);
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(found.into_iter().map(|(_, name)| name).collect())
}
