//! How every program ends and speaks: exit status by the kind of error, one line on stderr, never a backtrace; answers
//! on stdout.

mod contain;

pub use contain::contain;

use crate::text::format;
use crate::{Error, Result};
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Characters of a line on stderr: two or three lines of a terminal.
const MOST: usize = 300;

/// The program's name, for its messages.
static NAME: OnceLock<&'static str> = OnceLock::new();

/// Runs a program's body. An error becomes `NAME: error: ...` on stderr and its exit status; a panic
/// (a bug, or a native library's exception) becomes one line and status 1.
pub fn run(name: &'static str, body: impl FnOnce() -> Result<()> + panic::UnwindSafe) -> ExitCode {
    let _ = NAME.set(name); // a second call can only be a test's
    panic::set_hook(Box::new(|info| tell(&format!("internal error: {}", describe(info)))));
    contain::watch();
    match panic::catch_unwind(body) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            complain(&error);
            ExitCode::from(error.exit_code())
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Tells an error that does not end the program: `NAME: error: ...` on stderr, in one line of bounded length.
pub fn complain(error: &Error) {
    tell(&format!("error: {error}"));
}

/// Returns the outcome of several items, of which these failed: each is told on stderr, the last of them as the
/// program's own error.
pub fn all_told(errors: Vec<Error>) -> Result<()> {
    let mut errors = errors.into_iter();
    let last = errors.next_back();
    errors.for_each(|e| complain(&e));
    last.map_or(Ok(()), Err)
}

/// `NAME: ...` on stderr.
fn tell(text: &str) {
    let name = NAME.get().copied().unwrap_or("gtn");
    note(&format!("{name}: {text}"));
}

/// Writes one line to stderr, escaped and of bounded length. A stderr that cannot be written is no reason to
/// stop working.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", line(text));
}

fn line(text: &str) -> String {
    format::shorten(&format::escape(text), MOST)
}

/// Returns the work's outcome, whatever became of its words. Where both failed, what could not be told is an
/// error of its own on stderr, and the work's error is returned.
pub fn work_first(work: Result<()>, told: Result<()>) -> Result<()> {
    match (work, told) {
        (Err(work), Err(told)) => {
            complain(&told);
            Err(work)
        }
        (work, told) => work.and(told),
    }
}

fn describe(info: &PanicHookInfo) -> String {
    let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
    format!("{}{place}", contain::payload_text(info.payload()))
}

/// Writes text to stdout; control characters other than line breaks are shown, not sent. A reader that has gone away
/// (`| head`) is none of the work's concern; any other failure is an error with status 1.
pub fn print(text: &str) -> Result<()> {
    Own::Output.write(format::escape_lines(text).as_bytes()).map_err(Error::Stdout)
}

/// This is one of this process's own streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// stdout
    Output,
    /// stderr
    Messages,
}

impl Own {
    /// Writes all bytes at once; a closed pipe takes them as well.
    pub(crate) fn write(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Output => write_all(io::stdout().lock(), bytes),
            Self::Messages => write_all(io::stderr().lock(), bytes),
        }
    }
}

/// Writes all bytes; that nobody reads them any more is no failure.
pub(crate) fn write_all(mut out: impl Write, bytes: &[u8]) -> io::Result<()> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_and_bounded() {
        assert_eq!(line("a\nb\x1b[31m"), "a\\nb\\x1b[31m");
        let long = line(&format!("model.onnx: {} is wrong", "\n".repeat(100_000)));
        assert!(long.starts_with("model.onnx: \\n") && long.ends_with("is wrong"), "{long}");
        assert!(long.chars().count() <= MOST, "{long}");
    }

    #[test]
    fn the_work_s_status_comes_first() {
        let work = || Err(Error::usage("work"));
        let words = || Err(Error::Failed("words".into()));
        let code = |work, told| work_first(work, told).map_err(|e| (e.exit_code(), e.to_string()));
        assert_eq!(code(work(), words()), Err((2, "work".into())));
        assert_eq!(code(work(), Ok(())), Err((2, "work".into())));
        assert_eq!(code(Ok(()), words()), Err((1, "words".into())));
        assert_eq!(code(Ok(()), Ok(())), Ok(()));
    }

    /// Takes some bytes, then fails.
    struct Full(io::ErrorKind);

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
        assert!(write_all(Full(io::ErrorKind::BrokenPipe), b"x").is_ok());
        assert!(write_all(Full(io::ErrorKind::StorageFull), b"x").is_err());
    }
}
