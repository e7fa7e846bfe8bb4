//! A kit (`NAME.gtnkit/`): the tiny models of a pool's fused operators and a few whole networks, and the
//! manifest that hashes them. gtn-export writes it, `gtn-run table` measures it on the device.

use crate::artifacts::files::{FileEntry, check_names, read_checked, unlisted};
use crate::io::artifact;
use crate::ir::arch::ArchSpec;
use crate::ir::fold::fold_graph;
use crate::ir::graph::Graph;
use crate::latency::fused_ops;
use crate::{Error, Precision, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// This is the schema of a kit's manifest.
pub const SCHEMA: &str = "gtn.kit/1";
/// This is the manifest's file name. The file is sealed (see [`artifact::seal`]).
pub const MANIFEST: &str = "manifest.json";
/// More than any pool needs; a manifest that asks for more is refused before it is worked on.
const MAX_MODELS: usize = 10_000;
/// Bytes of all models together: they are kept in memory while they are timed.
const MAX_BYTES: u64 = 2 << 30;

/// This is what a kit's manifest.json holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KitManifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// Device profile that it was written for.
    pub target: String,
    /// Student pools whose operators it holds.
    pub pools: Vec<String>,
    /// In a fixed order.
    pub ops: Vec<KitOp>,
    /// Drawn from the pools.
    pub networks: Vec<KitNetwork>,
    /// Every model.
    pub files: BTreeMap<String, FileEntry>,
}

/// This is one operator at one shape: it takes (time of `model` - time of `reference`) / `copies`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KitOp {
    /// [`crate::latency::FusedOp::key`].
    pub op: String,
    /// The tiny model that holds it.
    pub model: String,
    /// The same model without it; several operators may share one.
    pub reference: String,
    /// Times that the model holds it.
    pub copies: usize,
}

/// This is one whole network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KitNetwork {
    /// Which; its weights are random.
    pub arch: ArchSpec,
    /// What it computes in.
    pub precision: Precision,
    /// Its file.
    pub model: String,
}

/// This is an opened kit: every hash has been checked.
#[derive(Debug, Clone)]
pub struct Kit {
    /// Its folder.
    pub dir: PathBuf,
    /// manifest.json.
    pub manifest: KitManifest,
    /// Of manifest.json as it is on disk: it tells this kit from every other.
    pub sha256: String,
    /// Names of what lies in the folder beside it: no part of the kit, and never read.
    pub unlisted: Vec<String>,
    /// Every model's bytes by file name.
    pub models: BTreeMap<String, Vec<u8>>,
}

impl Kit {
    /// Opens and checks a kit. It is an error if a file is not what the manifest says; the first such file is
    /// named.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        if !path.is_file() {
            return Err(Error::input(dir, format!("is not a kit: it has no {MANIFEST}")));
        }
        let text = artifact::read_text(&path)?;
        let manifest: KitManifest = artifact::parse_schema(&artifact::unseal(&text, &path)?, &path, SCHEMA)?;
        manifest.check(&path)?;
        let read =
            |(name, entry): (&String, &FileEntry)| Ok((name.clone(), read_checked(&dir.join(name), entry)?));
        let models = manifest.files.iter().map(read).collect::<Result<_>>()?;
        let unlisted = unlisted(dir, &manifest.files, &[MANIFEST])?;
        let sha256 = artifact::sha256(text.as_bytes());
        Ok(Self { dir: dir.to_owned(), manifest, sha256, unlisted, models })
    }

    /// Keeps the models that `runs`, and what can be told by them: an operator whose model and reference are left, a
    /// network that is left with all of its operators.
    pub fn keep(&mut self, runs: &BTreeSet<String>) -> Result<()> {
        self.models.retain(|name, _| runs.contains(name));
        let is_there = |model: &String| runs.contains(model);
        let (mut gone, mut networks) = (BTreeSet::new(), Vec::new());
        self.manifest.ops.retain(|op| {
            let stays = is_there(&op.model) && is_there(&op.reference);
            if !stays {
                gone.insert(op.op.clone());
            }
            stays
        });
        for network in std::mem::take(&mut self.manifest.networks) {
            let ops = fused_ops(&fold_graph(&Graph::lower(&network.arch)?));
            let lacks = ops.iter().any(|op| gone.contains(&op.key(network.precision)));
            if is_there(&network.model) && !lacks {
                networks.push(network);
            }
        }
        self.manifest.networks = networks;
        Ok(())
    }
}

impl KitManifest {
    fn check(&self, path: &Path) -> Result<()> {
        let bad = |what: String| Err(Error::input(path, what));
        check_names(&self.files, &[], path)?;
        let bytes = self.files.values().fold(0u64, |sum, f| sum.saturating_add(f.size));
        if self.files.len() > MAX_MODELS || bytes > MAX_BYTES {
            return bad(format!(
                "files: {} models of {bytes} bytes, wanted at most 10000 of 2 GiB",
                self.files.len()
            ));
        }
        let mut seen = BTreeSet::new();
        for op in &self.ops {
            if !seen.insert(&op.op) {
                return bad(format!("ops: `{}` is there twice", op.op));
            }
            if !(1..=64).contains(&op.copies) {
                return bad(format!("ops: `{}` has copies {}, wanted 1 to 64", op.op, op.copies));
            }
        }
        for network in &self.networks {
            network.arch.validate().map_err(|e| Error::input(path, e.to_string()))?;
        }
        let named = self.ops.iter().flat_map(|o| [&o.model, &o.reference]);
        let named: BTreeSet<&String> = named.chain(self.networks.iter().map(|n| &n.model)).collect();
        if let Some(missing) = named.iter().find(|n| !self.files.contains_key(**n)) {
            return bad(format!("files lacks `{missing}`"));
        }
        match self.files.keys().find(|n| !named.contains(n)) {
            Some(extra) => bad(format!("files: `{extra}` belongs to no operator and no network")),
            None if named.is_empty() => bad("holds no models: there is nothing to measure".into()),
            None => Ok(()),
        }
    }
}
