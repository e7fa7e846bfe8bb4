//! What a study found: top-1 by arm and student, paired differences from the first arm, what the teachers
//! cost. The unit of resampling is the teacher seed: students of one teacher are not independent.

use crate::commands::save::Diverged;
use crate::study::cell::name_some;
use crate::study::{Arm, Cell, Study};
use gtn_core::artifacts::model_dir::{TRAIN_SCHEMA, TrainFile};
use gtn_core::data::{DataSha256, short};
use gtn_core::html::page::Page;
use gtn_core::html::plot;
use gtn_core::io::artifact;
use gtn_core::measure::stats::{detectable, holm, mean_ci95, t_test};
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// One finished cell, in percent.
#[derive(Default)]
struct CellResult {
    teacher: Option<f64>,
    /// Of its answers on val, nats.
    teacher_entropy: Option<f64>,
    teacher_seconds: Option<f64>,
    /// By student id, last epoch on test.
    students: BTreeMap<String, f64>,
    /// Best epoch on val, beside it.
    best_val: BTreeMap<String, f64>,
    /// Students that diverged: they have no accuracy.
    diverged: usize,
}

fn folder_name(id: &str) -> String {
    id.trim_start_matches("pool:").replace(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)), "_")
}

fn top1(train: &TrainFile) -> Option<f64> {
    train.accuracy.get("test").map(|a| 100.0 * a.top1)
}

/// `None` where a run of the cell is not finished, or is not this study's.
fn read(study: &Study, cell: &Cell) -> Result<Option<CellResult>> {
    if study.odd(cell, None)?.is_some() {
        return Ok(None);
    }
    let train = |dir: &Path| -> Result<Option<TrainFile>> {
        let path = dir.join("train.json");
        if path.exists() { artifact::read_schema(&path, TRAIN_SCHEMA).map(Some) } else { Ok(None) }
    };
    let mut found = CellResult::default();
    if cell.arm.method != "none" {
        let Some(teacher) = train(&cell.dir.join("teacher"))? else { return Ok(None) };
        (found.teacher, found.teacher_seconds) = (top1(&teacher), Some(teacher.seconds));
        found.teacher_entropy = teacher.accuracy.get("val").and_then(|a| a.entropy);
    }
    let ids = study.students_of(cell.arm);
    for id in ids {
        let all = cell.dir.join("students");
        let dir = if ids.len() == 1 { all } else { all.join(folder_name(id)) };
        if Diverged::read(&dir)?.is_some() {
            found.diverged += 1;
            continue;
        }
        let Some(student) = train(&dir)? else { return Ok(None) };
        found.students.extend(top1(&student).map(|t| (id.clone(), t)));
        found.best_val.extend(student.best_val_top1.map(|b| (id.clone(), 100.0 * b)));
    }
    Ok(Some(found))
}

/// `--list`
pub fn list(study: &Study, cells: &[Cell]) -> Result<()> {
    let mut table = Table::new(["cell", "arm", "seed", "finished", "folder"]);
    for (i, cell) in cells.iter().enumerate() {
        let done = match (study.odd(cell, None)?, read(study, cell)?) {
            (Some(_), _) => "of another recipe",
            (_, Some(_)) => "yes",
            _ => "no",
        };
        let (name, dir) = (cell.arm.name.clone(), cell.dir.display().to_string());
        table.row([i.to_string(), name, cell.seed.to_string(), done.into(), dir]);
    }
    exit::print(&table.render())
}

/// `41.23 ±0.61`, or the value alone for one seed.
fn with_interval(values: &[f64]) -> String {
    match (mean_ci95(values), values) {
        (Some((mean, half)), _) => format!("{mean:.2} ±{half:.2}"),
        (None, [one]) => format!("{one:.2}"),
        _ => "-".into(),
    }
}

type Results<'a> = Vec<(&'a Arm, BTreeMap<u64, CellResult>)>;

