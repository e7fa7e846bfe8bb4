//! The stream that `torch.save` wrote before PyTorch 1.6, and still does on demand: pickles of a magic number, a
//! version, the system, the object and the storages' keys, then each storage (`_legacy_save`).

use super::DIALECT;
use super::tensor::Storage;
use crate::io::pickle::{Pickle, Value};
use std::collections::HashMap;

/// The magic number and version 1001, each a pickle of protocol 2.
const BEGIN: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";

/// The object, and its storages by key.
pub(super) struct File<'a> {
    pub pickle: Pickle<'a>,
    pub storages: HashMap<String, &'a [u8]>,
}

impl<'a> File<'a> {
    pub(super) fn read(file: &'a [u8]) -> Result<Self, String> {
        let mut rest = file.strip_prefix(BEGIN).ok_or("it does not begin as torch.save's files do")?;
        let mut next = |what: &str| {
            let pickle = Pickle::read(rest, &DIALECT).map_err(|e| format!("{what}: {e}"))?;
            rest = rest.get(pickle.end..).unwrap_or_default();
            Ok::<_, String>(pickle)
        };
        let system = next("system")?;
        let little = system.get("little_endian").ok();
        if !matches!(little.and_then(|id| system.value(id)), Some(Value::Bool(true))) {
            return Err("its numbers are not little-endian".into());
        }
        let pickle = next("object")?;
        let keys = next("storages")?;
        let keys = keys.texts(keys.root).map_err(|e| format!("the storages' list {e}"))?;
        let mut told = HashMap::new();
        for id in pickle.persistent() {
            let storage = Storage::of(&pickle, id)?;
            if told.insert(storage.key, storage).is_some_and(|before| before != storage) {
                return Err(format!("storage `{}` is told in two ways", storage.key));
            }
        }
        let mut storages = HashMap::new();
        for key in keys {
            let storage = told.get(key.as_str()).ok_or_else(|| format!("storage `{key}` is of no tensor"))?;
            let cut = || format!("storage `{key}` is cut off");
            let (count, after) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
            if usize::try_from(u64::from_le_bytes(*count)) != Ok(storage.count) {
                return Err(format!("storage `{key}` has another size than its tensors say"));
            }
            let (bytes, after) = after.split_at_checked(storage.bytes()?).ok_or_else(cut)?;
            rest = after;
            if storages.insert(key.clone(), bytes).is_some() {
                return Err(format!("storage `{key}` is there twice"));
            }
        }
        if rest.is_empty() {
            Ok(Self { pickle, storages })
        } else {
            Err("there are bytes behind its storages".into())
        }
    }
}
