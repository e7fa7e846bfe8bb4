//! The tar format (POSIX.1-2001 `ustar` and `pax`, GNU's long names): which members there are and where their bytes
//! stand. Nothing is unpacked.

use crate::io::artifact;
use crate::io::wide;
use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

const BLOCK_BYTES: usize = 512;
const BLOCK: u64 = wide(BLOCK_BYTES);
/// Bytes of a long name or of a pax header: a path, and little else.
const MAX_EXTRA: u64 = 1 << 20;
/// Members of one tar file.
const MAX_MEMBERS: usize = 50_000_000;

/// A regular file within a tar file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// With its folders.
    pub name: String,
    /// Of its first byte, from the start of the tar file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// A tar file, open.
pub(super) struct Tar<'a> {
    path: &'a Path,
    file: File,
    size: u64,
}

/// What stands before a member and belongs to it.
#[derive(Default)]
struct Extra {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<'a> Tar<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        let (file, size) = artifact::open(path)?;
        Ok(Self { path, file, size })
    }

    /// Regular files, in the file's order. An error where the file is cut off, damaged or no tar file.
    pub(super) fn members(&mut self) -> Result<Vec<Member>> {
        let (mut members, mut extra, mut at) = (Vec::new(), Extra::default(), 0);
        loop {
            let header = self.block(at)?;
            if header.iter().all(|b| *b == 0) {
                return Ok(members);
            }
            check_sum(&header).map_err(|e| self.bad(at, e))?;
            let kind = header.get(156).copied().unwrap_or(0);
            // Links, devices and folders have no bytes, whatever they say.
            let said = if matches!(kind, b'1'..=b'6') {
                0
            } else {
                number(&header, 124, 12).map_err(|e| self.bad(at, e))?
            };
            let regular = matches!(kind, b'0' | 0 | b'7');
            let length = if regular { extra.size.unwrap_or(said) } else { said };
            let offset = at + BLOCK;
            let end = offset.checked_add(length).filter(|end| *end <= self.size);
            let Some(end) = end else {
                return Err(self.bad(
                    at,
                    format!("a member of {length} bytes goes beyond the file's end: it is cut off"),
                ));
            };
            match kind {
                b'L' => {
                    let name = self.small(offset, length)?;
                    extra.name = Some(name.split(|b| *b == 0).next().unwrap_or_default().to_vec());
                }
                b'x' => read_pax(&self.small(offset, length)?, &mut extra).map_err(|e| self.bad(at, e))?,
                b'g' | b'K' => {}
                _ => {
                    let name = extra.name.take().unwrap_or_else(|| plain_name(&header));
                    extra = Extra::default();
                    if regular {
                        let name = String::from_utf8(name)
                            .map_err(|_| self.bad(at, "the member's name is not UTF-8".into()))?;
                        members.push(Member { name, offset, length });
                    }
                }
            }
            if members.len() > MAX_MEMBERS {
                return Err(self.bad(at, format!("has more than {MAX_MEMBERS} members")));
            }
            at = end.div_ceil(BLOCK) * BLOCK;
        }
    }

    /// The bytes of a small member.
    pub(super) fn small(&mut self, offset: u64, length: u64) -> Result<Vec<u8>> {
        if length > MAX_EXTRA {
            return Err(self.bad(offset, format!("{length} bytes of text, wanted at most {MAX_EXTRA}")));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.read(offset, &mut bytes)?;
        Ok(bytes)
    }

    fn block(&mut self, at: u64) -> Result<[u8; BLOCK_BYTES]> {
        if at + BLOCK > self.size {
            let what = if at == 0 { "it is no tar file" } else { "it has no end mark: it is cut off" };
            return Err(self.bad(at, what.into()));
        }
        let mut block = [0; BLOCK_BYTES];
        self.read(at, &mut block)?;
        Ok(block)
    }

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let done = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(bytes));
        done.map_err(|e| Error::io(self.path, "read", e))
    }

    fn bad(&self, at: u64, what: String) -> Error {
        Error::input(self.path, format!("at byte {at}: {what}"))
    }
}

/// The sum of all bytes, those of the sum itself taken for blanks.
fn check_sum(header: &[u8]) -> Result<(), String> {
    if header.starts_with(&[0x1f, 0x8b]) {
        return Err(
            "it is packed (gzip), and its members can be found in a plain tar file only: unpack it".into()
        );
    }
    let wanted = number(header, 148, 8).map_err(|_| "it is no tar file, or damaged".to_owned())?;
    let byte = |(i, b): (usize, &u8)| if (148..156).contains(&i) { u64::from(b' ') } else { u64::from(*b) };
    let found: u64 = header.iter().enumerate().map(byte).sum();
    match found == wanted {
        true => Ok(()),
        false => Err(format!("a header's sum is {found}, it says {wanted}: it is no tar file, or damaged")),
    }
}

