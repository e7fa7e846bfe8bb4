//! Resident memory of a model alone, and whether it grows: measured in a process that does nothing else.

use crate::backend::Options;
use crate::judge::bench::inputs;
use crate::subject::Subject;
use gtn_core::host::{peak_rss_bytes, rss_bytes};
use gtn_core::measure::report::Memory;
use gtn_core::{Error, Result};
use std::path::Path;

/// So many inferences are run first; allocators have settled after them.
pub const WARM_UP: usize = 200;

/// Loads the model in this process, which should have done nothing before, and runs it `runs` times after
/// [`WARM_UP`]. Fails with [`Error::Unavailable`] where resident memory cannot be read.
pub fn measure(path: &Path, options: &Options, runs: usize) -> Result<(Subject, Memory)> {
    let unknown = || Error::Unavailable("resident memory can be read on Linux and Android only".into());
    let now = || rss_bytes().ok_or_else(unknown);
    let start = now()?;
    let mut subject = Subject::open(path, options)?;
    let inputs = inputs(&subject)?;
    subject.backend.bind(&inputs)?;
    drop(inputs);
    let loaded = now()?;
    let mut run = |n: usize| (0..n).try_for_each(|_| subject.backend.run_bound());
    run(WARM_UP)?;
    let warm = now()?;
    run(runs)?;
    let end = now()?;
    let peak = peak_rss_bytes().ok_or_else(unknown)?;
    Ok((subject, Memory { start, loaded, warm, end, peak, runs: [WARM_UP, runs] }))
}