/// Writes study.json, study.md, study.html and cost.json; prints the tables.
pub fn write(study: &Study, cells: &[Cell], out: &Path) -> Result<()> {
    same_data(study, cells)?;
    let mut results: Results = study.arms.iter().map(|a| (a, BTreeMap::new())).collect();
    let mut missing = 0;
    let mut odd = Vec::new();
    for cell in cells {
        odd.extend(study.odd(cell, None)?);
        let Some(found) = read(study, cell)? else {
            missing += 1;
            continue;
        };
        if let Some((_, seeds)) = results.iter_mut().find(|(a, _)| a.name == cell.arm.name) {
            seeds.insert(cell.seed, found);
        }
    }
    let accuracy = accuracy_table(study, &results);
    let rows = differences(study, &results);
    let differences = difference_table(&rows);
    let cost = cost_table(&results);
    let mut note = format!(
        "{} cells of {} finished. Top-1 on test, last epoch, mean ± half of the 95 % interval (Student's t over teacher \
         seeds); entropy of the teacher's answers on val, nats. Differences are paired by teacher seed: each is the mean over the students that both arms have, with an interval \
         of its own; p is the paired t-test's, corrected for the number of arms (Holm): calling what is below 0.05 a \
         difference is wrong in at most one of twenty such tables. The minimum \
         detectable effect is what a difference would have to be, at this spread and number of seeds, to be found with 80 % \
         power.",
        cells.len() - missing,
        cells.len()
    );
    if missing > 0 {
        note.push_str(" The table is of the finished cells only.");
    }
    if !odd.is_empty() {
        note.push_str(&format!(
            " Left out, since the study file is not what trained them: {}.",
            name_some(&odd)
        ));
    }
    let diverged: usize = results.iter().flat_map(|(_, seeds)| seeds.values()).map(|f| f.diverged).sum();
    if diverged > 0 {
        note.push_str(&format!(" {diverged} students diverged and count nowhere."));
    }
    let markdown = format!(
        "# Study\n\n{note}\n\n## Top-1\n\n{}\n## Differences from `{}`\n\n{}",
        accuracy.to_markdown(),
        study.arms[0].name,
        differences.to_markdown()
    );
    artifact::write_atomic(&out.join("study.md"), markdown.as_bytes())?;
    artifact::write_json(&out.join("study.json"), &as_json(study, &results, &rows))?;
    artifact::write_json(&out.join("cost.json"), &cost_json(&results))?;
    artifact::write_atomic(
        &out.join("study.html"),
        page(study, &results, &note, [&accuracy, &differences, &cost]).as_bytes(),
    )?;
    exit::print(&format!(
        "{}\n{}\n{}\n{note}\n{}\n",
        accuracy.render(),
        differences.render(),
        cost.render(),
        out.join("study.html").display()
    ))
}

/// One table is of one data set: an error names two cells that saw different ones.
fn same_data(study: &Study, cells: &[Cell]) -> Result<()> {
    let mut first: Option<(&Cell, DataSha256)> = None;
    for cell in cells {
        let Some(data) = study.data_of(cell)? else { continue };
        match &first {
            Some((other, known)) if *known != data => {
                return Err(Error::input(
                    &cell.dir,
                    format!(
                        "was trained on other data than {} (train and test have SHA-256 {}, {}; there {}, {}): \
                         --retrain trains one of them anew",
                        other.dir.display(),
                        short(&data.train),
                        short(&data.test),
                        short(&known.train),
                        short(&known.test)
                    ),
                ));
            }
            Some(_) => {}
            None => first = Some((cell, data)),
        }
    }
    Ok(())
}

