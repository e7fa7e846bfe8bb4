//! Nodes written anew for rten: how each listed operator is checked, and what rten is given in its place.

use crate::onnx::proto::{AttributeProto, NodeProto, TensorProto};
use crate::onnx::shapes::Known;
use prost::bytes::Bytes;
use std::collections::HashMap;

/// This is ONNX's number of the element type `float` (TensorProto.DataType).
pub(super) const FLOAT: i32 = 1;
/// These are the floats that rten has.
pub(super) const F: &[i32] = &[FLOAT, 10];

/// This is what is written for rten.
pub struct Rewrite<'a> {
    /// Of the default domain.
    pub opset: i64,
    /// What is known of every value; where an input leaves sizes open, nothing is.
    pub values: &'a HashMap<String, Known>,
    /// In order.
    pub nodes: Vec<NodeProto>,
    /// To be added to the model's.
    pub constants: Vec<TensorProto>,
}

impl Rewrite<'_> {
    fn dims(&self, node: &NodeProto, i: usize) -> Option<&[u64]> {
        self.values.get(node.given(i)?)?.dims.as_deref()
    }

    /// A name that the model does not have.
    fn name(&self, of: &str, what: &str) -> String {
        let mut name = format!("{of}:{what}");
        while self.values.contains_key(&name) {
            name.push(':');
        }
        name
    }

    fn constant(&mut self, of: &str, what: &str, value: f32) -> String {
        let name = self.name(of, what);
        let raw_data = Bytes::copy_from_slice(&value.to_le_bytes());
        self.constants.push(TensorProto {
            name: name.clone(),
            data_type: FLOAT,
            raw_data,
            ..Default::default()
        });
        name
    }

    fn node(&mut self, op: &str, input: Vec<String>, output: &str, attribute: Vec<AttributeProto>) {
        let (op_type, output) = (op.to_owned(), vec![output.to_owned()]);
        let name = output.first().cloned().unwrap_or_default();
        self.nodes.push(NodeProto { op_type, input, output, name, attribute, domain: String::new() });
    }
}

pub(super) fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 7, ints, ..Default::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 2, i, ..Default::default() }
}

fn set(node: &mut NodeProto, attribute: AttributeProto) {
    node.attribute.retain(|a| a.name != attribute.name);
    node.attribute.push(attribute);
}

fn one_output(node: &NodeProto) -> Result<String, String> {
    match node.output.iter().filter(|o| !o.is_empty()).count() {
        1 => node.output.first().cloned().filter(|o| !o.is_empty()).ok_or_else(|| "lacks its result".into()),
        _ => Err("of several results is not supported".into()),
    }
}

fn input(node: &NodeProto, i: usize) -> Result<String, String> {
    node.given(i).map(str::to_owned).ok_or_else(|| format!("lacks input {i}"))
}

/// Passes a node on as it is. Only Split may have several results.
pub(super) fn plain(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    if node.op_type != "Split" {
        one_output(&node)?;
    }
    r.nodes.push(node);
    Ok(())
}

/// Passes on a Cast to a type that rten has. Bool is none of them (any integer would do for one).
pub(super) fn cast(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    match node.int("to") {
        Some(1 | 10 | 6 | 7) => plain(r, node),
        Some(to) => Err(format!("to element type {to} is not supported")),
        None => Err("attribute `to` is missing".into()),
    }
}

/// Writes Dropout as Identity: nothing is dropped where nothing is trained.
pub(super) fn dropout(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    let y = one_output(&node)?;
    if node.given(2).is_some() {
        return Err("with a training mode is not supported".into());
    }
    r.node("Identity", vec![input(&node, 0)?], &y, vec![]);
    Ok(())
}

