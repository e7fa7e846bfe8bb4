//! A runtime in a process of its own. It loads the model and says, a line each: its version, what it
//! computes on. Then it reads lines of seconds; for each it runs one inference that is not timed, and others
//! for at least so long (at least three), and answers with a line of their median in nanoseconds and the
//! logits of the last one. What it complains of goes to a file.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

/// A loaded model.
pub struct Child {
    /// The runtime's.
    pub version: String,
    /// What it computes on, in its words.
    pub adapter: String,
    process: std::process::Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    complaints: PathBuf,
}

impl Child {
    /// Starts it and waits until it has loaded the model; an error is its own last words.
    pub fn start(command: &mut Command, complaints: &Path) -> Result<Self, String> {
        let file = fs::File::create(complaints).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file).env("RUST_BACKTRACE", "0");
        let mut process = command.spawn().map_err(|e| format!("{:?}: {e}", command.get_program()))?;
        let (asks, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut child = Self {
            version: String::new(),
            adapter: String::new(),
            process,
            asks,
            answers: BufReader::new(answers),
            complaints: complaints.into(),
        };
        child.version = child.line()?;
        child.adapter = child.line()?;
        Ok(child)
    }

    /// p50 of inferences one after the other, ms, and logits.
    pub fn measure(&mut self, seconds: f64) -> Result<(f64, Vec<f32>), String> {
        if writeln!(self.asks, "{seconds}").is_err() {
            return Err(self.last_words());
        }
        let line = self.line()?;
        let (p50, logits) = line.split_once(' ').unwrap();
        let logits = logits.split_whitespace().map(|v| v.parse().unwrap()).collect();
        Ok((p50.parse::<f64>().unwrap() / 1e6, logits))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(n) if n > 0 => Ok(line.trim().to_owned()),
            _ => Err(self.last_words()),
        }
    }

    /// Its last line of complaint; after a panic's message Rust has one on backtraces.
    fn last_words(&mut self) -> String {
        let status = self.process.wait().unwrap();
        let text = fs::read(&self.complaints).unwrap();
        let text = String::from_utf8_lossy(&text);
        let told = |l: &&str| !l.is_empty() && !l.starts_with("note: ");
        let line = text.lines().map(str::trim).rfind(told).unwrap_or_default();
        format!("{status}: {line}")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill(); // its work is done
        let _ = self.process.wait();
    }
}
