//! What an adapter computes at most: a kernel of multiply-adds in registers, which other kernels are held against.

use crate::gpu::exec::adapter;
use crate::gpu::exec::adapter::Gpu;
use crate::gpu::exec::buffers::{bindings, buffer};
use crate::gpu::exec::executor::dispatch;
use crate::gpu::exec::pipelines::{Compiled, compile};
use crate::gpu::kernel::{GROUP, Kernel, Shader};
use gtn_core::{Error, Result};
use wgpu::BufferUsages;

/// This shader is peak.wgsl.
pub const SHADER: Shader = Shader { name: "peak", source: include_str!("peak.wgsl") };

const INVOCATIONS: usize = 1 << 16;
const ROUNDS: usize = 1000;
/// Eight multiply-adds of four floats.
const FLOP_OF_A_ROUND: usize = 8 * 4 * 2;

/// This is an open adapter that can be made to do its best.
pub struct Peak {
    gpu: Gpu,
    bind_group: wgpu::BindGroup,
    step: Compiled,
}

impl Peak {
    /// Opens the best adapter.
    pub fn open(allow_software: bool) -> Result<Self> {
        let bytes = 16 * INVOCATIONS as u64;
        let gpu = adapter::open(adapter::find(allow_software)?, bytes)?;
        let memory = buffer(&gpu, "peak", bytes, BufferUsages::STORAGE)?;
        let packed = buffer(&gpu, "none", 0, BufferUsages::STORAGE)?;
        let at = buffer(&gpu, "none", 0, BufferUsages::UNIFORM)?;
        let (layout, bind_group) = gpu.scoped(|| bindings(&gpu.device, &memory, &packed, &at))?;
        let kernel = Kernel {
            shader: &SHADER,
            entry: "main",
            constants: vec![("rounds", ROUNDS as f64)],
            invocations: INVOCATIONS,
            group: GROUP,
            params: Vec::new(),
        };
        let step = compile(&gpu, &layout, [(&kernel, "peak")], None)?.pop();
        let step = step.ok_or_else(|| Error::Failed("no pipeline was made".into()))?;
        Ok(Self { gpu, bind_group, step })
    }

    /// Returns the adapter's name.
    pub fn adapter(&self) -> &str {
        &self.gpu.info.name
    }

    /// Computes, waits, and says how many floating-point operations that were (a multiply-add is two).
    pub fn run(&self) -> Result<f64> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        dispatch(&mut encoder.begin_compute_pass(&Default::default()), &self.bind_group, &self.step);
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.finish()?;
        Ok((INVOCATIONS * ROUNDS * FLOP_OF_A_ROUND) as f64)
    }
}
