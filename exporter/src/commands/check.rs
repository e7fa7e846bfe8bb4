//! `gtn-export check MODEL.onnx --target T`: whether a target can run a model that somebody else wrote.
//! What can be tried is tried: ONNX Runtime loads the model here and runs it once.

use crate::cli::CheckArgs;
use gtn_core::artifacts::bundle::Bundle;
use gtn_core::device::int8::ActivationType;
use gtn_core::device::{self, Device, Int8};
use gtn_core::error::Kind;
use gtn_core::host::rss_bytes;
use gtn_core::io::artifact;
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Precision, Result};
use gtn_run::backend::sizes;
use gtn_run::backend::sizes::Sizes;
use gtn_run::backend::{Options, OrtOptions};
use gtn_run::judge::bench::inputs;
use gtn_run::onnx::arithmetic::{Arithmetic, Numbers};
use gtn_run::onnx::{Dim, OnnxFile, OnnxModel, Value};
use gtn_run::subject::Subject;
use serde::Serialize;
use serde_json::json;
use std::path::Path;

/// Share of the target's RAM that one model may take; our choice.
const RAM_SHARE: f64 = 0.5;

/// This says whether one property of the model suits the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Yes,
    /// It runs, but there is something to know.
    Note,
    /// It does not.
    No,
}

/// A finding is one line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `opset`, `memory`, ...
    pub what: &'static str,
    /// The model's.
    pub model: String,
    /// What the target wants.
    pub target: String,
    /// Whether the two go together.
    pub verdict: Verdict,
    /// Why, unless it is yes.
    pub why: String,
}

impl Finding {
    fn yes(what: &'static str, model: String, target: String) -> Self {
        Self { what, model, target, verdict: Verdict::Yes, why: String::new() }
    }

    fn unless(self, bad: bool, verdict: Verdict, why: impl FnOnce() -> String) -> Self {
        if bad { Self { verdict, why: why(), ..self } } else { self }
    }
}

/// Prints one table; a model that does not fit is an error (exit status 1) with every reason, a file
/// that is no ONNX model another (2).
pub fn run(args: &CheckArgs) -> Result<()> {
    let device = device::resolve(&args.target)?;
    let path = match Bundle::is_bundle(&args.model) {
        true => args.model.join("model.onnx"),
        false => args.model.clone(),
    };
    let file = OnnxFile::read(&path)?;
    let (model, size) = (file.model(), file.bytes().len() as u64);
    drop(file);
    let ort = OrtOptions::with_library(args.ort_lib.clone());
    let options = Options { shapes: args.shape.clone(), ort, ..Options::default() };
    let sizes = Sizes::of(&model.inputs, &options).map_err(|what| Error::input(&path, what))?;
    let mut findings = declared(&model, &sizes, size, &device);
    findings.extend(tried(&model, &path, &device, &options)?);
    let reasons: Vec<&str> =
        findings.iter().filter(|f| f.verdict == Verdict::No).map(|f| f.why.as_str()).collect();
    let told = if args.json {
        let answer = json!({
            "schema": "gtn.check/1",
            "model": args.model.display().to_string(),
            "target": device.name,
            "fits": reasons.is_empty(),
            "findings": findings,
        });
        exit::print(&artifact::to_json(&answer)?)
    } else {
        exit::print(&text(&findings))
    };
    let fits = match reasons.as_slice() {
        [] => Ok(()),
        reasons => {
            let model = args.model.display();
            Err(Error::Failed(format!("{model} does not fit {}: {}", device.name, reasons.join("; "))))
        }
    };
    exit::work_first(fits, told)
}

fn text(findings: &[Finding]) -> String {
    let mut table = Table::new(["what", "model", "target", "fits"]);
    for f in findings {
        let fits = match f.verdict {
            Verdict::Yes => "yes",
            Verdict::Note => "yes, but",
            Verdict::No => "no",
        };
        table.row([f.what, &f.model, &f.target, fits]);
    }
    // Reasons against it as well: the error's line has no room for many.
    let notes = findings.iter().filter(|f| f.verdict != Verdict::Yes);
    let notes: String = notes.map(|f| format!("{}: {}\n", f.what, f.why)).collect();
    let gap = if notes.is_empty() { "" } else { "\n" };
    format!("{}{gap}{notes}", table.render())
}