fn accuracy_table(study: &Study, results: &Results) -> Table {
    let mut headings = vec![
        "arm".to_owned(),
        "seeds".into(),
        "teacher".into(),
        "entropy".into(),
        "students".into(),
        "best val".into(),
    ];
    headings.extend(study.students.iter().map(|s| s.trim_start_matches("pool:").to_owned()));
    let mut table = Table::new(headings);
    for (arm, seeds) in results {
        let teacher: Vec<f64> = seeds.values().filter_map(|f| f.teacher).collect();
        let entropy: Vec<f64> = seeds.values().filter_map(|f| f.teacher_entropy).collect();
        let mean =
            |m: &BTreeMap<String, f64>| (!m.is_empty()).then(|| m.values().sum::<f64>() / m.len() as f64);
        let students: Vec<f64> = seeds.values().filter_map(|f| mean(&f.students)).collect();
        let best: Vec<f64> = seeds.values().filter_map(|f| mean(&f.best_val)).collect();
        let mut row = vec![arm.name.clone(), seeds.len().to_string()];
        row.extend([&teacher, &entropy, &students, &best].map(|values| with_interval(values)));
        for id in &study.students {
            let of: Vec<f64> = seeds.values().filter_map(|f| f.students.get(id).copied()).collect();
            row.push(with_interval(&of));
        }
        table.row(row);
    }
    table
}

/// One arm against the first.
struct Difference {
    arm: String,
    by_seed: BTreeMap<u64, f64>,
    /// Of the paired t-test; none below two pairs, and where all pairs differ alike.
    p: Option<f64>,
    /// Corrected for the number of arms.
    p_holm: Option<f64>,
}

impl Difference {
    fn values(&self) -> Vec<f64> {
        self.by_seed.values().copied().collect()
    }
}

fn differences(study: &Study, results: &Results) -> Vec<Difference> {
    let Some((_, base)) = results.first() else { return Vec::new() };
    let of = |(arm, seeds): &(&Arm, BTreeMap<u64, CellResult>)| {
        let pair = |(seed, found): (&u64, &CellResult)| {
            let other = base.get(seed)?;
            let gaps: Vec<f64> = study
                .students_of(arm)
                .iter()
                .filter_map(|id| Some(found.students.get(id)? - other.students.get(id)?))
                .collect();
            (!gaps.is_empty()).then(|| (*seed, gaps.iter().sum::<f64>() / gaps.len() as f64))
        };
        let by_seed: BTreeMap<u64, f64> = seeds.iter().filter_map(pair).collect();
        let p = t_test(&by_seed.values().copied().collect::<Vec<f64>>());
        Difference { arm: arm.name.clone(), by_seed, p, p_holm: None }
    };
    let mut rows: Vec<Difference> = results.iter().skip(1).map(of).collect();
    corrected(&mut rows);
    rows
}

/// Several arms are several chances of finding a difference where there is none.
fn corrected(rows: &mut [Difference]) {
    let all: Vec<f64> = rows.iter().map(|d| d.p.unwrap_or(f64::NAN)).collect();
    for (row, p) in rows.iter_mut().zip(holm(&all)) {
        row.p_holm = Some(p).filter(|p| p.is_finite());
    }
}

fn difference_table(rows: &[Difference]) -> Table {
    let mut table = Table::new(["arm", "pairs", "difference", "95 % CI", "p (Holm)", "minimum detectable"]);
    for row in rows {
        let values = row.values();
        let (mean, interval) = match mean_ci95(&values) {
            Some((m, h)) => (format!("{m:+.2}"), format!("{:+.2} to {:+.2}", m - h, m + h)),
            None => (values.first().map_or("-".into(), |v| format!("{v:+.2}")), "-".into()),
        };
        let p = row.p_holm.map_or("-".into(), |p| format!("{p:.3}"));
        let effect = detectable(&values).map_or("-".into(), |e| format!("{e:.2}"));
        table.row([row.arm.clone(), values.len().to_string(), mean, interval, p, effect]);
    }
    table
}

fn cost_table(results: &Results) -> Table {
    let mut table = Table::new(["arm", "teacher, wall", "times the first arm's"]);
    let mean = |seeds: &BTreeMap<u64, CellResult>| {
        let all: Vec<f64> = seeds.values().filter_map(|f| f.teacher_seconds).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    };
    let base = results.first().and_then(|(_, seeds)| mean(seeds));
    for (arm, seeds) in results {
        let seconds = mean(seeds);
        let ratio = seconds.zip(base).map_or("-".into(), |(s, b)| format!("{:.2}", s / b));
        table.row([arm.name.clone(), seconds.map_or("-".into(), format::seconds), ratio]);
    }
    table
}

