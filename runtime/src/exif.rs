//! The one thing that matters of a photograph's EXIF data: which side is up (CIPA DC-008, tag 274 of the
//! first image directory).

const ORIENTATION: u16 = 274;
/// Type SHORT: two bytes, at the start of the entry's value.
const SHORT: u16 = 3;

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
    let bytes: [u8; 4] = tiff.get(4..8)?.try_into().ok()?;
    let directory = if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) } as usize;
    let first = directory.checked_add(2)?;
    let entries = (0..usize::from(short(directory)?)).map_while(|i| first.checked_add(12 * i));
    let mut found = entries
        .filter(|&at| short(at) == Some(ORIENTATION) && at.checked_add(2).and_then(short) == Some(SHORT));
    u8::try_from(short(found.next()?.checked_add(8)?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
