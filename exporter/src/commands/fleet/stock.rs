//! What is made here for the devices: kits, and bundles, each once however many devices want it.

use super::station::{Shop, short_hash};
use crate::candidates::timing::{Timed, predicted};
use crate::commands::export;
use crate::commands::kit;
use crate::plan::ExportPlan;
use crate::students::{Skipped, Student};
use gtn_core::artifacts::bundle::{Bundle, MANIFEST};
use gtn_core::artifacts::kit::Kit;
use gtn_core::device;
use gtn_core::error::Kind;
use gtn_core::io::artifact;
use gtn_core::ir::arch::{ArchSpec, Input};
use gtn_core::latency::MIN_NETWORKS;
use gtn_core::latency::select::StudentCandidate;
use gtn_core::nets::pool;
use gtn_core::program::exit;
use gtn_core::{Error, Precision, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Said in a bundle's report: which device's limits it was chosen by is not the bundle's business.
const DECIDED: &str = "chosen for a fleet";
/// Pixels a side from which on a network is one for photographs.
const PHOTOS: usize = 64;
/// Whole networks of a pool in a kit.
const NETWORKS: u8 = 10;

/// This is what there is to choose from, and what is made of it.
pub struct Stock<'a> {
    /// What all devices share.
    pub shop: &'a Shop,
    /// The students.
    pub students: &'a [Student],
    /// The folder that they were found in.
    pub runs: &'a Path,
    /// This machine, as [`super::turns::Turns`] knows it.
    pub here: &'a str,
}

/// This is a bundle that is there.
#[derive(Debug, Clone)]
pub struct Stocked {
    /// From the result's folder on.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// SHA-256 of its model.onnx.
    pub model_sha256: String,
}

/// This says why there is no bundle.
pub enum NoBundle {
    /// The student cannot be shipped in that precision: another may.
    Unfit(String),
    /// Nothing can be made at all, or this run was stopped.
    Broken(Error),
}

