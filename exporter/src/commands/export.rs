//! From a trained folder to a proved bundle.

use crate::bundle::card;
use crate::bundle::draft::Draft;
use crate::bundle::samples::{self, Samples};
use crate::candidates;
use crate::candidates::contest::{Contest, Winner};
use crate::candidates::outlook::Outlook;
use crate::candidates::{PrecisionCandidate, Source};
use crate::cli::ExportArgs;
use crate::int8::sqnr;
use crate::lanes::Feed;
use crate::onnx::float::Describe;
use crate::plan::ExportPlan;
use crate::students;
use crate::students::OWN_DATA;
use gtn_core::artifacts::bundle::{Bundle, BundleManifest, EXPORT_REPORT, Parents, SCHEMA};
use gtn_core::artifacts::model_dir::{ModelDir, images_map};
use gtn_core::artifacts::samples::LOGITS;
use gtn_core::data::preprocess::Preprocess;
use gtn_core::data::split::stratified;
use gtn_core::data::{DataSource, ImageSet, Part};
use gtn_core::device::Device;
use gtn_core::io::artifact;
use gtn_core::io::tensors::Tensor;
use gtn_core::ir::arch::Input;
use gtn_core::ir::cost::Cost;
use gtn_core::ir::fold;
use gtn_core::measure::overview;
use gtn_core::measure::parity::{Tolerance, compare};
use gtn_core::measure::report::{Accuracy, Report};
use gtn_core::measure::warning::Warning;
use gtn_core::program::exit;
use gtn_core::program::progress::{bars, unwatched};
use gtn_core::quant::norm_to_depthwise::norm_to_depthwise;
use gtn_core::text::format;
use gtn_core::{Error, Precision, Result};
use gtn_run::backend::ort::providers::Providers;
use gtn_run::backend::{Options, OrtOptions};
use gtn_run::judge::bench::Settings;
use gtn_run::judge::prove::{FEW_IMAGES, Steps, prove};
use gtn_run::subject::{LABELS_KEY, PREPROCESS_KEY, Subject};
use serde_json::json;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

const PROGRAM: &str = concat!("gtn-export ", env!("CARGO_PKG_VERSION"));
/// Draws the evaluation images; fixed, so that two exports of one data set hold the same ones.
const EVAL_SEED: u64 = 0;

/// Runs `gtn-export --target T STUDENT_DIR --out DIR`.
pub fn run(args: &ExportArgs) -> Result<()> {
    let plan = ExportPlan::resolve(args)?;
    let missing = || Error::usage("wanted STUDENT_DIR, --target and --out (gtn-export --help)");
    let student = args.student.as_deref().ok_or_else(missing)?;
    let target = bundle_path(args.out.as_deref().ok_or_else(missing)?, student, &plan.device)?;
    export(&plan, student, &target, None)
}

/// Exports one student to one bundle, `target`, and tells of it. `decided` says why the precision is decided already, where
/// `--from` chose it. Nothing is put at `target` before the bundle has been proved.
pub fn export(plan: &ExportPlan, student_dir: &Path, target: &Path, decided: Option<&str>) -> Result<()> {
    let exported = make(plan, student_dir, target, decided)?;
    if plan.json {
        exit::print(&artifact::to_json(&exported.export_report)?)
    } else {
        exported.print(&plan.device, target)
    }
}

