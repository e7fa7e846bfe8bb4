//! A teacher that is only asked: a network of ours, or any ONNX classifier that gtn-run answers for. What it answered
//! may be kept in a file, so that students of many seeds ask it once.

use crate::engine::loader::Batch;
use crate::engine::net::{Mode, Net};
use crate::engine::params::to_vec;
use crate::method::answers::Answers;
use gtn_core::artifacts::answers::Hello;
use gtn_core::data::preprocess::Preprocess;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tch::{Device, Kind, Tensor};

/// Who answers, and what is kept of it.
pub struct Teacher {
    who: Who,
    kept: Option<Answers>,
}

enum Who {
    Net(Box<Net>),
    Process(Box<Asked>),
}

impl Teacher {
    /// A frozen network of ours.
    pub fn net(net: Net) -> Self {
        Self { who: Who::Net(Box::new(net)), kept: None }
    }

    /// A model that another process answers for.
    pub fn process(asked: Asked) -> Self {
        Self { who: Who::Process(Box::new(asked)), kept: None }
    }

    /// What it answers is kept there.
    pub fn keeping(self, kept: Option<Answers>) -> Self {
        Self { kept, ..self }
    }

    /// Logits `[n, classes]` of a batch, without gradients: kept ones where all are there.
    pub fn answer(&mut self, batch: &Batch) -> Result<Tensor> {
        let device = batch.images.device();
        if let Some(kept) = &mut self.kept
            && let Some(rows) = kept.read(&batch.turns)?
        {
            return Ok(rows_of(&rows, batch.turns.len(), device));
        }
        let images = batch.teacher_images.as_ref().unwrap_or(&batch.images);
        let answers = match &mut self.who {
            Who::Net(net) => tch::no_grad(|| net.forward(images, Mode::Eval)),
            Who::Process(asked) => {
                let n = batch.turns.len();
                rows_of(&asked.answer(images)?, n, device)
            }
        };
        if let Some(kept) = &mut self.kept {
            kept.write(&batch.turns, &to_vec(&answers)?)?;
        }
        Ok(answers)
    }
}

fn rows_of(values: &[f32], n: usize, device: Device) -> Tensor {
    Tensor::from_slice(values).view([n as i64, -1]).to_device(device)
}

/// `gtn-run answer`, running, and the model that it answers for.
pub struct Asked {
    child: Child,
    to: Option<BufWriter<ChildStdin>>,
    from: BufReader<ChildStdout>,
    /// What it said of the model.
    pub hello: Hello,
    /// Our classes' places among the model's.
    columns: Vec<usize>,
    /// What a normalised value is as a byte.
    mean: Tensor,
    std: Tensor,
}

/// How the answering program is found and told what the model itself does not tell.
#[derive(Debug, Clone, Default)]
pub struct Answering {
    /// gtn-run; none: beside this program, else on the path.
    pub program: Option<PathBuf>,
    /// The model's preprocessing (JSON or TOML).
    pub preprocess: Option<PathBuf>,
    /// The model's classes, a line each.
    pub labels: Option<PathBuf>,
    /// ONNX Runtime's threads.
    pub threads: usize,
    /// Pictures in an inference.
    pub batch: usize,
}