/// What the file says.
fn declared(model: &OnnxModel, sizes: &Sizes, size: u64, device: &Device) -> Vec<Finding> {
    let limit = device.limits.model_mib.value;
    let name = &device.name;
    let file = Finding::yes("file", format::bytes(size), format!("at most {limit} MiB")).unless(
        size > limit << 20,
        Verdict::No,
        || format!("the file has {}, {name} allows {limit} MiB", format::bytes(size)),
    );
    let opset = Finding::yes("opset", model.opset.to_string(), format!("{} is written for it", device.opset))
        .unless(model.opset > device.opset, Verdict::Note, || {
            format!("newer than {}: the runtime on the device must know it", device.opset)
        });
    let mut all = precision(&Arithmetic::of(model), device);
    all.extend(model.inputs.iter().zip(&sizes.inputs).map(|(input, known)| self::input(input, known)));
    all.extend([opset, file]);
    all
}

/// An input as declared, and with the sizes that were said.
fn input(declared: &Value, known: &Value) -> Finding {
    let dims = sizes::signature(&declared.dims);
    let found = format!("{} {} {dims}", declared.name, declared.type_name());
    let finding = Finding::yes("input", found, "only the batch open".to_owned());
    if let Some(what) = sizes::still_open(&known.name, &known.dims) {
        return finding.unless(true, Verdict::No, || format!("{what}; memory and time depend on it"));
    }
    let said = declared.dims.iter().skip(1).any(|d| matches!(d, Dim::Open(_)));
    let known = sizes::signature(&known.dims);
    finding.unless(said, Verdict::Note, || {
        format!("`{}` {dims} is tried at {known}: memory and time depend on it", declared.name)
    })
}

/// The arithmetic beside what the profile knows to be worth running.
fn precision(found: &Arithmetic, device: &Device) -> Vec<Finding> {
    let known = Precision::list(&device.precisions);
    let listed = device.precisions.iter().any(|p| found.numbers == Numbers::Of(*p));
    let precision = Finding::yes("precision", found.numbers.name().into(), known.clone()).unless(
        !listed,
        Verdict::No,
        || format!("it computes in {}, {}'s profile has {known}", found.numbers.name(), device.name),
    );
    let mut all = vec![precision];
    if let (Some(int8), true) = (&device.int8, found.numbers == Numbers::Of(Precision::Int8)) {
        all.extend(recipe(found, int8));
    }
    all
}

/// An int8 model beside the profile's recipe.
fn recipe(found: &Arithmetic, int8: &Int8) -> Vec<Finding> {
    let wanted = int8.activations.value;
    let (kind, name) = match wanted {
        ActivationType::Uint8 => ("uint8", "uint8"),
        ActivationType::Int8 => ("int8", "int8"),
        ActivationType::Int8Symmetric => ("int8", "int8, zero point 0"),
    };
    let mut types: Vec<&str> = found.activations.iter().copied().collect();
    types.extend(found.dynamic.then_some("dynamic"));
    let other = found.activations.iter().any(|t| *t != kind)
        || (wanted == ActivationType::Int8Symmetric && found.asymmetric);
    let why = || {
        let dynamic = if found.dynamic { "ranges found at run time cost time; " } else { "" };
        format!("{dynamic}the profile's recipe is {name} ({})", int8.activations.source)
    };
    let activations = Finding::yes("activations", types.join(", "), format!("{name}, static")).unless(
        found.dynamic || other,
        Verdict::Note,
        why,
    );
    let bits = int8.weight_bits.value;
    let top = (1u32 << (bits - 1)) - 1;
    let Some(largest) = found.largest_weight else { return vec![activations] };
    let weights = Finding::yes("weights", format!("|q| to {largest}"), format!("{bits} bits: |q| to {top}"))
        // 64 is what ONNX Runtime's own reduce_range may write.
        .unless(largest > (top + 1), Verdict::No, || {
            format!("its weights use more than {bits} bits, so sums saturate ({})", int8.weight_bits.source)
        });
    vec![activations, weights]
}