/// Accuracies only: what a resumed study must repeat exactly.
fn as_json(study: &Study, results: &Results, rows: &[Difference]) -> Value {
    let cell = |(seed, f): (&u64, &CellResult)| json!({"seed": seed, "teacher": f.teacher, "teacher_entropy": f.teacher_entropy, "students": f.students, "best_val": f.best_val});
    let arm = |(arm, seeds): &(&Arm, BTreeMap<u64, CellResult>)| json!({"arm": arm.name, "cells": seeds.iter().map(cell).collect::<Vec<_>>()});
    let difference = |d: &Difference| {
        let values = d.values();
        let (mean, half) = mean_ci95(&values).unzip();
        json!({
            "arm": d.arm,
            "by_seed": d.by_seed,
            "mean": mean,
            "half_ci95": half,
            "p": d.p,
            "p_holm": d.p_holm,
            "detectable": detectable(&values),
        })
    };
    json!({
        "schema": "gtn.study/1",
        "study": study,
        "arms": results.iter().map(arm).collect::<Vec<_>>(),
        "differences": rows.iter().map(difference).collect::<Vec<_>>(),
    })
}

fn cost_json(results: &Results) -> Value {
    let arm = |(arm, seeds): &(&Arm, BTreeMap<u64, CellResult>)| {
        let seconds: BTreeMap<u64, Option<f64>> =
            seeds.iter().map(|(s, f)| (*s, f.teacher_seconds)).collect();
        json!({"arm": arm.name, "teacher_seconds": seconds})
    };
    json!({"schema": "gtn.study-cost/1", "arms": results.iter().map(arm).collect::<Vec<_>>()})
}

fn page(study: &Study, results: &Results, note: &str, [accuracy, differences, cost]: [&Table; 3]) -> String {
    let mut page =
        Page::new("Study", &format!("{}, teacher {}, pool {}", study.data, study.teacher, study.pool));
    page.text(note).heading("Top-1").table(accuracy);
    let row = |(arm, seeds): &(&Arm, BTreeMap<u64, CellResult>)| {
        let mean = |f: &CellResult| f.students.values().sum::<f64>() / f.students.len().max(1) as f64;
        let values: Vec<f64> = seeds.values().map(mean).collect();
        let mean = mean_ci95(&values).map(|(m, half)| [m, m - half, m + half]);
        plot::Dots { name: arm.name.clone(), values, mean }
    };
    let rows: Vec<plot::Dots> = results.iter().map(row).collect();
    page.plot(
        &plot::dots(&rows, "students' mean top-1, %", "students by arm"),
        "Each dot: the mean of one teacher's students. The line: their mean and its 95 % interval.",
    );
    page.heading(&format!("Differences from {}", study.arms[0].name)).table(differences);
    page.heading("Cost of the teachers").table(cost);
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(arm: &str, values: &[f64]) -> Difference {
        let p = t_test(values);
        Difference { arm: arm.into(), by_seed: (0..).zip(values.iter().copied()).collect(), p, p_holm: None }
    }

    /// One arm alone keeps its p; among three the smallest counts threefold, and one without a p counts for
    /// none.
    #[test]
    fn several_arms_are_several_chances() {
        let (near, far, one) = ([0.1, -0.2, 0.3, 0.1], [1.0, 1.2, 0.9, 1.3], [2.0]);
        let mut alone = [difference("far", &far)];
        corrected(&mut alone);
        let mut all = [difference("near", &near), difference("far", &far), difference("one", &one)];
        corrected(&mut all);
        let p = alone[0].p_holm.unwrap();
        assert!((all[1].p_holm.unwrap() - 2.0 * p).abs() < 1e-12 && alone[0].p == Some(p));
        assert!(all[0].p_holm.unwrap() >= all[1].p_holm.unwrap() && all[2].p_holm.is_none());
        let shown = difference_table(&all).render();
        assert!(shown.contains("p (Holm)") && shown.contains("+1.10"), "{shown}");
    }
}
