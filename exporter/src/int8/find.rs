//! The recipe that is found: what the user left open is tried one switch at a time, and layers stay in fp32 where the rest
//! loses too much.

use crate::int8::calibration::Reference;
use crate::int8::fallback;
use crate::int8::search::{Asked, Int8Recipe, Judged, Search, TriedRecipe};
use crate::onnx::qdq;
use gtn_core::quant::{Int8Network, Method};
use gtn_core::{Error, Result};

/// This is what the search found.
pub struct Int8Model {
    /// The network.
    pub net: Int8Network,
    /// Its file.
    pub model: Vec<u8>,
    /// How it was made.
    pub recipe: Int8Recipe,
    /// All that was compared.
    pub tried: Vec<TriedRecipe>,
    /// On val.
    pub judged: Judged,
}

/// Finds the best recipe within what was asked. It is an error if its drop on val is more than `asked.max_drop`
/// points.
pub fn find(search: &mut Search, asked: &Asked, fp32: &Reference) -> Result<Int8Model> {
    let equalised = asked.equalise.unwrap_or(true);
    if equalised {
        search.equalise()?;
    }
    let mut tried: Vec<TriedRecipe> = Vec::new();
    let first = Int8Recipe {
        method: Method::Minmax,
        equalise: equalised,
        bias_correction: asked.bias_correction.unwrap_or(true),
        fp32: asked.fp32.clone().unwrap_or_default(),
    };
    let methods = asked.method.map_or(Method::ALL.to_vec(), |m| vec![m]);
    for &method in &methods {
        tried.push(search.attempt(Int8Recipe { method, ..first.clone() })?);
    }
    let best = |tried: &[TriedRecipe]| -> Result<Int8Recipe> {
        let best = tried.iter().min_by(|a, b| a.divergence.total_cmp(&b.divergence));
        best.map(|t| t.recipe.clone()).ok_or_else(|| Error::Failed("no recipe was tried".into()))
    };
    // One switch at a time from the best method.
    let mut chosen = best(&tried)?;
    if asked.equalise.is_none() {
        tried.push(search.attempt(Int8Recipe { equalise: false, ..chosen })?);
        chosen = best(&tried)?;
    }
    if asked.bias_correction.is_none() {
        tried.push(search.attempt(Int8Recipe { bias_correction: !chosen.bias_correction, ..chosen })?);
        chosen = best(&tried)?;
    }
    let mut judged = search.judge(&chosen, fp32)?;
    if !judged.within(asked.max_drop) && asked.fp32.is_none() {
        (chosen, judged) = fallback::find(search, chosen, asked.max_drop, fp32)?;
    }
    if !judged.within(asked.max_drop) {
        return Err(Error::Failed(format!(
            "int8 loses {:.2} points of top-1 on {} val images (fp32 {:.2} %), --max-drop allows {}",
            judged.drop,
            judged.images,
            100.0 * judged.fp32_top1,
            asked.max_drop
        )));
    }
    let net = search.build(&chosen)?;
    Ok(Int8Model { model: qdq::write(&net, search.describe)?, net, recipe: chosen, tried, judged })
}
