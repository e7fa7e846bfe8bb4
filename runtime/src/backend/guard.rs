//! A backend whose dependencies may panic on what they are given: a panic becomes an error with the model's file, and the
//! sizes that follow from the inputs are judged before anything is allocated.

use crate::backend::budget::Budget;
use crate::backend::{Backend, Named, NodeTime, Slot};
use gtn_core::measure::report::BackendInfo;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use std::path::{Path, PathBuf};

/// This is a backend whose panics become errors and whose inputs are judged before each run.
pub struct Guarded {
    backend: Box<dyn Backend>,
    budget: Budget,
    path: PathBuf,
}

impl Guarded {
    /// Loads a model by `load` after its declared sizes have been judged. A panic becomes an error that names
    /// `path`.
    pub fn load(
        budget: Budget,
        path: &Path,
        load: impl FnOnce() -> Result<Box<dyn Backend>>,
    ) -> Result<Box<dyn Backend>> {
        let backend = contained(path, load)?;
        Ok(Box::new(Self { backend, budget, path: path.to_owned() }))
    }
}

fn contained<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    exit::contain(work).unwrap_or_else(|what| {
        Err(Error::input(path, format!("the library that runs it fails on it: {what}")))
    })
}

impl Backend for Guarded {
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
        self.budget.check_inputs(inputs)?;
        contained(&self.path, || self.backend.run(inputs))
    }

    fn bind(&mut self, inputs: &[Named]) -> Result<()> {
        self.budget.check_inputs(inputs)?;
        contained(&self.path, || self.backend.bind(inputs))
    }

    /// Timed, and so without a border of its own: each backend has one where its library can panic.
    fn run_bound(&mut self) -> Result<()> {
        self.backend.run_bound()
    }

    fn node_times(&mut self) -> Result<Vec<NodeTime>> {
        contained(&self.path, || self.backend.node_times())
    }
}
