//! A backend whose errors say which model failed: it knows its nodes, but not its file, and of two models compared or a
//! kit's hundreds a reader must know which.

use crate::backend::{Backend, Named, NodeTime, Slot};
use gtn_core::error::ShapeOf;
use gtn_core::measure::report::BackendInfo;
use gtn_core::{Error, Result};
use std::path::{Path, PathBuf};

/// This is a loaded model with its file's name.
pub struct Located {
    backend: Box<dyn Backend>,
    path: PathBuf,
    /// What is bound.
    bound: Vec<ShapeOf>,
}

impl Located {
    /// Wraps `backend`; its errors name `path`.
    pub fn new(backend: Box<dyn Backend>, path: &Path) -> Self {
        Self { backend, path: path.to_owned(), bound: Vec::new() }
    }
}

/// Gives an error of loading the file's name, if the model failed. Any other error stays as it is.
pub fn loading(path: &Path, error: Error) -> Error {
    match error {
        Error::Failed(what) => Error::Run { path: path.to_owned(), what, inputs: Vec::new() },
        other => other,
    }
}

fn running(path: &Path, inputs: &[ShapeOf], error: Error) -> Error {
    let file = path.display();
    match error {
        Error::Failed(what) => Error::Run { path: path.to_owned(), what, inputs: inputs.to_vec() },
        Error::Usage(what) => Error::Usage(format!("{file}: {what}")),
        Error::Unavailable(what) => Error::Unavailable(format!("{file}: {what}")),
        other => other,
    }
}

fn shapes(inputs: &[Named]) -> Vec<ShapeOf> {
    let one = |i: &Named| ShapeOf {
        name: i.name.clone(),
        element: i.tensor.data.element().name(),
        shape: i.tensor.shape.clone(),
    };
    inputs.iter().map(one).collect()
}

impl Backend for Located {
    fn info(&self) -> &BackendInfo {
        self.backend.info()
    }

    fn inputs(&self) -> &[Slot] {
        self.backend.inputs()
    }

    fn outputs(&self) -> &[Slot] {
        self.backend.outputs()
    }

    fn run(&mut self, inputs: &[Named]) -> Result<Vec<Named>> {
        self.backend.run(inputs).map_err(|e| running(&self.path, &shapes(inputs), e))
    }

    fn bind(&mut self, inputs: &[Named]) -> Result<()> {
        self.bound = shapes(inputs);
        self.backend.bind(inputs).map_err(|e| running(&self.path, &self.bound, e))
    }

    fn run_bound(&mut self) -> Result<()> {
        self.backend.run_bound().map_err(|e| running(&self.path, &self.bound, e))
    }

    fn node_times(&mut self) -> Result<Vec<NodeTime>> {
        self.backend.node_times().map_err(|e| running(&self.path, &[], e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::io::tensors::Tensor;

    struct Fails(BackendInfo);

    impl Backend for Fails {
        fn info(&self) -> &BackendInfo {
            &self.0
        }

        fn inputs(&self) -> &[Slot] {
            &[]
        }

        fn outputs(&self) -> &[Slot] {
            &[]
        }

        fn run(&mut self, _: &[Named]) -> Result<Vec<Named>> {
            Err(Error::Failed("Conv node `c`: no".into()))
        }

        fn bind(&mut self, inputs: &[Named]) -> Result<()> {
            if inputs.is_empty() { Err(Error::usage("input `x` is missing")) } else { Ok(()) }
        }

        fn run_bound(&mut self) -> Result<()> {
            Err(Error::Failed("Conv node `c`: no".into()))
        }
    }

    #[test]
    fn every_error_has_its_file_and_a_failure_its_shapes() {
        let mut backend = Located::new(Box::new(Fails(BackendInfo::default())), Path::new("a/m.onnx"));
        let inputs = [Named { name: "x".into(), tensor: Tensor::u8(&[1, 2], vec![0, 0]) }];
        let wanted = "a/m.onnx: Conv node `c`: no (with x uint8 [1, 2])";
        assert_eq!(backend.run(&inputs).unwrap_err().to_string(), wanted);
        let missing = backend.bind(&[]).unwrap_err();
        assert_eq!(
            (missing.to_string().as_str(), missing.exit_code()),
            ("a/m.onnx: input `x` is missing", 2)
        );
        backend.bind(&inputs).unwrap();
        assert_eq!(backend.run_bound().unwrap_err().to_string(), wanted);
        let times = backend.node_times().unwrap_err();
        assert!(times.to_string().starts_with("a/m.onnx: ") && times.exit_code() == 3, "{times}");
    }
}
