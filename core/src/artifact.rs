//! Files that other programs trust: written atomically, hashed, sealed, with a schema.

use crate::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The whole file, or an error naming it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::io(path, "read", e))
}

/// The whole file as UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| Error::input(path, "is not UTF-8 text"))
}

/// Creates the folder and its parents.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io(path, "create", e))
}

/// Temp file, fsync, rename, fsync of the folder: the file is the old one or the whole new one.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let temp = sibling(path, "tmp");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temp, path)?;
        sync_parent(path)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temp); // best effort: the error that matters is `e`
        Error::io(path, "write", e)
    })
}

/// Whether `path` could be written, asked before the work that fills it.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::input(path, "is a folder, wanted a file to write"));
    }
    let temp = sibling(path, "try");
    File::create(&temp).map_err(|e| Error::io(path, "write", e))?;
    fs::remove_file(&temp).map_err(|e| Error::io(path, "write", e))
}

/// Renames a finished folder into place, replacing an older one; on return it is durable.
/// Every file in it must already have been synced (as [`write_atomic`] does).
pub fn publish_dir(finished: &Path, target: &Path) -> Result<()> {
    let old = sibling(target, "old");
    let publish = || -> std::io::Result<()> {
        if old.exists() {
            fs::remove_dir_all(&old)?;
        }
        if target.exists() {
            fs::rename(target, &old)?;
        }
        if let Err(e) = fs::rename(finished, target) {
            if old.exists() {
                fs::rename(&old, target)?; // put the older one back
            }
            return Err(e);
        }
        sync_parent(target)?;
        if old.exists() { fs::remove_dir_all(&old) } else { Ok(()) }
    };
    publish().map_err(|e| Error::io(target, "write", e))
}

/// `.NAME.PID.EXT` beside `path`: same file system, so that rename is atomic.
pub fn sibling(path: &Path, ext: &str) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.{ext}", std::process::id()))
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(dir) if cfg!(unix) => {
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            File::open(dir)?.sync_all()
        }
        _ => Ok(()),
    }
}

/// Lower-case hex SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Lower-case hex SHA-256 of a file.
pub fn sha256_file(path: &Path) -> Result<String> {
    Ok(sha256(&read(path)?))
}

/// Pretty JSON with a final newline; key order is the type's.
pub fn to_json<T: Serialize>(value: &T) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| Error::Failed(format!("JSON: {e}")))?;
    text.push('\n');
    Ok(text)
}

/// Writes JSON atomically.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    write_atomic(path, to_json(value)?.as_bytes())
}

/// Reads TOML (by its ending) or JSON; the error gives file, line and key.
pub fn read_document<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = read_text(path)?;
    if path.extension().is_some_and(|e| e == "toml") {
        return toml::from_str(&text).map_err(|e| Error::input(path, e.to_string().trim_end().to_owned()));
    }
    serde_json::from_str(&text).map_err(|e| Error::input(path, e.to_string()))
}

/// Reads JSON whose `schema` key must be `wanted` (`gtn.arch/1`); another major version is refused
/// before anything else is looked at.
pub fn read_schema<T: DeserializeOwned>(path: &Path, wanted: &str) -> Result<T> {
    parse_schema(&read_text(path)?, path, wanted)
}

/// [`read_schema`] of text in memory; `path` is for messages.
pub fn parse_schema<T: DeserializeOwned>(text: &str, path: &Path, wanted: &str) -> Result<T> {
    #[derive(serde::Deserialize)]
    struct Head {
        schema: Option<String>,
    }
    let bad = |e: serde_json::Error| Error::input(path, e.to_string());
    let head: Head = serde_json::from_str(text).map_err(bad)?;
    let found = head.schema.unwrap_or_default();
    if found != wanted {
        return Err(Error::input(path, format!("schema is `{found}`, wanted `{wanted}`")));
    }
    serde_json::from_str(text).map_err(bad)
}

const SEAL_KEY: &str = ",\n  \"sha256_of_the_above\": \"";
const SEAL_END: &str = "\"\n}\n";

/// JSON whose last key is the SHA-256 of every byte before it, so that a change anywhere in the file
/// shows without a second file.
pub fn seal<T: Serialize>(value: &T) -> Result<String> {
    let text = to_json(value)?;
    let body =
        text.strip_suffix("\n}\n").ok_or_else(|| Error::Failed("only an object can be sealed".into()))?;
    Ok(format!("{body}{SEAL_KEY}{}{SEAL_END}", sha256(body.as_bytes())))
}

/// The object's text without its seal, if the seal holds.
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

    #[test]
    fn an_unknown_schema_is_refused_by_name() {
        let error = parse_schema::<serde_json::Value>(
            r#"{"schema":"gtn.arch/2"}"#,
            Path::new("a.json"),
            "gtn.arch/1",
        );
        assert_eq!(error.unwrap_err().to_string(), "a.json: schema is `gtn.arch/2`, wanted `gtn.arch/1`");
    }

    #[test]
    fn atomic_write_replaces_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let error = write_atomic(&dir.path().join("no/such/a.txt"), b"x").unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn publishing_replaces_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("b.gtn");
        for text in ["one", "two"] {
            let temp = sibling(&target, "new");
            create_dir(&temp).unwrap();
            write_atomic(&temp.join("f"), text.as_bytes()).unwrap();
            publish_dir(&temp, &target).unwrap();
            assert_eq!(read_text(&target.join("f")).unwrap(), text);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
