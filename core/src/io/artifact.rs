//! Files that other programs trust: written atomically, hashed, sealed, with a schema.

mod naming;
mod parsing;
mod reading;
mod writing;

pub use naming::{file_stem, is_plain};
pub use parsing::{
    check_schema, from_value, parse_json, parse_schema, parse_toml, read_document, read_schema,
};
pub use reading::{MAX_FILE, MAX_TEXT, open, read, read_at_most, read_text, sha256_file};
pub use writing::{
    check_creatable, check_writable, create_dir, create_new_dir, is_stream, new_dir_beside, publish_dir,
    publish_dir_with, temporary_dir, write_atomic,
};

use crate::{Error, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Returns the lower-case hex SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    sha256_hex(Sha256::new_with_prefix(bytes))
}

fn sha256_hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Returns pretty JSON with a final newline; key order is the type's.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| Error::Failed(format!("JSON: {e}")))?;
    text.push('\n');
    Ok(text)
}

/// Writes JSON atomically.
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<()> {
    write_atomic(path, to_json(value)?.as_bytes())
}

const SEAL_KEY: &str = ",\n  \"sha256_of_the_above\": \"";
const SEAL_END: &str = "\"\n}\n";

/// Returns JSON whose last key is the SHA-256 of every byte before it, so that a change anywhere in the file
/// shows without a second file. It is an error if `value` is no object.
pub fn seal<T: Serialize>(value: &T) -> Result<String> {
    let text = to_json(value)?;
    let body =
        text.strip_suffix("\n}\n").ok_or_else(|| Error::Failed("only an object can be sealed".into()))?;
    Ok(format!("{body}{SEAL_KEY}{}{SEAL_END}", sha256(body.as_bytes())))
}

/// Returns the object's text without its seal. It is an error if there is no seal or it does not hold.
pub fn unseal(text: &str, path: &Path) -> Result<String> {
    let parts = text.strip_suffix(SEAL_END).and_then(|t| t.rsplit_once(SEAL_KEY));
    let Some((body, seal)) = parts else {
        return Err(Error::input(path, "has no checksum at its end: damaged, or not written by gtn-export"));
    };
    let found = sha256(body.as_bytes());
    if found != seal {
        return Err(Error::input(
            path,
            format!("checksum is {found}, the file says {seal}: damaged or edited"),
        ));
    }
    Ok(format!("{body}\n}}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_catches_every_flipped_byte() {
        let path = Path::new("manifest.json");
        let sealed = seal(&serde_json::json!({"schema": "x/1", "n": 3})).unwrap();
        let value: serde_json::Value = serde_json::from_str(&unseal(&sealed, path).unwrap()).unwrap();
        assert_eq!(value, serde_json::json!({"schema": "x/1", "n": 3}));
        for i in 0..sealed.len() {
            for bit in 0..7 {
                let mut bytes = sealed.clone().into_bytes();
                bytes[i] ^= 1 << bit;
                let text = String::from_utf8(bytes).unwrap();
                assert!(unseal(&text, path).is_err(), "byte {i} bit {bit}");
            }
        }
    }
}