/// Exports one student to one bundle, `target`, without a word on stdout.
pub fn make(plan: &ExportPlan, student_dir: &Path, target: &Path, decided: Option<&str>) -> Result<Exported> {
    let ExportPlan { device, precisions, .. } = plan;
    let student = ModelDir::read(student_dir)?;
    students::check_finite(&student, student_dir)?;
    let outlook = Outlook::of(device, plan.table.as_deref(), precisions, &student.graph)?;
    let (graph, weights) = fold::fold_batch_norm(&student.graph, &student.weights)?;
    if precisions.contains(&Precision::Int8) {
        plan.int8.check_layers(&norm_to_depthwise(&graph, &weights)?.0)?;
    }
    let data = data_source(plan, &student)?;
    let test = test_images(&data, &student)?;
    let eval = test.subset(&stratified(&test.labels, test.classes, plan.eval_set, EVAL_SEED));
    let pictures = samples::pictures(plan.samples, &data, &test)?;

    let mut draft = Draft::start(target)?;
    let metadata = metadata(&student)?;
    let describe = Describe { name: &student.file.arch.name, opset: device.opset, metadata: &metadata };
    let source = Source { graph: &graph, weights: &weights, describe: &describe, device, plan: &plan.int8 };
    let fp32 = source.fp32()?;
    check_trained(&fp32.model, &student, plan)?;
    let contest =
        Contest { plan, student: &student, data: &data, source: &source, outlook: &outlook, decided };
    let choice = contest.decide(fp32)?;

    check_limits(&choice.candidate.model, device)?;
    let content = Content { shipped: &choice.candidate, eval: &eval, pictures };
    fill(&mut draft, &student, (device, target), content, plan)?;
    let report = proved(&draft, plan)?;
    let export_report = export_report(plan, &outlook, &student, &choice, &report);
    draft.add_sealed(EXPORT_REPORT, &export_report)?;
    draft.publish()?;
    Ok(Exported { outlook, student, choice, report, export_report })
}

/// What a bundle is filled with beside the student's own files.
struct Content<'a> {
    shipped: &'a PrecisionCandidate,
    eval: &'a ImageSet,
    pictures: Vec<Vec<u8>>,
}

/// Every file of the bundle that its manifest lists, and the manifest.
fn fill(
    draft: &mut Draft,
    student: &ModelDir,
    (device, target): (&Device, &Path),
    content: Content,
    plan: &ExportPlan,
) -> Result<()> {
    let Content { shipped, eval, pictures } = content;
    let model_path = draft.add("model.onnx", &shipped.model)?;
    draft.add("device.toml", device.to_toml()?.as_bytes())?;
    let arch = &student.file.arch;
    let mut golden = student.golden.to_map(arch);
    // One thread: sums in one order.
    let options = Options { ort: OrtOptions::with_library(plan.ort_lib.clone()), ..Options::single() };
    let mut model = Subject::open(&model_path, &options)?;
    let logits = model.logits(&student.golden.images, |_| ())?;
    golden.insert("logits_shipped", Tensor::f32(&[student.golden.labels.len(), arch.classes], logits));
    let samples = Samples::answered_by(&mut model, pictures)?;
    drop(model);
    if !samples.pictures.is_empty() {
        golden.insert(LOGITS, Tensor::f32(&[samples.pictures.len(), arch.classes], samples.logits));
    }
    draft.add("golden.safetensors", &golden.to_bytes()?)?;
    draft.add("eval.safetensors", &images_map(&eval.all_pixels()?, &eval.labels, arch).to_bytes()?)?;
    let mut manifest = manifest(student, device, shipped, target);
    for (sample, bytes) in samples.pictures {
        draft.add(&sample.file, &bytes)?;
        manifest.samples.push(sample);
    }
    let card = card::write(&manifest, &student.train, shipped, eval.len());
    draft.add("MODEL_CARD.md", card.as_bytes())?;
    manifest.files.clone_from(draft.files());
    draft.seal(&manifest)
}

fn export_report(
    plan: &ExportPlan,
    outlook: &Outlook,
    student: &ModelDir,
    choice: &Winner,
    report: &Report,
) -> serde_json::Value {
    let (shipped, device) = (&choice.candidate, &plan.device);
    let samples = plan.samples.map(|samples| format!(" --samples {samples}")).unwrap_or_default();
    json!({
        "schema": "gtn.export/1.2",
        "program": PROGRAM,
        "target": device.name,
        "asked": {"precision": plan.asked_name(), "eval_set": plan.eval_set, "samples": plan.samples.map(|s| s.to_string())},
        "chosen": {
            "precision": shipped.precision,
            "why": choice.why,
            "replay": candidates::replay(shipped, &plan.int8) + &samples,
        },
        "latency": outlook.json(device, shipped.precision, report),
        "candidates": choice.considered,
        "measured_in_turn": choice.duels,
        "int8": shipped.int8,
        "trainer": student.train.accuracy.get("test"),
        "measured_on_this_machine": report,
    })
}

/// This is what there is to tell of an export.
pub struct Exported {
    outlook: Outlook,
    student: ModelDir,
    choice: Winner,
    report: Report,
    export_report: serde_json::Value,
}

