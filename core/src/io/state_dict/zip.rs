//! A zip archive whose entries are stored as they are, which is how `torch.save` writes them (APPNOTE 6.3, sections
//! 4.3.7, 4.3.12 and 4.3.16).

use crate::text::format;
use std::collections::BTreeMap;

/// Entries of one archive: a storage for each tensor, and a few more.
const MAX_ENTRIES: usize = 65_534;

/// Entries' bytes by name, without the folder that all are in.
pub(super) struct Archive<'a>(BTreeMap<&'a str, &'a [u8]>);

/// Numbers of a header, little-endian, front to back.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (front, back) = self.0.split_at_checked(n).ok_or("the archive is cut off")?;
        self.0 = back;
        Ok(front)
    }

    fn signature(&mut self, wanted: &[u8; 4]) -> Result<(), String> {
        if self.take(4)? == wanted { Ok(()) } else { Err("the archive is damaged or cut off".into()) }
    }

    fn number(&mut self, bytes: usize) -> Result<usize, String> {
        let n = self.take(bytes)?.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        usize::try_from(n).map_err(|_| "the archive is damaged".into())
    }
}

impl<'a> Archive<'a> {
    /// Reads the directory at the archive's end. It is an error if an entry is compressed or encrypted, lies about its
    /// place, size or checksum, or if all together are larger than the file.
    pub(super) fn read(file: &'a [u8]) -> Result<Self, String> {
        // torch.save leaves no comment behind it.
        let (_, tail) = file.split_last_chunk::<22>().ok_or("the archive is cut off")?;
        let mut end = Fields(tail);
        end.signature(b"PK\x05\x06")?;
        end.take(6)?;
        let (count, size, offset) = (end.number(2)?, end.number(4)?, end.number(4)?);
        if count > MAX_ENTRIES {
            return Err(format!("the archive has more than {MAX_ENTRIES} entries"));
        }
        let directory = offset.checked_add(size).and_then(|end| file.get(offset..end));
        let mut directory = Fields(directory.ok_or("the archive is damaged or cut off")?);
        let (mut entries, mut folder, mut total) = (BTreeMap::new(), None, 0);
        for _ in 0..count {
            let Entry { name, bytes, checksum } = entry(file, &mut directory)?;
            total += bytes.len();
            if total > file.len() {
                return Err("the archive's entries are larger than the archive".into());
            }
            let mut sum = flate2::Crc::new();
            sum.update(bytes);
            if sum.sum() != checksum {
                return Err(odd(name, "has another checksum: damaged"));
            }
            let (top, inner) = name.split_once('/').ok_or_else(|| odd(name, "is in no folder"))?;
            if folder.is_some_and(|folder| folder != top) {
                return Err(odd(name, "is in another folder than the entries before it"));
            }
            folder = Some(top);
            if entries.insert(inner, bytes).is_some() {
                return Err(odd(name, "is there twice"));
            }
        }
        Ok(Self(entries))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Result<&'a [u8], String> {
        self.0.get(name).copied().ok_or_else(|| odd(name, "is missing"))
    }
}

struct Entry<'a> {
    name: &'a str,
    bytes: &'a [u8],
    checksum: u32,
}

/// The next entry of the directory and its bytes.
fn entry<'a>(file: &'a [u8], directory: &mut Fields<'a>) -> Result<Entry<'a>, String> {
    directory.signature(b"PK\x01\x02")?;
    directory.take(4)?;
    let (flags, method) = (directory.number(2)?, directory.number(2)?);
    directory.take(4)?;
    let checksum = directory.number(4)?;
    let (packed, size) = (directory.number(4)?, directory.number(4)?);
    let (name, extra, comment) = (directory.number(2)?, directory.number(2)?, directory.number(2)?);
    directory.take(8)?;
    let offset = directory.number(4)?;
    let name = std::str::from_utf8(directory.take(name)?).map_err(|_| "an entry's name is no text")?;
    directory.take(extra + comment)?;
    if flags & 1 != 0 {
        return Err(odd(name, "is encrypted"));
    }
    if method != 0 {
        return Err(odd(
            name,
            &format!("is compressed (method {method}), wanted stored, as torch.save writes it"),
        ));
    }
    let mut local = Fields(file.get(offset..).unwrap_or_default());
    local.signature(b"PK\x03\x04")?;
    local.take(22)?;
    let (local_name, local_extra) = (local.number(2)?, local.number(2)?);
    if local.take(local_name)? != name.as_bytes() {
        return Err(odd(name, "has another name where it stands"));
    }
    local.take(local_extra)?;
    let bytes = local.take(size)?;
    match u32::try_from(checksum) {
        Ok(checksum) if packed == size => Ok(Entry { name, bytes, checksum }),
        _ => Err(odd(name, &format!("has {packed} bytes packed, {size} unpacked"))),
    }
}

fn odd(name: &str, what: &str) -> String {
    format!("entry `{}` {what}", format::shorten(name, 100))
}
