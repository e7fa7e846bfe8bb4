//! A tar stream (POSIX ustar) of files named by their hashes.

use std::io::{Read, Result, Write};

const BLOCK: usize = 512;

/// Writes one file: `name` is at most 100 ASCII characters, `size` below 8 GiB (what the format can say). Fails
/// where `data` holds less than `size` bytes.
pub fn write_file(out: &mut impl Write, name: &str, size: u64, data: impl Read) -> Result<()> {
    out.write_all(&header(name, size))?;
    let copied = std::io::copy(&mut data.take(size), out)?;
    if copied != size {
        return Err(std::io::Error::other(format!("{name} became shorter while it was sent")));
    }
    let rest = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
    out.write_all(&[0; BLOCK][..rest])
}

/// Writes the end of the stream.
pub fn finish(out: &mut impl Write) -> Result<()> {
    out.write_all(&[0; 2 * BLOCK])?;
    out.flush()
}

fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut field = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, name);
    field(100, "0000700"); // read and run by the owner
    field(108, "0000000"); // user and group: of no meaning
    field(116, "0000000");
    field(124, &format!("{size:011o}"));
    field(136, "00000000000"); // time
    field(148, "        "); // the checksum counts itself as spaces
    field(156, "0"); // a file
    field(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// The system's tar unpacks what was packed.
    #[test]
    fn tar_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut tar = Command::new("tar");
        let mut tar =
            tar.args(["-x", "-f", "-"]).current_dir(dir.path()).stdin(Stdio::piped()).spawn().unwrap();
        let mut out = tar.stdin.take().unwrap();
        let long = "a".repeat(64);
        let files: [(&str, Vec<u8>); 3] = [
            ("empty", vec![]),
            ("block", vec![7; BLOCK]),
            (&long, (0..100_003u32).map(|i| i as u8).collect()),
        ];
        for (name, bytes) in &files {
            write_file(&mut out, name, bytes.len() as u64, bytes.as_slice()).unwrap();
        }
        finish(&mut out).unwrap();
        drop(out);
        assert!(tar.wait().unwrap().success());
        for (name, bytes) in &files {
            assert!(std::fs::read(dir.path().join(name)).unwrap() == *bytes, "{name}");
        }
        let short = write_file(&mut Vec::new(), "x", 9, &b"four"[..]);
        assert!(short.unwrap_err().to_string().contains("became shorter"));
    }
}