impl Exported {
    fn print(&self, device: &Device, target: &Path) -> Result<()> {
        let shipped = &self.choice.candidate;
        let mut text = format!(
            "{}\n{}\n",
            overview::without_latency(&self.report).render(),
            self.outlook.table(device, shipped.precision, &self.report).render()
        );
        if let Some(trainer) = self.student.train.accuracy.get("test") {
            let top1 = format::percent(trainer.top1);
            text.push_str(&format!("trainer's top-1: {top1} on {} test images\n", trainer.n));
        }
        if let Some(stated) = &shipped.stated {
            text.push_str(&format!("{}\n", stated.sentence(shipped.precision)));
            let told = stated.worst_class.and_then(|class| class.warning(&self.student.file.labels));
            told.iter().for_each(|told| text.push_str(&format!("warning: {told}\n")));
        }
        if let Some(worst) = shipped.int8.as_ref().and_then(|r| sqnr::worst(&r.layers)) {
            text.push_str(&format!("least exact layer by itself: {worst}\n"));
        }
        text.push_str(&format!("{}: {}\n", shipped.precision, self.choice.why));
        exit::print(&format!("{text}\n{}\n", target.display()))
    }
}

/// Returns the bundle's path: `--out X.gtn` is the bundle itself, and any other `--out` the folder that
/// STUDENT-TARGET.gtn goes to.
pub fn bundle_path(out: &Path, student: &Path, device: &Device) -> Result<PathBuf> {
    if out.extension().is_some_and(|e| e == "gtn") {
        return Ok(out.to_owned());
    }
    let student = std::path::absolute(student).map_err(|e| Error::io(student, "resolve", e))?;
    let name = student.file_name().map(|n| n.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| Error::usage("--out: give NAME.gtn (the student's folder has no name)"))?;
    Ok(out.join(format!("{name}-{}.gtn", device.name)))
}

/// The data the student was trained on.
fn data_source(plan: &ExportPlan, student: &ModelDir) -> Result<DataSource> {
    let trained_on = &student.train.data;
    let source: DataSource = match &plan.data {
        Some(data) => data.clone(),
        None => trained_on.parse().map_err(|_| {
            Error::usage(format!("the student was trained on `{trained_on}`: give --data {trained_on}:DIR"))
        })?,
    };
    if source.name() != *trained_on {
        let what = format!("--data is `{}`, the student was trained on `{trained_on}`", source.name());
        return Err(Error::usage(what));
    }
    let source = student.train.tolerated(source)?;
    if source.is_photos() {
        let warnings = source.photos(&mut bars("pictures"))?.warnings();
        warnings.iter().for_each(|warning| exit::note(&format!("gtn-export: warning: {warning}")));
    }
    Ok(source)
}

/// Its test split.
fn test_images(source: &DataSource, student: &ModelDir) -> Result<ImageSet> {
    let test = source.test()?;
    let arch = &student.file.arch;
    if (test.input, test.classes) != (arch.input, arch.classes) {
        return Err(Error::usage(format!(
            "{}: {} with {} classes, the student takes {} with {}",
            source.name(),
            test.input,
            test.classes,
            arch.input,
            arch.classes
        )));
    }
    if let Some(recorded) = &student.train.data_sha256 {
        let owner = format!("{}'s training", student.file.arch.name);
        recorded.check(Part::Test, &test, (&source.name(), &owner, OWN_DATA))?;
    }
    Ok(test)
}

/// What a model.onnx tells about itself when it is found without its bundle.
fn metadata(student: &ModelDir) -> Result<BTreeMap<String, String>> {
    let json = |e: serde_json::Error| Error::Failed(format!("metadata: {e}"));
    let file = &student.file;
    Ok(BTreeMap::from([
        (PREPROCESS_KEY.to_owned(), serde_json::to_string(&file.preprocess).map_err(json)?),
        (LABELS_KEY.to_owned(), serde_json::to_string(&file.labels).map_err(json)?),
        ("gtn.arch".to_owned(), file.arch.name.clone()),
        ("gtn.weights_sha256".to_owned(), student.weights_sha256.clone()),
    ]))
}

fn check_limits(model: &[u8], device: &Device) -> Result<()> {
    let limit = device.limits.model_mib.value;
    if model.len() as u64 > limit << 20 {
        return Err(Error::Failed(format!(
            "model.onnx has {}, target {} allows {limit} MiB",
            format::bytes(model.len() as u64),
            device.name
        )));
    }
    Ok(())
}

