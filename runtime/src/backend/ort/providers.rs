//! ONNX Runtime's execution providers: which of them a library has, how they are asked for, and which
//! nodes they took. Nothing falls to the CPU unseen.

use gtn_core::{Error, Result};
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::session::{Session, builder::SessionBuilder};
use ort::{AsPointer, sys};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::num::NonZeroUsize;
use std::ptr;

/// This is ONNX Runtime's name of the provider that is always there.
pub const CPU: &str = "CPUExecutionProvider";
/// This is the session setting under which [`assignment`] has something to tell
/// (onnxruntime_session_options_config_keys.h).
pub const RECORD_ASSIGNMENT: &str = "session.record_ep_graph_assignment_info";

/// This says where nodes may run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Providers {
    /// Of those that a bundle's profile prefers, those the library has; it must have one, where the
    /// profile names any. On the CPU for a plain model.
    #[default]
    Profile,
    /// On the CPU.
    Cpu,
    /// By these, best first (short names, as in device profiles); each must be there. What none of them
    /// takes runs on the CPU.
    Named(Vec<String>),
}

/// This is one provider that we can ask for.
pub struct Provider {
    /// Ours and the device profiles' name.
    pub name: &'static str,
    /// ONNX Runtime's name.
    pub ort_name: &'static str,
    available: fn() -> ort::Result<bool>,
    dispatch: fn(NonZeroUsize) -> ExecutionProviderDispatch,
}

impl Provider {
    const fn new<E: ExecutionProvider + Default + Into<ExecutionProviderDispatch>>(
        name: &'static str,
    ) -> Self {
        Self { name, ort_name: E::NAME, available: E::is_available, dispatch: |_| E::default().into() }
    }

    /// For those that have threads of their own.
    const fn threaded(self, dispatch: fn(NonZeroUsize) -> ExecutionProviderDispatch) -> Self {
        Self { dispatch, ..self }
    }
}

/// These are all providers beside the CPU, which is always there.
pub static ALL: [Provider; 9] = [
    Provider::new::<ep::TensorRT>("tensorrt"),
    Provider::new::<ep::CUDA>("cuda"),
    Provider::new::<ep::XNNPACK>("xnnpack")
        .threaded(|threads| ep::XNNPACK::default().with_intra_op_num_threads(threads).build()),
    Provider::new::<ep::NNAPI>("nnapi"),
    Provider::new::<ep::QNN>("qnn"),
    Provider::new::<ep::CoreML>("coreml"),
    Provider::new::<ep::OpenVINO>("openvino")
        .threaded(|threads| ep::OpenVINO::default().with_num_threads(threads.get()).build()),
    Provider::new::<ep::DirectML>("directml"),
    Provider::new::<ep::ACL>("acl"),
];

/// Returns the names of those that the loaded library was built with, `cpu` last.
pub fn available() -> Vec<&'static str> {
    let there = ALL.iter().filter(|p| (p.available)().unwrap_or(false)).map(|p| p.name);
    there.chain(["cpu"]).collect()
}

/// Returns the providers of these names. Fails with a usage error on an unknown name, and with
/// [`Error::Unavailable`] (exit status 3) and the list of what there is on one that the loaded library does not
/// have.
pub fn resolve(names: &[String]) -> Result<Vec<&'static Provider>> {
    let have = available();
    let one = |name: &String| match ALL.iter().find(|p| p.name == name) {
        None => {
            let known: Vec<&str> = ALL.iter().map(|p| p.name).chain(["cpu"]).collect();
            Err(Error::usage(format!("--ep {name}: unknown, wanted some of {}", known.join(", "))))
        }
        Some(p) if have.contains(&p.name) => Ok(p),
        Some(p) => Err(Error::Unavailable(format!(
            "--ep {name}: this ONNX Runtime has no {} (it has: {}); --ort-lib names another library",
            p.ort_name,
            have.join(", ")
        ))),
    };
    names.iter().map(one).collect()
}

/// Asks for the providers, in this order of preference. Fails with [`Error::Unavailable`] where one does not
/// start.
pub fn register(
    builder: SessionBuilder,
    providers: &[&'static Provider],
    threads: usize,
) -> Result<SessionBuilder> {
    let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    let list: Vec<_> = providers.iter().map(|p| (p.dispatch)(threads).error_on_failure()).collect();
    builder.with_execution_providers(list).map_err(|e| {
        let names: Vec<&str> = providers.iter().map(|p| p.name).collect();
        let why = e.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Error::Unavailable(format!("--ep {}: it does not start: {why}", names.join(",")))
    })
}

/// Returns how many of the model's nodes each provider took, by ONNX Runtime's names. The session must have
/// been built with [`RECORD_ASSIGNMENT`].
pub fn assignment(session: &Session) -> Result<BTreeMap<String, usize>> {
    let failed = |e: ort::Error| Error::Failed(format!("ONNX Runtime does not tell what runs where: {e}"));
    let api = ort::api();
    let mut subgraphs: *const *const sys::OrtEpAssignedSubgraph = ptr::null();
    let mut count = 0;
    // SAFETY: the session is alive; both out pointers are ours. On success `subgraphs` holds `count`
    // pointers that belong to the session (onnxruntime_c_api.h, Session_GetEpGraphAssignmentInfo).
    let list = unsafe {
        let status = (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &mut subgraphs, &mut count);
        ort::Error::result_from_status(status).map_err(failed)?;
        slice(subgraphs, count)
    };
    let mut nodes = BTreeMap::new();
    for &subgraph in list {
        let mut name: *const c_char = ptr::null();
        let mut members: *const *const sys::OrtEpAssignedNode = ptr::null();
        let mut n = 0;
        // SAFETY: `subgraph` came from the session, which is alive; the name is NUL-terminated and the
        // session's; the out pointers are ours.
        let name = unsafe {
            let status = (api.EpAssignedSubgraph_GetEpName)(subgraph, &mut name);
            ort::Error::result_from_status(status).map_err(failed)?;
            let status = (api.EpAssignedSubgraph_GetNodes)(subgraph, &mut members, &mut n);
            ort::Error::result_from_status(status).map_err(failed)?;
            if name.is_null() { "unnamed".into() } else { CStr::from_ptr(name).to_string_lossy() }
        };
        *nodes.entry(name.into_owned()).or_insert(0) += n;
    }
    Ok(nodes)
}

/// # Safety
/// `start` is null, or points to `count` values that live as long as what the caller holds.
unsafe fn slice<'a, T>(start: *const T, count: usize) -> &'a [T] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Device profiles may name each provider that we can ask for, and no other.
    #[test]
    fn the_profiles_names_are_ours() {
        let ours: Vec<&str> = ALL.iter().map(|p| p.name).collect();
        assert_eq!(ours, gtn_core::device::EXECUTION_PROVIDERS);
    }
}
