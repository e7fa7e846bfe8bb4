//! Element types of tensors, by every name that a file format has for them.

/// This is a type of tensor elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the types'
pub enum Element {
    F32,
    U8,
    I8,
    U16,
    I16,
    I32,
    I64,
    Bool,
    F16,
    F64,
    U32,
    U64,
    Bf16,
}

/// Element, ONNX's name and number (TensorProto.DataType), bytes, NumPy's `descr`. NumPy has no bfloat16: its array
/// is two opaque bytes an element, as the package ml_dtypes writes it.
const ALL: [(Element, &str, i32, usize, &str); 13] = [
    (Element::F32, "float", 1, 4, "<f4"),
    (Element::U8, "uint8", 2, 1, "|u1"),
    (Element::I8, "int8", 3, 1, "|i1"),
    (Element::U16, "uint16", 4, 2, "<u2"),
    (Element::I16, "int16", 5, 2, "<i2"),
    (Element::I32, "int32", 6, 4, "<i4"),
    (Element::I64, "int64", 7, 8, "<i8"),
    (Element::Bool, "bool", 9, 1, "|b1"),
    (Element::F16, "float16", 10, 2, "<f2"),
    (Element::F64, "double", 11, 8, "<f8"),
    (Element::U32, "uint32", 12, 4, "<u4"),
    (Element::U64, "uint64", 13, 8, "<u8"),
    (Element::Bf16, "bfloat16", 16, 2, "<V2"),
];

impl Element {
    fn row(self) -> (Self, &'static str, i32, usize, &'static str) {
        // The rows are in the types' order (a test looks).
        #[allow(clippy::as_conversions)]
        ALL[self as usize]
    }

    /// Returns ONNX's name: `float`, `uint8`, `double`, ...
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns ONNX's number (TensorProto.DataType).
    pub fn onnx(self) -> i32 {
        self.row().2
    }

    /// Returns the type of ONNX's number; `None` for strings, complex numbers and what is smaller than a byte.
    pub fn of_onnx(number: i32) -> Option<Self> {
        ALL.into_iter().find(|row| row.2 == number).map(|row| row.0)
    }

    /// Returns the type of ONNX's name, if it is one.
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Returns the bytes of one element.
    pub fn bytes(self) -> usize {
        self.row().3
    }

    /// Returns NumPy's name for it (`descr`).
    pub fn npy(self) -> &'static str {
        self.row().4
    }

    /// Returns the type of NumPy's name, if it is one.
    pub fn of_npy(descr: &str) -> Option<Self> {
        let descr = if descr == "|V2" { "<V2" } else { descr };
        ALL.into_iter().find(|row| row.4 == descr).map(|row| row.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_row_and_its_names_lead_back_to_it() {
        for (element, name, number, bytes, descr) in ALL {
            assert_eq!((element.name(), element.onnx(), element.bytes()), (name, number, bytes));
            assert_eq!(Element::named(name), Some(element));
            assert_eq!(Element::of_onnx(number), Some(element));
            assert_eq!(Element::of_npy(descr), Some(element));
            assert!(descr.ends_with(&bytes.to_string()), "{descr}");
        }
        assert_eq!(ALL.into_iter().map(|row| row.0).collect::<std::collections::HashSet<_>>().len(), 13);
        assert_eq!((Element::of_onnx(8), Element::of_npy(">f4")), (None, None));
    }
}
