//! `gtn-run tune`: measures ways to run a model and writes the best as a settings file.

use crate::cli::TuneArgs;
use crate::commands::PROGRAM;
use crate::prepare::{seconds, within};
use gtn_core::host::Host;
use gtn_core::table::Table;
use gtn_core::{Result, artifact, exit, format};
use gtn_run::backend::Options;
use gtn_run::settings::{Choice, SCHEMA, Settings, Tried};
use gtn_run::tune;

/// Prints the table and the choice.
pub fn run(args: &TuneArgs) -> Result<()> {
    seconds("--seconds", args.seconds)?;
    within("--batch", args.batch, 4096)?;
    args.out.as_deref().map_or(Ok(()), artifact::check_writable)?;
    let host = Host::read();
    let base = Options { batch: args.batch, ort_lib: args.ort_lib.clone(), ..Options::default() };
    let (subject, tried, choice, why) = tune::tune(&args.model, &base, &host, args.seconds)?;
    let mut text = table(&tried).render();
    text.push_str(&format!("\nchosen: {}: {why}\n", describe(&choice)));
    let settings = Settings {
        schema: SCHEMA.into(),
        program: PROGRAM.into(),
        host: host.kind(),
        model: subject.model.name.clone(),
        model_sha256: subject.model.sha256.clone(),
        batch: args.batch,
        choice,
        why,
        tried,
    };
    if let Some(path) = &args.out {
        artifact::write_json(path, &settings)?;
        text.push_str(&format!("\n{}\n", path.display()));
    }
    exit::print(&text);
    Ok(())
}

fn describe(c: &Choice) -> String {
    let spin = if c.spin { "spinning" } else { "not spinning" };
    let place = c.pin.as_ref().map_or_else(String::new, |p| format!(", CPUs {p}"));
    let plural = if c.threads == 1 { "" } else { "s" };
    format!("{} thread{plural}, {spin}{place}", c.threads)
}

fn table(tried: &[Tried]) -> Table {
    let mut table = Table::new(["threads", "spin", "CPUs", "p50", "over the fastest", "95 % CI"]);
    for t in tried {
        let [low, high] = t.ratio_ci95;
        table.row([
            t.choice.threads.to_string(),
            if t.choice.spin { "on" } else { "off" }.into(),
            t.choice.pin.clone().unwrap_or_else(|| "any".into()),
            format::ms(t.p50_ms),
            format!("{:.3}", t.ratio),
            format!("{low:.3} to {high:.3}"),
        ]);
    }
    table
}
