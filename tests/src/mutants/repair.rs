//! What a mutant needs so that its reader gets beyond the first check: lengths, checksums and hashes put right.

use gtn_core::io::artifact;
use std::path::Path;

/// Sums and lengths that the format's reader checks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// There is none.
    Nothing,
    /// safetensors: the header's length.
    HeaderLength,
    /// `.npy`: the header's length.
    Npy,
    /// PNG: each chunk's sum.
    ChunkSums,
}

/// Puts right what [`Repair`] says.
pub fn repair(bytes: &mut [u8], how: Repair) {
    match how {
        Repair::Nothing => {}
        Repair::HeaderLength => {
            // The header ends where its braces close.
            let mut depth = 0i64;
            let closes = |b: &u8| {
                depth += i64::from(*b == b'{') - i64::from(*b == b'}');
                depth == 0
            };
            if let Some(end) = bytes.get(8..).and_then(|header| header.iter().position(closes)) {
                let padded = bytes.iter().skip(9 + end).take_while(|b| **b == b' ').count();
                bytes[..8].copy_from_slice(&((end + 1 + padded) as u64).to_le_bytes());
            }
        }
        Repair::Npy => {
            let end = bytes.get(10..).and_then(|header| header.iter().position(|b| *b == b'\n'));
            if let Some(len) = end.and_then(|end| u16::try_from(end + 1).ok()) {
                bytes[8..10].copy_from_slice(&len.to_le_bytes());
            }
        }
        Repair::ChunkSums => chunk_sums(bytes),
    }
}

/// `LENGTH TYPE DATA CRC` from byte 8 on (PNG specification, 5.3).
fn chunk_sums(png: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes) {
        let end = at.saturating_add(8).saturating_add(length as usize);
        let Some(sum) = png.get(at + 4..end).map(|chunk| crc32(chunk).to_be_bytes()) else { return };
        let Some(place) = png.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&sum);
        at = end + 4;
    }
}

/// CRC-32 (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |s, _| (s >> 1) ^ if s & 1 == 1 { 0xedb8_8320 } else { 0 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// A sealed file's text around `body`, whatever that is: an object's text without its last line.
pub fn seal(body: &[u8]) -> Vec<u8> {
    let sum = artifact::sha256(body);
    [body, b",\n  \"sha256_of_the_above\": \"", sum.as_bytes(), b"\"\n}\n"].concat()
}

/// What stands before the seal.
pub fn body(sealed: &[u8]) -> Vec<u8> {
    let mark = b",\n  \"sha256_of_the_above\"";
    let at = sealed.windows(mark.len()).rposition(|w| w == mark).unwrap_or(sealed.len());
    sealed[..at].to_vec()
}

/// Makes the manifest in `dir` say what `name` is now, and seals it anew.
pub fn vouch(dir: &Path, manifest: &[u8], name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let text = String::from_utf8_lossy(&body(manifest)).into_owned();
    // `"NAME": {\n "size": N,\n "sha256": "..."`
    let key = format!("\"{name}\": {{");
    let Some((before, rest)) = text.split_once(&key) else {
        return Err(std::io::Error::other(format!("the manifest lists no {name}")));
    };
    let (_, after) = rest.split_once('}').unwrap_or_default();
    let entry = format!("\"size\": {}, \"sha256\": \"{}\"}}", bytes.len(), artifact::sha256(bytes));
    std::fs::write(dir.join(name), bytes)?;
    std::fs::write(dir.join("manifest.json"), seal(format!("{before}{key}{entry}{after}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_right_is_right() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let sealed = artifact::seal(&serde_json::json!({"a": {"size": 1}})).unwrap();
        assert_eq!(seal(&body(sealed.as_bytes())), sealed.as_bytes());
        let mut tensors = b"\0\0\0\0\0\0\0\0{\"a\":{}} data".to_vec();
        repair(&mut tensors, Repair::HeaderLength);
        assert_eq!(tensors[0], 9);
    }
}
