//! The tools that reach another machine, as processes of their own.

use std::process::Command;

/// Puts a command into a process group of its own. Ctrl-C on the terminal is ours to act on: ssh and adb must
/// live to clean up over there.
pub fn apart(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}