/// What ONNX Runtime makes of it here.
fn tried(model: &OnnxModel, path: &Path, device: &Device, options: &Options) -> Result<Vec<Finding>> {
    let found = format!("{} nodes, {} operators", model.nodes.len(), model.op_counts().len());
    let operators = |target: String| Finding::yes("operators", found.clone(), target);
    if !device.backends.iter().any(|b| b == "ort") {
        let have = device.backends.join(", ");
        let finding = operators(have.clone());
        return Ok(vec![finding.unless(true, Verdict::No, || {
            format!("{}'s backends ({have}) are not in this build, which has ort", device.name)
        })]);
    }
    let before = rss_bytes();
    let mut subject = match Subject::open(path, options) {
        Ok(subject) => subject,
        Err(Error::Input { what, .. }) => {
            return Ok(vec![operators("ONNX Runtime".into()).unless(true, Verdict::No, || what)]);
        }
        Err(Error::Node { node, what, .. }) => {
            let what = format!("{node}: {what}");
            return Ok(vec![operators("ONNX Runtime".into()).unless(true, Verdict::No, || what)]);
        }
        Err(e) => return Err(e),
    };
    let runtime = format!("ONNX Runtime {}", subject.backend.info().version);
    let mut all = vec![operators(runtime.clone())];
    if !device.execution_providers.is_empty() {
        let names = device.execution_providers.join(", ");
        let providers = Finding::yes("providers", "not tried here".into(), names.clone());
        all.push(providers.unless(true, Verdict::Note, || {
            format!("what {names} do not take runs on the CPU; the device alone can tell")
        }));
    }
    if subject.backend.inputs().iter().any(|slot| sizes::open_slot(slot).is_some()) {
        return Ok(all); // said already: there is no one size to run it at
    }
    let given = match inputs(&subject) {
        Ok(given) => given,
        // Of what no array can be made up: the rest of the answer stands.
        Err(e) => {
            let inference = Finding::yes("inference", "not tried here".into(), runtime);
            all.push(inference.unless(true, Verdict::Note, || e.to_string()));
            return Ok(all);
        }
    };
    if let Err(e) = subject.backend.run(&given)
        && e.kind() == Kind::Failed
    {
        let what = e.to_string();
        let inference = Finding::yes("inference", "fails".into(), runtime);
        all.push(inference.unless(true, Verdict::No, || what));
        return Ok(all);
    }
    let (Some(before), Some(after)) = (before, rss_bytes()) else { return Ok(all) };
    all.push(memory(after.saturating_sub(before), device));
    Ok(all)
}

/// What loading and one inference added to this process, the runtime's library included.
fn memory(bytes: u64, device: &Device) -> Finding {
    let ram = device.memory.ram_mib.value << 20;
    let limit = (ram as f64 * RAM_SHARE) as u64;
    let target = format!("at most {}, half of its RAM", format::bytes(limit));
    Finding::yes("memory", format!("{}, measured here", format::bytes(bytes)), target).unless(
        bytes > limit,
        Verdict::No,
        || {
            format!(
                "it needs {} of memory, half of {}'s RAM is {}",
                format::bytes(bytes),
                device.name,
                format::bytes(limit)
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn int8(activations: &'static str, largest: u32, asymmetric: bool) -> Arithmetic {
        Arithmetic {
            numbers: Numbers::Of(Precision::Int8),
            activations: BTreeSet::from([activations]),
            asymmetric,
            largest_weight: Some(largest),
            largest_signed_weight: Some(largest),
            integer_operators: false,
            dynamic: false,
        }
    }

    #[test]
    fn each_rule_has_a_verdict() {
        use Verdict::{No, Note, Yes};
        let plain = |numbers| Arithmetic { numbers, ..Arithmetic::default() };
        for (target, found, wanted) in [
            ("rpi5", plain(Numbers::Of(Precision::Fp32)), vec![Yes]),
            ("rpi5", plain(Numbers::Of(Precision::Fp16)), vec![No]),
            ("jetson-orin-nano", plain(Numbers::Of(Precision::Fp16)), vec![Yes]),
            ("rpi5", int8("int8", 127, true), vec![Yes, Yes, Yes]),
            ("rpi5", int8("uint8", 127, true), vec![Yes, Note, Yes]),
            ("x86-vnni", int8("uint8", 127, true), vec![Yes, Yes, Yes]),
            ("x86-avx2", int8("uint8", 64, true), vec![Yes, Yes, Yes]),
            ("x86-avx2", int8("uint8", 65, true), vec![Yes, Yes, No]),
            ("jetson-orin-nano", int8("int8", 127, true), vec![Yes, Note, Yes]),
            ("jetson-orin-nano", int8("int8", 127, false), vec![Yes, Yes, Yes]),
        ] {
            let device = device::resolve(target).unwrap();
            let got: Vec<Verdict> = precision(&found, &device).iter().map(|f| f.verdict).collect();
            assert_eq!(got, wanted, "{target}: {found:?}");
        }
        let device = device::resolve("rpi4").unwrap();
        assert_eq!(memory(512 << 20, &device).verdict, Yes);
        assert_eq!(memory((512 << 20) + 1, &device).verdict, No);
    }
}
