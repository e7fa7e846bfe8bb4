//! `gtn-export kit`: a pool's distinct fused operators as tiny models, and a few whole networks.

use crate::bundle::draft::Draft;
use crate::cli::KitArgs;
use crate::untrained;
use gtn_core::artifacts::kit::{KitManifest, KitNetwork, KitOp, SCHEMA};
use gtn_core::device::{self, Device};
use gtn_core::ir::arch::{ArchSpec, Input};
use gtn_core::ir::fold::fold_graph;
use gtn_core::ir::graph::Graph;
use gtn_core::latency::{FusedOp, fused_ops};
use gtn_core::nets::pool;
use gtn_core::program::exit;
use gtn_core::{Error, Precision, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Runs `gtn-export kit --target T --pool P --out K.gtnkit`.
pub fn run(args: &KitArgs) -> Result<()> {
    if args.out.extension().is_none_or(|e| e != "gtnkit") {
        return Err(Error::usage(format!("--out {}: wanted NAME.gtnkit", args.out.display())));
    }
    let device = device::resolve(&args.target)?;
    let input: Input = args.input.parse()?;
    let pools = args.pool.iter().map(|text| pool::resolve(text)).collect::<Result<Vec<_>>>()?;
    let mut draft = Draft::start(&args.out)?;
    let mut manifest = KitManifest {
        schema: SCHEMA.into(),
        target: device.name.clone(),
        pools: pools.iter().map(|pool| pool.name.clone()).collect(),
        ops: Vec::new(),
        networks: Vec::new(),
        files: BTreeMap::new(),
    };
    let precisions = precisions(args, &device);
    let mut ops: BTreeMap<String, FusedOp> = BTreeMap::new();
    let mut networks = Vec::new();
    for pool in &pools {
        for path in pool.coverage() {
            let graph = fold_graph(&Graph::lower(&pool.arch(&path, input, args.classes)?)?);
            ops.extend(fused_ops(&graph).into_iter().map(|op| (op.shape_key(), op)));
        }
        networks.extend(drawn(pool, args, input)?);
    }
    for precision in precisions {
        add_ops(&mut draft, &mut manifest, (&device, precision), ops.values())?;
        for (i, arch) in networks.iter().enumerate() {
            let model = format!("net-{i:03}-{precision}.onnx");
            draft.add(&model, &untrained::write(&Graph::lower(arch)?, &arch.name, precision, &device)?)?;
            manifest.networks.push(KitNetwork { arch: arch.clone(), precision, model });
        }
    }
    manifest.files.clone_from(draft.files());
    draft.seal(&manifest)?;
    draft.publish()?;
    exit::print(&format!(
        "{} operators, {} networks, {} models\n{}\n",
        manifest.ops.len(),
        manifest.networks.len(),
        manifest.files.len(),
        args.out.display()
    ))
}

/// Different students of the pool, at random.
fn drawn(pool: &pool::Pool, args: &KitArgs, input: Input) -> Result<Vec<ArchSpec>> {
    let wanted = usize::from(args.networks);
    let mut paths = Vec::with_capacity(wanted);
    // A pool is far larger than any kit: a second draw of one student is rare.
    for index in 0..20 * u64::from(args.networks) {
        let path = pool.sample(args.seed, index);
        if paths.len() < wanted && !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths.iter().map(|path| pool.arch(path, input, args.classes)).collect()
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