/// In fp32 the network must answer the golden images as the trainer's did, whatever ships in the end.
fn check_trained(fp32: &[u8], student: &ModelDir, plan: &ExportPlan) -> Result<()> {
    let (arch, golden) = (&student.file.arch, &student.golden);
    let images = &ImageSet::new(arch.input, arch.classes, golden.images.clone(), golden.labels.clone())?;
    let preprocess = &student.file.preprocess;
    let logits = Feed { images, preprocess, batch: 1, ort_lib: plan.ort_lib.clone() }.logits(fp32)?;
    let parity = compare(&student.golden.logits, &logits, student.file.arch.classes, Tolerance::FP32);
    if parity.pass {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "the exported model does not answer as the trained one on the golden images: max |difference| {:.2e} (bound \
         {:.2e}), top class differs on {} of {}. Are weights.safetensors and golden.safetensors of one training?",
        parity.max_abs, parity.bound, parity.argmax_differs, parity.n
    )))
}

fn manifest(
    student: &ModelDir,
    device: &Device,
    shipped: &PrecisionCandidate,
    target: &Path,
) -> BundleManifest {
    let file = &student.file;
    let cost = Cost::of(&student.graph);
    BundleManifest {
        schema: SCHEMA.into(),
        name: target.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        target: device.name.clone(),
        precision: shipped.precision,
        opset: device.opset,
        input: file.arch.input,
        classes: file.arch.classes,
        arch: file.arch.clone(),
        macs: cost.macs,
        params: cost.params,
        preprocess: file.preprocess.clone(),
        labels: file.labels.clone(),
        parents: Parents {
            arch_sha256: student.arch_sha256.clone(),
            weights_sha256: student.weights_sha256.clone(),
            teacher_sha256: student.train.teacher_sha256.clone(),
            data_sha256: student.train.data_sha256.clone(),
        },
        calibration_sha256: shipped.int8.as_ref().map(|r| r.calibration_sha256.clone()),
        tolerance: shipped.tolerance,
        samples: Vec::new(),
        files: BTreeMap::new(),
        ext: BTreeMap::new(),
    }
}

/// Opens the draft as gtn-run would and judges it.
fn proved(draft: &Draft, plan: &ExportPlan) -> Result<Report> {
    let threads =
        plan.device.cpu.threads.value.min(std::thread::available_parallelism().map_or(1, usize::from));
    // The device's own execution providers are not here.
    let options = Options {
        threads: Some(threads),
        batch: Some(NonZeroUsize::MIN),
        ort: OrtOptions { providers: Providers::Cpu, ..OrtOptions::with_library(plan.ort_lib.clone()) },
        ..Options::default()
    };
    let mut subject = Subject::from_bundle(Bundle::open(draft.dir())?, &options)?;
    let bench = Settings { warmup_s: 0.05, seconds: 0.2, min_runs: 50, ..Settings::default() };
    let steps = Steps { verify: true, bench: Some(bench), ..Steps::default() };
    let mut report = prove(&mut subject, &steps, PROGRAM, &mut unwatched)?.report;
    if let Some(bundle) = &subject.bundle {
        // On lanes: a small network gains little by a second thread, many images do.
        let (images, labels) = bundle.eval_set()?;
        let m = &bundle.manifest;
        let Preprocess { channels, height, width, .. } = m.preprocess;
        let images = &ImageSet::new(Input { channels, height, width }, m.labels.len(), images, labels)?;
        let feed = Feed { images, preprocess: &m.preprocess, batch: 1, ort_lib: plan.ort_lib.clone() };
        let accuracy = Accuracy::of("test", &feed.logits(&bundle.model)?, &images.labels, &m.labels)?;
        report.warnings.extend((accuracy.n < FEW_IMAGES).then_some(Warning::FewImages { n: accuracy.n }));
        report.accuracy.push(accuracy);
    }
    match report.parity.iter().find(|p| !p.parity.pass) {
        Some(bad) => {
            Err(Error::Failed(format!("the bundle does not agree with {}: {:?}", bad.against, bad.parity)))
        }
        None => Ok(report),
    }
}
