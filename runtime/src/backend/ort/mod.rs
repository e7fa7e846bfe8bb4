//! Runs models with ONNX Runtime, through the `ort` crate.

pub mod library;
pub mod providers;
mod trace;

use crate::backend::ort::library::OrtLibrary;
use crate::backend::ort::providers::{Provider, Providers};
use crate::backend::sizes::Sizes;
use crate::backend::{Backend, Int8, Named, NodeTime, Options, Slot, check_inputs};
use crate::onnx::OnnxFile;
use crate::onnx::arithmetic::Arithmetic;
use gtn_core::device::int8::this_processor_saturates;
use gtn_core::io::artifact;
use gtn_core::io::element::Element;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::measure::report::{BackendInfo, INT8_OPTION};
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::{DynValue, Outlet, PrimitiveTensorElementType, TensorElementType, ValueType};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// One environment per process: ONNX Runtime's rule.
static ENVIRONMENT: OnceLock<std::result::Result<(Environment, OrtLibrary), String>> = OnceLock::new();

/// This is a model loaded by ONNX Runtime.
pub struct OrtBackend {
    // Dropped before the session it belongs to (fields drop in order).
    binding: Option<IoBinding>,
    session: Session,
    info: BackendInfo,
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
    profiling: bool,
    /// Where ONNX Runtime writes its profile; gone with this.
    _profile: Option<TempDir>,
}

/// Creates a new folder for a profile, with a name that nobody could have guessed. Fails where the system's
/// temporary folder, which is the user's choice (`TMPDIR`), is not writable.
pub fn profile_folder() -> Result<TempDir> {
    artifact::temporary_dir("gtn-run.")
}

fn environment(explicit: Option<&Path>) -> Result<&'static (Environment, OrtLibrary)> {
    // Found before the cell is filled, so that a wrong path keeps its own kind of error.
    if ENVIRONMENT.get().is_none() {
        let library = library::find(explicit)?;
        let _ = ENVIRONMENT.get_or_init(|| {
            let builder = ort::init_from(&library.path).map_err(|e| e.to_string())?;
            let environment =
                builder.with_name("gtn").with_telemetry(false).build().map_err(|e| e.to_string())?;
            Ok((environment, library))
        });
    }
    match ENVIRONMENT.get() {
        Some(Ok(found)) => Ok(found),
        Some(Err(why)) => Err(Error::Unavailable(format!("ONNX Runtime does not start: {why}"))),
        None => Err(Error::Unavailable("ONNX Runtime was not started".into())),
    }
}

/// Starts ONNX Runtime in this process, if it has not been.
pub fn start(explicit: Option<&Path>) -> Result<()> {
    environment(explicit).map(|_| ())
}

/// Returns the library that this process would use, with its version.
pub fn library(explicit: Option<&Path>) -> Result<OrtLibrary> {
    library::find(explicit)
}

