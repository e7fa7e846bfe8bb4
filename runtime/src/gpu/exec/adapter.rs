//! The GPU: finding one, opening it with the limits of a small one, and hearing of everything that goes wrong.

use crate::backend::Kernels;
use crate::gpu::kernel::Abilities;
use gtn_core::{Error, Result};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wgpu::{DeviceType, DownlevelFlags, ErrorFilter, Limits};

/// An inference that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(300);

/// This is an open device.
pub struct Gpu {
    /// For buffers and pipelines.
    pub device: wgpu::Device,
    /// For work.
    pub queue: wgpu::Queue,
    /// Name, driver.
    pub info: wgpu::AdapterInfo,
    /// What went wrong outside of a scope.
    trouble: Arc<Mutex<Option<String>>>,
}

/// This is an adapter that is not yet open.
pub struct FoundAdapter {
    adapter: wgpu::Adapter,
    info: wgpu::AdapterInfo,
}

/// Keeps Mesa's layer from asking a window system for its favourite adapter: without one it writes
/// `error: XDG_RUNTIME_DIR is invalid or not set` to stderr, for every adapter that is found. We rank adapters
/// ourselves.
///
/// # Safety
///
/// This changes the environment: no other thread may run yet.
pub unsafe fn quiet() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the caller's promise.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Finds the best adapter, of Vulkan, Metal or DX12; where these have none, of OpenGL ES. `WGPU_BACKEND` names
/// one of them. Software adapters (a CPU that plays a GPU) are for tests: they want `allow_software`. Fails
/// with [`Error::Unavailable`] where there is none.
pub fn find(allow_software: bool) -> Result<FoundAdapter> {
    let asked = wgpu::Backends::from_env();
    let mut adapters = adapters(asked.unwrap_or(wgpu::Backends::PRIMARY))?;
    let software = |a: &wgpu::Adapter| a.get_info().device_type == DeviceType::Cpu;
    let none = if allow_software { adapters.is_empty() } else { adapters.iter().all(software) };
    if asked.is_none() && none {
        adapters.extend(self::adapters(wgpu::Backends::GL)?);
    }
    adapters.retain(|a| a.get_downlevel_capabilities().flags.contains(DownlevelFlags::COMPUTE_SHADERS));
    adapters.sort_by_key(|a| rank(a.get_info().device_type));
    let Some(adapter) = adapters.into_iter().next() else {
        return Err(Error::Unavailable(
            "backend wgpu: no GPU found (on Linux it wants a Vulkan driver: Debian's packages libvulkan1 and \
             mesa-vulkan-drivers)"
                .into(),
        ));
    };
    let info = adapter.get_info();
    if info.device_type == DeviceType::Cpu && !allow_software {
        return Err(Error::Unavailable(format!(
            "backend wgpu: the only adapter is software ({}): --allow-software uses it",
            info.name
        )));
    }
    Ok(FoundAdapter { adapter, info })
}

/// Those of some kinds of driver. The others are not even asked: OpenGL ES looks for a window system, and says on stderr
/// that there is none.
fn adapters(backends: wgpu::Backends) -> Result<Vec<wgpu::Adapter>> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.flags = wgpu::InstanceFlags::empty();
    descriptor.backends = backends;
    wait(wgpu::Instance::new(descriptor).enumerate_adapters(backends))
}

impl FoundAdapter {
    /// Returns its name and driver.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// Returns what its shaders can do beyond the least.
    pub fn abilities(&self) -> Abilities {
        let flags = self.adapter.get_downlevel_capabilities().flags;
        Abilities {
            halves: flags.contains(DownlevelFlags::SHADER_F16_IN_F32),
            subgroups: self.adapter.features().contains(wgpu::Features::SUBGROUP),
        }
    }

    /// Returns the kernels that suit it: what a large GPU gains by shared memory, a small one or a CPU loses by
    /// barriers.
    pub fn kernels(&self) -> Kernels {
        match self.info.device_type {
            DeviceType::DiscreteGpu => Kernels::Tile,
            _ => Kernels::Block,
        }
    }
}

