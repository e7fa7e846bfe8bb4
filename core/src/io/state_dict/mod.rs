//! PyTorch state dicts, as `torch.save` writes them: the zip archive of PyTorch 1.6 and later, and the older stream of
//! pickles (torch/serialization.py). Opcodes and names outside a short list are refused; nothing is executed.

mod legacy;
mod tensor;
mod zip;

use crate::io::pickle::{Dialect, Id, Pickle, Value};
use crate::io::tensors::TensorMap;
use crate::text::format;
use crate::{Error, Result};
use std::path::Path;
use tensor::Tensors;

/// Bytes of the largest file of weights: ten times a ResNet-50's. Its tensors take at most twice as much
/// memory.
pub const MAX_BYTES: u64 = 1 << 30;
/// Tensors of one file; a ResNet-50 has 320.
const MAX_TENSORS: usize = 65_536;
/// Dictionaries around the state dict: `{"model": {"state_dict": ..}}`.
const MAX_WRAPS: usize = 3;
/// Keys under which checkpoints keep the state dict.
const WRAPS: [&str; 3] = ["state_dict", "model_state_dict", "model"];
/// What wrappers for several devices (`DataParallel`) put before all names.
const MODULE: &str = "module.";

const DIALECT: Dialect = Dialect {
    names: &[
        ("collections", "OrderedDict"),
        ("torch", "Size"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch", "BFloat16Storage"),
        ("torch", "BoolStorage"),
        ("torch", "ByteStorage"),
        ("torch", "CharStorage"),
        ("torch", "DoubleStorage"),
        ("torch", "FloatStorage"),
        ("torch", "HalfStorage"),
        ("torch", "IntStorage"),
        ("torch", "LongStorage"),
        ("torch", "ShortStorage"),
    ],
    persistent: true,
    only: "tensors of a state dict (`torch.save(model.state_dict(), FILE)`)",
};

/// Returns whether a file's first bytes are those of a PyTorch file, a zip archive or a pickle, and not of a safetensors
/// file, whose header's length may begin like either.
pub fn is_one(bytes: &[u8]) -> bool {
    let safetensors = bytes.get(4..9) == Some(b"\0\0\0\0{");
    !safetensors && (bytes.starts_with(b"PK\x03\x04") || bytes.first() == Some(&0x80))
}

/// Reads a file's bytes from memory; `path` is for messages. Tensors keep their types and names, but for `module.`
/// where all names begin with it. It is an error, naming what was found, if the file is damaged, holds anything but
/// tensors beside a known wrapper's key, or asks for a name that is none of a tensor's.
pub fn read(bytes: &[u8], path: &Path) -> Result<TensorMap> {
    let map = if bytes.starts_with(b"PK\x03\x04") { from_zip(bytes) } else { from_legacy(bytes) };
    let mut map = map
        .map_err(|what| Error::input(path, format!("is no PyTorch state dict that is read here: {what}")))?;
    if map.0.keys().all(|name| name.starts_with(MODULE)) {
        let bare = |(name, tensor): (String, _)| Some((name.strip_prefix(MODULE)?.to_owned(), tensor));
        map.0 = map.0.into_iter().filter_map(bare).collect();
    }
    Ok(map)
}

fn from_zip(bytes: &[u8]) -> Result<TensorMap, String> {
    let archive = zip::Archive::read(bytes)?;
    let pickle = Pickle::read(archive.get("data.pkl")?, &DIALECT).map_err(|e| format!("data.pkl: {e}"))?;
    if archive.has("byteorder") && archive.get("byteorder")? != b"little" {
        return Err("its numbers are not little-endian".into());
    }
    tensors(&pickle, |key| archive.get(&format!("data/{key}")), bytes.len())
}

fn from_legacy(bytes: &[u8]) -> Result<TensorMap, String> {
    let file = legacy::File::read(bytes)?;
    let storage =
        |key: &str| file.storages.get(key).copied().ok_or_else(|| format!("storage `{key}` is missing"));
    tensors(&file.pickle, storage, bytes.len())
}

/// All tensors of the state dict that `pickle` is or holds; at most twice as many bytes as the file's `size`.
fn tensors<'a>(
    pickle: &Pickle<'a>,
    storage: impl Fn(&str) -> Result<&'a [u8], String>,
    size: usize,
) -> Result<TensorMap, String> {
    let pairs = state_dict(pickle)?;
    if pairs.len() > MAX_TENSORS {
        return Err(format!("has {} tensors, wanted at most {MAX_TENSORS}", pairs.len()));
    }
    let mut reader = Tensors { pickle, storage, room: size.saturating_mul(2) };
    let mut map = TensorMap::default();
    for (key, value) in pairs {
        let name = pickle.text(*key).ok_or("a tensor's name is no text")?;
        let bad = |what: String| format!("`{}` {what}", format::shorten(name, 100));
        if map.0.contains_key(name) {
            return Err(bad("is there twice".into()));
        }
        map.insert(name, reader.read(*value).map_err(bad)?);
    }
    Ok(map)
}

/// The names and tensors: the whole, or what a checkpoint has under one of [`WRAPS`].
fn state_dict<'p>(pickle: &'p Pickle) -> Result<&'p [(Id, Id)], String> {
    let mut pairs = pairs(pickle, pickle.root).ok_or("it is no dictionary")?;
    for _ in 0..MAX_WRAPS {
        let inner = |wrap: &&str| {
            let (_, value) = pairs.iter().find(|(key, _)| pickle.text(*key) == Some(*wrap))?;
            self::pairs(pickle, *value)
        };
        match WRAPS.iter().find_map(inner) {
            Some(found) => pairs = found,
            None => break,
        }
    }
    if pairs.is_empty() { Err("it holds no tensors".into()) } else { Ok(pairs) }
}

fn pairs<'p>(pickle: &'p Pickle, id: Id) -> Option<&'p [(Id, Id)]> {
    match pickle.value(id)? {
        Value::Dict(pairs) => Some(pairs),
        Value::Object(_) => {
            let dict = pickle.object(id).filter(|o| o.name == ("collections", "OrderedDict"))?;
            dict.arguments.is_empty().then_some(dict.pairs)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
