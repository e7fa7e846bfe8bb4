//! One compiled pipeline for each distinct kernel.

use crate::gpu::exec::adapter::Gpu;
use crate::gpu::exec::buffers::AT_STRIDE;
use crate::gpu::kernel::Kernel;
use gtn_core::{Error, Result};
use std::collections::HashMap;

/// Workgroups along a dimension, at most.
const MAX_GROUPS: usize = 65_535;

/// This is a kernel that can be dispatched.
pub struct Compiled {
    /// Its pipeline.
    pub pipeline: wgpu::ComputePipeline,
    /// Workgroups.
    pub groups: [u32; 2],
    /// Where its offsets begin, in bytes.
    pub at: u32,
}

/// Returns a pipeline for each kernel, whose node's name is beside it; equal ones are compiled once. Fails with
/// [`Error::Unavailable`] where a pipeline does not compile or a node has too much to compute.
pub fn compile<'a>(
    gpu: &Gpu,
    layout: &wgpu::PipelineLayout,
    kernels: impl IntoIterator<Item = (&'a Kernel, &'a str)>,
    cache: Option<&wgpu::PipelineCache>,
) -> Result<Vec<Compiled>> {
    let mut modules: HashMap<&'static str, wgpu::ShaderModule> = HashMap::new();
    let mut pipelines: HashMap<String, wgpu::ComputePipeline> = HashMap::new();
    let mut all = Vec::new();
    for (i, (kernel, node)) in kernels.into_iter().enumerate() {
        let mut constants = kernel.constants.clone();
        constants.sort_by(|a, b| a.0.cmp(b.0));
        let key = format!("{} {} {constants:?}", kernel.shader.name, kernel.entry);
        let pipeline = match pipelines.get(&key) {
            Some(pipeline) => pipeline.clone(),
            None => {
                let pipeline = gpu
                    .scoped(|| pipeline(gpu, layout, &mut modules, kernel, &constants, cache))
                    .map_err(|e| Error::Unavailable(format!("{e} (pipeline of node `{node}`)")))?;
                pipelines.insert(key, pipeline.clone());
                pipeline
            }
        };
        let at = u32::try_from(i * AT_STRIDE);
        let at = at.map_err(|_| Error::Unavailable("backend wgpu: there are too many steps".into()))?;
        all.push(Compiled { pipeline, groups: groups(kernel, node)?, at });
    }
    Ok(all)
}

fn pipeline(
    gpu: &Gpu,
    layout: &wgpu::PipelineLayout,
    modules: &mut HashMap<&'static str, wgpu::ShaderModule>,
    kernel: &Kernel,
    constants: &[(&'static str, f64)],
    cache: Option<&wgpu::PipelineCache>,
) -> wgpu::ComputePipeline {
    let module = modules.entry(kernel.shader.name).or_insert_with(|| {
        gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(kernel.shader.name),
            source: wgpu::ShaderSource::Wgsl(kernel.shader.source.into()),
        })
    });
    gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.shader.name),
        layout: Some(layout),
        module,
        entry_point: Some(kernel.entry),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants,
            zero_initialize_workgroup_memory: true,
        },
        cache,
    })
}

/// Workgroups for the wanted invocations: a second dimension where one is not enough.
fn groups(kernel: &Kernel, node: &str) -> Result<[u32; 2]> {
    let all = kernel.invocations.div_ceil(kernel.group).max(1);
    let y = all.div_ceil(MAX_GROUPS);
    let x = all.div_ceil(y);
    match (u32::try_from(x), u32::try_from(y)) {
        (Ok(x), Ok(y)) if y as usize <= MAX_GROUPS => Ok([x, y]),
        _ => Err(Error::Unavailable(format!("backend wgpu: node `{node}` has too much to compute"))),
    }
}