impl OrtBackend {
    /// Loads a model; open dimensions become what `options` say. Fails with an input error where ONNX Runtime
    /// cannot load the file, and with [`Error::Unavailable`] where the providers asked for cannot.
    pub fn load(file: &OnnxFile, options: &Options, why: &str) -> Result<Self> {
        let path = file.path();
        let bad = |what: String| Error::input(path, what);
        let told_of = file.model();
        let sizes = Sizes::of(&told_of.inputs, options).map_err(bad)?;
        let model = &*sizes.declared(file.bytes()).map_err(bad)?;
        let (environment, library) = environment(options.ort.library.as_deref())?;
        let threads =
            options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let providers = match &options.ort.providers {
            Providers::Named(names) => providers::resolve(names)?,
            Providers::Cpu | Providers::Profile => Vec::new(),
        };
        let profile = options.profile.then(profile_folder).transpose()?;
        let folder = profile.as_ref().map(TempDir::path);
        let arithmetic = match this_processor_saturates() {
            true => Arithmetic::of(&told_of),
            false => Arithmetic::default(),
        };
        let int8 = arithmetic.saturates().then_some(options.ort.int8);
        let exact = (int8 == Some(Int8::Exact)).then_some(&arithmetic);
        let build = |providers: &[&'static Provider]| {
            build(environment, (model, &sizes), (options, folder), providers, threads, exact)
        };
        let session = match build(&providers)? {
            Ok(session) => session,
            // Whose fault it is, the CPU tells: what it can load is a good model.
            Err(e) if !providers.is_empty() && build(&[])?.is_ok() => {
                let names: Vec<&str> = providers.iter().map(|p| p.name).collect();
                let what = format!("--ep {}: cannot load {}", names.join(","), path.display());
                return Err(Error::Unavailable(format!("{what}: {}", one_line(&e))));
            }
            Err(e) => {
                return Err(Error::input(path, format!("ONNX Runtime cannot load it: {}", one_line(&e))));
            }
        };
        let nodes = if providers.is_empty() { BTreeMap::new() } else { taken(&session, &providers, path)? };
        let slot = |o: &Outlet| match o.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                Slot { name: o.name().into(), dtype: dtype_name(*ty), shape: shape.to_vec() }
            }
            other => Slot { name: o.name().into(), dtype: format!("{other:?}"), shape: Vec::new() },
        };
        let inputs: Vec<Slot> = session.inputs().iter().map(slot).collect();
        let outputs = session.outputs().iter().map(slot).collect();
        let info = BackendInfo {
            name: "ort".into(),
            version: library.version.clone(),
            library: library.path.display().to_string(),
            providers: providers
                .iter()
                .map(|p| p.ort_name)
                .chain([providers::CPU])
                .map(str::to_owned)
                .collect(),
            threads,
            batch: sizes.images(&inputs, options.batch).map_err(bad)?,
            why: why.into(),
            options: told(options, int8),
            nodes,
        };
        Ok(Self {
            binding: None,
            session,
            info,
            inputs,
            outputs,
            profiling: options.profile,
            _profile: profile,
        })
    }
}

/// Settings other than the default, by name, as they are in force.
fn told(options: &Options, int8: Option<Int8>) -> BTreeMap<String, String> {
    let spin = options.ort.spin.map(|s| ("spin", if s { "on" } else { "off" }));
    let int8 = int8.map(|i| (INT8_OPTION, if i == Int8::Exact { "exact" } else { "saturating" }));
    spin.into_iter().chain(int8).map(|(name, value)| (name.into(), value.into())).collect()
}

