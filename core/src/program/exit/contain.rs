//! A dependency's panic stops here: it becomes the text of an error.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

thread_local! {
    /// While this thread contains: what its first panic says, once there is one.
    static MINE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What panicked on threads that contain nothing themselves, while others did: a library's own threads.
static STRAYS: Mutex<Strays> = Mutex::new(Strays { containing: 0, texts: Vec::new() });

struct Strays {
    /// How many calls of [`contain`] are under way.
    containing: usize,
    texts: Vec<String>,
}

fn strays() -> MutexGuard<'static, Strays> {
    STRAYS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts our hook before the one that is there, once.
pub(super) fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !keep(info) {
                before(info);
            }
        }));
    });
}

/// Whether somebody contains this panic; its text is kept for them.
fn keep(info: &PanicHookInfo) -> bool {
    let text = super::describe(info);
    let mine = MINE.try_with(|mine| {
        let Ok(mut mine) = mine.try_borrow_mut() else { return false };
        let containing = mine.as_mut().map(|first| {
            if first.is_empty() {
                first.clone_from(&text);
            }
        });
        containing.is_some()
    });
    if mine.unwrap_or(false) {
        return true;
    }
    let mut strays = strays();
    if strays.containing > 0 {
        strays.texts.push(text);
    }
    strays.containing > 0
}

/// Runs a library that may panic on bad input, on any of its threads: its panic becomes an error's text with its place,
/// and nothing is printed. Several threads may contain at once; a call within another is a part of it.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    watch();
    strays().containing += 1;
    let outer = MINE.replace(Some(String::new()));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    let mine = MINE.replace(outer).filter(|text| !text.is_empty());
    let mut strays = strays();
    strays.containing -= 1;
    let result = done.map_err(|payload| {
        let text = payload_text(payload.as_ref());
        // A pool hands the panic of one of its threads on: the same text, whose place the hook has seen.
        let theirs = strays.texts.iter().find(|stray| stray.starts_with(&text)).cloned();
        mine.or(theirs).unwrap_or(text)
    });
    if strays.containing == 0 {
        strays.texts.clear();
    }
    result
}

/// Returns what a panic says.
pub(super) fn payload_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("unknown reason").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn a_panic_becomes_text_with_its_place() {
        assert_eq!(contain(|| 3), Ok(3));
        let text = contain(|| panic!("bad pad")).unwrap_err();
        assert!(text.starts_with("bad pad (") && text.contains("contain.rs:"), "{text}");
        let text = contain(|| {
            assert!(contain(|| panic!("inner")).unwrap_err().starts_with("inner"));
            panic!("outer");
        });
        assert!(text.unwrap_err().starts_with("outer"));
    }

    #[test]
    fn a_library_s_thread_is_contained_too() {
        let text = contain(|| {
            let thread = std::thread::spawn(|| panic!("on a thread of its own"));
            thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload));
        });
        let text = text.unwrap_err();
        assert!(text.starts_with("on a thread of its own (") && text.contains("contain.rs:"), "{text}");
    }

    /// Each of many threads at once gets its own panic's text, and those that succeed get none.
    #[test]
    fn several_threads_contain_at_once() {
        const THREADS: usize = 8;
        let together = Barrier::new(THREADS);
        let one = |i: usize| {
            for round in 0..20 {
                together.wait();
                let done = contain(|| {
                    together.wait();
                    assert!(i.is_multiple_of(2), "thread {i} round {round}");
                    i
                });
                match done {
                    Ok(found) => assert!(found == i && i.is_multiple_of(2)),
                    Err(text) => assert!(text.starts_with(&format!("thread {i} round {round} (")), "{text}"),
                }
            }
        };
        std::thread::scope(|scope| (0..THREADS).for_each(|i| drop(scope.spawn(move || one(i)))));
    }
}