impl Stock<'_> {
    /// Students by what they take in and tell apart: a kit is for one of these.
    pub fn kinds(&self) -> Vec<(Input, usize)> {
        let mut kinds: Vec<(Input, usize)> = Vec::new();
        for student in self.students {
            let kind = (student.arch.input, student.arch.classes);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// The kit of a device's profile for one kind of students: their pools, and those networks that are of no known pool.
    pub fn kit(&self, plan: &ExportPlan, kind: (Input, usize)) -> Result<Kit> {
        let mut pools = BTreeSet::new();
        let mut archs: BTreeMap<String, ArchSpec> = BTreeMap::new();
        for student in self.students.iter().filter(|s| (s.arch.input, s.arch.classes) == kind) {
            match student.pool.as_ref().filter(|name| pool::names().contains(name)) {
                Some(name) => drop(pools.insert(name.clone())),
                None => drop(archs.insert(artifact::to_json(&student.arch)?, student.arch.clone())),
            }
        }
        if pools.is_empty() && archs.len() < MIN_NETWORKS {
            // Somebody's students must show how far off a prediction may be.
            let usual = if kind.0.height < PHOTOS { "mbv2-mini" } else { "mbv2-photo" };
            pools.insert(usual.to_owned());
        }
        let pools: Vec<String> = pools.into_iter().collect();
        let profile = plan.device.to_toml()?;
        let precisions = Precision::list(&plan.precisions);
        let about =
            [profile, precisions, format!("{kind:?}"), pools.join(" "), archs.keys().cloned().collect()];
        let name = format!("kits/{}-{}.gtnkit", plan.device.name, short_hash(&about));
        let path = self.shop.out.join(&name);
        self.shop.turns.alone(self.here, || {
            if !path.join(MANIFEST).is_file() {
                exit::note(&format!("making {}", path.display()));
                let request = kit::Request {
                    device: plan.device.clone(),
                    pools: pools.iter().map(|name| pool::resolve(name)).collect::<Result<_>>()?,
                    archs: archs.into_values().collect(),
                    input: kind.0,
                    classes: kind.1,
                    precisions: plan.precisions.iter().copied().collect(),
                    networks: NETWORKS,
                    seed: 0,
                };
                kit::make(&request, &path)?;
            }
            Kit::open(&path)
        })
    }

    /// How long every student takes by these tables, one for each kind of students, or by the profile.
    pub fn timed(&self, plan: &ExportPlan, tables: &[((Input, usize), PathBuf)]) -> Result<Timed> {
        if tables.is_empty() {
            return predicted(plan, None, &self.students.iter().collect::<Vec<_>>());
        }
        let mut all = Timed::default();
        for (kind, table) in tables {
            let of: Vec<&Student> =
                self.students.iter().filter(|s| (s.arch.input, s.arch.classes) == *kind).collect();
            let timed = predicted(plan, Some(table), &of)?;
            all.candidates.extend(timed.candidates);
            all.skipped.extend(timed.skipped);
        }
        Ok(all)
    }

    /// The bundle of a student in one precision for a device's profile: made, unless it is there.
    pub fn bundle(&self, plan: &ExportPlan, chosen: &StudentCandidate) -> Result<Stocked, NoBundle> {
        let student = PathBuf::from(&chosen.dir);
        let plan = ExportPlan { table: None, ..plan.of_precision(chosen.precision) };
        let key = self.key(&plan, &student).map_err(NoBundle::Broken)?;
        let name = self.name(&plan, &student).map_err(NoBundle::Broken)?;
        let name = format!("bundles/{name}.gtn");
        let path = self.shop.out.join(&name);
        self.shop
            .turns
            .alone(self.here, || Ok(self.made(&plan, (&student, &key), &name, &path)))
            .map_err(NoBundle::Broken)?
    }

    fn made(
        &self,
        plan: &ExportPlan,
        (student, key): (&Path, &str),
        name: &str,
        path: &Path,
    ) -> Result<Stocked, NoBundle> {
        let ledger = &self.shop.ledger;
        if let Some(why) = ledger.get(|done| done.unfit.get(key).cloned()) {
            return Err(NoBundle::Unfit(why));
        }
        let there = ledger.get(|done| done.bundles.get(name).is_some_and(|of| of == key));
        if !there || !path.join(MANIFEST).is_file() {
            exit::note(&format!("exporting {} for {}", student.display(), plan.device.name));
            let begun = std::time::Instant::now();
            let made = export::make(plan, student, path, Some(DECIDED)).map(drop);
            let seconds = begun.elapsed().as_secs_f64();
            let unfit = match made {
                Ok(()) => None,
                // By its own figures: it will be so the next time, too.
                Err(e) if e.kind() == Kind::Failed => Some(e.to_string()),
                // Its files, or what was said of its data: that can be mended.
                Err(e) if matches!(e.kind(), Kind::Input | Kind::Usage) => {
                    return Err(NoBundle::Unfit(e.to_string()));
                }
                Err(e) => return Err(NoBundle::Broken(e)),
            };
            let noted = ledger.note(|done| {
                done.seconds.insert(name.to_owned(), seconds);
                match &unfit {
                    Some(why) => drop(done.unfit.insert(key.to_owned(), why.clone())),
                    None => drop(done.bundles.insert(name.to_owned(), key.to_owned())),
                }
            });
            noted.map_err(NoBundle::Broken)?;
            if let Some(why) = unfit {
                return Err(NoBundle::Unfit(why));
            }
        }
        let bundle = Bundle::open(path).map_err(NoBundle::Broken)?;
        let model_sha256 = artifact::sha256(&bundle.model);
        Ok(Stocked { name: name.to_owned(), path: path.to_owned(), model_sha256 })
    }

    /// What a bundle is of: another student, profile or way of making it is another bundle.
    fn key(&self, plan: &ExportPlan, student: &Path) -> Result<String> {
        let mut about = vec![env!("CARGO_PKG_VERSION").to_owned(), plan.device.to_toml()?];
        for file in ["arch.json", "train.json", "weights.safetensors", "golden.safetensors"] {
            about.push(artifact::sha256_file(&student.join(file))?);
        }
        let ExportPlan { precisions, data, int8, eval_set, samples, .. } = plan;
        about.push(format!("{precisions:?} {data:?} {int8:?} {eval_set} {samples:?}"));
        Ok(short_hash(&about))
    }

    /// A bundle's name: the student's folder below RUNS, the profile, the precision.
    fn name(&self, plan: &ExportPlan, student: &Path) -> Result<String> {
        let below = student.strip_prefix(self.runs).unwrap_or(student);
        let parts = below.iter().map(|part| part.to_string_lossy().into_owned());
        let mut name = parts.filter(|part| part != "/").collect::<Vec<_>>().join("-");
        if name.is_empty() {
            name = "student".into(); // RUNS is the student's own folder
        }
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        name = name.trim_start_matches('.').chars().map(plain).collect();
        // A profile of one's own may have the name of another.
        let profile = plan.device.to_toml()?;
        let known = device::resolve(&plan.device.name).and_then(|known| known.to_toml());
        let own = match known.is_ok_and(|known| known == profile) {
            true => String::new(),
            false => format!("-{}", short_hash(&[profile])),
        };
        Ok(format!("{name}-{}{own}-{}", plan.device.name, Precision::list(&plan.precisions)))
    }
}

/// Students whose latency cannot be told, a line each.
pub fn unknown(skipped: &[Skipped]) -> impl Iterator<Item = String> + '_ {
    skipped.iter().map(|s| format!("{}: {}", s.dir, s.why))
}
