//! Element types.

/// This is the type of a tensor's elements. On the GPU every element takes 4 bytes: a float, or an integer as
/// i32 (bytes and float16 less where channels are in fours: see [`crate::gpu::ir::form`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the types'
pub enum DType {
    F32,
    F16,
    U8,
    I8,
    U16,
    I16,
    I32,
    U32,
    /// On the host only: shapes, axes.
    I64,
}

impl DType {
    /// Returns the type of ONNX's number (TensorProto.DataType). One that is not supported is an error.
    pub fn of(elem_type: i32) -> Result<Self, String> {
        Ok(match elem_type {
            1 => Self::F32,
            10 => Self::F16,
            2 => Self::U8,
            3 => Self::I8,
            4 => Self::U16,
            5 => Self::I16,
            6 => Self::I32,
            12 => Self::U32,
            7 => Self::I64,
            other => return Err(format!("element type {other} is not supported")),
        })
    }

    /// Returns the smallest and largest value of an integer type that i32 holds; `None` for any other type.
    pub fn range(self) -> Option<(i32, i32)> {
        Some(match self {
            Self::U8 => (0, 255),
            Self::I8 => (-128, 127),
            Self::U16 => (0, 65_535),
            Self::I16 => (-32_768, 32_767),
            Self::I32 => (i32::MIN, i32::MAX),
            Self::F32 | Self::F16 | Self::U32 | Self::I64 => return None,
        })
    }

    /// Returns whether it is one of the floats.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16)
    }

    /// Returns ONNX's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float",
            Self::F16 => "float16",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::U32 => "uint32",
            Self::I64 => "int64",
        }
    }
}
