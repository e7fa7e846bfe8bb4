//! What `--backend auto` takes, and why: the first of the profile's backends that can run here. A GPU is taken only
//! where a profile says that it is the faster (docs/wgpu.md).

use crate::backend::budget::Budget;
use crate::backend::guard::Guarded;
use crate::backend::located;
use crate::backend::located::Located;
use crate::backend::ort::OrtBackend;
use crate::backend::ort::library;
use crate::backend::ort::providers::Providers;
#[cfg(feature = "rust")]
use crate::backend::rten::RtenBackend;
use crate::backend::{Backend, Kind, Options};
#[cfg(feature = "wgpu")]
use crate::gpu::WgpuBackend;
use crate::onnx::OnnxFile;
use gtn_core::{Error, Result};
use std::time::Instant;

/// Where no profile says otherwise.
const USUAL: [&str; 2] = ["ort", "rust"];

/// This is a backend and the reason for it, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenBackend {
    /// What computes.
    pub kind: Kind,
    /// Half a sentence.
    pub why: String,
}

impl ChosenBackend {
    /// Loads a model with the backend chosen, after judging the memory that its values take. A setting that the
    /// backend has no use for is a usage error.
    pub fn load(&self, file: &OnnxFile, options: &Options) -> Result<Box<dyn Backend>> {
        self.load_timed(file, options).map(|(backend, _)| backend)
    }

    /// Does what [`Self::load`] does, and also returns the milliseconds that the backend took for it.
    pub fn load_timed(&self, file: &OnnxFile, options: &Options) -> Result<(Box<dyn Backend>, f64)> {
        self.heeds(options)?;
        let path = file.path();
        let budget = Budget::check(file, options)?;
        let start = Instant::now();
        let backend = Guarded::load(budget, path, || self.load_unguarded(file, options));
        let backend = backend.map_err(|e| located::loading(path, e))?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        Ok((Box::new(Located::new(backend, path)), ms))
    }

    /// A setting that this backend has no use for would be without effect, and the numbers not what they say.
    fn heeds(&self, options: &Options) -> Result<()> {
        let (wgpu, ort) = (self.kind == Kind::Wgpu, self.kind == Kind::Ort);
        let unheeded = if !wgpu && options.wgpu.kernels.is_some() {
            "--kernels is backend wgpu's"
        } else if !ort && options.ort.spin.is_some() {
            "spinning (--spin, --settings) is ONNX Runtime's"
        } else if !ort && matches!(options.ort.providers, Providers::Named(_)) {
            "--ep is ONNX Runtime's"
        } else {
            return Ok(());
        };
        let name = self.kind.name();
        Err(Error::usage(format!("{unheeded}: not with backend {name} ({})", self.why)))
    }

    fn load_unguarded(&self, file: &OnnxFile, options: &Options) -> Result<Box<dyn Backend>> {
        let why = self.why.as_str();
        Ok(match self.kind {
            Kind::Ort => Box::new(OrtBackend::load(file, options, why)?),
            #[cfg(feature = "wgpu")]
            Kind::Wgpu => Box::new(WgpuBackend::load(file, options, why)?),
            #[cfg(feature = "rust")]
            Kind::Rust => Box::new(RtenBackend::load(file, options, why)?),
            #[cfg(not(all(feature = "wgpu", feature = "rust")))]
            other => {
                let what = format!("this program was built without backend {}", other.name());
                return Err(Error::Unavailable(what));
            }
        })
    }
}