/// Writes Relu, which makes 0 of NaN in rten, as a LeakyRelu of slope 0. That is the same for every number, and
/// keeps NaN (of -infinity it makes NaN, which is loud).
pub(super) fn relu(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    let y = one_output(&node)?;
    let alpha = AttributeProto { name: "alpha".into(), r#type: 1, f: 0.0, ..Default::default() };
    r.node("LeakyRelu", vec![input(&node, 0)?], &y, vec![alpha]);
    Ok(())
}

/// Writes Clip of floats, which makes the lower bound of NaN in rten, as Max and Min, which keep NaN.
pub(super) fn clip(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    let (x, y) = (input(&node, 0)?, one_output(&node)?);
    if !r.values.get(&x).is_some_and(|v| F.contains(&v.elem_type)) {
        return plain(r, node);
    }
    let mut bound = |i: usize, name: &str| match node.attribute(name).map(|a| a.f) {
        Some(v) => Some(r.constant(&y, name, v)),
        None => node.given(i).map(str::to_owned),
    };
    match (bound(1, "min"), bound(2, "max")) {
        (Some(low), Some(high)) => {
            let raised = r.name(&y, "raised");
            r.node("Max", vec![x, low], &raised, vec![]);
            r.node("Min", vec![raised, high], &y, vec![]);
        }
        (Some(low), None) => r.node("Max", vec![x, low], &y, vec![]),
        (None, Some(high)) => r.node("Min", vec![x, high], &y, vec![]),
        (None, None) => r.node("Identity", vec![x], &y, vec![]),
    }
    Ok(())
}

/// Writes MaxPool and GlobalMaxPool, which skip NaN in rten. To what they give is added the sum of 0 times each
/// image's values, which is NaN where one of them is, or is infinite.
pub(super) fn largest(r: &mut Rewrite, mut node: NodeProto) -> Result<(), String> {
    if node.op_type == "MaxPool" {
        window(r, &mut node, None)?;
    }
    let rank = match (r.dims(&node, 0), node.ints("kernel_shape")) {
        (Some(dims), _) => dims.len(),
        (None, Some(kernel)) => kernel.len() + 2,
        (None, None) => return Err("of a shape that is not known is not supported".into()),
    };
    let axes = (1..i64::try_from(rank).unwrap_or(i64::MAX)).collect();
    marked(r, node, vec![], vec![ints("axes", axes), int("keepdims", 1)])
}

/// Writes ReduceMax and ReduceMin of floats over their axes; they skip NaN in rten and are marked as
/// [`largest`] does.
pub(super) fn extreme(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    let x = input(&node, 0)?;
    if !r.values.get(&x).is_some_and(|v| F.contains(&v.elem_type)) {
        return plain(r, node);
    }
    let (axes, attributes) = (node.input.get(1..).unwrap_or_default().to_vec(), node.attribute.clone());
    marked(r, node, axes, attributes)
}

/// A node and, added to its result, the sum of 0 times its input, reduced as `more` inputs and `attributes` say.
fn marked(
    r: &mut Rewrite,
    mut node: NodeProto,
    more: Vec<String>,
    attributes: Vec<AttributeProto>,
) -> Result<(), String> {
    let (x, y) = (input(&node, 0)?, one_output(&node)?);
    let zero = r.constant(&y, "zero", 0.0);
    let (sound, marks, nothing) = (r.name(&y, "sound"), r.name(&y, "marks"), r.name(&y, "nothing"));
    node.output = vec![sound.clone()];
    r.nodes.push(node);
    r.node("Mul", vec![x, zero], &marks, vec![]);
    r.node("ReduceSum", [vec![marks], more].concat(), &nothing, attributes);
    r.node("Add", vec![sound, nothing], &y, vec![]);
    Ok(())
}

pub(super) fn pool(r: &mut Rewrite, mut node: NodeProto) -> Result<(), String> {
    window(r, &mut node, None)?;
    plain(r, node)
}

pub(super) fn conv(r: &mut Rewrite, mut node: NodeProto) -> Result<(), String> {
    let weights = r.dims(&node, 1).and_then(|d| d.get(2..)).map(<[u64]>::to_vec);
    let weights = weights.ok_or("with weights of a shape that is not known is not supported")?;
    if node.op_type == "ConvTranspose" && node.text("auto_pad").is_some_and(|t| t.starts_with("SAME")) {
        return Err("attribute `auto_pad` is not supported".into());
    }
    window(r, &mut node, Some(&weights))?;
    plain(r, node)
}

/// ONNX's defaults of a window, which rten wants written down; `kernel` where the weights say it.
fn window(r: &Rewrite, node: &mut NodeProto, kernel: Option<&[u64]>) -> Result<(), String> {
    let asked = node.ints("kernel_shape").map(<[i64]>::to_vec);
    let kernel = match (kernel.map(|k| k.iter().map(|&k| signed(k)).collect::<Vec<_>>()), asked) {
        (Some(own), Some(asked)) if own != asked => {
            return Err(format!("kernel_shape {asked:?} is not the weights' {own:?}"));
        }
        (Some(kernel), _) | (None, Some(kernel)) => kernel,
        (None, None) => return Err("attribute `kernel_shape` is missing".into()),
    };
    let rank = kernel.len();
    if !(1..=2).contains(&rank) {
        return Err(format!("over {rank} dimensions is not supported"));
    }
    for name in ["strides", "dilations"] {
        let given = node.ints(name).map_or_else(|| vec![1; rank], <[i64]>::to_vec);
        if given.len() != rank || given.iter().any(|&v| v < 1) {
            return Err(format!("{name} {given:?} are not {rank} positive numbers"));
        }
        set(node, ints(name, given));
    }
    set(node, ints("kernel_shape", kernel));
    let pads = match node.text("auto_pad").unwrap_or("NOTSET") {
        "NOTSET" => node.ints("pads").map_or_else(|| vec![0; 2 * rank], <[i64]>::to_vec),
        "VALID" => vec![0; 2 * rank],
        same @ ("SAME_UPPER" | "SAME_LOWER") => same_pads(r, node, same == "SAME_UPPER")
            .ok_or("attribute `auto_pad` for a size that is not known is not supported")?,
        other => return Err(format!("auto_pad `{other}` is not known")),
    };
    if pads.len() != 2 * rank || pads.iter().any(|&p| p < 0) {
        return Err(format!("pads {pads:?} are not {} numbers from 0 on", 2 * rank));
    }
    node.attribute.retain(|a| a.name != "auto_pad");
    set(node, ints("pads", pads));
    fits(r, node)
}

/// A window that slides must fit into its input, as far as that is known.
fn fits(r: &Rewrite, node: &NodeProto) -> Result<(), String> {
    let Some(input) = r.dims(node, 0).and_then(|d| d.get(2..)).filter(|_| node.op_type != "ConvTranspose")
    else {
        return Ok(());
    };
    let list = |name: &str| node.ints(name).unwrap_or_default();
    let (kernel, dilations, pads) = (list("kernel_shape"), list("dilations"), list("pads"));
    let (begin, end) = pads.split_at(pads.len() / 2);
    if input.len() != kernel.len() {
        return Err(format!("a window over {} dimensions of {input:?}", kernel.len()));
    }
    for ((&d, (&k, &l)), (&b, &e)) in
        input.iter().zip(kernel.iter().zip(dilations)).zip(begin.iter().zip(end))
    {
        let reach = (k - 1).saturating_mul(l).saturating_add(1);
        let padded = signed(d).saturating_add(b).saturating_add(e);
        // With ceil_mode the last window may reach beyond the padding; the first never does.
        if reach > padded {
            return Err(format!("a window of {reach} does not fit into {padded} (with padding)"));
        }
    }
    Ok(())
}

/// What `auto_pad` means for the input's size (ONNX's operator page of Conv).
fn same_pads(r: &Rewrite, node: &NodeProto, upper: bool) -> Option<Vec<i64>> {
    let input: Vec<i64> = r.dims(node, 0)?.get(2..)?.iter().map(|&d| signed(d)).collect();
    let (strides, dilations, kernel) =
        (node.ints("strides")?, node.ints("dilations")?, node.ints("kernel_shape")?);
    let (mut begin, mut end) = (Vec::new(), Vec::new());
    for (i, &d) in input.iter().enumerate() {
        let (stride, dilation, k) = (*strides.get(i)?, *dilations.get(i)?, *kernel.get(i)?);
        let reach = (k - 1).checked_mul(dilation)?.checked_add(1)?;
        let positions = u64::try_from(d).ok()?.div_ceil(u64::try_from(stride).ok()?);
        let needed = signed(positions).checked_sub(1)?.checked_mul(stride)?.checked_add(reach)?;
        let all = needed.checked_sub(d)?.max(0);
        let (less, more) = (all / 2, all - all / 2);
        begin.push(if upper { less } else { more });
        end.push(if upper { more } else { less });
    }
    begin.extend(end);
    Some(begin)
}

/// Passes on Softmax and LogSoftmax. Up to operator set 12 they are over everything from the axis on, and so
/// written as that of a matrix.
pub(super) fn softmax(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    if r.opset >= 13 {
        return plain(r, node);
    }
    let (x, y) = (input(&node, 0)?, one_output(&node)?);
    let axis = node.int("axis").unwrap_or(1);
    let names = ["shape", "matrix", "rows"].map(|what| r.name(&y, what));
    let [shape, matrix, rows] = names;
    r.node("Shape", vec![x.clone()], &shape, vec![]);
    r.node("Flatten", vec![x], &matrix, vec![int("axis", axis)]);
    r.node(&node.op_type, vec![matrix], &rows, vec![int("axis", -1)]);
    r.node("Reshape", vec![rows, shape], &y, vec![]);
    Ok(())
}

/// Passes on Resize by nearest neighbour or linear. It refuses `cubic`, which rten takes for linear, and
/// `linear` with aligned corners, where rten is off when it shrinks.
pub(super) fn resize(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    let transform = node.text("coordinate_transformation_mode").unwrap_or("half_pixel");
    match node.text("mode").unwrap_or("nearest") {
        "linear" if transform == "align_corners" => {
            Err("mode `linear` with aligned corners is not supported".into())
        }
        "nearest" | "linear" => plain(r, node),
        other => Err(format!("mode `{other}` is not supported")),
    }
}

/// Passes on MatMul, except of a stack of matrices by a vector, which leaves a dimension of 1 in rten's result.
pub(super) fn mat_mul(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    match (r.dims(&node, 0).map(<[u64]>::len), r.dims(&node, 1).map(<[u64]>::len)) {
        (_, None) => Err("by a value of a shape that is not known is not supported".into()),
        (None | Some(3..), Some(1)) => Err("of a stack of matrices by a vector is not supported".into()),
        _ => plain(r, node),
    }
}

pub(super) fn pad(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    if node.given(3).is_some() {
        return Err("with axes is not supported".into());
    }
    plain(r, node)
}

pub(super) fn pow(r: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    let exponent = node.given(1).and_then(|name| r.values.get(name)).map_or(0, |v| v.elem_type);
    if !F.contains(&exponent) {
        return Err(format!("by an exponent of element type {exponent} is not supported"));
    }
    plain(r, node)
}

/// Writes QuantizeLinear with its axis: scales run along axis 1 where nothing else is said; rten would take the
/// last one.
pub(super) fn quantize(r: &mut Rewrite, mut node: NodeProto) -> Result<(), String> {
    let scales = r.dims(&node, 1).map(|d| d.iter().product::<u64>());
    let scales = scales.ok_or("with scales of a shape that is not known is not supported")?;
    if scales != 1 && node.int("axis").is_none() {
        set(&mut node, int("axis", 1));
    }
    plain(r, node)
}

fn signed(d: u64) -> i64 {
    i64::try_from(d).unwrap_or(i64::MAX)
}
