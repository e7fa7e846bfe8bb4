//! From a scheme's table to the name of every tensor of a graph, and what does not fit.

use super::naming::{Naming, Scheme};
use crate::io::tensors::TensorMap;
use crate::ir::graph::{Graph, ParamSpec, Part};
use crate::text::format;
use std::collections::{BTreeMap, BTreeSet};

/// What counts the batches that a batch normalisation has seen; no network computes with it.
const UNUSED: &str = "num_batches_tracked";
/// Names of each kind that a message tells.
const TOLD: usize = 2;

/// A graph's tensors, each with its name in a file.
pub(super) struct Mapping {
    pub naming: Naming,
    pub pairs: Vec<(ParamSpec, String)>,
}

impl Mapping {
    /// Each tensor under our own name.
    pub(super) fn own(graph: &Graph) -> Self {
        let pairs = graph.params().into_iter().map(|p| (p.clone(), p.name)).collect();
        Self { naming: Naming::Own, pairs }
    }

    /// Each tensor under the scheme's name; one that it has no name for keeps ours, which no file of theirs has.
    pub(super) fn of(scheme: &Scheme, graph: &Graph, file: &TensorMap) -> Self {
        let params = graph.params();
        let blocks = Blocks::of(scheme, &params, file);
        let pairs = params.into_iter().map(|p| {
            let name = blocks.name(scheme, &p).unwrap_or_else(|| p.name.clone());
            (p, name)
        });
        Self { naming: scheme.naming, pairs: pairs.collect() }
    }

    /// What of the file does not fit. The classifier may be for another number of classes.
    pub(super) fn judge(&self, file: &TensorMap) -> Misfits {
        let mut misfits = Misfits::default();
        let mut used = BTreeSet::new();
        for (param, name) in &self.pairs {
            let fresh = used.insert(name.as_str());
            match file.0.get(name).filter(|_| fresh) {
                None => misfits.missing.push(name.clone()),
                Some(tensor) if fits(&tensor.shape, &param.shape) => misfits.fitting += 1,
                Some(tensor) => misfits.misshaped.push((name.clone(), tensor.shape.clone(), param.clone())),
            }
        }
        misfits.resolve_classifier();
        let surplus = |name: &&String| !used.contains(name.as_str()) && !is_unused(name);
        misfits.surplus = file.0.keys().filter(surplus).cloned().collect();
        misfits
    }
}

fn is_unused(name: &str) -> bool {
    name.rsplit('.').next() == Some(UNUSED)
}

/// The same shape; a fully connected layer may be a 1x1 convolution there.
fn fits(theirs: &[usize], ours: &[usize]) -> bool {
    theirs == ours || (ours.len() == 2 && theirs.strip_suffix(&[1, 1]) == Some(ours))
}

/// The blocks of a graph, and how the file numbers them.
struct Blocks {
    /// The places of our blocks among all, by stage and block.
    flat: BTreeMap<(usize, usize), usize>,
    /// What each of our blocks has: `expand`, `depthwise`, ...
    parts: BTreeSet<(usize, usize, String)>,
    /// The file's groups and numbers in them, in order.
    groups: Vec<(usize, usize)>,
}

impl Blocks {
    fn of(scheme: &Scheme, params: &[ParamSpec], file: &TensorMap) -> Self {
        let (mut flat, mut parts) = (BTreeMap::new(), BTreeSet::new());
        for param in params {
            if let (Some(Part::Block { stage, block }), Some(layer)) = (param.part, layer(param)) {
                let next = flat.len();
                flat.entry((stage, block)).or_insert(next);
                parts.insert((stage, block, first_word(layer).to_owned()));
            }
        }
        let numbers = |name: &String| {
            let mut numbers = name.strip_prefix(scheme.groups?)?.split('.');
            Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
        };
        let groups: BTreeSet<(usize, usize)> = file.0.keys().filter_map(numbers).collect();
        Self { flat, parts, groups: groups.into_iter().collect() }
    }

