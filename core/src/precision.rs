//! What a shipped model computes in.

use crate::text::format;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// This is the arithmetic of a shipped model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Precision {
    /// 16-bit floats inside, 32-bit ones at both ends.
    Fp16,
    /// 32-bit floats.
    Fp32,
    /// 8-bit integers, statically quantised.
    Int8,
}

impl Precision {
    /// These are all precisions, the most exact first.
    pub const ALL: [Self; 3] = [Self::Fp32, Self::Fp16, Self::Int8];

    /// Returns the name that files and command lines have for it: `fp32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp16 => "fp16",
            Self::Fp32 => "fp32",
            Self::Int8 => "int8",
        }
    }

    /// Lists several, for people: `int8, fp32`.
    pub fn list(all: &[Self]) -> String {
        all.iter().map(|p| p.name()).collect::<Vec<_>>().join(", ")
    }

    /// Returns the bytes of one weight or activation.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Fp16 => 2,
            Self::Fp32 => 4,
            Self::Int8 => 1,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| {
            let found = format::shorten(text, 60);
            Error::usage(format!("precision is `{found}`, wanted fp32, fp16 or int8"))
        })
    }
}

impl TryFrom<String> for Precision {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Precision> for String {
    fn from(precision: Precision) -> Self {
        precision.name().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn names_are_what_files_hold_and_others_are_refused() {
        for p in Precision::ALL {
            assert_eq!(serde_json::to_string(&p).unwrap(), format!("\"{p}\""));
            assert_eq!(p.name().parse::<Precision>().unwrap(), p);
        }
        let map: BTreeMap<Precision, u8> = serde_json::from_str("{\"int8\": 1, \"fp16\": 2}").unwrap();
        assert_eq!(serde_json::to_string(&map).unwrap(), "{\"fp16\":2,\"int8\":1}");
        let error = serde_json::from_str::<Precision>("\"fp8\"").unwrap_err().to_string();
        assert!(error.contains("precision is `fp8`, wanted fp32, fp16 or int8"), "{error}");
    }
}
