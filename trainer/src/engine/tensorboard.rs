//! What loss.jsonl and log.jsonl hold, once more as TensorBoard reads it: `tensorboard --logdir RUNS`.
//!
//! A file of TFRecords (length, masked CRC-32C, data, masked CRC-32C), each an `Event` of TensorFlow's
//! event.proto. Every process of a run writes a file of its own; one that resumes tells TensorBoard to
//! forget what an earlier one wrote beyond its first step.

use crc::{CRC_32_ISCSI, Crc};
use gtn_core::{Error, Result};
use prost::Message;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const VERSION: &str = "brain.Event:2";
const SESSION_START: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// This process's event file.
pub struct Events {
    path: PathBuf,
    file: File,
    /// Of the last line that had one.
    step: i64,
}

impl Events {
    /// A new file in the run's folder.
    pub fn create(dir: &Path) -> Result<Self> {
        let name = format!("events.out.tfevents.{}.{}", now() as u64, std::process::id());
        let path = dir.join(name);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|e| Error::io(&path, "open", e))?;
        let mut events = Self { path, file, step: 0 };
        events.write(Event { file_version: Some(VERSION.into()), ..Event::default() })?;
        Ok(events)
    }

    /// The run goes on behind `step`: what was written beyond it is void.
    pub fn resume_at(&mut self, step: usize) -> Result<()> {
        self.step = step as i64;
        self.write(Event {
            step: step as i64 + 1,
            session_log: Some(SessionLog { status: SESSION_START }),
            ..Event::default()
        })
    }

    /// Every number of a line, at the line's step or else the last one's. Names of nested ones are joined
    /// by `/`.
    pub fn line(&mut self, line: &Value) -> Result<()> {
        self.step = line.get("step").and_then(Value::as_i64).unwrap_or(self.step);
        let mut value = Vec::new();
        scalars("", line, &mut value);
        value.retain(|s| s.tag != "step");
        self.write(Event { step: self.step, summary: Some(Summary { value }), ..Event::default() })
    }

    fn write(&mut self, event: Event) -> Result<()> {
        let data = Event { wall_time: now(), ..event }.encode_to_vec();
        self.file.write_all(&record(&data)).map_err(|e| Error::io(&self.path, "write", e))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// One TFRecord.
fn record(data: &[u8]) -> Vec<u8> {
    let masked = |bytes: &[u8]| CRC32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8);
    let length = (data.len() as u64).to_le_bytes();
    let parts: [&[u8]; 4] = [&length, &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()];
    parts.concat()
}

fn scalars(tag: &str, value: &Value, found: &mut Vec<Scalar>) {
    let inner = |key: &str| if tag.is_empty() { key.to_owned() } else { format!("{tag}/{key}") };
    match value {
        Value::Number(n) => {
            found.extend(n.as_f64().map(|x| Scalar { tag: tag.to_owned(), simple_value: x as f32 }))
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, v)| scalars(&inner(&i.to_string()), v, found));
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| scalars(&inner(k), v, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A file's first event by hand, and CRC-32C's published check value.
    #[test]
    fn a_record_by_hand() {
        let event = Event { file_version: Some(VERSION.into()), ..Event::default() };
        let data = event.encode_to_vec();
        assert_eq!(data, b"\x1a\x0dbrain.Event:2");
        let bytes = record(&data);
        assert_eq!(bytes.len(), 8 + 4 + data.len() + 4);
        assert_eq!(CRC32C.checksum(b"123456789"), 0xe306_9283, "CRC-32C's published check value");
        assert_eq!(bytes[..8], 15u64.to_le_bytes());
    }

    #[test]
    fn every_number_of_a_line_has_its_step() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = Events::create(dir.path()).unwrap();
        events.resume_at(6).unwrap();
        events.line(&json!({"step": 7, "lr": 0.5, "loss": 2.0})).unwrap();
        events.line(&json!({"epoch": 1, "arch": {"depth": [0.25, 0.75]}, "note": "none"})).unwrap();
        let bytes = std::fs::read(&events.path).unwrap();
        let (mut rest, mut read) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            read.push(Event::decode(&rest[12..12 + length]).unwrap());
            rest = &rest[16 + length..];
        }
        let tags = |e: &Event| -> Vec<(String, f32)> {
            e.summary.as_ref().unwrap().value.iter().map(|s| (s.tag.clone(), s.simple_value)).collect()
        };
        assert_eq!((read.len(), read[1].step), (4, 7));
        assert_eq!(read[1].session_log.as_ref().unwrap().status, SESSION_START);
        assert_eq!((read[2].step, tags(&read[2])), (7, vec![("lr".into(), 0.5), ("loss".into(), 2.0)]));
        let third = vec![("epoch".into(), 1.0), ("arch/depth/0".into(), 0.25), ("arch/depth/1".into(), 0.75)];
        assert_eq!((read[3].step, tags(&read[3])), (7, third));
        assert!(read.iter().all(|e| e.wall_time > 1e9));
    }
}
