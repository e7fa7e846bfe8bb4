//! Changes to a file's bytes: of bits, of numbers in any width, of text tokens, of whole pieces.

use gtn_core::rng::Rng;

/// Numbers at the ends of what some width or kind holds.
const EXTREMES: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// What stands for a number or a word in a text.
const TOKENS: [&str; 27] = [
    "NaN",
    "nan",
    "Infinity",
    "-inf",
    "1e999",
    "-1e999",
    "1e-999",
    "-1",
    "-0",
    "0",
    "1",
    "2",
    "0.5",
    "1e308",
    "4294967296",
    "2147483647",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999999999",
    "null",
    "true",
    "\"\"",
    "\"..\"",
    "[]",
    "{}",
    "\"\\u0000\\u001b[2J\\n\"",
];

/// Nested as deep as no reader should follow.
const DEPTH: usize = 20_000;
/// A text longer than any that belongs in these files.
const LONG: usize = 200_000;

/// `bytes` after one to four changes; `other` is a file of the same kind, for splices.
pub fn change(bytes: &[u8], other: &[u8], is_text: bool, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    loop {
        // A header of text stands in many binary files, so that both kinds of changes are made to either.
        let in_text = rng.below(10) < if is_text { 8 } else { 2 };
        if in_text {
            change_text(&mut bytes, rng)
        } else {
            change_bytes(&mut bytes, other, rng)
        }
        if rng.below(2) == 0 || bytes.is_empty() {
            return bytes;
        }
    }
}

/// An offset, of which half are near an end: there the structure is.
fn offset(len: usize, rng: &mut Rng) -> usize {
    let near = below(rng, len.min(4096));
    match rng.below(4) {
        0 => near,
        1 => len - 1 - near,
        _ => below(rng, len),
    }
}

fn below(rng: &mut Rng, n: usize) -> usize {
    rng.below(n as u64) as usize
}

fn change_bytes(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let at = offset(bytes.len(), rng);
    let piece = |rng: &mut Rng, from: usize, len: usize| {
        let most = 1 << rng.below(14);
        from..(from + 1 + below(rng, most)).min(len)
    };
    match rng.below(9) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.next_u64() as u8,
        2 => bytes.truncate(at),
        3 => {
            let range = piece(rng, at, bytes.len());
            bytes.drain(range);
        }
        4 => {
            let copy = bytes[piece(rng, at, bytes.len())].to_vec();
            let times = 1 << rng.below(4);
            bytes.splice(at..at, copy.repeat(times));
        }
        5 if !other.is_empty() => {
            let from = below(rng, other.len());
            let copy = other[piece(rng, from, other.len())].to_vec();
            let end = if rng.below(2) == 0 { (at + copy.len()).min(bytes.len()) } else { at };
            bytes.splice(at..end, copy);
        }
        6 => {
            // A varint, as protobuf has them, of any size.
            let mut value = EXTREMES[below(rng, EXTREMES.len())];
            let mut varint = Vec::new();
            while value >= 0x80 {
                varint.push(value as u8 | 0x80);
                value >>= 7;
            }
            varint.push(value as u8);
            let end = if rng.below(2) == 0 { at + 1 } else { at };
            bytes.splice(at..end, varint);
        }
        7 => {
            let fill = if rng.below(2) == 0 { 0 } else { 0xff };
            let range = piece(rng, at, bytes.len());
            bytes[range].fill(fill);
        }
        // A number of one to eight bytes in either order: a length, a count, a size.
        _ => {
            let value = EXTREMES[below(rng, EXTREMES.len())];
            let width = 1 << rng.below(4);
            let number = match rng.below(2) {
                0 => value.to_le_bytes()[..width].to_vec(),
                _ => value.to_be_bytes()[8 - width..].to_vec(),
            };
            let at = at - at % width;
            let end = (at + width).min(bytes.len());
            bytes.splice(at..end, number);
        }
    }
}

/// The next number, word or quoted text at or after `at`.
fn token(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"+-._".contains(b);
    let start = at + bytes.get(at..)?.iter().position(|b| is_word(b) || *b == b'"')?;
    let rest = bytes.get(start..)?;
    let len = match rest.first() {
        Some(b'"') => rest.iter().skip(1).position(|b| *b == b'"').map(|n| n + 2),
        _ => rest.iter().position(|b| !is_word(b)),
    };
    Some(start..start + len.unwrap_or(rest.len()))
}

fn change_text(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let at = offset(bytes.len(), rng);
    let line = {
        let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n + 1);
        start..end
    };
    let Some(token) = token(bytes, at) else { return bytes.truncate(at) };
    let put = |bytes: &mut Vec<u8>, text: &[u8]| drop(bytes.splice(token.clone(), text.iter().copied()));
    match rng.below(12) {
        0..=4 => put(bytes, TOKENS[below(rng, TOKENS.len())].as_bytes()),
        5 => {
            let mut value = bytes[token.clone()].to_vec();
            let digit = value.iter().position(u8::is_ascii_digit);
            match digit {
                Some(i) => value.insert(i, b'9'),
                None => value.reverse(),
            }
            put(bytes, &value);
        }
        6 => put(bytes, format!("\"{}\"", "x".repeat(1 + below(rng, LONG))).as_bytes()),
        7 => {
            let deep = 1 + below(rng, DEPTH);
            let (open, close) = [("[", "]"), ("{\"a\":", "}")][below(rng, 2)];
            let close = if rng.below(2) == 0 { close.repeat(deep) } else { String::new() };
            put(bytes, format!("{}1{close}", open.repeat(deep)).as_bytes());
        }
        8 => drop(bytes.drain(line)),
        9 => {
            let copy = bytes[line.clone()].repeat(1 + below(rng, 3));
            bytes.splice(line.start..line.start, copy);
        }
        10 => {
            let copy = bytes[line.clone()].to_vec();
            bytes.drain(line);
            let at = below(rng, bytes.len() + 1);
            bytes.splice(at..at, copy);
        }
        _ => {
            // The same token somewhere else: keys and values meet that do not belong together.
            let copy = bytes[token.clone()].to_vec();
            let at = below(rng, bytes.len());
            if let Some(other) = self::token(bytes, at) {
                bytes.splice(other, copy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_of_the_seed_and_change_something() {
        let (text, other) = (b"{\n  \"a\": [1, 2.5],\n  \"b\": \"c\"\n}\n".as_slice(), &[7u8; 300]);
        for is_text in [false, true] {
            let make = |i| change(text, other, is_text, &mut Rng::new(5, "change", i));
            let changed = (0..1000).filter(|&i| make(i) != text).count();
            assert!(changed > 900, "{changed}");
            assert!((0..1000).all(|i| make(i) == make(i)));
        }
    }
}
