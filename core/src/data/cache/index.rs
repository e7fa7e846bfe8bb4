//! `index.bin`: a header of 64 bytes and a record of 352 bytes for each picture, little-endian.

use crate::data::duplicates::Look;

/// Magic and version.
const MAGIC: &[u8; 8] = b"GTNPHOT2";
pub(super) const HEADER: usize = 64;
pub(super) const RECORD: usize = 352;
/// Of a record, what its check is over.
const CHECKED: usize = RECORD - 4;

/// What the cache is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub identity: [u8; 32],
    pub side: u32,
    pub channels: u32,
    pub pictures: u64,
}

/// One picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Of its first byte in pixels.u8.
    pub offset: u64,
    /// 0 where it cannot be read.
    pub width: u32,
    pub height: u32,
    pub label: u16,
    pub good: bool,
    /// Of the picture's file, as stored; zeros where its bytes could not be had.
    pub file_sha256: [u8; 32],
    /// Of its bytes in pixels.u8.
    pub pixel_sha256: [u8; 32],
    /// Of the whole picture, before it was made small.
    pub look: Look,
}

impl Header {
    pub(super) fn bytes(&self) -> [u8; HEADER] {
        let parts = [
            &MAGIC[..],
            &self.identity,
            &self.side.to_le_bytes(),
            &self.channels.to_le_bytes(),
            &self.pictures.to_le_bytes(),
        ];
        filled(&parts)
    }

    /// None if it is no header of this version.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(..HEADER)?;
        if take::<8>(&mut rest)? != *MAGIC {
            return None;
        }
        Some(Self {
            identity: take(&mut rest)?,
            side: u32::from_le_bytes(take(&mut rest)?),
            channels: u32::from_le_bytes(take(&mut rest)?),
            pictures: u64::from_le_bytes(take(&mut rest)?),
        })
    }
}

impl Record {
    pub(super) fn bytes(&self) -> [u8; RECORD] {
        let parts = [
            &self.offset.to_le_bytes()[..],
            &self.width.to_le_bytes(),
            &self.height.to_le_bytes(),
            &self.label.to_le_bytes(),
            &[u8::from(!self.good), 0],
            &self.file_sha256,
            &self.pixel_sha256,
            &self.look.hash.to_le_bytes(),
            &self.look.thumbnail,
        ];
        let mut bytes: [u8; RECORD] = filled(&parts);
        let check = check(&bytes);
        bytes.iter_mut().skip(CHECKED).zip(check).for_each(|(to, from)| *to = from);
        bytes
    }

    /// None if it was not written whole.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(..RECORD)?;
        if bytes.get(CHECKED..RECORD)? != check(bytes) {
            return None;
        }
        let (offset, width, height) = (take(&mut rest)?, take(&mut rest)?, take(&mut rest)?);
        let label = u16::from_le_bytes(take(&mut rest)?);
        let [status, _] = take(&mut rest)?;
        Some(Self {
            offset: u64::from_le_bytes(offset),
            width: u32::from_le_bytes(width),
            height: u32::from_le_bytes(height),
            label,
            good: status == 0,
            file_sha256: take(&mut rest)?,
            pixel_sha256: take(&mut rest)?,
            look: Look { hash: u64::from_le_bytes(take(&mut rest)?), thumbnail: take(&mut rest)? },
        })
    }

    /// Bytes in pixels.u8; none where that is no number.
    pub(super) fn length(&self, channels: u32) -> Option<u64> {
        u64::from(self.width).checked_mul(u64::from(self.height))?.checked_mul(u64::from(channels))
    }

    /// Of its last byte in pixels.u8, plus one.
    pub(super) fn end(&self, channels: u32) -> Option<u64> {
        self.offset.checked_add(self.length(channels)?)
    }
}

/// FNV-1a, 32 bits: a record that a crash cut off, or that is another's, does not pass by chance.
fn check(record: &[u8]) -> [u8; 4] {
    let step = |h: u32, b: &u8| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193);
    record.iter().take(CHECKED).fold(0x811c_9dc5_u32, step).to_le_bytes()
}

/// The parts one after another, zeros behind.
fn filled<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(to, from)| *to = *from);
    bytes
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_any_change_shows() {
        let header = Header { identity: [7; 32], side: 256, channels: 3, pictures: 1 << 40 };
        assert_eq!(Header::parse(&header.bytes()), Some(header));
        let record = Record {
            offset: 1 << 35,
            width: 400,
            height: 256,
            label: 999,
            good: true,
            file_sha256: [1; 32],
            pixel_sha256: [2; 32],
            look: Look { hash: 1 << 63 | 5, thumbnail: std::array::from_fn(|i| i as u8) },
        };
        let bytes = record.bytes();
        assert_eq!((Record::parse(&bytes), record.end(3)), (Some(record), Some((1 << 35) + 3 * 400 * 256)));
        for at in 0..RECORD {
            let mut broken = bytes;
            broken[at] ^= 0x10;
            assert_eq!(Record::parse(&broken), None, "byte {at}");
            assert_eq!(Record::parse(&bytes[..at]), None);
        }
        assert_eq!(Record::parse(&[0; RECORD]), None, "a hole is no record");
    }
}