/// The outer error: a provider does not start. The inner one: the model is not loaded.
fn build(
    environment: &Environment,
    (model, sizes): (&[u8], &Sizes),
    (options, profile): (&Options, Option<&Path>),
    providers: &[&'static Provider],
    threads: usize,
    exact: Option<&Arithmetic>,
) -> Result<ort::Result<Session>> {
    let configured = || -> ort::Result<SessionBuilder> {
        let mut builder = Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            // Off on x86 unless asked for: a bundle with int8 activations (made for ARM) is fused
            // there as it is on its device, and so gives the same answers.
            .with_config_entry("session.qdqisint8allowed", "1")?;
        // Keys of onnxruntime_session_options_config_keys.h.
        if let Some(arithmetic) = exact {
            // Q/DQ pairs are computed as they stand, in floats, not fused into operators on integers.
            builder = builder.with_config_entry("session.disable_quant_qdq", "1")?;
            // In a file that has those operators signed weights become unsigned ones, whose kernels do not saturate.
            // Not otherwise: it fails on weights that share a zero point.
            if arithmetic.integer_operators {
                builder = builder.with_config_entry("session.x64quantprecision", "1")?;
            }
        }
        if !providers.is_empty() {
            builder = builder.with_config_entry(providers::RECORD_ASSIGNMENT, "1")?;
        }
        if let Some(spin) = options.ort.spin {
            builder = builder.with_intra_op_spinning(spin)?;
        }
        if let Some(folder) = profile {
            builder = builder.with_profiling(folder.join("profile"))?;
        }
        for (name, &size) in &sizes.named {
            builder = builder.with_dimension_override(name, size)?;
        }
        Ok(builder)
    };
    let mut builder = match configured() {
        Ok(builder) if providers.is_empty() => builder,
        Ok(builder) => providers::register(builder, providers, threads)?,
        Err(e) => return Ok(Err(e)),
    };
    Ok(builder.commit_from_memory(model))
}

/// How many nodes each provider took; that none of those asked for took any is an error.
fn taken(session: &Session, asked: &[&'static Provider], path: &Path) -> Result<BTreeMap<String, usize>> {
    let nodes = providers::assignment(session)?;
    if asked.iter().any(|p| nodes.get(p.ort_name).is_some_and(|&n| n > 0)) {
        return Ok(nodes);
    }
    let names: Vec<&str> = asked.iter().map(|p| p.name).collect();
    Err(Error::Unavailable(format!(
        "--ep {}: it takes none of the nodes of {}: all {} would run on the CPU",
        names.join(","),
        path.display(),
        nodes.values().sum::<usize>()
    )))
}

impl Backend for OrtBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn inputs(&self) -> &[Slot] {
        &self.inputs
    }

    fn outputs(&self) -> &[Slot] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[Named]) -> Result<Vec<Named>> {
        check_inputs(&self.inputs, inputs)?;
        let values = inputs.iter().map(|i| Ok((i.name.as_str(), to_value(&i.tensor)?)));
        let values = values.collect::<ort::Result<Vec<(&str, DynValue)>>>().map_err(failed)?;
        let outputs = self.session.run(values).map_err(failed)?;
        outputs
            .iter()
            .map(|(name, value)| Ok(Named { name: name.into(), tensor: from_value(name, &value)? }))
            .collect()
    }

    fn bind(&mut self, inputs: &[Named]) -> Result<()> {
        check_inputs(&self.inputs, inputs)?;
        let bind = || -> ort::Result<IoBinding> {
            let mut binding = self.session.create_binding()?;
            for input in inputs {
                binding.bind_input(input.name.as_str(), &to_value(&input.tensor)?)?;
            }
            let cpu = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Arena, MemoryType::CPUOutput)?;
            for output in &self.outputs {
                binding.bind_output_to_device(output.name.as_str(), &cpu)?;
            }
            Ok(binding)
        };
        self.binding = Some(bind().map_err(failed)?);
        Ok(())
    }

    fn run_bound(&mut self) -> Result<()> {
        let Some(binding) = &self.binding else { return Err(Error::Failed("no inputs are bound".into())) };
        // Not `Session::run_binding`, which asks for handles of the outputs after every run: 0.2 us that a
        // network of 4 us would be charged for.
        // SAFETY: session and binding are alive, the binding is this session's, and `&mut self` keeps
        // others from running them; no options is null (onnxruntime_c_api.h, RunWithBinding).
        let status =
            unsafe { (ort::api().RunWithBinding)(self.session.ptr_mut(), std::ptr::null(), binding.ptr()) };
        if status.0.is_null() {
            return Ok(());
        }
        // SAFETY: the status was made by the call above and is given away here.
        let told = exit::contain(|| unsafe { ort::Error::result_from_status(status) }.map_err(failed));
        told.unwrap_or_else(|what| Err(Error::Failed(format!("ONNX Runtime: a panic: {what}"))))
    }

    fn node_times(&mut self) -> Result<Vec<NodeTime>> {
        if !std::mem::take(&mut self.profiling) {
            return Err(Error::Failed("this session does not time its nodes".into()));
        }
        let file = self.session.end_profiling().map_err(failed)?;
        trace::read(Path::new(&file))
    }
}

impl Drop for OrtBackend {
    /// A profile that nobody asked for in the end is closed, so that its folder can be removed.
    fn drop(&mut self) {
        if std::mem::take(&mut self.profiling) {
            let _ = self.session.end_profiling();
        }
    }
}

fn to_value(tensor: &Tensor) -> ort::Result<DynValue> {
    fn value<T: PrimitiveTensorElementType + Clone + Debug + 'static>(
        shape: &[usize],
        values: &[T],
    ) -> ort::Result<DynValue> {
        Ok(ort::value::Tensor::from_array((shape.to_vec(), values.to_vec()))?.into_dyn())
    }
    let shape = &tensor.shape;
    match &tensor.data {
        Data::F32(v) => value(shape, v),
        Data::U8(v) => value(shape, v),
        Data::I64(v) => value(shape, v),
        Data::I8(v) => value(shape, v),
        Data::U16(v) => value(shape, v),
        Data::I16(v) => value(shape, v),
        Data::I32(v) => value(shape, v),
        Data::Bool(v) => value(shape, v),
        Data::F16(v) => value(shape, v),
        Data::F64(v) => value(shape, v),
        Data::U32(v) => value(shape, v),
        Data::U64(v) => value(shape, v),
        Data::Bf16(v) => value(shape, v),
    }
}

