//! `--device auto|cpu|cuda[:n]`. One binary serves both: nothing here links to CUDA; libtorch's CUDA
//! half is opened at run time where it exists.

use gtn_core::{Error, Result};
use tch::{Cuda, Device};

/// Opens libtorch_cuda before libtorch is first used, so that its kernels register. Returns whether
/// it was there; without it everything runs on the CPU.
pub fn load_cuda() -> bool {
    #[cfg(unix)]
    {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        // SAFETY: libtorch_cuda's initialisers only register kernels and allocators; it is the same
        // release as the libtorch this process is linked to (found through the same RUNPATH or
        // LD_LIBRARY_PATH), and it is never closed.
        let opened = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
        opened.map(std::mem::forget).is_ok()
    }
    #[cfg(not(unix))]
    false
}

/// The device that the flag names; `cuda` where there is none is an error (exit 3), never the CPU.
pub fn select(flag: &str, cuda_loaded: bool) -> Result<Device> {
    let count = if cuda_loaded { Cuda::device_count() } else { 0 };
    let missing = |what: &str| {
        let hint = if cuda_loaded {
            format!("CUDA sees {count} device(s)")
        } else {
            "libtorch_cuda.so could not be loaded: set up with `scripts/setup.sh --cuda`, or point LD_LIBRARY_PATH \
             to a torch 2.11 with CUDA"
                .into()
        };
        Error::Unavailable(format!("--device {what}: {hint}"))
    };
    match flag {
        "cpu" => Ok(Device::Cpu),
        "auto" if count > 0 => Ok(Device::Cuda(0)),
        "auto" => Ok(Device::Cpu),
        "cuda" if count > 0 => Ok(Device::Cuda(0)),
        "cuda" => Err(missing(flag)),
        other => match other.strip_prefix("cuda:").map(str::parse::<usize>) {
            Some(Ok(n)) if (n as i64) < count => Ok(Device::Cuda(n)),
            Some(Ok(_)) => Err(missing(flag)),
            _ => Err(Error::usage(format!("--device {other}: wanted auto, cpu, cuda or cuda:N"))),
        },
    }
}

/// For tables and logs.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(n) => format!("cuda:{n}"),
        _ => "cpu".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_gpu_is_an_error_not_the_cpu() {
        assert_eq!(select("auto", false).unwrap(), Device::Cpu);
        let error = select("cuda:1", false).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("libtorch_cuda.so"), "{error}");
        assert_eq!(select("gpu", false).unwrap_err().exit_code(), 2);
    }
}
