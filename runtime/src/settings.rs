//! `gtn.settings/1`: how to run on this kind of machine, as `gtn-run tune` found out.

use crate::backend::{Options, OrtOptions};
use gtn_core::host::Host;
use gtn_core::io::artifact;
use gtn_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// This is the schema of a settings file.
pub const SCHEMA: &str = "gtn.settings/1";

/// This is one way to run a model on a CPU: threads, spinning and pinning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threading {
    /// Compute threads.
    pub threads: usize,
    /// Idle compute threads wait busily.
    pub spin: bool,
    /// CPUs (`4-7`); none: all that the process may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
}

/// This is one way to run a model and what it measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriedThreading {
    /// The choice.
    pub choice: Threading,
    /// Median over the rounds of each round's median, ms.
    pub p50_ms: f64,
    /// Over the fastest choice's, from rounds measured in turn.
    pub ratio: f64,
    /// 95 % interval of it (signed-rank).
    pub ratio_ci95: [f64; 2],
}

/// A settings file holds the way to run one model that `gtn-run tune` found the best on one kind of machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedSettings {
    /// [`SCHEMA`].
    pub schema: String,
    /// `gtn-run 0.1.0`.
    pub program: String,
    /// What the host must be like ([`Host::kind`]).
    pub host: String,
    /// The model's name.
    pub model: String,
    /// SHA-256 of the model.
    pub model_sha256: String,
    /// Images per inference.
    pub batch: usize,
    /// What was chosen.
    pub choice: Threading,
    /// Why.
    pub why: String,
    /// All that was tried, fastest first.
    pub tried: Vec<TriedThreading>,
}

impl TunedSettings {
    /// Reads a file. It is an error if it was tuned on another kind of machine, or its threads are not 1 to
    /// 1024.
    pub fn read(path: &Path, host: &Host) -> Result<Self> {
        let settings: Self = artifact::read_schema(path, SCHEMA)?;
        if !(1..=1024).contains(&settings.choice.threads) {
            let what = format!("choice.threads is {}, wanted 1 to 1024", settings.choice.threads);
            return Err(Error::input(path, what));
        }
        let kind = host.kind();
        if settings.host != kind {
            let what = format!("was tuned on `{}`, this is `{kind}`: run gtn-run tune here", settings.host);
            return Err(Error::input(path, what));
        }
        Ok(settings)
    }
}

impl Threading {
    /// Returns `base` with these threads and this spinning. Pinning is left to the caller.
    pub fn options(&self, base: &Options) -> Options {
        let ort = OrtOptions { spin: Some(self.spin), ..base.ort.clone() };
        Options { threads: Some(self.threads), ort, ..base.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_and_mistakes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        let host = Host { cores: 4, board: Some("Pi".into()), ..Host::default() };
        let mut settings = TunedSettings {
            schema: SCHEMA.into(),
            program: "gtn-run 0".into(),
            host: host.kind(),
            model: "m".into(),
            model_sha256: "00".into(),
            batch: 1,
            choice: Threading { threads: 2, spin: false, pin: Some("0-1".into()) },
            why: "fastest".into(),
            tried: vec![],
        };
        artifact::write_json(&path, &settings).unwrap();
        assert_eq!(TunedSettings::read(&path, &host).unwrap(), settings);
        let other = Host { cores: 8, ..host.clone() };
        assert!(
            TunedSettings::read(&path, &other)
                .unwrap_err()
                .to_string()
                .contains("was tuned on `Pi, ?, 4 cores")
        );
        settings.choice.threads = 0;
        artifact::write_json(&path, &settings).unwrap();
        assert!(TunedSettings::read(&path, &host).unwrap_err().to_string().contains("choice.threads is 0"));
    }
}
