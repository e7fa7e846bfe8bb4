//! Buffers on the GPU: memory, packed weights and each step's offsets, as every shader binds them.

use crate::gpu::exec::adapter::Gpu;
use crate::gpu::program::{Placed, Program, Step};
use crate::onnx::Numbers;
use gtn_core::{Error, Result};
use wgpu::{BufferUsages, ShaderStages};

/// The steps' offsets lie so many bytes apart: every adapter takes this alignment.
pub const AT_STRIDE: usize = 256;
/// The shaders' `At`: up to five reads, a write, and a step's own parameters.
const AT_BYTES: u64 = 128;
/// Bytes of what shaders read at once: a vector of four.
const VECTOR: u64 = 16;

/// Makes a buffer of at least so many bytes.
pub fn buffer(gpu: &Gpu, label: &str, bytes: u64, usage: BufferUsages) -> Result<wgpu::Buffer> {
    let size = bytes.max(AT_BYTES).next_multiple_of(VECTOR);
    gpu.scoped(|| {
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        gpu.device.create_buffer(&descriptor)
    })
}

/// Writes the constants to their places, and each step's offsets.
pub fn upload(
    gpu: &Gpu,
    program: &Program,
    [memory, packed]: [&wgpu::Buffer; 2],
    at: &wgpu::Buffer,
) -> Result<()> {
    for Placed { numbers, packed: is_packed, offset } in &program.constants {
        let bytes: Vec<u8> = match &**numbers {
            Numbers::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::I64(_) => return Err(Error::Failed("backend wgpu: a constant is int64".into())),
        };
        gpu.queue.write_buffer(if *is_packed { packed } else { memory }, 4 * *offset as u64, &bytes);
    }
    let mut table = Vec::with_capacity(program.steps.len() * AT_STRIDE);
    for Step { at, .. } in &program.steps {
        let start = table.len();
        table.extend(at.iter().flat_map(|word| word.to_le_bytes()));
        table.resize(start + AT_STRIDE, 0);
    }
    gpu.queue.write_buffer(at, 0, &table);
    gpu.queue.submit([]);
    Ok(())
}

/// Returns what every shader binds: the memory, its step's offsets, and packed weights.
pub fn bindings(
    device: &wgpu::Device,
    memory: &wgpu::Buffer,
    packed: &wgpu::Buffer,
    at: &wgpu::Buffer,
) -> (wgpu::PipelineLayout, wgpu::BindGroup) {
    let entry = |binding, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    };
    let entries = [
        entry(0, wgpu::BufferBindingType::Storage { read_only: false }, false),
        entry(1, wgpu::BufferBindingType::Uniform, true),
        entry(2, wgpu::BufferBindingType::Storage { read_only: true }, false),
    ];
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("step"),
        entries: &entries,
    });
    let offsets = wgpu::BufferBinding { buffer: at, offset: 0, size: std::num::NonZero::new(AT_BYTES) };
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("step"),
        layout: &layout,
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: memory.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Buffer(offsets) },
            wgpu::BindGroupEntry { binding: 2, resource: packed.as_entire_binding() },
        ],
    });
    let pipelines = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("step"),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    (pipelines, bind_group)
}