/// Returns the backend that was asked for, or else the first of `backends` (a profile's names, best first) that
/// this program and system have. Where there is none, [`Error::Unavailable`] gives the reason against each.
/// ONNX Runtime that is there but unfit is an error of its own: going on without it would hide it.
pub fn choose(options: &Options, backends: Option<&[String]>) -> Result<ChosenBackend> {
    let asked = match (options.kind, &options.ort.providers) {
        (None | Some(Kind::Ort), Providers::Named(names)) => {
            Some((Kind::Ort, format!("--ep {}", names.join(","))))
        }
        (None, Providers::Cpu) => Some((Kind::Ort, "--ep cpu".into())),
        (None, _) if options.ort.library.is_some() => Some((Kind::Ort, "--ort-lib".into())),
        (None, _) => None,
        (Some(kind), _) => Some((kind, "asked for".into())),
    };
    if let Some((kind, why)) = asked {
        return Ok(ChosenBackend { kind, why });
    }
    let usual = USUAL.map(str::to_owned);
    let list = backends.unwrap_or(&usual);
    let by = if backends.is_some() { "the profile's" } else { "the usual" };
    let mut against = Vec::new();
    for name in list {
        let tried = match name.as_str() {
            "ort" => match library::find(None) {
                Ok(_) => Ok(Kind::Ort),
                Err(Error::Unavailable(why)) => Err(why),
                Err(unfit) => return Err(unfit),
            },
            "rust" if built_in(name) => Ok(Kind::Rust),
            #[cfg(feature = "wgpu")]
            "wgpu" => match crate::gpu::look(options.wgpu.allow_software) {
                Ok(()) => Ok(Kind::Wgpu),
                Err(e) => Err(e.to_string()),
            },
            other => Err(format!("this program was built without backend {other}")),
        };
        match tried {
            Ok(kind) if against.is_empty() => {
                return Ok(ChosenBackend { kind, why: format!("auto: {by} first choice") });
            }
            Ok(kind) => return Ok(ChosenBackend { kind, why: format!("auto: {}", against.join("; ")) }),
            Err(why) => against.push(why),
        }
    }
    let others = ["rust", "wgpu"].into_iter().filter(|o| built_in(o) && !list.iter().any(|name| name == o));
    let others: Vec<String> = others.map(|o| format!("--backend {o}")).collect();
    let hint = if others.is_empty() { String::new() } else { format!(" ({} may do)", others.join(" or ")) };
    Err(Error::Unavailable(format!("{}{hint}", against.join("; "))))
}

/// Returns whether this program was built with the backend of that name.
pub fn built_in(name: &str) -> bool {
    match Kind::named(name) {
        Some(Kind::Ort) => true,
        Some(Kind::Rust) => cfg!(feature = "rust"),
        Some(Kind::Wgpu) => cfg!(feature = "wgpu"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Kernels, OrtOptions, WgpuOptions};

    #[test]
    fn what_was_asked_for_is_taken() {
        let ask = |kind| choose(&Options { kind: Some(kind), ..Options::default() }, None).unwrap();
        assert_eq!(ask(Kind::Wgpu), ChosenBackend { kind: Kind::Wgpu, why: "asked for".into() });
        let ort = OrtOptions { providers: Providers::Named(vec!["cuda".into()]), ..OrtOptions::default() };
        let named = Options { ort, ..Options::default() };
        assert_eq!(choose(&named, Some(&["rust".to_owned()])).unwrap().kind, Kind::Ort);
    }

    #[test]
    fn a_setting_without_effect_is_refused() {
        let choice = |kind| ChosenBackend { kind, why: "auto: so".into() };
        let ort = OrtOptions { spin: Some(true), ..OrtOptions::default() };
        let spin = Options { ort, ..Options::default() };
        let wgpu = WgpuOptions { kernels: Some(Kernels::Tile), ..WgpuOptions::default() };
        let kernels = Options { wgpu, ..Options::default() };
        for (kind, options, refused) in [
            (Kind::Rust, &spin, true),
            (Kind::Wgpu, &spin, true),
            (Kind::Ort, &spin, false),
            (Kind::Ort, &kernels, true),
            (Kind::Rust, &kernels, true),
            (Kind::Wgpu, &kernels, false),
        ] {
            let heeds = choice(kind).heeds(options);
            assert_eq!(heeds.is_err(), refused, "{kind:?} {heeds:?}");
            assert!(heeds.is_ok() || heeds.is_err_and(|e| e.exit_code() == 2));
        }
    }

    #[test]
    #[cfg(feature = "rust")]
    fn the_profile_s_order_counts() {
        let list = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        let taken = |names: &[&str]| choose(&Options::default(), Some(&list(names)));
        let first = taken(&["rust", "ort"]).unwrap();
        assert_eq!(first, ChosenBackend { kind: Kind::Rust, why: "auto: the profile's first choice".into() });
        let second = taken(&["npu", "rust"]).unwrap();
        assert_eq!(second.kind, Kind::Rust);
        assert_eq!(second.why, "auto: this program was built without backend npu");
        let none = taken(&["npu"]).unwrap_err();
        assert_eq!(none.exit_code(), 3);
        assert!(none.to_string().contains("without backend npu (--backend rust"), "{none}");
    }
}
