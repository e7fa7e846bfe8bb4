//! One error type for all crates: one line for people, fields for programs ([`Error::kind`], [`Error::file`],
//! [`Error::node`], [`Error::shapes`], and the source), and the exit status that each kind becomes.

use crate::text::format;
use std::path::{Path, PathBuf};

/// This says what kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file is not what it should be.
    Input,
    /// A value that the user gave is wrong.
    Usage,
    /// The operating system refused.
    Io,
    /// The work failed, or a gate was missed.
    Failed,
    /// The work is done, its words could not be told.
    Output,
    /// A backend or device is not there.
    Unavailable,
    /// A signal came.
    Stopped,
}

/// This is a node of a model file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAt {
    /// In the file's order, from 0.
    pub index: usize,
    /// Its name, which may be empty.
    pub name: String,
    /// ONNX's operator.
    pub operator: String,
}

impl std::fmt::Display for NodeAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} `{}` ({})", self.index, self.name, self.operator)
    }
}

/// This is a tensor's name, element type and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeOf {
    /// Of the input or output.
    pub name: String,
    /// ONNX's name: `float`, `uint8`.
    pub element: &'static str,
    /// Row-major.
    pub shape: Vec<usize>,
}

impl std::fmt::Display for ShapeOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {:?}", self.name, self.element, self.shape)
    }
}

/// This says what went wrong, with the file, key or node it went wrong at.
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
    /// A node of a model file cannot be computed here. Exit status 2.
    #[error("{}: {node}: {what}", format::path(path))]
    Node {
        /// The model's file.
        path: PathBuf,
        /// Which node.
        node: Box<NodeAt>,
        /// Why not.
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
    /// A loaded model failed on its inputs. Exit status 1.
    #[error("{}: {what}{}", format::path(path), with(inputs))]
    Run {
        /// The model's file.
        path: PathBuf,
        /// What the backend said.
        what: String,
        /// What it was given, where that is known.
        inputs: Vec<ShapeOf>,
    },
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

/// ` (with image float [1, 3, 224, 224])`, or nothing.
fn with(inputs: &[ShapeOf]) -> String {
    match inputs {
        [] => String::new(),
        all => format!(" (with {})", all.iter().map(ShapeOf::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// This is the result of what can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes the error of a damaged or unfit file: `what` says what was found and what was wanted.
    pub fn input(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Self::Input { path: path.as_ref().to_owned(), what: what.into() }
    }

    /// Makes the error of a wrong flag, key or name.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    /// Makes an operating-system error while doing `action` on `path`.
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), action, source }
    }

    /// Returns what kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Input { .. } | Self::Node { .. } => Kind::Input,
            Self::Usage(_) => Kind::Usage,
            Self::Io { .. } => Kind::Io,
            Self::Failed(_) | Self::Run { .. } => Kind::Failed,
            Self::Stdout(_) => Kind::Output,
            Self::Unavailable(_) => Kind::Unavailable,
            Self::Interrupted(_) | Self::Stopped(_) => Kind::Stopped,
        }
    }

    /// Returns the file or folder at fault.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Input { path, .. }
            | Self::Node { path, .. }
            | Self::Io { path, .. }
            | Self::Run { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Returns the node of the file at fault.
    pub fn node(&self) -> Option<&NodeAt> {
        if let Self::Node { node, .. } = self { Some(node) } else { None }
    }

    /// Returns what a model was given when it failed.
    pub fn shapes(&self) -> &[ShapeOf] {
        if let Self::Run { inputs, .. } = self { inputs } else { &[] }
    }

    /// Returns the process's exit status for this error.
    pub fn exit_code(&self) -> u8 {
        match self.kind() {
            Kind::Input | Kind::Usage | Kind::Io => 2,
            Kind::Failed | Kind::Output => 1,
            Kind::Unavailable => 3,
            Kind::Stopped => match self {
                Self::Interrupted(signal) | Self::Stopped(signal) => u8::try_from(128 + signal).unwrap_or(1),
                _ => 1,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line for people, the same in parts for programs.
    #[test]
    fn an_error_has_its_fields() {
        let node = NodeAt { index: 3, name: "c".into(), operator: "Conv".into() };
        let error = Error::Node { path: "m.onnx".into(), node: Box::new(node.clone()), what: "no".into() };
        assert_eq!(error.to_string(), "m.onnx: node 3 `c` (Conv): no");
        assert_eq!((error.kind(), error.exit_code()), (Kind::Input, 2));
        assert_eq!((error.file(), error.node()), (Some(Path::new("m.onnx")), Some(&node)));
        let shape = ShapeOf { name: "x".into(), element: "uint8", shape: vec![1, 2] };
        let error = Error::Run { path: "m.onnx".into(), what: "no".into(), inputs: vec![shape.clone()] };
        assert_eq!(error.to_string(), "m.onnx: no (with x uint8 [1, 2])");
        assert_eq!((error.kind(), error.exit_code(), error.shapes()), (Kind::Failed, 1, &[shape][..]));
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Error::io("a/b", "read", source);
        assert!(std::error::Error::source(&error).is_some() && error.node().is_none());
        assert_eq!(Error::Stopped(15).exit_code(), 143);
    }
}
