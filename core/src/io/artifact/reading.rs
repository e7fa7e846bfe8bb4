//! One bounded way to read what somebody else wrote: regular files only, no more bytes than stated.

use super::sha256_hex;
use crate::io::wide;
use crate::text::format;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::{File, FileType, OpenOptions};
use std::io::Read;
use std::path::Path;

/// Bytes of the largest file that is read whole: what protobuf, and so ONNX, can hold.
pub const MAX_FILE: u64 = 2 << 30;
/// Bytes of the largest text: manifests, reports and settings are far smaller.
pub const MAX_TEXT: u64 = 64 << 20;
/// Bytes hashed at a time.
const CHUNK: usize = 1 << 16;

/// Reads a whole file of at most [`MAX_FILE`] bytes; an error names it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_at_most(path, MAX_FILE)
}

/// Reads a whole file. It is an error if it is not a regular one of at most `limit` bytes. The size is looked
/// at before any memory is taken, and a file that grows meanwhile is refused too.
pub fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, size) = open(path)?;
    if size > limit {
        return Err(too_large(path, size, limit));
    }
    let mut bytes = Vec::new();
    let room = usize::try_from(size).map_err(|_| too_large(path, size, limit))?;
    bytes.try_reserve_exact(room).map_err(|_| {
        Error::Failed(format!("{}: no memory for its {}", format::path(path), format::bytes(size)))
    })?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Error::io(path, "read", e))?;
    match wide(bytes.len()) {
        found if found > limit => Err(too_large(path, found, limit)),
        _ => Ok(bytes),
    }
}

/// Reads a whole file of at most [`MAX_TEXT`] bytes as UTF-8; any other text is an error.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read_at_most(path, MAX_TEXT)?).map_err(|_| Error::input(path, "is not UTF-8 text"))
}

/// Opens a regular file for reading and returns it with its size in bytes. A folder, a pipe, a socket or a
/// device is refused without being opened: opening one may hang, or do something.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let unreadable = |e| Error::io(path, "read", e);
    let regular = |kind: FileType| match kind.is_file() {
        true => Ok(()),
        false => Err(Error::input(path, format!("is {}, wanted a file", kind_name(kind)))),
    };
    regular(std::fs::metadata(path).map_err(unreadable)?.file_type())?;
    let mut options = OpenOptions::new();
    options.read(true);
    // What takes the file's place between the two looks must not hang us either.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    regular(meta.file_type())?;
    Ok((file, meta.len()))
}

/// What something that is no regular file is called.
fn kind_name(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a folder" } else { "no regular file" }
}

fn too_large(path: &Path, size: u64, limit: u64) -> Error {
    let wanted = format::bytes(limit);
    Error::input(path, format!("has {size} bytes, wanted at most {limit} ({wanted})"))
}

/// Returns the lower-case hex SHA-256 of a regular file of any size, read a piece at a time.
pub fn sha256_file(path: &Path) -> Result<String> {
    let (mut file, _) = open(path)?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(sha256_hex(hash)),
            Ok(n) => hash.update(piece.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(path, "read", e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_before_and_while_reading() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        let error = read_at_most(&path, 4).unwrap_err();
        assert!(error.to_string().ends_with("a: has 5 bytes, wanted at most 4 (4 B)"), "{error}");
        assert_eq!(error.exit_code(), 2);
        // A hole: its size is known, and nothing of it is read. A file of 4 GiB would need as much memory.
        File::create(&path).unwrap().set_len(4 << 30).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("wanted at most 2147483648 (2.00 GiB)"));
        assert!(read_text(&path).unwrap_err().to_string().contains("(64.0 MiB)"));
    }

    /// Files of /proc say that they are empty; the bound is kept while reading.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_larger_than_it_says_is_bounded() {
        let path = Path::new("/proc/self/status");
        assert!(read(path).unwrap().len() > 100);
        assert!(
            read_at_most(path, 100).unwrap_err().to_string().contains("has 101 bytes, wanted at most 100")
        );
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_opened() {
        use std::os::unix::{fs::symlink, net::UnixListener};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let _socket = UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        symlink("pipe", at("link")).unwrap();
        for (name, kind) in [
            ("pipe", "a pipe"),
            ("link", "a pipe"),
            ("socket", "a socket"),
            ("zero", "a device"),
            ("", "a folder"),
        ] {
            for error in [read(&at(name)).unwrap_err(), sha256_file(&at(name)).unwrap_err()] {
                assert!(error.to_string().ends_with(&format!("is {kind}, wanted a file")), "{error}");
                assert_eq!(error.exit_code(), 2);
            }
        }
        std::fs::write(at("file"), "x").unwrap();
        symlink("file", at("to-file")).unwrap();
        assert_eq!(read(&at("to-file")).unwrap(), b"x");
        assert_eq!(sha256_file(&at("to-file")).unwrap(), super::super::sha256(b"x"));
    }
}
