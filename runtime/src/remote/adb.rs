//! The system's `adb`: a shell on a phone. Wanted there: shell protocol 2 (Android 7 and later), which keeps stdout,
//! stderr and stdin apart and unchanged.

use std::process::Command;

/// This is a folder in which a shell on a phone may write and execute.
pub const STORE: &str = "/data/local/tmp/gtn-run";

/// Returns the command that has the device's shell run `script`.
pub fn command(serial: &str, script: &str) -> Command {
    let mut command = Command::new("adb");
    command.args(["-s", serial, "shell", "-T", script]);
    command
}

/// Returns why adb gave up, from what it wrote to stderr.
pub fn reason(stderr: &str) -> String {
    match stderr.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => line.trim().to_owned(),
        None => "the connection ended (adb says no more)".into(),
    }
}