fn from_value(name: &str, value: &DynValue) -> Result<Tensor> {
    fn of<T: PrimitiveTensorElementType + Clone>(
        value: &DynValue,
        data: impl Fn(Vec<T>) -> Data,
    ) -> ort::Result<Tensor> {
        let (shape, values) = value.try_extract_tensor::<T>()?;
        let shape = shape.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect();
        Ok(Tensor { shape, data: data(values.to_vec()) })
    }
    let element = match value.dtype() {
        ValueType::Tensor { ty, .. } => element(*ty),
        _ => None,
    };
    let tensor = match element {
        Some(Element::F32) => of(value, Data::F32),
        Some(Element::U8) => of(value, Data::U8),
        Some(Element::I64) => of(value, Data::I64),
        Some(Element::I8) => of(value, Data::I8),
        Some(Element::U16) => of(value, Data::U16),
        Some(Element::I16) => of(value, Data::I16),
        Some(Element::I32) => of(value, Data::I32),
        Some(Element::Bool) => of(value, Data::Bool),
        Some(Element::F16) => of(value, Data::F16),
        Some(Element::F64) => of(value, Data::F64),
        Some(Element::U32) => of(value, Data::U32),
        Some(Element::U64) => of(value, Data::U64),
        Some(Element::Bf16) => of(value, Data::Bf16),
        None => return Err(Error::Failed(format!("output `{name}` is {}: not supported", value.dtype()))),
    };
    tensor.map_err(failed)
}

/// Ours for ONNX Runtime's; none for strings, complex numbers and what is smaller than a byte.
fn element(ty: TensorElementType) -> Option<Element> {
    Some(match ty {
        TensorElementType::Float32 => Element::F32,
        TensorElementType::Uint8 => Element::U8,
        TensorElementType::Int64 => Element::I64,
        TensorElementType::Int8 => Element::I8,
        TensorElementType::Uint16 => Element::U16,
        TensorElementType::Int16 => Element::I16,
        TensorElementType::Int32 => Element::I32,
        TensorElementType::Bool => Element::Bool,
        TensorElementType::Float16 => Element::F16,
        TensorElementType::Float64 => Element::F64,
        TensorElementType::Uint32 => Element::U32,
        TensorElementType::Uint64 => Element::U64,
        TensorElementType::Bfloat16 => Element::Bf16,
        _ => return None,
    })
}

fn dtype_name(ty: TensorElementType) -> String {
    element(ty).map_or_else(|| format!("{ty:?}").to_lowercase(), |e| e.name().into())
}

fn failed(e: ort::Error) -> Error {
    Error::Failed(format!("ONNX Runtime: {}", node_first(&one_line(&e))))
}

/// What failed at a node begins with its operator and name: "Non-zero status code returned while running Conv node.
/// Name:'c' Status Message: ..." is ONNX Runtime's way to say it.
fn node_first(text: &str) -> String {
    let parts = || {
        let (op, rest) = text.split_once("while running ")?.1.split_once(" node. Name:'")?;
        let (name, what) = rest.split_once("' Status Message: ")?;
        Some(if name.is_empty() {
            format!("{op} node: {what}")
        } else {
            format!("{op} node `{name}`: {what}")
        })
    };
    parts().unwrap_or_else(|| text.to_owned())
}

/// ONNX Runtime's messages span lines and carry source paths of its build machine.
fn one_line(e: &ort::Error) -> String {
    e.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_begins_with_its_node() {
        let text = |name: &str| {
            format!(
                "Non-zero status code returned while running Add node. Name:'{name}' Status Message: a != b"
            )
        };
        assert_eq!(node_first(&text("sum")), "Add node `sum`: a != b");
        assert_eq!(node_first(&text("")), "Add node: a != b");
        assert_eq!(node_first("out of memory"), "out of memory");
    }
}