/// Octal digits; or, where the first bit is set, a big-endian number (GNU).
fn number(header: &[u8], start: usize, length: usize) -> Result<u64, String> {
    let field = header.get(start..start + length).unwrap_or_default();
    if field.first().is_some_and(|b| *b == 0x80) {
        let (high, low) = field.split_at(field.len().saturating_sub(8));
        let value = low.iter().fold(0, |n, b| n << 8 | u64::from(*b));
        return if high.iter().skip(1).all(|b| *b == 0) {
            Ok(value)
        } else {
            Err("a size is too large".into())
        };
    }
    let text: String = field.iter().map(|b| char::from(*b)).collect();
    let text = text.trim_matches([' ', '\0']);
    match u64::from_str_radix(text, 8) {
        Ok(n) => Ok(n),
        Err(_) if text.is_empty() => Ok(0),
        Err(_) => Err(format!("a number is {text:?}, wanted octal digits")),
    }
}

fn plain_name(header: &[u8]) -> Vec<u8> {
    let text = |start: usize, length: usize| {
        let field = header.get(start..start + length).unwrap_or_default();
        field.split(|b| *b == 0).next().unwrap_or_default()
    };
    let (name, prefix) = (text(0, 100), text(345, 155));
    if header.get(257..263) == Some(b"ustar\0") && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_vec()
}

/// Records `LENGTH KEY=VALUE\n`.
fn read_pax(mut bytes: &[u8], extra: &mut Extra) -> Result<(), String> {
    while !bytes.is_empty() && bytes.first() != Some(&0) {
        let bad = || "a pax header is damaged".to_owned();
        let blank = bytes.iter().take(20).position(|b| *b == b' ').ok_or_else(bad)?;
        let digits = std::str::from_utf8(bytes.get(..blank).unwrap_or_default()).map_err(|_| bad())?;
        let length: usize = digits.parse().map_err(|_| bad())?;
        let record = bytes.get(blank + 1..length).ok_or_else(bad)?.strip_suffix(b"\n").ok_or_else(bad)?;
        if let Some(name) = record.strip_prefix(b"path=") {
            extra.name = Some(name.to_vec());
        } else if let Some(size) = record.strip_prefix(b"size=") {
            let size = std::str::from_utf8(size).ok().and_then(|s| s.parse().ok());
            extra.size = Some(size.ok_or_else(bad)?);
        }
        bytes = bytes.get(length..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header and its data, filled up to whole blocks.
    fn block(name: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
        let mut header = vec![0u8; 512];
        header[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
        header[156] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|b| u64::from(*b)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header.extend_from_slice(data);
        header.resize(header.len().div_ceil(512) * 512, 0);
        header
    }

    /// A tar file of these members.
    pub(in crate::data::readers) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            members.iter().flat_map(|(name, data)| block(name.as_bytes(), b'0', data)).collect();
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    fn members(bytes: &[u8]) -> Result<Vec<Member>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        std::fs::write(&path, bytes).unwrap();
        Tar::open(&path)?.members()
    }

    #[test]
    fn long_names_links_and_folders() {
        let long = "d/".repeat(80) + "é.jpg";
        let record = format!("path={long}\n");
        let pax = format!("{} {record}", record.len() + 4);
        let bytes = [
            block(b"folder/", b'5', b""),
            block(b"a.jpg", b'0', b"abc"),
            block(b"././@LongLink", b'L', &[long.as_bytes(), b"\0"].concat()),
            block(b"short", b'0', b"de"),
            block(b"PaxHeaders/x", b'x', pax.as_bytes()),
            block(b"short", b'0', &[7; 513]),
            block(b"link", b'2', b""),
            vec![0; 1024],
        ]
        .concat();
        let found = members(&bytes).unwrap();
        let names: Vec<(&str, u64)> = found.iter().map(|m| (m.name.as_str(), m.length)).collect();
        assert_eq!(names, [("a.jpg", 3), (long.as_str(), 2), (long.as_str(), 513)]);
        for m in &found {
            let (start, end) = (m.offset as usize, (m.offset + m.length) as usize);
            assert!([&b"abc"[..], b"de", &[7; 513]].contains(&&bytes[start..end]));
        }
    }

    #[test]
    fn damage_is_named() {
        let good = archive(&[("a.jpg", &[1; 700]), ("b.cls", b"3")]);
        for end in [0, 100, 511, 512, 1000, 1024, 1536, 2048, 2560] {
            let error = members(&good[..end]).unwrap_err().to_string();
            assert!(error.contains("no tar file") || error.contains("cut off"), "{end}: {error}");
        }
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        assert!(members(&flipped).unwrap_err().to_string().contains("at byte 0: a header's sum is"));
        let gzip = [&[0x1f, 0x8b][..], &[0; 600]].concat();
        assert!(members(&gzip).unwrap_err().to_string().contains("unpack it"));
        for at in 0..512 {
            let mut broken = good.clone();
            broken[at] ^= 0xff;
            let _either = members(&broken);
        }
    }
}
