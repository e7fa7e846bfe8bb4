//! NumPy's .npy files, versions 1 and 2, C order, little-endian, of every [`Element`]: how arrays enter and leave
//! the programs (format: numpy.lib.format).

use crate::io::artifact;
use crate::io::element::Element;
use crate::io::tensors::{Data, Tensor};
use crate::{Error, Result};
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";
/// A header of a few dimensions takes under 200 bytes.
const MAX_HEADER: usize = 65_536;
const MAX_VALUES: usize = 1 << 31;

/// Writes a tensor as .npy version 1, atomically.
pub fn write(path: &Path, tensor: &Tensor) -> Result<()> {
    let descr = tensor.data.element().npy();
    let dims: String = tensor.shape.iter().map(|d| format!("{d}, ")).collect();
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    // Magic, version and length take 10 bytes; the data start at a multiple of 64.
    let padded = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend(u16::try_from(padded).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(format!("{dict:<width$}\n", width = padded - 1).bytes());
    bytes.extend(tensor.data.to_le_bytes());
    artifact::write_atomic(path, &bytes)
}

/// Reads and checks a .npy file; an error names it.
pub fn read(path: &Path) -> Result<Tensor> {
    parse(&artifact::read(path)?).map_err(|what| Error::input(path, what))
}

fn parse(bytes: &[u8]) -> Result<Tensor, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("is not a .npy file (no \\x93NUMPY at its start)")?;
    let (length, rest) = match rest {
        [1, 0, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2, 0, a, b, c, d, rest @ ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, *d]);
            (usize::try_from(length).map_err(|_| format!("header of {length} bytes"))?, rest)
        }
        [major, minor, ..] => return Err(format!("version is {major}.{minor}, wanted 1.0 or 2.0")),
        _ => return Err("ends inside its header".into()),
    };
    if length > MAX_HEADER || rest.len() < length {
        return Err(format!("header of {length} bytes does not fit the file"));
    }
    let (header, data) = rest.split_at(length);
    let header = std::str::from_utf8(header).map_err(|_| "header is not text")?;
    if value(header, "fortran_order")?.starts_with("True") {
        return Err("is in Fortran order, wanted C order (numpy.ascontiguousarray)".into());
    }
    let shape = parse_shape(value(header, "shape")?)?;
    let values = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_VALUES);
    let values = values.ok_or_else(|| format!("shape {shape:?} is too large"))?;
    let descr: String = value(header, "descr")?.chars().skip(1).take(3).collect();
    let element = Element::of_npy(&descr);
    let element =
        element.ok_or_else(|| format!("dtype is `{descr}`, wanted <f4, |u1, <i8 or another number"))?;
    let wanted = values * element.bytes();
    if data.len() != wanted {
        return Err(format!("has {} bytes of data, shape {shape:?} wants {wanted}", data.len()));
    }
    Ok(Tensor { data: Data::from_le_bytes(element, data)?, shape })
}

/// The text after `'key':`.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let quoted = format!("'{key}':");
    let (_, rest) = header.split_once(&quoted).ok_or_else(|| format!("header lacks `{key}`"))?;
    Ok(rest.trim_start())
}

fn parse_shape(text: &str) -> Result<Vec<usize>, String> {
    let bad = || "header's `shape` is not a tuple of sizes".to_owned();
    let inner = text.strip_prefix('(').and_then(|t| t.split_once(')')).ok_or_else(bad)?.0;
    let parts = inner.split(',').map(str::trim).filter(|p| !p.is_empty());
    parts.map(|p| p.parse().map_err(|_| bad())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_aligns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        let tensors = [
            Tensor::f32(&[2, 3], vec![1.0, -2.5, 0.0, 3.0, f32::MIN, f32::MAX]),
            Tensor::u8(&[1], vec![7]),
            Tensor::i64(&[], vec![-9]),
            Tensor::f32(&[0, 4], vec![]),
            Tensor { shape: vec![2], data: Data::Bool(vec![true, false]) },
            Tensor { shape: vec![1, 1], data: Data::F16(vec![half::f16::from_f32(-1.5)]) },
            Tensor { shape: vec![1], data: Data::Bf16(vec![half::bf16::from_f32(3.0)]) },
            Tensor { shape: vec![3], data: Data::I32(vec![i32::MIN, 0, 7]) },
        ];
        for tensor in tensors {
            write(&path, &tensor).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let data = tensor.data.len() * tensor.data.element().bytes();
            assert_eq!((bytes.len() - data) % 64, 0);
            assert_eq!(read(&path).unwrap(), tensor);
            for n in 0..bytes.len() {
                assert!(parse(&bytes[..n]).is_err(), "{n} bytes of {}", bytes.len());
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let make = |dict: &str| {
            let mut bytes = MAGIC.to_vec();
            bytes.extend([1, 0]);
            bytes.extend((dict.len() as u16).to_le_bytes());
            bytes.extend(dict.bytes());
            bytes
        };
        let cases = [
            (b"PK".to_vec(), "is not a .npy file"),
            (make("{'descr': '>f8', 'fortran_order': False, 'shape': (1,), }"), "dtype is `>f8`"),
            (make("{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }"), "dtype is `<U3`"),
            (make("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }"), "Fortran order"),
            (make("{'descr': '<f4', 'fortran_order': False, 'shape': (1,-2), }"), "tuple of sizes"),
            (make("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,9999999), }"), "too large"),
            (make("{'descr': '<f4', 'shape': (1,), }"), "lacks `fortran_order`"),
        ];
        for (bytes, wanted) in cases {
            let error = parse(&bytes).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
