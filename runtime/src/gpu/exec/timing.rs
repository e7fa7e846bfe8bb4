//! Times of single steps: by timestamps on the GPU where it has them, else by the clock around each.

use crate::gpu::exec::adapter::Gpu;
use crate::gpu::exec::buffers::buffer;
use crate::gpu::exec::pipelines::Compiled;
use gtn_core::{Error, Result};
use std::time::Instant;
use wgpu::BufferUsages;

/// Timestamps of a query set, at most: two a step.
const MOST_QUERIES: usize = 4096;

/// These are the microseconds of every step, inference by inference.
pub struct Timing {
    gpu_clock: Option<GpuClock>,
    /// By step.
    pub us: Vec<Vec<f64>>,
}

struct GpuClock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f64,
}

impl Timing {
    /// Prepares to time so many steps.
    pub fn new(gpu: &Gpu, steps: usize) -> Result<Self> {
        let count = 2 * steps;
        let has = gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        if !has || count > MOST_QUERIES || count == 0 {
            return Ok(Self { gpu_clock: None, us: vec![Vec::new(); steps] });
        }
        let number = u32::try_from(count).map_err(|_| Error::Failed("too many steps to time".into()))?;
        let queries = gpu.scoped(|| {
            gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times"),
                ty: wgpu::QueryType::Timestamp,
                count: number,
            })
        })?;
        let bytes = 8 * count as u64;
        let resolved = buffer(gpu, "times", bytes, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC)?;
        let staging = buffer(gpu, "times read", bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        let period = f64::from(gpu.queue.get_timestamp_period());
        let gpu_clock = Some(GpuClock { queries, resolved, staging, period });
        Ok(Self { gpu_clock, us: vec![Vec::new(); steps] })
    }

    /// Returns what measures: the GPU's timestamps or the host's clock.
    pub fn clock(&self) -> &'static str {
        if self.gpu_clock.is_some() { "timestamps on the GPU" } else { "the host's clock around each step" }
    }

    /// Runs every step (`dispatch` puts one into a pass), timing each.
    pub fn run(
        &mut self,
        gpu: &Gpu,
        steps: &[Compiled],
        dispatch: impl Fn(&Compiled, &mut wgpu::ComputePass),
    ) -> Result<()> {
        let Some(clock) = &self.gpu_clock else {
            for (times, step) in self.us.iter_mut().zip(steps) {
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                dispatch(step, &mut encoder.begin_compute_pass(&Default::default()));
                let start = Instant::now();
                gpu.queue.submit([encoder.finish()]);
                gpu.finish()?;
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
            return Ok(());
        };
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let mut query = 0;
        for step in steps {
            let writes = wgpu::ComputePassTimestampWrites {
                query_set: &clock.queries,
                beginning_of_pass_write_index: Some(query),
                end_of_pass_write_index: Some(query + 1),
            };
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) };
            dispatch(step, &mut encoder.begin_compute_pass(&descriptor));
            query += 2;
        }
        encoder.resolve_query_set(&clock.queries, 0..query, &clock.resolved, 0);
        encoder.copy_buffer_to_buffer(&clock.resolved, 0, &clock.staging, 0, 8 * u64::from(query));
        gpu.queue.submit([encoder.finish()]);
        clock.staging.map_async(wgpu::MapMode::Read, .., |_| ()); // what fails is heard of when it is read
        gpu.finish()?;
        {
            let view = clock.staging.get_mapped_range(..).map_err(|e| gpu.failed(&e.to_string()))?;
            let ticks: Vec<u64> = view.as_chunks().0.iter().map(|&b| u64::from_le_bytes(b)).collect();
            for (times, pair) in self.us.iter_mut().zip(ticks.as_chunks::<2>().0) {
                let [from, to] = *pair;
                times.push(to.saturating_sub(from) as f64 * clock.period / 1e3);
            }
        }
        clock.staging.unmap();
        Ok(())
    }
}
