//! Finds ONNX Runtime's shared library and checks its version before anything else is called in it.
//!
//! Order: `--ort-lib`, `ORT_DYLIB_PATH`, beside the program, `lib/` beside or above it, the system's loader; never the
//! working folder, unless it is named. A library that was asked for by name must be there and right; of those that were
//! found the newest that is right is taken, and why others were not is kept.

use gtn_core::text::format;
use gtn_core::{Error, Result};
use std::collections::HashSet;
use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};

/// The API that our `ort` crate is built for: `api-24` wants a library of 1.24 or newer.
const MIN_MINOR: u32 = 24;

/// This is a library that was opened and answered with a fit version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrtLibrary {
    /// As it was opened.
    pub path: PathBuf,
    /// `1.32.0`.
    pub version: String,
    /// Those that were looked at before it, each with the reason why it was not taken.
    pub passed_over: Vec<String>,
}

/// The first entry of the C API (onnxruntime_c_api.h, `OrtApiBase`).
#[repr(C)]
struct OrtApiBase {
    get_api: unsafe extern "C" fn(u32) -> *const c_void,
    get_version_string: unsafe extern "C" fn() -> *const c_char,
}

/// Sets `ORT_DISABLE_TELEMETRY`. ONNX Runtime's library for Linux (1.32) keeps a device id and a database of
/// events below the home folder, whatever its environment is told, unless this variable is set. Nothing of ours
/// is anybody's business.
///
/// # Safety
///
/// No other thread may run: it must be called first in a program's `main`.
pub unsafe fn disable_telemetry() {
    // SAFETY: nobody else reads or writes the environment, by this function's own condition.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}

/// Finds ONNX Runtime's library in the order that the module names, and checks its version. Fails with
/// [`Error::Unavailable`] where none is found or this program is static, and with an input error where the one
/// that was asked for by name is missing or unfit.
pub fn find(explicit: Option<&Path>) -> Result<OrtLibrary> {
    if let Some(path) = explicit {
        return named(path, "--ort-lib");
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()) {
        return named(Path::new(&path), "ORT_DYLIB_PATH");
    }
    if cfg!(target_feature = "crt-static") && cfg!(target_env = "musl") {
        return Err(Error::Unavailable(
            "this program is static: it can load no library, ONNX Runtime's among them".into(),
        ));
    }
    let folders = folders();
    let mut passed_over = Vec::new();
    for path in folders.iter().flat_map(|dir| libraries_in(dir)) {
        match check(&path) {
            Ok(library) => return Ok(OrtLibrary { passed_over, ..library }),
            Err(why) => passed_over.push(why.to_string()),
        }
    }
    let system = Path::new(system_name());
    match open(system).and_then(|version| fit(system, version).map_err(|e| e.to_string())) {
        Ok(library) => Ok(OrtLibrary { passed_over, ..library }),
        Err(why) => Err(not_found(&passed_over, &why, &folders)),
    }
}

/// What was found and did not do is told; else where there was nothing.
fn not_found(passed_over: &[String], system: &str, folders: &[PathBuf]) -> Error {
    let help = "give --ort-lib FILE, set ORT_DYLIB_PATH, or run scripts/setup.sh --ort";
    let folders: Vec<String> = folders.iter().map(|dir| format::path(dir)).collect();
    let reasons = match passed_over {
        [] => format!("looked in {}, and the system's libraries: {system}", folders.join(", ")),
        passed_over => passed_over.join("; "),
    };
    Error::Unavailable(format!("ONNX Runtime 1.{MIN_MINOR} or newer was not found ({reasons}): {help}"))
}

fn named(path: &Path, by: &str) -> Result<OrtLibrary> {
    if !path.is_file() {
        return Err(Error::input(path, format!("no such file (ONNX Runtime's library, from {by})")));
    }
    check(path)
}

fn check(path: &Path) -> Result<OrtLibrary> {
    // A relative path without a slash would be searched for by the loader.
    let path = std::path::absolute(path).map_err(|e| Error::io(path, "resolve", e))?;
    let version =
        open(&path).map_err(|why| Error::input(&path, format!("is not ONNX Runtime's library: {why}")))?;
    fit(&path, version)
}

fn fit(path: &Path, version: String) -> Result<OrtLibrary> {
    let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
    if parts.next() == Some(1) && parts.next().is_some_and(|minor| minor >= MIN_MINOR) {
        return Ok(OrtLibrary { path: path.to_owned(), version, passed_over: Vec::new() });
    }
    Err(Error::input(path, format!("is ONNX Runtime {version}, wanted 1.{MIN_MINOR} or newer (and below 2)")))
}

/// The loader's own message, the last of an error's causes: it names a library that is missing. Not the path again, which
/// whoever tells it begins with.
fn reason(error: &libloading::Error, path: &Path) -> String {
    let cause = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source()).last();
    let text = cause.map(ToString::to_string).unwrap_or_default();
    text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&text).to_owned()
}

