//! How every program ends: exit status by the kind of error, one line on stderr, never a backtrace.

use crate::Result;
use std::panic;
use std::process::ExitCode;

/// Runs a program's body. An error becomes `NAME: error: ...` on stderr and its exit status; a panic
/// (a bug, or a native library's exception) becomes one line and status 1.
pub fn run(name: &'static str, body: impl FnOnce() -> Result<()> + panic::UnwindSafe) -> ExitCode {
    panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("unknown reason");
        let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        eprintln!("{name}: internal error: {}{place}", text.trim_end());
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

/// Writes to stdout; a reader that has gone away (`| head`) ends the program quietly with status 0.
pub fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
