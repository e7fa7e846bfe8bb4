//! One error type for core, and the exit status that each kind of error becomes.

use crate::text::format;
use std::path::{Path, PathBuf};

/// What went wrong, with the file, key or node it went wrong at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is missing, damaged or not what it should be. Exit status 2.
    #[error("{}: {what}", format::path(path))]
    Input {
        /// The file or folder at fault.
        path: PathBuf,
        /// What was found there and what was wanted.
        what: String,
    },
    /// A value given by the user (flag, key, name) is wrong. Exit status 2.
    #[error("{0}")]
    Usage(String),
    /// The operating system refused to read or write. Exit status 2.
    #[error("{}: cannot {action}: {source}", format::path(path))]
    Io {
        /// The file or folder at fault.
        path: PathBuf,
        /// What was attempted ("read", "create", ...).
        action: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The work itself failed or a gate was missed. Exit status 1.
    #[error("{0}")]
    Failed(String),
    /// The work is done, but its words could not be written to stdout. Exit status 1.
    #[error("standard output: cannot write: {0}")]
    Stdout(std::io::Error),
    /// A backend or device is not available here. Exit status 3.
    #[error("{0}")]
    Unavailable(String),
    /// Stopped by a signal after saving. Exit status 128 + signal.
    #[error("stopped by signal {0}; progress is saved")]
    Interrupted(i32),
    /// Stopped by a signal; there was nothing to save. Exit status 128 + signal.
    #[error("stopped by signal {0}")]
    Stopped(i32),
}

/// Core's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A damaged or unfit file: `what` says what was found and what was wanted.
    pub fn input(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Self::Input { path: path.as_ref().to_owned(), what: what.into() }
    }

    /// A wrong flag, key or name.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    /// An operating-system error while doing `action` on `path`.
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), action, source }
    }

    /// The process's exit status for this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input { .. } | Self::Usage(_) | Self::Io { .. } => 2,
            Self::Failed(_) | Self::Stdout(_) => 1,
            Self::Unavailable(_) => 3,
            Self::Interrupted(signal) | Self::Stopped(signal) => u8::try_from(128 + signal).unwrap_or(1),
        }
    }
}