/// Opens the library for good (ONNX Runtime does not survive being unloaded) and asks its version.
fn open(path: &Path) -> Result<String, String> {
    // SAFETY: loading a library runs its initialisers. The path is the user's own choice, or a folder
    // of ours; ONNX Runtime's initialisers have no preconditions.
    let library = unsafe { libloading::Library::new(path) }.map_err(|e| reason(&e, path))?;
    let library = Box::leak(Box::new(library));
    // SAFETY: the symbol's type is that of every released onnxruntime_c_api.h.
    let base = unsafe { library.get::<unsafe extern "C" fn() -> *const OrtApiBase>(b"OrtGetApiBase\0") };
    let base = base.map_err(|_| "it has no OrtGetApiBase".to_owned())?;
    // SAFETY: OrtGetApiBase takes nothing and returns a static; its second entry returns a static,
    // NUL-terminated string. Both are checked for null.
    let version = unsafe {
        let base = base();
        if base.is_null() {
            return Err("OrtGetApiBase returned null".into());
        }
        let version = ((*base).get_version_string)();
        if version.is_null() {
            return Err("it does not tell its version".into());
        }
        CStr::from_ptr(version)
    };
    Ok(version.to_string_lossy().into_owned())
}

fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let program = std::env::current_exe().and_then(|p| p.canonicalize()).unwrap_or_default();
    if let Some(dir) = program.parent() {
        folders.push(dir.to_owned());
        // target/release/gtn-run and target/release/deps/test-... find the workspace's lib/.
        folders.extend(dir.ancestors().take(4).map(|d| d.join("lib")));
    }
    folders
}

/// The ONNX Runtimes in a folder, the newest by its name first; one whose name tells no version comes last. Names for
/// one and the same file count once.
fn libraries_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let named = |path: PathBuf| {
        let version = |path: &Path| version_in(path.file_name()?.to_str()?);
        let linked = version(&path)?;
        let file = path.canonicalize().ok().filter(|file| file.is_file())?;
        Some((version(&file).unwrap_or(linked), file, path))
    };
    let mut found: Vec<(Vec<u32>, PathBuf, PathBuf)> = entries.filter_map(named).collect();
    found.sort_by(|a, b| b.cmp(a));
    let mut seen = HashSet::new();
    found.into_iter().filter(|(_, file, _)| seen.insert(file.clone())).map(|(.., path)| path).collect()
}

/// The version in the name of ONNX Runtime's library, `[1, 32, 0]`, and none in it is `[]`; `None`: another file.
fn version_in(name: &str) -> Option<Vec<u32>> {
    let version = if cfg!(windows) {
        name.eq_ignore_ascii_case("onnxruntime.dll").then_some("")?
    } else if cfg!(target_os = "macos") {
        name.strip_prefix("libonnxruntime")?.strip_suffix(".dylib")?
    } else {
        name.strip_prefix("libonnxruntime.so")?
    };
    match version.strip_prefix('.') {
        Some(numbers) => numbers.split('.').map(|n| n.parse().ok()).collect(),
        None => version.is_empty().then(Vec::new),
    }
}

fn system_name() -> &'static str {
    if cfg!(windows) {
        "onnxruntime.dll"
    } else if cfg!(target_os = "macos") {
        "libonnxruntime.dylib"
    } else {
        "libonnxruntime.so.1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_judged() {
        let judge = |v: &str| fit(Path::new("x.so"), v.to_owned());
        assert!(judge("1.24.0").is_ok() && judge("1.32.1").is_ok());
        for wrong in ["1.17.3", "1.23.9", "2.0.0", "", "one"] {
            let error = judge(wrong).unwrap_err();
            assert!(error.to_string().contains("wanted 1.24 or newer"), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_newest_comes_first_by_number() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let names = [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.32.0",
            "libonnxruntime.so.1.32",
            "libonnxruntime.so",
        ];
        for name in
            names.into_iter().chain(["libonnxruntime.so.1.x", "libonnxruntime_providers_shared.so", "other"])
        {
            std::fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink("libonnxruntime.so.1.32.0", at("libonnxruntime.so.1")).unwrap();
        std::fs::create_dir(at("libonnxruntime.so.99")).unwrap();
        let found = libraries_in(dir.path());
        let found: Vec<_> = found.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(
            found,
            [
                "libonnxruntime.so.1.32.0",
                "libonnxruntime.so.1.32",
                "libonnxruntime.so.1.9.0",
                "libonnxruntime.so"
            ]
        );
    }

    #[test]
    fn the_working_folder_is_not_searched() {
        assert!(folders().iter().all(|dir| dir.is_absolute()), "{:?}", folders());
    }

    #[test]
    fn a_file_that_is_no_library_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libonnxruntime.so");
        assert!(find(Some(&path)).unwrap_err().to_string().contains("no such file"));
        std::fs::write(&path, "hello").unwrap();
        let error = find(Some(&path)).unwrap_err();
        assert!(error.to_string().contains("is not ONNX Runtime's library"), "{error}");
        #[cfg(target_os = "linux")] // the loader's own words
        assert!(error.to_string().contains("file too short"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
