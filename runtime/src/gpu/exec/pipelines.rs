//! One compiled pipeline for each distinct step.

use crate::gpu::exec::adapter::Gpu;
use crate::gpu::ir::graph::Step;
use gtn_core::{Error, Result};
use std::collections::HashMap;

/// Workgroups along a dimension, at most.
const MAX_GROUPS: usize = 65_535;

/// A step that can be dispatched.
pub struct Compiled {
    /// Its pipeline.
    pub pipeline: wgpu::ComputePipeline,
    /// Workgroups.
    pub groups: [u32; 2],
}

/// A pipeline for each step; equal ones are compiled once.
pub fn compile(
    gpu: &Gpu,
    layout: &wgpu::PipelineLayout,
    steps: &[Step],
    cache: Option<&wgpu::PipelineCache>,
) -> Result<Vec<Compiled>> {
    let mut modules: HashMap<&'static str, wgpu::ShaderModule> = HashMap::new();
    let mut pipelines: HashMap<String, wgpu::ComputePipeline> = HashMap::new();
    let mut all = Vec::with_capacity(steps.len());
    for step in steps {
        let mut constants = step.constants.clone();
        constants.sort_by(|a, b| a.0.cmp(b.0));
        let key = format!("{} {} {constants:?}", step.shader.name, step.entry);
        let pipeline = match pipelines.get(&key) {
            Some(pipeline) => pipeline.clone(),
            None => {
                let pipeline = gpu
                    .scoped(|| pipeline(gpu, layout, &mut modules, step, &constants, cache))
                    .map_err(|e| Error::Unavailable(format!("{e} (pipeline of node `{}`)", step.node)))?;
                pipelines.insert(key, pipeline.clone());
                pipeline
            }
        };
        all.push(Compiled { pipeline, groups: groups(step)? });
    }
    Ok(all)
}

fn pipeline(
    gpu: &Gpu,
    layout: &wgpu::PipelineLayout,
    modules: &mut HashMap<&'static str, wgpu::ShaderModule>,
    step: &Step,
    constants: &[(&'static str, f64)],
    cache: Option<&wgpu::PipelineCache>,
) -> wgpu::ComputePipeline {
    let module = modules.entry(step.shader.name).or_insert_with(|| {
        gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(step.shader.name),
            source: wgpu::ShaderSource::Wgsl(step.shader.source.into()),
        })
    });
    gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(step.shader.name),
        layout: Some(layout),
        module,
        entry_point: Some(step.entry),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants,
            zero_initialize_workgroup_memory: true,
        },
        cache,
    })
}

/// Workgroups for the wanted invocations: a second dimension where one is not enough.
fn groups(step: &Step) -> Result<[u32; 2]> {
    let all = step.invocations.div_ceil(step.group).max(1);
    let y = all.div_ceil(MAX_GROUPS);
    let x = all.div_ceil(y);
    match (u32::try_from(x), u32::try_from(y)) {
        (Ok(x), Ok(y)) if y as usize <= MAX_GROUPS => Ok([x, y]),
        _ => Err(Error::Unavailable(format!("backend wgpu: node `{}` has too much to compute", step.node))),
    }
}
