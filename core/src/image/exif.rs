//! The one thing that matters of a photograph's EXIF data: which side is up (CIPA DC-008, tag 274 of the
//! first image directory).

const ORIENTATION: u16 = 274;
/// TIFF's integer types and their bytes: SBYTE, SHORT, SSHORT, LONG, SLONG, IFD. The standard says SHORT;
/// writers of LONG are about, and PIL reads them all.
const INTEGERS: [(u16, usize); 6] = [(6, 1), (3, 2), (8, 2), (4, 4), (9, 4), (13, 4)];
/// Bytes of a value that stands in its entry.
const INLINE: usize = 4;

/// 1 to 8 from EXIF data (a TIFF header, with or without `Exif\0\0` before it); 1, as stored, where it does
/// not say or cannot be read.
pub fn orientation(exif: &[u8]) -> u8 {
    read(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)).filter(|o| (1..=8).contains(o)).unwrap_or(1)
}

fn read(tiff: &[u8]) -> Option<u8> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes: [u8; 4] = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = usize::try_from(long(4)?).ok()?;
    let first = directory.checked_add(2)?;
    let entries = (0..usize::from(short(directory)?)).map_while(|i| first.checked_add(12 * i));
    let at = entries.into_iter().find(|&at| short(at) == Some(ORIENTATION))?;
    let kind = short(at.checked_add(2)?)?;
    let (_, size) = INTEGERS.into_iter().find(|(known, _)| *known == kind)?;
    let count = usize::try_from(long(at.checked_add(4)?)?).ok()?;
    // More values than fit stand elsewhere; one is wanted.
    if count == 0 || count.checked_mul(size)? > INLINE {
        return None;
    }
    let start = at.checked_add(8)?;
    let value = tiff.get(start..start.checked_add(size)?)?;
    let number = |sum: u32, b: &u8| sum << 8 | u32::from(*b);
    let number = if little { value.iter().rev().fold(0, number) } else { value.iter().fold(0, number) };
    u8::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PIL 13's `exif_transpose` makes of one entry of each type, count and value (II, then MM).
    #[test]
    fn every_integer_type_that_pil_reads() {
        for (kind, count, value, wanted) in [
            (3, 1, [6, 0, 0, 0], 6),
            (4, 1, [6, 0, 0, 0], 6),
            (6, 1, [6, 0, 0, 0], 6),
            (8, 1, [6, 0, 0, 0], 6),
            (9, 1, [6, 0, 0, 0], 6),
            (13, 1, [6, 0, 0, 0], 6),
            (3, 2, [6, 0, 1, 0], 6),
            (1, 1, [6, 0, 0, 0], 1), // BYTE is bytes to PIL, no number
            (3, 0, [6, 0, 0, 0], 1),
            (4, 1, [6, 0, 1, 0], 1), // 65,542
            (4, 1, [6, 0, 0, 0xff], 1),
            (4, 0x4000_0001, [6, 0, 0, 0], 1),
        ] {
            let head = [&b"II*\0\x08\0\0\0\x01\0\x12\x01"[..], &u16::to_le_bytes(kind)].concat();
            let little = [&head[..], &u32::to_le_bytes(count), &value].concat();
            assert_eq!(orientation(&little), wanted, "type {kind}, count {count}, {value:?}");
        }
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x08";
        assert_eq!(orientation(big), 8);
    }

    #[test]
    fn both_byte_orders_and_nonsense() {
        let little = b"II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\x01\0\0\0\0\0\0\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0";
        assert_eq!((orientation(little), orientation(big)), (6, 8));
        assert_eq!(orientation(&[&b"Exif\0\0"[..], big].concat()), 8);
        for end in 0..big.len() - 6 {
            assert_eq!(orientation(&big[..end]), 1, "cut at {end}");
        }
        let mut wrong = *big;
        wrong[19] = 9;
        assert_eq!(orientation(&wrong), 1, "there is no orientation 9");
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), 1);
        assert_eq!(orientation(b"hello world"), 1);
    }
}
