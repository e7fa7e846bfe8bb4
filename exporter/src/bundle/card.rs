//! MODEL_CARD.md: what a stranger who finds the bundle wants to know. Made of inputs only, so that the
//! same export gives the same card; measurements are in export-report.json.

use crate::candidates::PrecisionCandidate;
use gtn_core::artifacts::bundle::BundleManifest;
use gtn_core::artifacts::model_dir::TrainFile;
use gtn_core::text::format;
use gtn_core::text::table::Table;

/// Writes the card as Markdown.
pub fn write(
    manifest: &BundleManifest,
    train: &TrainFile,
    shipped: &PrecisionCandidate,
    eval_images: usize,
) -> String {
    let m = manifest;
    let mut facts = Table::new(["what", "value"]);
    let mut row = |what: &str, value: String| {
        facts.row([what.to_owned(), value]);
    };
    row("network", m.arch.name.clone());
    row("parameters, MACs", format!("{}, {}", format::count(m.params), format::count(m.macs)));
    row("made for", format!("{}, {}", m.target, m.precision));
    row("input", format!("image, f32 [N, {}, {}, {}]", m.input.channels, m.input.height, m.input.width));
    row(
        "preprocessing",
        format!("(x / 255 - mean) / std, mean {:?}, std {:?}", m.preprocess.mean, m.preprocess.std),
    );
    row("output", format!("logits, f32 [N, {}]", m.classes));
    row("ONNX operator set", m.opset.to_string());
    let mut accuracy = Table::new(["split", "images", "top-1", "top-5"]);
    for (split, a) in &train.accuracy {
        accuracy.row([split.clone(), a.n.to_string(), format::percent(a.top1), format::percent(a.top5)]);
    }
    let mut classes = Table::new(["class", "name"]);
    for (i, label) in m.labels.iter().enumerate() {
        classes.row([i.to_string(), label.clone()]);
    }
    let method = format::markdown(&train.method);
    let taught = match &train.teacher_arch {
        Some(teacher) => format!("distilled (method {method}) from a {} teacher", format::markdown(teacher)),
        None => format!("trained without a teacher (method {method})"),
    };
    format!(
        "# {}\n\nAn image classifier, {taught}, on {}: {} epochs, seed {}.\n\n{}\n## Accuracy\n\nOf the trained \
         network, last epoch, measured by gtn-train:\n\n{}{}\n## Check it\n\n```\ngtn-run {}.gtn\n```\n\nverifies every \
         file's hash, compares this machine's answers on the golden images with the shipped ones, and measures accuracy on \
         {eval_images} test images and latency.\n\n{}## Classes\n\n{}",
        format::markdown(&m.name),
        format::markdown(&train.data),
        train.epochs,
        train.seed,
        facts.to_markdown(),
        accuracy.to_markdown(),
        quantised(shipped),
        format::escape(&m.name),
        samples(m),
        classes.to_markdown(),
    )
}

/// The pictures that are in the bundle, and how to have them answered.
fn samples(m: &BundleManifest) -> String {
    if m.samples.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["picture", "class that the shipped model gives it"]);
    for sample in &m.samples {
        let label = m.labels.get(sample.class).cloned().unwrap_or_default();
        table.row([sample.file.clone(), format!("{}: {label}", sample.class)]);
    }
    format!(
        "## Samples\n\n{}\n```\ngtn-run classify {}.gtn\n```\n\nanswers them. `verify` holds this machine to the same \
         answers, from each picture's file on.\n\n",
        table.to_markdown(),
        format::escape(&m.name),
    )
}

/// What a reduced precision cost, and how it was made.
fn quantised(shipped: &PrecisionCandidate) -> String {
    let Some(judged) = &shipped.judged else { return String::new() };
    let mut text = match &shipped.stated {
        Some(stated) => format!(
            "\nThe shipped model is {} (fp32 on the same images: {}).\n",
            stated.sentence(shipped.precision),
            format::percent(stated.found.fp32_top1),
        ),
        None => format!(
            "\nThe shipped model is {}: {} on the {} val images that chose it, where fp32 has {} ({:+.2} points).\n",
            shipped.precision,
            format::percent(judged.top1),
            judged.images,
            format::percent(judged.fp32_top1),
            -judged.drop
        ),
    };
    if let Some(int8) = &shipped.int8 {
        let recipe = &int8.recipe;
        let mut steps =
            vec![format!("ranges by `{}` of {} val images", recipe.method.name(), int8.calibration_images)];
        steps.extend(recipe.equalise.then(|| "channels equalised".to_owned()));
        steps.extend(recipe.bias_correction.then(|| "biases corrected".to_owned()));
        if !recipe.fp32.is_empty() {
            let names: Vec<&str> = recipe.fp32.iter().map(String::as_str).collect();
            steps.push(format!("in fp32: {}", format::markdown(&names.join(", "))));
        }
        text.push_str(&format!("Static quantisation: {}.\n", steps.join("; ")));
    }
    text
}
