//! What is kept on disk between runs, for one adapter with one driver: compiled pipelines, and the kernels that
//! `gtn-run tune` chose for a model. A cache is never needed: what it does not hold is made anew.

use crate::backend::Kernels;
use crate::gpu::exec::adapter::Gpu;
use gtn_core::Result;
use gtn_core::io::artifact;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// First line of a file of pipelines, which the SHA-256 of the rest follows in a line of its own.
const MAGIC: &str = "gtn.pipelines/1";
/// Larger files are neither read nor written.
const MOST_BYTES: usize = 64 << 20;
const CHOICE_SCHEMA: &str = "gtn.kernels/1";

/// Returns where programs keep it: `$XDG_CACHE_HOME/gtn-run`, or `~/.cache/gtn-run`. Returns `None` where
/// neither is known.
pub fn default_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let dir = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(dir.join("gtn-run"))
}

/// Names an adapter with its driver, and this program's wgpu: anything else must not share its files.
pub fn key(info: &wgpu::AdapterInfo, version: &str) -> String {
    let all = format!(
        "{} {:?} {} {} {} {} {}",
        info.name, info.backend, info.vendor, info.device, info.driver, info.driver_info, version
    );
    artifact::sha256(all.as_bytes()).chars().take(16).collect()
}

/// These are compiled pipelines and their file.
pub struct Pipelines {
    /// What the driver compiles into.
    pub cache: wgpu::PipelineCache,
    path: PathBuf,
    /// As it was read.
    read: Vec<u8>,
}

impl Pipelines {
    /// Opens the adapter's file in `dir`, or an empty cache. Returns `None` without `dir`, and where the
    /// adapter keeps no pipelines.
    pub fn open(gpu: &Gpu, dir: Option<&Path>, version: &str) -> Result<Option<Self>> {
        let Some(dir) = dir.filter(|_| gpu.device.features().contains(wgpu::Features::PIPELINE_CACHE)) else {
            return Ok(None);
        };
        let path = dir.join(format!("pipelines-{}.bin", key(&gpu.info, version)));
        let read = artifact::read_at_most(&path, MOST_BYTES as u64 + 1024);
        let read = read.ok().and_then(|bytes| unwrap(&bytes)).unwrap_or_default();
        let cache = gpu.scoped(|| {
            let data = Some(&read[..]).filter(|d| !d.is_empty());
            let descriptor = wgpu::PipelineCacheDescriptor { label: Some("pipelines"), data, fallback: true };
            // SAFETY: the data is what `get_data` gave for this adapter, driver and version of wgpu: it is in the
            // file that only `save` writes, and its SHA-256 is right.
            unsafe { gpu.device.create_pipeline_cache(&descriptor) }
        })?;
        Ok(Some(Self { cache, path, read }))
    }

    /// Writes what has been compiled since, and returns what came of it, for people.
    pub fn save(&self) -> String {
        let path = self.path.display();
        let had = self.read.len();
        match self.cache.get_data() {
            Some(data) if data != self.read && data.len() <= MOST_BYTES => match write(&self.path, &data) {
                Ok(()) => format!("{path}: had {had} bytes, has {}", data.len()),
                Err(e) => format!("had {had} bytes; not written: {e}"),
            },
            _ => format!("{path}: {had} bytes"),
        }
    }
}

fn write(path: &Path, data: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        artifact::create_dir(dir)?;
    }
    artifact::write_atomic(path, &wrap(data))
}

fn wrap(data: &[u8]) -> Vec<u8> {
    let header = format!("{MAGIC}\n{}\n", artifact::sha256(data));
    [header.as_bytes(), data].concat()
}

/// The data of a whole and unchanged file.
fn unwrap(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut parts = bytes.splitn(3, |&b| b == b'\n');
    let (magic, sha, data) = (parts.next()?, parts.next()?, parts.next()?);
    let good =
        magic == MAGIC.as_bytes() && data.len() <= MOST_BYTES && sha == artifact::sha256(data).as_bytes();
    good.then(|| data.to_vec())
}

/// The kernels chosen for a model.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TunedKernels {
    schema: String,
    kernels: String,
}

/// The file of a choice.
fn choice_path(dir: &Path, key: &str, model_sha256: &str, batch: usize) -> PathBuf {
    let sha: String = model_sha256.chars().take(16).collect();
    dir.join(format!("kernels-{key}-{sha}-{batch}.json"))
}

/// Returns the kernels chosen for a model on an adapter, if any were.
pub fn chosen(dir: Option<&Path>, key: &str, model_sha256: &str, batch: usize) -> Option<Kernels> {
    let path = choice_path(dir?, key, model_sha256, batch);
    let choice: TunedKernels = artifact::read_schema(&path, CHOICE_SCHEMA).ok()?;
    Kernels::named(&choice.kernels)
}

/// Keeps a choice of kernels, and returns its file.
pub fn choose(dir: &Path, key: &str, model_sha256: &str, batch: usize, kernels: Kernels) -> Result<PathBuf> {
    let path = choice_path(dir, key, model_sha256, batch);
    artifact::create_dir(dir)?;
    let choice = TunedKernels { schema: CHOICE_SCHEMA.into(), kernels: kernels.name().into() };
    artifact::write_json(&path, &choice)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_no_cache() {
        let file = wrap(b"a\nb\n\nc");
        assert_eq!(unwrap(&file).as_deref(), Some(&b"a\nb\n\nc"[..]));
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert_eq!(unwrap(&changed), None, "byte {at}");
            assert_eq!(unwrap(&file[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_choice_is_read_back_for_its_model_only() {
        let dir = tempfile::tempdir().unwrap();
        choose(dir.path(), "k", "model", 1, Kernels::Tile).unwrap();
        assert_eq!(chosen(Some(dir.path()), "k", "model", 1), Some(Kernels::Tile));
        assert_eq!(chosen(Some(dir.path()), "k", "other", 1), None);
        assert_eq!(chosen(Some(dir.path()), "k", "model", 2), None);
        assert_eq!(chosen(None, "k", "model", 1), None);
    }
}