    /// The scheme's name of a tensor, if it has one.
    fn name(&self, scheme: &Scheme, param: &ParamSpec) -> Option<String> {
        let layer = layer(param)?;
        let (_, template) = scheme.layers.iter().find(|(ours, _)| *ours == layer)?;
        let suffix = param.name.rsplit('.').next()?;
        let at =
            if let Some(Part::Block { stage, block }) = param.part { Some((stage, block)) } else { None };
        let flat = at.map_or(Some(self.flat.len()), |at| self.flat.get(&at).copied())?;
        let has = |part: &str| at.is_some_and(|(s, b)| self.parts.contains(&(s, b, part.to_owned())));
        let before = scheme.parts.iter().take_while(|part| **part != first_word(layer));
        let i = before.filter(|part| has(part)).count();
        let number = |n: Option<usize>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let group = self.groups.get(flat);
        let name = template
            .replace("{s}", &number(group.map(|g| g.0)))
            .replace("{b}", &number(group.map(|g| g.1)))
            .replace("{n}", &number(Some(scheme.first + flat)))
            .replace("{i}", &number(Some(i)))
            .replace("{j}", &number(Some(i + 1)))
            .replace("{l}", if has("expand") { "l" } else { "" });
        Some(format!("{name}.{suffix}"))
    }
}

/// `depthwise.bn` of `stages.1.0.depthwise.bn.weight`, `stem.conv` of `stem.conv.weight`.
fn layer(param: &ParamSpec) -> Option<&str> {
    let (node, _) = param.name.rsplit_once('.')?;
    match param.part {
        Some(Part::Block { .. }) => node.splitn(4, '.').nth(3),
        _ => Some(node),
    }
}

fn first_word(layer: &str) -> &str {
    layer.split('.').next().unwrap_or_default()
}

/// What keeps a file from being a network's weights under one naming.
#[derive(Debug, Default)]
pub(super) struct Misfits {
    /// How many tensors fit.
    pub fitting: usize,
    missing: Vec<String>,
    surplus: Vec<String>,
    /// Name and shape there, and what it should be.
    misshaped: Vec<(String, Vec<usize>, ParamSpec)>,
    /// Ours, that are for another number of classes there.
    pub left_out: Vec<String>,
}

impl Misfits {
    pub(super) fn count(&self) -> usize {
        self.missing.len() + self.surplus.len() + self.misshaped.len()
    }

    /// A classifier whose weight and bias agree on another number of classes is left out, and no misfit.
    fn resolve_classifier(&mut self) {
        let is_classifier = |param: &ParamSpec| param.name.starts_with("head.classifier.");
        let mut of: Vec<(&[usize], &ParamSpec)> = Vec::new();
        for (_, theirs, ours) in self.misshaped.iter().filter(|(.., ours)| is_classifier(ours)) {
            of.push((theirs, ours));
        }
        let [(a, ours_a), (b, ours_b)] = of[..] else { return };
        let but_classes = |theirs: &[usize], ours: &ParamSpec| {
            let (Some((_, rest)), Some((_, inner))) = (theirs.split_first(), ours.shape.split_first()) else {
                return false;
            };
            rest == inner || (inner.len() == 1 && rest.strip_suffix(&[1, 1]) == Some(inner))
        };
        if a.first() == b.first() && but_classes(a, ours_a) && but_classes(b, ours_b) {
            self.left_out = vec![ours_a.name.clone(), ours_b.name.clone()];
            self.misshaped.retain(|(.., ours)| !is_classifier(ours));
            self.fitting += 2;
        }
    }

    /// `missing `a`, `b` and 7 more; surplus ..; `c` is [1], `ours` wants [2]`.
    pub(super) fn tell(&self) -> String {
        let list = |what: &str, names: &[String]| {
            let told: Vec<String> =
                names.iter().take(TOLD).map(|n| format!("`{}`", format::shorten(n, 80))).collect();
            let more = names.len().saturating_sub(TOLD);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            (!names.is_empty()).then(|| format!("{what} {}{more}", told.join(", ")))
        };
        let shapes = self.misshaped.iter().take(TOLD).map(|(name, found, wanted)| {
            format!("`{name}` is {found:?}, `{}` wants {:?}", wanted.name, wanted.shape)
        });
        let more = self.misshaped.len().saturating_sub(TOLD);
        let more = (more > 0).then(|| format!("{more} more of another shape"));
        let lists = [list("missing", &self.missing), list("surplus", &self.surplus)];
        let all: Vec<String> = lists.into_iter().flatten().chain(shapes).chain(more).collect();
        all.join("; ")
    }
}
