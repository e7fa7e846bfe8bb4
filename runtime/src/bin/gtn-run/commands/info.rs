//! `gtn-run info`: this machine, the library found, and what a model says about itself.

use crate::cli::InfoArgs;
use gtn_core::Result;
use gtn_core::artifacts::bundle::Bundle;
use gtn_core::host::{Conditions, Host};
use gtn_core::html;
use gtn_core::io::artifact;
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_run::auto;
use gtn_run::backend::ort::providers;
use gtn_run::backend::{ort, sizes};
use gtn_run::onnx::{self, OnnxModel, Value};
use serde_json::{Value as Json, json};
use std::path::Path;

/// Prints tables, or one JSON object.
pub fn run(args: &InfoArgs) -> Result<()> {
    let (host, now) = (Host::read(), Conditions::read());
    let library = ort::library(args.ort_lib.as_deref()).and_then(|l| {
        ort::start(args.ort_lib.as_deref())?;
        Ok((l, providers::available()))
    });
    let model = args.model.as_deref().map(describe).transpose()?;
    if args.json {
        let found = match &library {
            Ok((l, providers)) => json!({
                "path": l.path, "version": l.version, "providers": providers, "passed_over": l.passed_over,
            }),
            Err(e) => json!({"error": e.to_string()}),
        };
        let rows = model.map(|rows| {
            rows.into_iter().map(|(k, v)| (k, Json::String(v))).collect::<serde_json::Map<_, _>>()
        });
        let all = json!({"host": host, "conditions": now, "onnxruntime": found, "model": rows});
        return exit::print(&artifact::to_json(&all)?);
    }
    let mut table = Table::new(["what", "value"]);
    let mut row = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row([what.to_owned(), value]);
        }
    };
    let (clusters, unread) = (html::report::clusters(&host), host.unread());
    row("board", host.board);
    row("processor", host.cpu);
    row("cores, architecture", Some(format!("{}, {}", host.cores, host.arch)));
    row("clusters", clusters);
    row("CPU quota", host.cpu_quota.map(|q| format!("{q:.2} cores' worth")));
    row("instruction sets", Some(host.isa.join(" ")));
    row("memory", host.ram_bytes.map(format::bytes));
    row("system", Some(format!("{} {}", host.os, host.kernel.unwrap_or_default())));
    row("virtualised", host.virtualised);
    row("governor", now.governor);
    row("firmware's flags", now.throttled.map(|t| format!("{t:#x}")));
    row("clock cap", now.capped_mhz.map(|m| format!("{m:.0} MHz")));
    row("not read here", unread.map(str::to_owned));
    row("clock", now.mhz.map(|m| format!("{m:.0} MHz")));
    row("temperature", now.celsius.map(|c| format!("{c:.1} °C")));
    row("load", now.load1.map(|l| format!("{l:.2}")));
    match library {
        Ok((l, providers)) => {
            row("ONNX Runtime", Some(format!("{} ({})", l.version, l.path.display())));
            l.passed_over.into_iter().for_each(|why| row("passed over", Some(why)));
            row("execution providers", Some(providers.join(", ")));
        }
        Err(e) => row("ONNX Runtime", Some(format!("none: {e}"))),
    }
    let built_in: Vec<&str> = ["ort", "wgpu", "rust"].into_iter().filter(|b| auto::built_in(b)).collect();
    row("backends built in", Some(built_in.join(", ")));
    for (what, value) in model.into_iter().flatten() {
        row(&what, Some(value));
    }
    exit::print(&table.render())
}

/// What a bundle or model file says, without running it.
fn describe(path: &Path) -> Result<Vec<(String, String)>> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |what: &str, value: String| rows.push((what.to_owned(), value));
    let (bytes, file) = if Bundle::is_bundle(path) {
        let bundle = Bundle::open(path)?;
        let m = &bundle.manifest;
        row("bundle", format!("{} ({})", m.name, format::bytes(bundle.total_bytes())));
        row("target, precision", format!("{}, {}", m.target, m.precision));
        row(
            "network",
            format!(
                "{}: {} parameters, {} MACs",
                m.arch.name,
                format::count(m.params),
                format::count(m.macs)
            ),
        );
        row("classes", format!("{}: {}", m.classes, m.labels.join(", ")));
        if !bundle.unlisted.is_empty() {
            row("not of the bundle", bundle.unlisted.join(", "));
        }
        row("golden images", bundle.golden.labels.len().to_string());
        row("samples", bundle.samples.len().to_string());
        row("evaluation images", bundle.eval_set()?.1.len().to_string());
        (bundle.model, path.join("model.onnx"))
    } else {
        (onnx::read(path)?, path.to_owned())
    };
    let onnx = OnnxModel::parse(&bytes, &file)?;
    row("model", format!("{}, SHA-256 {}", format::bytes(bytes.len() as u64), artifact::sha256(&bytes)));
    row("ONNX", format!("opset {}, IR {}, by {}", onnx.opset, onnx.ir_version, onnx.producer));
    onnx.inputs.iter().for_each(|v| row("input", signature(v)));
    onnx.outputs.iter().for_each(|v| row("output", signature(v)));
    let ops: Vec<String> = onnx.op_counts().iter().map(|(op, n)| format!("{n} {op}")).collect();
    row("operators", ops.join(", "));
    if !onnx.functions.is_empty() {
        row("functions", onnx.functions.join(", "));
    }
    Ok(rows)
}

fn signature(value: &Value) -> String {
    format!("{} {} {}", value.name, value.type_name(), sizes::signature(&value.dims))
}
