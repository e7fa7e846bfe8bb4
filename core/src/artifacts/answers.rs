//! What a network answers, handed from one program to another: ONNX Runtime and libtorch never share a process, so
//! gtn-train makes the pictures and `gtn-run answer` answers them, over a pipe.
//!
//! The answering program first writes [`Hello`] as one line of JSON. Then, for each request on its input (the number of
//! pictures as u32, and their pixels, u8, planar `[n, C, H, W]`), it writes the logits, f32 `[n, classes]`; all numbers
//! are little-endian. It ends where its input ends.

use crate::data::preprocess::Preprocess;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read, Write};

/// This is the schema of [`Hello`].
pub const SCHEMA: &str = "gtn.answers/1";
/// This bounds the first line, bytes: 65,536 classes' names.
const MAX_HELLO: u64 = 16 << 20;

/// This is what the answering program says of its network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// [`SCHEMA`].
    pub schema: String,
    /// What people call the network.
    pub name: String,
    /// Lower-case hex SHA-256 of the model file.
    pub sha256: String,
    /// Pictures in a request, at most; what is missing is filled up, so that every inference has this size.
    pub batch: usize,
    /// What it makes of the pixels that it is sent.
    pub preprocess: Preprocess,
    /// How many logits it gives.
    pub classes: usize,
    /// Its classes' names, where the model tells them.
    pub labels: Option<Vec<String>>,
}

impl Hello {
    /// Writes it, as one line.
    pub fn write(&self, to: &mut impl Write) -> Result<()> {
        let line = serde_json::to_string(self).map_err(|e| Error::Failed(format!("answers: {e}")))?;
        writeln!(to, "{line}").and_then(|()| to.flush()).map_err(|e| broken(&e))
    }

    /// Reads and checks it. An end of the stream instead of it is `None`: the program ended before it could answer.
    pub fn read(from: &mut impl BufRead) -> Result<Option<Self>> {
        let mut line = String::new();
        from.take(MAX_HELLO).read_line(&mut line).map_err(|e| broken(&e))?;
        if line.is_empty() {
            return Ok(None);
        }
        let hello: Self = serde_json::from_str(&line).map_err(|e| {
            Error::Failed(format!("answers: the first line is not one of gtn-run answer: {e}"))
        })?;
        if hello.schema != SCHEMA {
            return Err(Error::Failed(format!("answers: schema is `{}`, wanted `{SCHEMA}`", hello.schema)));
        }
        hello.preprocess.validate()?;
        if !(1..=4096).contains(&hello.batch) || !(2..=65_536).contains(&hello.classes) {
            let (batch, classes) = (hello.batch, hello.classes);
            let what = format!("answers: batch {batch}, {classes} classes: wanted 1 to 4096, 2 to 65536");
            return Err(Error::Failed(what));
        }
        Ok(Some(hello))
    }

    /// Sends a request of pixels, u8 `[n, C, H, W]`, n at most the batch.
    pub fn ask(&self, to: &mut impl Write, pixels: &[u8]) -> Result<()> {
        let n = self.count(pixels.len())?;
        to.write_all(&n.to_le_bytes())
            .and_then(|()| to.write_all(pixels))
            .and_then(|()| to.flush())
            .map_err(|e| broken(&e))
    }

    /// Waits for the logits of a request of `n` pictures, f32 `[n, classes]`.
    pub fn answer(&self, from: &mut impl Read, n: usize) -> Result<Vec<f32>> {
        let mut bytes = vec![0; n * self.classes * 4];
        from.read_exact(&mut bytes).map_err(|e| broken(&e))?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
    }

    /// Waits for a request; `None` where there will be no more.
    pub fn asked(&self, from: &mut impl Read) -> Result<Option<Vec<u8>>> {
        let mut count = [0; 4];
        match from.read_exact(&mut count) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other.map_err(|e| broken(&e))?,
        }
        let n = usize::try_from(u32::from_le_bytes(count)).ok().filter(|n| (1..=self.batch).contains(n));
        let n = n.ok_or_else(|| {
            Error::usage(format!(
                "answers: {} pictures are asked for at once, wanted 1 to {}",
                u32::from_le_bytes(count),
                self.batch
            ))
        })?;
        let mut pixels = vec![0; n * self.preprocess.image_len()];
        from.read_exact(&mut pixels).map_err(|e| broken(&e))?;
        Ok(Some(pixels))
    }

    /// Sends the logits of a request.
    pub fn tell(&self, to: &mut impl Write, logits: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = logits.iter().flat_map(|x| x.to_le_bytes()).collect();
        to.write_all(&bytes).and_then(|()| to.flush()).map_err(|e| broken(&e))
    }

    fn count(&self, bytes: usize) -> Result<u32> {
        let one = self.preprocess.image_len().max(1);
        let n = u32::try_from(bytes / one)
            .ok()
            .filter(|_| bytes.is_multiple_of(one) && bytes <= self.batch * one);
        n.filter(|&n| n > 0).ok_or_else(|| {
            Error::Failed(format!(
                "answers: {bytes} bytes of pixels, wanted 1 to {} pictures of {one}",
                self.batch
            ))
        })
    }
}

fn broken(e: &std::io::Error) -> Error {
    Error::Failed(format!("answers: the other program is gone: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        let preprocess = Preprocess {
            channels: 1,
            height: 2,
            width: 3,
            resize_short: None,
            resize: None,
            mean: vec![0.5],
            std: vec![0.5],
        };
        let labels = Some(vec!["a".into(), "b".into()]);
        let (name, sha256) = ("n".into(), "00".into());
        Hello { schema: SCHEMA.into(), name, sha256, batch: 4, preprocess, classes: 2, labels }
    }

    #[test]
    fn a_conversation_round_trips() {
        let hello = hello();
        let mut bytes = Vec::new();
        hello.write(&mut bytes).unwrap();
        let mut from = bytes.as_slice();
        assert_eq!(Hello::read(&mut from).unwrap().unwrap(), hello);
        assert_eq!(Hello::read(&mut from).unwrap(), None);
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let pixels: Vec<u8> = (0..12).collect();
        hello.ask(&mut there, &pixels).unwrap();
        let mut from = there.as_slice();
        assert_eq!(hello.asked(&mut from).unwrap().unwrap(), pixels);
        assert_eq!(hello.asked(&mut from).unwrap(), None);
        hello.tell(&mut back, &[1.0, 2.0, 3.0, f32::MIN]).unwrap();
        assert_eq!(hello.answer(&mut back.as_slice(), 2).unwrap(), [1.0, 2.0, 3.0, f32::MIN]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let hello = hello();
        for pixels in [0, 5, 30] {
            assert!(hello.ask(&mut Vec::new(), &vec![0; pixels]).is_err(), "{pixels}");
        }
        for asked in [&[0, 0, 0, 0][..], &[5, 0, 0, 0], &[255; 4], &[1, 0, 0, 0, 7]] {
            assert!(hello.asked(&mut &asked[..]).is_err(), "{asked:?}");
        }
        assert!(hello.answer(&mut &[0u8; 15][..], 2).is_err());
        for line in ["hello\n", "{}\n", "{\"schema\":\"x\"}\n"] {
            assert!(Hello::read(&mut line.as_bytes()).is_err(), "{line}");
        }
        let other = Hello { schema: "gtn.answers/2".into(), ..hello };
        let mut bytes = Vec::new();
        other.write(&mut bytes).unwrap();
        assert!(Hello::read(&mut bytes.as_slice()).unwrap_err().to_string().contains("gtn.answers/2"));
    }
}
