//! A training run for people: report.html beside loss.jsonl, from that file alone.

use gtn_core::html::page::Page;
use gtn_core::html::plot::{Series, lines};
use gtn_core::io::artifact;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};
use std::path::Path;

/// Points of a curve: more cannot be seen.
const POINTS: usize = 400;

/// What val says of one network.
pub struct Network {
    /// Its name.
    pub name: String,
    /// A row for each class, the worst first.
    pub classes: Table,
    /// The images that it gets most wrong; none where it gets all right, or an older program judged it.
    pub worst: Option<Worst>,
}

/// Images that a network gets most wrong.
pub struct Worst {
    /// How many there are, and what to do about them.
    pub text: String,
    /// PNG files, the worst first, each with the lines below it.
    pub pictures: Vec<(Vec<u8>, Vec<String>)>,
}

/// Writes `DIR/report.html`: losses, learning rate and val accuracy over the steps, `summary`, and what val says of the
/// `networks`.
pub fn write(dir: &Path, title: &str, subtitle: &str, summary: &Table, networks: &[Network]) -> Result<()> {
    let path = dir.join("loss.jsonl");
    let html = page(&artifact::read_text(&path)?, &path, (title, subtitle), (summary, networks))?;
    artifact::write_atomic(&dir.join("report.html"), html.as_bytes())
}

fn page(
    text: &str,
    path: &Path,
    (title, subtitle): (&str, &str),
    (summary, networks): (&Table, &[Network]),
) -> Result<String> {
    let mut losses: Vec<Series> = Vec::new();
    let mut lr = Series { name: "learning rate".into(), points: Vec::new() };
    let mut val = Series { name: "val top-1".into(), points: Vec::new() };
    let mut arch: Vec<(String, Vec<Series>)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let bad = |e: serde_json::Error| {
            Error::input(path, format!("line {}: {}", i + 1, format::shorten(&e.to_string(), 200)))
        };
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).map_err(bad)?;
        let number = |key: &str| line.get(key).and_then(serde_json::Value::as_f64);
        if let Some((epoch, top1)) = number("epoch").zip(number("val_top1")) {
            val.points.push((epoch, 100.0 * top1));
        }
        if let (Some(epoch), Some(positions)) =
            (number("epoch"), line.get("arch").and_then(|a| a.as_object()))
        {
            arch_points(&mut arch, epoch, positions);
        }
        let Some(step) = number("step") else { continue };
        for (key, value) in line.iter().filter(|(k, _)| *k != "step") {
            let Some(value) = value.as_f64() else { continue };
            if key == "lr" {
                lr.points.push((step, value));
                continue;
            }
            match losses.iter_mut().find(|s| s.name == *key) {
                Some(series) => series.points.push((step, value)),
                None => losses.push(Series { name: key.clone(), points: vec![(step, value)] }),
            }
        }
    }
    let losses: Vec<Series> = losses.into_iter().map(averaged).collect();
    let mut page = Page::new(title, subtitle);
    page.table(summary);
    for Network { name, classes, worst } in networks {
        page.heading(&format!("Classes on val: {name}")).table(classes);
        if let Some(Worst { text, pictures }) = worst {
            page.heading(&format!("The worst pictures: {name}")).text(text).pictures(pictures);
        }
    }
    page.heading("Loss").plot(
        &lines(&losses, "step", "loss", "training losses"),
        "Losses of the training batches, averaged over neighbouring steps.",
    );
    if val.points.len() > 1 {
        page.heading("Val accuracy")
            .plot(&lines(&[val], "epoch", "top-1, %", "val top-1"), "Top-1 on the val images.");
    }
    if arch.iter().any(|(_, series)| series.len() > 1) {
        page.heading("Architecture distribution");
        page.text("The probability of each choice at each position, over the epochs.");
    }
    for (position, series) in arch.iter().filter(|(_, series)| series.len() > 1) {
        page.plot(&lines(series, "epoch", "probability", position), position);
    }
    page.heading("Learning rate").plot(&lines(&[averaged(lr)], "step", "", "learning rate"), "");
    Ok(page.finish())
}

/// Adds one epoch's probabilities: position -> choice -> share.
fn arch_points(
    arch: &mut Vec<(String, Vec<Series>)>,
    epoch: f64,
    positions: &serde_json::Map<String, serde_json::Value>,
) {
    for (position, choices) in positions {
        if !arch.iter().any(|(name, _)| name == position) {
            arch.push((position.clone(), Vec::new()));
        }
        let Some((_, series)) = arch.iter_mut().find(|(name, _)| name == position) else { continue };
        for (choice, share) in choices.as_object().into_iter().flatten() {
            let Some(share) = share.as_f64() else { continue };
            match series.iter_mut().find(|s| s.name == *choice) {
                Some(s) => s.points.push((epoch, share)),
                None => series.push(Series { name: choice.clone(), points: vec![(epoch, share)] }),
            }
        }
    }
}

/// At most [`POINTS`] points, each the mean of a run of neighbours.
fn averaged(series: Series) -> Series {
    let every = series.points.len().div_ceil(POINTS).max(1);
    let mean = |run: &[(f64, f64)]| {
        let n = run.len() as f64;
        (run.iter().map(|p| p.0).sum::<f64>() / n, run.iter().map(|p| p.1).sum::<f64>() / n)
    };
    Series { points: series.points.chunks(every).map(mean).collect(), ..series }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_what_the_file_holds() {
        let mut text: String = (1..=1000)
            .map(|i| format!("{{\"step\":{i},\"lr\":0.1,\"loss\":{},\"kl\":1.0}}\n", 2.0 / f64::from(i)))
            .collect();
        text.push_str("{\"epoch\":1,\"val_top1\":0.5}\n{\"epoch\":2,\"val_top1\":0.75}\n");
        let html = page(&text, Path::new("loss.jsonl"), ("T", "s"), (&Table::new(["a"]), &[])).unwrap();
        assert_eq!(html.matches("<svg").count(), 3);
        assert!(html.contains(">kl</text>"));
        let bad = page("{\"step\":1}\n{", Path::new("loss.jsonl"), ("T", "s"), (&Table::new(["a"]), &[]))
            .unwrap_err();
        assert!(bad.to_string().starts_with("loss.jsonl: line 2: "), "{bad}");
    }
}