impl Asked {
    /// Starts the program and matches the model's classes with `labels` by name. Errors: the program is not there or
    /// refuses the model; a class is missing.
    pub fn start(model: &Path, how: &Answering, labels: &[String]) -> Result<Self> {
        let program = program(how.program.as_deref())?;
        let mut command = Command::new(&program);
        command.arg("answer").arg(model).args(["--backend", "ort", "--threads", &how.threads.to_string()]);
        command.args(["--batch", &how.batch.to_string()]);
        if let Some(path) = &how.preprocess {
            command.arg("--preprocess").arg(path);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| Error::io(&program, "start", e))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Failed("gtn-run has no pipes".into()));
        };
        let mut from = BufReader::new(from);
        let Some(hello) = Hello::read(&mut from)? else {
            // It has said why on stderr.
            let status = child.wait().map_err(|e| Error::io(&program, "wait for", e))?;
            let what = format!(
                "teacher {}: {} does not answer for it ({status})",
                model.display(),
                program.display()
            );
            return Err(if status.code() == Some(2) { Error::usage(what) } else { Error::Failed(what) });
        };
        let names = match &how.labels {
            Some(path) => Some(read_labels(path, hello.classes)?),
            None => hello.labels.clone(),
        };
        let columns = columns(model, hello.classes, names.as_deref(), labels)?;
        let channel = |values: &[f32]| Tensor::from_slice(values).view([1, values.len() as i64, 1, 1]);
        let (mean, std) = (channel(&hello.preprocess.mean), channel(&hello.preprocess.std));
        Ok(Self { child, to: Some(BufWriter::new(to)), from, hello, columns, mean, std })
    }

    /// What the model makes of pixels.
    pub fn preprocess(&self) -> &Preprocess {
        &self.hello.preprocess
    }

    /// Logits `[n, classes]`, in our order of classes, of normalised images `[n, C, H, W]`.
    fn answer(&mut self, images: &Tensor) -> Result<Vec<f32>> {
        // Back to the bytes that they were made of: rounding undoes the normalisation exactly.
        let pixels = (images.to_device(Device::Cpu) * &self.std + &self.mean) * 255.0;
        let pixels = pixels.round().clamp(0.0, 255.0).to_kind(Kind::Uint8).contiguous().view(-1);
        let pixels = Vec::<u8>::try_from(&pixels).map_err(|e| Error::Failed(format!("libtorch: {e}")))?;
        let one = self.hello.preprocess.image_len() * self.hello.batch;
        let mut all = Vec::new();
        for chunk in pixels.chunks(one) {
            let Some(to) = &mut self.to else { return Err(Error::Failed("gtn-run was told to end".into())) };
            self.hello.ask(to, chunk)?;
            let n = chunk.len() / self.hello.preprocess.image_len();
            let logits = self.hello.answer(&mut self.from, n)?;
            for row in logits.chunks_exact(self.hello.classes) {
                all.extend(self.columns.iter().filter_map(|&column| row.get(column)));
            }
        }
        Ok(all)
    }
}

impl Drop for Asked {
    /// Its input ends, and so does it.
    fn drop(&mut self) {
        drop(self.to.take());
        if let Err(e) = self.child.wait() {
            exit::note(&format!("gtn-train: warning: gtn-run did not end: {e}"));
        }
    }
}

fn program(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let own = std::env::current_exe().map_err(|e| Error::Failed(format!("where this program is: {e}")))?;
    let name = format!("gtn-run{}", std::env::consts::EXE_SUFFIX);
    let beside = own.with_file_name(&name);
    Ok(if beside.is_file() { beside } else { PathBuf::from(name) })
}

fn read_labels(path: &Path, classes: usize) -> Result<Vec<String>> {
    let text = gtn_core::io::artifact::read_text(path)?;
    let names: Vec<String> = text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
    if names.len() == classes {
        return Ok(names);
    }
    Err(Error::input(path, format!("has {} lines, the teacher has {classes} classes", names.len())))
}

/// Our classes' places among the model's. Without names the order is taken to be ours.
fn columns(model: &Path, classes: usize, names: Option<&[String]>, ours: &[String]) -> Result<Vec<usize>> {
    let Some(names) = names else {
        if classes == ours.len() {
            exit::note(&format!(
                "gtn-train: warning: teacher {} does not name its classes: they are taken to be the data's, in order \
                 (--teacher-labels FILE names them)",
                model.display()
            ));
            return Ok((0..classes).collect());
        }
        let what = format!(
            "has {classes} classes without names, the data {}: --teacher-labels FILE names them",
            ours.len()
        );
        return Err(Error::input(model, what));
    };
    let place = |name: &String| {
        names.iter().position(|n| n == name).ok_or_else(|| {
            let some: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
            let what =
                format!("no class `{name}` of the data; it has {} ({}, ...)", names.len(), some.join(", "));
            Error::input(model, format!("has {what}"))
        })
    };
    ours.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_matched_by_name() {
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect::<Vec<String>>();
        let (ours, model) = (names(&["b", "a"]), Path::new("m.onnx"));
        assert_eq!(columns(model, 3, Some(&names(&["a", "x", "b"])), &ours).unwrap(), [2, 0]);
        assert_eq!(columns(model, 2, None, &ours).unwrap(), [0, 1]);
        let error = columns(model, 2, Some(&names(&["a", "x"])), &ours).unwrap_err().to_string();
        assert!(error.contains("no class `b`") && error.contains("it has 2 (a, x"), "{error}");
        assert!(columns(model, 3, None, &ours).unwrap_err().to_string().contains("--teacher-labels"));
    }
}
