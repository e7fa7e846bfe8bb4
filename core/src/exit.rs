//! How every program ends: exit status by the kind of error, one line on stderr, never a backtrace.

use crate::Result;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// While [`contain`] runs: what the first panic says.
static CONTAINED: Mutex<Option<String>> = Mutex::new(None);

/// Runs a program's body. An error becomes `NAME: error: ...` on stderr and its exit status; a panic
/// (a bug, or a native library's exception) becomes one line and status 1.
pub fn run(name: &'static str, body: impl FnOnce() -> Result<()> + panic::UnwindSafe) -> ExitCode {
    panic::set_hook(Box::new(move |info| {
        let text = describe(info);
        match &mut *contained() {
            Some(first) if first.is_empty() => *first = text,
            Some(_) => {}
            None => eprintln!("{name}: internal error: {text}"),
        }
    }));
    match panic::catch_unwind(body) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("{name}: error: {error}");
            ExitCode::from(error.exit_code())
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn describe(info: &PanicHookInfo) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("unknown reason");
    let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
    format!("{}{place}", text.trim_end())
}

fn contained() -> MutexGuard<'static, Option<String>> {
    CONTAINED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a library that may panic on bad input, on any of its threads: its panic becomes an error's text, and nothing
/// is printed. For one thread of the program at a time.
pub fn contain<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    *contained() = Some(String::new());
    let done = panic::catch_unwind(panic::AssertUnwindSafe(work));
    let text = contained().take();
    done.map_err(|_| text.filter(|t| !t.is_empty()).unwrap_or_else(|| "unknown reason".into()))
}

/// Writes to stdout; a reader that has gone away (`| head`) ends the program quietly with status 0.
pub fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
