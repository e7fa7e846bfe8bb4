//! The Raspberry Pi 5's power chip, as `vcgencmd pmic_read_adc` tells: a current and a voltage for each of about
//! twelve rails. What hangs on the 5 V input directly (USB devices, the fan) has no current here, and the
//! converters' own losses are not in it.

use super::{Meter, Reader, Scope};
use crate::host::sysfs::text;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Where Raspberry Pi OS has the program.
const PROGRAM: &str = "usr/bin/vcgencmd";
/// The program answers in a few milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of an answer at most; it has about 1,000.
const LONGEST: u64 = 1 << 16;

/// Returns the watts of an answer of `vcgencmd pmic_read_adc`: current times voltage, summed over the rails that
/// have both (`NAME_A` and `NAME_V`). It is `None` where no rail has both, where one with a current has no
/// voltage (a text cut short: the sum would be too small), and where a number is none or negative.
pub fn parse(text: &str) -> Option<f64> {
    let (mut amperes, mut volts) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let Some((name, value)) =
            line.trim().split_once(' ').zip(line.split_once('=')).map(|(n, v)| (n.0, v.1))
        else {
            continue;
        };
        let (rails, unit) = match name.rsplit_once('_') {
            Some((rail, "A")) => (&mut amperes, (rail, 'A')),
            Some((rail, "V")) => (&mut volts, (rail, 'V')),
            _ => continue,
        };
        let number: f64 = value.trim().strip_suffix(unit.1)?.parse().ok()?;
        if !(number.is_finite() && number >= 0.0) || rails.iter().any(|(rail, _)| *rail == unit.0) {
            return None;
        }
        rails.push((unit.0, number));
    }
    if amperes.is_empty() {
        return None;
    }
    amperes
        .iter()
        .map(|(rail, a)| volts.iter().find(|(other, _)| other == rail).map(|(_, v)| a * v))
        .sum::<Option<f64>>()
        .filter(|watts| watts.is_finite())
}

/// Runs `command pmic_read_adc` and returns what it says; it is stopped after `patience`.
pub(super) fn run(command: &Path, patience: Duration) -> Result<String, String> {
    let shown = crate::text::format::path(command);
    let mut child = Command::new(command)
        .arg("pmic_read_adc")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("{shown} cannot be run: {e}"))?;
    let (sender, answer) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        // A thread of its own: a read has no time limit.
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(LONGEST).read_to_end(&mut bytes);
            sender.send(read.map(|_| bytes)).ok()
        });
    }
    let answer = answer.recv_timeout(patience);
    // Whoever has answered has ended, or has nothing more to say; its status says no more than its text does.
    child.kill().ok();
    child.wait().ok();
    match answer {
        Ok(Ok(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(Err(error)) => Err(format!("{shown} cannot be read: {error}")),
        Err(_) => Err(format!("{shown} gave no answer within {} s", patience.as_secs_f64())),
    }
}

/// The power chip of a Pi 5 or a board with its processor.
pub(super) fn find(root: &Path) -> Result<Vec<Meter>, String> {
    let model = text(root, "proc/device-tree/model").unwrap_or_default();
    let model = model.trim_matches(['\0', '\n', ' ']);
    let has = ["Raspberry Pi 5", "Compute Module 5", "Raspberry Pi 500"];
    if !has.iter().any(|board| model.contains(board)) {
        let found = if model.is_empty() { "none".into() } else { format!("`{model}`") };
        return Err(format!("PMIC: proc/device-tree/model is {found}, wanted a Raspberry Pi 5"));
    }
    let command: PathBuf = root.join(PROGRAM);
    let answer = run(&command, PATIENCE).map_err(|why| format!("PMIC: {why}"))?;
    if parse(&answer).is_none() {
        let start: String = answer.trim().chars().take(60).collect();
        return Err(format!(
            "PMIC: {PROGRAM} pmic_read_adc says `{start}`, wanted currents and volts; the user must be in \
             the group video"
        ));
    }
    Ok(vec![Meter {
        source: "PMIC (vcgencmd pmic_read_adc)".into(),
        scope: Scope::Rails,
        interval: Duration::from_millis(500),
        step: 0.01,
        reader: Reader::Pmic(command),
    }])
}
