//! Who may load a machine: whatever is timed there wants it for itself, under whichever name it is reached.

use gtn_core::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// This gives turns, by the start of a machine (its boot id): two addresses of one machine never work at once.
#[derive(Debug, Default)]
pub struct Turns {
    machines: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
    /// Devices that may still want bundles made here.
    busy: Mutex<usize>,
    fewer: Condvar,
}

/// This is a device that may still want a bundle made here; it does not any more when this is dropped.
#[derive(Debug)]
pub struct Busy<'a>(&'a Turns);

/// A lock whose holder panicked guards no data: only a turn.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turns {
    /// Does `work` while nobody else has a turn at `machine`.
    pub fn alone<T>(&self, machine: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let lock = Arc::clone(held(&self.machines).entry(machine.to_owned()).or_default());
        let _turn = held(&lock);
        work()
    }

    /// Counts a device that may want bundles made here.
    pub fn busy(&self) -> Busy<'_> {
        *held(&self.busy) += 1;
        Busy(self)
    }

    /// Waits until no device wants a bundle made here, so that long work may load this machine. `stopped` is asked
    /// now and then, and ends the wait with its error.
    pub fn until_idle(&self, stopped: &dyn Fn() -> Option<Error>) -> Result<()> {
        let mut busy = held(&self.busy);
        while *busy > 0 {
            if let Some(error) = stopped() {
                return Err(error);
            }
            let waited = self.fewer.wait_timeout(busy, std::time::Duration::from_millis(200));
            busy = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *held(&self.0.busy) -= 1;
        self.0.fewer.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// Eight devices on two machines: never two at work on one machine, and both machines at work at once.
    #[test]
    fn one_machine_has_one_turn_and_two_have_two() {
        let turns = Turns::default();
        let (at_work, most) = ([AtomicUsize::new(0), AtomicUsize::new(0)], AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for i in 0..8 {
                let (turns, at_work, most) = (&turns, &at_work, &most);
                scope.spawn(move || {
                    let machine = ["a", "b"][i % 2];
                    turns.alone(machine, || {
                        assert_eq!(at_work[i % 2].fetch_add(1, Ordering::SeqCst), 0);
                        let both = at_work.iter().map(|n| n.load(Ordering::SeqCst)).sum();
                        most.fetch_max(both, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(20));
                        at_work[i % 2].fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    })
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn long_work_waits_for_those_who_want_bundles() {
        let turns = Turns::default();
        turns.until_idle(&|| None).unwrap();
        let busy = turns.busy();
        let stopped = turns.until_idle(&|| Some(Error::Stopped(15))).unwrap_err();
        assert_eq!(stopped.exit_code(), Error::Stopped(15).exit_code());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.until_idle(&|| None));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            drop(busy);
            waiting.join().unwrap().unwrap();
        });
    }
}
