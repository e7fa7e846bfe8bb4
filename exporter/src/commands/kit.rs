//! `gtn-export kit`: the distinct fused operators of pools and networks as tiny models, and a few whole networks.

use crate::bundle::draft::Draft;
use crate::cli::KitArgs;
use crate::untrained;
use gtn_core::artifacts::kit::{KitManifest, KitNetwork, KitOp, SCHEMA};
use gtn_core::device::{self, Device};
use gtn_core::ir::arch::{ArchSpec, Input};
use gtn_core::ir::fold::fold_graph;
use gtn_core::ir::graph::Graph;
use gtn_core::latency::{FusedOp, MIN_NETWORKS, fused_ops};
use gtn_core::nets::pool::{self, Pool};
use gtn_core::nets::resolve;
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::{Error, Precision, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// This is what a kit is to hold.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose profile it is written for.
    pub device: Device,
    /// Student pools whose operators it covers.
    pub pools: Vec<Pool>,
    /// Networks of no pool: their operators, and they themselves.
    pub archs: Vec<ArchSpec>,
    /// What the pools' students take in.
    pub input: Input,
    /// What the pools' students tell apart.
    pub classes: usize,
    /// What its models compute in.
    pub precisions: BTreeSet<Precision>,
    /// Whole students of each pool, at random.
    pub networks: u8,
    /// Draws them.
    pub seed: u64,
}

/// Runs `gtn-export kit --target T --pool P --out K.gtnkit`.
pub fn run(args: &KitArgs) -> Result<()> {
    if args.out.extension().is_none_or(|e| e != "gtnkit") {
        return Err(Error::usage(format!("--out {}: wanted NAME.gtnkit", args.out.display())));
    }
    let device = device::resolve(&args.target)?;
    let input: Input = args.input.parse()?;
    let precisions = precisions(args, &device);
    let manifest = make(
        &Request {
            pools: args.pool.iter().map(|text| pool::resolve(text)).collect::<Result<Vec<_>>>()?,
            archs: args
                .arch
                .iter()
                .map(|text| arch(text, input, args.classes))
                .collect::<Result<Vec<_>>>()?,
            device,
            input,
            classes: args.classes,
            precisions,
            networks: args.networks,
            seed: args.seed,
        },
        &args.out,
    )?;
    exit::print(&format!(
        "{} operators, {} networks, {} models\n{}\n",
        manifest.ops.len(),
        manifest.networks.len(),
        manifest.files.len(),
        args.out.display()
    ))
}

/// Makes the kit, `NAME.gtnkit`. Fewer whole networks than a table's band is taken from are a usage error.
pub fn make(request: &Request, out: &Path) -> Result<KitManifest> {
    let Request { device, pools, input, classes, .. } = request;
    let whole = pools.len() * usize::from(request.networks) + request.archs.len();
    if whole < MIN_NETWORKS {
        return Err(Error::usage(format!(
            "a kit of {}, wanted at least {MIN_NETWORKS}: name more with --arch, or a pool, whose students show how far off a \
             prediction may be",
            format::counted(whole, "whole network")
        )));
    }
    let mut draft = Draft::start(out)?;
    let mut manifest = KitManifest {
        schema: SCHEMA.into(),
        target: device.name.clone(),
        pools: pools.iter().map(|pool| pool.name.clone()).collect(),
        ops: Vec::new(),
        networks: Vec::new(),
        files: BTreeMap::new(),
    };
    let mut ops: BTreeMap<String, FusedOp> = BTreeMap::new();
    let mut cover = |graph: &Graph| {
        ops.extend(fused_ops(&fold_graph(graph)).into_iter().map(|op| (op.shape_key(), op)));
    };
    let mut networks = Vec::new();
    for pool in pools {
        for path in pool.coverage() {
            cover(&Graph::lower(&pool.arch(&path, *input, *classes)?)?);
        }
        networks.extend(drawn(pool, request)?);
    }
    for arch in &request.archs {
        cover(&Graph::lower(arch)?);
        networks.push(arch.clone());
    }
    for &precision in &request.precisions {
        add_ops(&mut draft, &mut manifest, (device, precision), ops.values())?;
        for (i, arch) in networks.iter().enumerate() {
            let model = format!("net-{i:03}-{precision}.onnx");
            draft.add(&model, &untrained::write(&Graph::lower(arch)?, &arch.name, precision, device)?)?;
            manifest.networks.push(KitNetwork { arch: arch.clone(), precision, model });
        }
    }
    manifest.files.clone_from(draft.files());
    draft.seal(&manifest)?;
    draft.publish()?;
    Ok(manifest)
}

/// Different students of the pool, at random.
fn drawn(pool: &Pool, request: &Request) -> Result<Vec<ArchSpec>> {
    let wanted = usize::from(request.networks);
    let mut paths = Vec::with_capacity(wanted);
    // A pool is far larger than any kit: a second draw of one student is rare.
    for index in 0..20 * u64::from(request.networks) {
        let path = pool.sample(request.seed, index);
        if paths.len() < wanted && !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths.iter().map(|path| pool.arch(path, request.input, request.classes)).collect()
}

/// A network by its name, or a trained one by its folder.
fn arch(text: &str, input: Input, classes: usize) -> Result<ArchSpec> {
    let file = Path::new(text).join("arch.json");
    let text = if file.is_file() { file.display().to_string() } else { text.to_owned() };
    resolve(&text, input, classes)
}

/// Those asked for, else those that the profile thinks worth trying.
fn precisions(args: &KitArgs, device: &Device) -> BTreeSet<Precision> {
    let wanted = if args.precision.is_empty() { &device.precisions } else { &args.precision };
    wanted.iter().copied().collect()
}

fn add_ops<'a>(
    draft: &mut Draft,
    manifest: &mut KitManifest,
    (device, precision): (&Device, Precision),
    ops: impl Iterator<Item = &'a FusedOp>,
) -> Result<()> {
    let mut write =
        |name: &str, graph: &Graph| draft.add(name, &untrained::write(graph, name, precision, device)?);
    let mut references = Vec::new();
    for (i, op) in ops.enumerate() {
        let reference_key = op.reference_key();
        let at = references.iter().position(|k| *k == reference_key);
        let reference = format!("ref-{:03}-{precision}.onnx", at.unwrap_or(references.len()));
        if at.is_none() {
            write(&reference, &op.reference_model())?;
            references.push(reference_key);
        }
        let model = format!("op-{i:03}-{precision}.onnx");
        write(&model, &op.timed_model())?;
        manifest.ops.push(KitOp { op: op.key(precision), model, reference, copies: op.copies() });
    }
    Ok(())
}
