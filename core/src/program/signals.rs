//! SIGINT and SIGTERM: noted, acted on after the current step.

use crate::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// This holds the last signal received.
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Registers for SIGINT and SIGTERM. Fails where the system does not allow it.
    pub fn watch() -> Result<Self> {
        let flag = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            let number = usize::try_from(signal).unwrap_or(0);
            signal_hook::flag::register_usize(signal, Arc::clone(&flag), number)
                .map_err(|e| Error::Failed(format!("cannot watch signal {signal}: {e}")))?;
        }
        Ok(Self(flag))
    }

    /// Returns the signal's number, if one came.
    pub fn received(&self) -> Option<i32> {
        i32::try_from(self.0.load(Ordering::Relaxed)).ok().filter(|&s| s != 0)
    }
}
