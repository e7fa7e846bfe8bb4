//! What a data set is: its content, whatever its folder is called.

use super::{Dataset, ImageSet};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// SHA-256 of each part (see [`ImageSet::sha256`]), as config.toml, train.json and a bundle's parents hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSha256 {
    /// Of the training images (val is cut from them).
    pub train: String,
    /// Of the test images.
    pub test: String,
}

/// One part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The training images.
    Train,
    /// The test images.
    Test,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "training",
            Self::Test => "test",
        })
    }
}

impl ImageSet {
    /// Lower-case hex SHA-256 over the size, the classes' number, and of each image in turn its index, its
    /// label and its bytes: another order, another label or another pixel is another set. Fails as
    /// [`Self::pixels_of`] does.
    pub fn sha256(&self) -> Result<String> {
        if let Some(origin) = &self.origin {
            return Ok(origin.sha256.clone());
        }
        let mut hash = Sha256::new();
        hash.update(format!("gtn.images/1 {} {} {}\n", self.input, self.classes, self.len()));
        for (i, label) in self.labels.iter().enumerate() {
            hash.update((i as u64).to_le_bytes());
            hash.update(label.to_le_bytes());
            hash.update(self.image(i)?);
        }
        Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
    }
}

impl Dataset {
    /// Of both parts.
    pub fn sha256(&self) -> Result<DataSha256> {
        Ok(DataSha256 { train: self.train.sha256()?, test: self.test.sha256()? })
    }
}

impl DataSha256 {
    /// Of one part.
    pub fn of(&self, part: Part) -> &str {
        match part {
            Part::Train => &self.train,
            Part::Test => &self.test,
        }
    }

    /// An error if `found` is not what is recorded here. `data` is what was asked for, `owner` whose record
    /// this is, `remedy` what a person can do.
    pub fn check(
        &self,
        part: Part,
        found: &ImageSet,
        (data, owner, remedy): (&str, &str, &str),
    ) -> Result<()> {
        let (found_sha256, wanted) = (found.sha256()?, self.of(part));
        if found_sha256 == wanted {
            return Ok(());
        }
        Err(Error::usage(format!(
            "data `{data}`: its {} {part} images are not those of {owner}: images, labels or their order differ (SHA-256 \
             {}, wanted {}); {remedy}",
            found.len(),
            short(&found_sha256),
            short(wanted)
        )))
    }
}

/// Enough of a hash to tell two apart.
pub fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::arch::Input;

    fn set(pixels: Vec<u8>, labels: Vec<u16>) -> ImageSet {
        ImageSet::new(Input { channels: 1, height: 1, width: 2 }, 3, pixels, labels).unwrap()
    }

    /// Frozen: records of every earlier training depend on it. The value is hashlib's of the documented bytes.
    #[test]
    fn the_hash_never_changes() {
        let set = set(vec![1, 2, 3, 4], vec![2, 0]);
        assert_eq!(set.sha256().unwrap(), "0b4450667da32a50b6d0e5a65fcf5f4f96b3275b42470428f210f8c680f8d02c");
    }

    #[test]
    fn any_change_is_seen_and_named() {
        let base = set(vec![1, 2, 3, 4], vec![2, 0]);
        let recorded = Dataset {
            name: "d".into(),
            label_names: Vec::new(),
            resize_short: None,
            train: set(vec![0, 0], vec![0]),
            test: base.clone(),
        }
        .sha256()
        .unwrap();
        let words = ("d:x", "runs/t", "put the old ones back");
        recorded.check(Part::Test, &base, words).unwrap();
        for other in [
            set(vec![1, 2, 3, 5], vec![2, 0]),
            set(vec![1, 2, 3, 4], vec![0, 2]),
            set(vec![3, 4, 1, 2], vec![0, 2]),
            set(vec![1, 2, 3, 4, 5, 6], vec![2, 0, 1]),
            set(vec![1, 2], vec![2]),
            ImageSet { classes: 4, ..base.clone() },
            ImageSet { input: Input { channels: 1, height: 2, width: 1 }, ..base.clone() },
        ] {
            let error = recorded.check(Part::Test, &other, words).unwrap_err().to_string();
            let wanted =
                ["data `d:x`", "test images are not those of runs/t", short(&recorded.test), "put the old"];
            assert!(wanted.iter().all(|w| error.contains(w)), "{error}");
        }
        assert!(recorded.check(Part::Train, &base, words).is_err());
    }
}