/// Opens an adapter whose storage bindings hold `bytes`. Fails with [`Error::Unavailable`] where it does not
/// open or its bindings are smaller.
pub fn open(FoundAdapter { adapter, info }: FoundAdapter, bytes: u64) -> Result<Gpu> {
    let limits = limits(&adapter.limits(), bytes)
        .map_err(|what| Error::Unavailable(format!("backend wgpu: {}: {what}", info.name)))?;
    let wanted = wgpu::Features::PIPELINE_CACHE | wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP;
    let request = wgpu::DeviceDescriptor {
        label: Some("gtn-run"),
        required_features: adapter.features() & wanted,
        required_limits: limits,
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..Default::default()
    };
    let opened = wait(adapter.request_device(&request))?;
    let (device, queue) =
        opened.map_err(|e| Error::Unavailable(format!("backend wgpu: {} does not open: {e}", info.name)))?;
    let trouble = Arc::new(Mutex::new(None));
    let note = |trouble: &Arc<Mutex<Option<String>>>| {
        let trouble = trouble.clone();
        move |what: String| {
            trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
        }
    };
    let (error, lost) = (note(&trouble), note(&trouble));
    device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| error(one_line(&e.to_string()))));
    device.set_device_lost_callback(move |reason, text| {
        lost(format!("the device is lost ({reason:?}): {text}"))
    });
    Ok(Gpu { device, queue, info, trouble })
}

/// The best first.
fn rank(kind: DeviceType) -> u8 {
    match kind {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

/// What every adapter has (4 storage buffers, 256 invocations, 16 KiB shared), and larger bindings only where
/// the network needs them.
fn limits(offered: &Limits, bytes: u64) -> Result<Limits, String> {
    let mut limits = Limits::downlevel_defaults();
    limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.max(bytes);
    limits.max_buffer_size = limits.max_buffer_size.max(bytes);
    let most = offered.max_storage_buffer_binding_size.min(offered.max_buffer_size);
    if bytes > most {
        return Err(format!(
            "weights and activations take {bytes} bytes, its storage bindings end at {most}"
        ));
    }
    // Graphics, of which we use nothing: whatever the adapter has.
    Ok(limits.or_worse_values_from(offered))
}

impl Gpu {
    /// Fails if anything has gone wrong since the device was opened.
    pub fn check(&self) -> Result<()> {
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(what) => Err(self.failed(what)),
        }
    }

    /// Does `work`, and returns what goes wrong in it as one of our errors.
    pub fn scoped<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let filters = [ErrorFilter::OutOfMemory, ErrorFilter::Validation, ErrorFilter::Internal];
        let mut scopes: Vec<_> = filters.into_iter().map(|f| self.device.push_error_scope(f)).collect();
        let made = work();
        let mut first = None;
        while let Some(scope) = scopes.pop() {
            first = first.or(wait(scope.pop())?);
        }
        match first {
            None => self.check().map(|()| made),
            Some(e) => Err(self.failed(&one_line(&e.to_string()))),
        }
    }

    /// Waits up to 300 s for everything submitted.
    pub fn finish(&self) -> Result<()> {
        let all = wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) };
        self.device.poll(all).map_err(|e| self.failed(&e.to_string()))?;
        self.check()
    }

    /// Returns an error of exit status 3 with the adapter's name.
    pub fn failed(&self, what: &str) -> Error {
        Error::Unavailable(format!("backend wgpu: {}: {what}", self.info.name))
    }
}

/// On native systems wgpu's futures are ready at once.
fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Ok(done);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(Error::Unavailable("backend wgpu: the driver does not answer".into()))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_adapters_are_enough_and_too_small_ones_are_named() {
        let small = Limits::downlevel_defaults();
        let asked = limits(&small, 1 << 20).unwrap();
        assert_eq!(asked.max_storage_buffers_per_shader_stage, 4);
        assert_eq!(asked.max_compute_invocations_per_workgroup, 256);
        assert!(asked.check_limits(&small));
        let error = limits(&small, 1 << 30).unwrap_err();
        assert!(error.contains("1073741824") && error.contains("134217728"), "{error}");
        // A large one gives a small network no more than a small one would.
        assert_eq!(limits(&Limits::defaults(), 1 << 20).unwrap().max_storage_buffer_binding_size, 128 << 20);
    }
}
