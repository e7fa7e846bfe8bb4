//! Buffers, pipelines, and one inference: the backend itself.

use crate::backend::budget;
use crate::backend::{Backend, Named, NodeTime, Options, Slot, check_inputs};
use crate::gpu::exec::adapter;
use crate::gpu::exec::adapter::{Abilities, Gpu};
use crate::gpu::exec::cache;
use crate::gpu::exec::cache::Pipelines;
use crate::gpu::exec::pipelines::{Compiled, compile};
use crate::gpu::exec::timing::Timing;
use crate::gpu::ir::graph::{DType, Graph, READS, Step, Value, ValueId};
use crate::gpu::load::{Loaded, load};
use crate::gpu::passes::layout;
use crate::gpu::passes::plan::{Plan, plan};
use crate::onnx::Numbers;
use gtn_core::io::artifact;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::measure::report::BackendInfo;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;
use wgpu::{BufferUsages, ShaderStages};

/// wgpu's version, as in Cargo.toml.
pub const VERSION: &str = "30.0";
/// Bytes between the steps' offsets: the alignment that every adapter takes.
const AT_STRIDE: usize = 256;
/// The shaders' `At`: up to five reads, a write, and a step's own parameters.
const AT_BYTES: u64 = 128;
/// Bytes of what shaders read at once: a vector of four.
const VECTOR: u64 = 16;

/// A model on a GPU.
pub struct WgpuBackend {
    gpu: Gpu,
    info: BackendInfo,
    plan: Plan,
    values: Vec<Value>,
    inputs: Vec<Slot>,
    input_ids: Vec<ValueId>,
    outputs: Vec<Slot>,
    output_ids: Vec<ValueId>,
    memory: wgpu::Buffer,
    bind_group: wgpu::BindGroup,
    steps: Vec<Compiled>,
    /// Outputs, one after the other, where the host can read them.
    staging: wgpu::Buffer,
    /// Bound inputs: memory is reused during an inference, so they are copied in each time.
    bound: Option<wgpu::Buffer>,
    /// What each step computes, for [`Backend::node_times`].
    work: Vec<Work>,
    timing: Option<Timing>,
}

/// A step by the names and shapes of the model.
struct Work {
    node: String,
    op: String,
    inputs: Vec<Vec<usize>>,
    output: Vec<usize>,
}

impl WgpuBackend {
    /// Loads a model from memory; `path` is for messages. Open dimensions become what `options` say.
    pub fn load(model: &[u8], path: &Path, options: &Options, why: &str) -> Result<Self> {
        Self::load_bound(model, path, options, why, &[])
    }

    /// [`Self::load`] with some inputs known already: a shape or a list of axes must be.
    pub fn load_bound(
        model: &[u8],
        path: &Path,
        options: &Options,
        why: &str,
        known: &[Named],
    ) -> Result<Self> {
        Self::load_with_abilities(model, path, options, why, known, None)
    }

    /// [`Self::load_bound`] as on an adapter with these abilities (by default its own).
    pub(in crate::gpu) fn load_with_abilities(
        model: &[u8],
        path: &Path,
        options: &Options,
        why: &str,
        known: &[Named],
        abilities: Option<Abilities>,
    ) -> Result<Self> {
        let mut loaded = load(model, path, options, known)?;
        let adapter = adapter::find(options.allow_software)?;
        let abilities = abilities.unwrap_or_else(|| adapter.abilities());
        let cache = options.cache_dir.as_deref();
        let tuned = || {
            let key = cache::key(adapter.info(), VERSION);
            cache::chosen(cache, &key, &artifact::sha256(model), loaded.images)
        };
        let kernels = options.kernels.or_else(tuned).unwrap_or_else(|| adapter.kernels());
        layout::apply(&mut loaded, kernels, abilities).map_err(|what| Error::input(path, what))?;
        let Loaded { graph, inputs, outputs, images } = loaded;
        let (inputs, input_ids): (Vec<_>, Vec<_>) = inputs.into_iter().unzip();
        let (outputs, output_ids): (Vec<_>, Vec<_>) = outputs.into_iter().unzip();
        let plan = plan(&graph, &input_ids, &output_ids);
        budget::within(4 * plan.activations as u64, options).map_err(|what| Error::input(path, what))?;
        let bytes = 4 * (plan.constants + plan.activations) as u64;
        let packed_bytes = 4 * plan.packed as u64;
        let gpu = adapter::open(adapter, bytes.max(packed_bytes))?;
        let memory = buffer(
            &gpu,
            "memory",
            bytes,
            BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
        )?;
        let packed = buffer(&gpu, "packed", packed_bytes, BufferUsages::STORAGE | BufferUsages::COPY_DST)?;
        let out_bytes: u64 =
            output_ids.iter().filter_map(|o| graph.values.get(o.0)).map(|v| 4 * v.len() as u64).sum();
        let staging = buffer(&gpu, "outputs", out_bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        let at = buffer(
            &gpu,
            "offsets",
            (graph.steps.len() * AT_STRIDE) as u64,
            BufferUsages::UNIFORM | BufferUsages::COPY_DST,
        )?;
        gpu.scoped(|| upload(&gpu, &graph.values, &graph.steps, &plan, [&memory, &packed], &at))?;
        let (layout, bind_group) = gpu.scoped(|| bindings(&gpu.device, &memory, &packed, &at))?;
        let pipelines = Pipelines::open(&gpu, options.cache_dir.as_deref(), VERSION)?;
        let steps = compile(&gpu, &layout, &graph.steps, pipelines.as_ref().map(|p| &p.cache))?;
        gpu.finish()?;
        let timing = options.profile.then(|| Timing::new(&gpu, steps.len())).transpose()?;
        let mut told = BTreeMap::from([("kernels".into(), kernels.name().into())]);
        told.extend(pipelines.map(|p| ("pipeline cache".into(), p.save())));
        told.extend(timing.as_ref().map(|t| ("timing".into(), t.clock().into())));
        let a = &gpu.info;
        let info = BackendInfo {
            name: "wgpu".into(),
            version: VERSION.into(),
            library: format!("{} {}", a.driver, a.driver_info).trim().to_owned(),
            providers: vec![format!("{} ({:?}, {:?})", a.name, a.backend, a.device_type)],
            threads: 1,
            batch: images,
            why: why.into(),
            options: told,
            nodes: BTreeMap::new(),
        };
        let work = graph.steps.iter().map(|s| work(&graph, s)).collect::<Result<_, _>>();
        let work = work.map_err(|what| Error::input(path, what))?;
        let values = graph.values;
        Ok(Self {
            gpu,
            info,
            plan,
            values,
            inputs,
            input_ids,
            outputs,
            output_ids,
            memory,
            bind_group,
            steps,
            staging,
            bound: None,
            work,
            timing,
        })
    }

    /// Bytes that the driver gave us, and what the plan wants of them (weights and activations); none where the
    /// driver does not say.
    pub fn device_memory(&self) -> Option<(u64, u64)> {
        let planned = 4 * (self.plan.constants + self.plan.packed + self.plan.activations) as u64;
        Some((self.gpu.device.generate_allocator_report()?.total_allocated_bytes, planned))
    }

    /// Bytes of a value and where it lies.
    fn place(&self, id: ValueId) -> Result<(u64, u64)> {
        let lost = || Error::Failed(format!("backend wgpu: value {} has no place", id.0));
        let value = self.values.get(id.0).ok_or_else(lost)?;
        let offset = self.plan.offsets.get(&value.root).ok_or_else(lost)?;
        Ok((4 * *offset as u64, 4 * value.len() as u64))
    }

    /// The values of each input in the order of the slots, as the GPU holds them.
    fn words(&self, inputs: &[Named]) -> Result<Vec<Vec<u8>>> {
        check_inputs(&self.inputs, inputs)?;
        let of = |slot: &Slot| inputs.iter().find(|i| i.name == slot.name).map(|i| words(&i.tensor.data));
        Ok(self.inputs.iter().filter_map(of).collect())
    }

    /// One inference on inputs that are in place; its outputs wait in the staging buffer, mapped.
    fn compute(&self, timing: &mut Option<Timing>) -> Result<()> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        if let Some(bound) = &self.bound {
            let mut from = 0;
            for &id in &self.input_ids {
                let (offset, bytes) = self.place(id)?;
                encoder.copy_buffer_to_buffer(bound, from, &self.memory, offset, bytes);
                from += bytes;
            }
        }
        if let Some(timing) = timing {
            self.gpu.queue.submit([encoder.finish()]);
            let (steps, bind_group) = (&self.steps, &self.bind_group);
            timing.run(&self.gpu, |i, pass| {
                let own = steps.iter().enumerate().skip(i).take(1);
                own.for_each(|(i, step)| dispatch(pass, bind_group, i, step));
            })?;
            encoder = self.gpu.device.create_command_encoder(&Default::default());
        } else {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            self.steps.iter().enumerate().for_each(|(i, s)| dispatch(&mut pass, &self.bind_group, i, s));
        }
        let mut to = 0;
        for &id in &self.output_ids {
            let (offset, bytes) = self.place(id)?;
            encoder.copy_buffer_to_buffer(&self.memory, offset, &self.staging, to, bytes);
            to += bytes;
        }
        self.gpu.queue.submit([encoder.finish()]);
        self.staging.map_async(wgpu::MapMode::Read, .., |_| ()); // what fails is heard of when it is read
        self.gpu.finish()
    }

    fn read_outputs(&self) -> Result<Vec<Named>> {
        let view = self.staging.get_mapped_range(..).map_err(|e| self.gpu.failed(&e.to_string()))?;
        let mut rest: &[u8] = &view;
        let mut outputs = Vec::new();
        for (slot, &id) in self.outputs.iter().zip(&self.output_ids) {
            let value = self.values.get(id.0).ok_or_else(|| self.gpu.failed("an output is gone"))?;
            let (own, behind) = rest
                .split_at_checked(4 * value.len())
                .ok_or_else(|| self.gpu.failed("outputs are cut off"))?;
            rest = behind;
            let words = own.as_chunks().0.iter();
            let data = match value.dtype {
                DType::F32 => Data::F32(words.map(|&w| f32::from_le_bytes(w)).collect()),
                _ => Data::U8(words.map(|w| w[0]).collect()),
            };
            let tensor = Tensor { shape: value.shape.clone(), data };
            outputs.push(Named { name: slot.name.clone(), tensor });
        }
        Ok(outputs)
    }
}

impl Backend for WgpuBackend {
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
        let words = self.words(inputs)?;
        let (bound, mut timing) = (self.bound.take(), self.timing.take());
        let done = self.gpu.scoped(|| -> Result<Vec<Named>> {
            for (&id, bytes) in self.input_ids.iter().zip(&words) {
                self.gpu.queue.write_buffer(&self.memory, self.place(id)?.0, bytes);
            }
            self.compute(&mut timing)?;
            let outputs = self.read_outputs();
            self.staging.unmap();
            outputs
        });
        (self.bound, self.timing) = (bound, timing);
        done?
    }

    fn bind(&mut self, inputs: &[Named]) -> Result<()> {
        let all = self.words(inputs)?.concat();
        let usage = BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let bound = buffer(&self.gpu, "inputs", all.len() as u64, usage)?;
        self.gpu.scoped(|| self.gpu.queue.write_buffer(&bound, 0, &all))?;
        self.bound = Some(bound);
        Ok(())
    }

    fn run_bound(&mut self) -> Result<()> {
        if self.bound.is_none() {
            return Err(Error::Failed("no inputs are bound".into()));
        }
        let mut timing = self.timing.take();
        let done = exit::contain(|| self.compute(&mut timing));
        self.timing = timing;
        self.staging.unmap();
        done.unwrap_or_else(|what| Err(self.gpu.failed(&format!("a panic: {what}"))))
    }

    fn node_times(&mut self) -> Result<Vec<NodeTime>> {
        let timing = self.timing.take().ok_or_else(|| Error::Failed("nodes were not timed".into()))?;
        let provider = self.info.name.clone();
        let one = |(work, us): (&Work, Vec<f64>)| NodeTime {
            name: work.node.clone(),
            op: work.op.clone(),
            provider: provider.clone(),
            inputs: work.inputs.clone(),
            output: work.output.clone(),
            us,
        };
        Ok(self.work.iter().zip(timing.us).map(one).collect())
    }
}

/// Puts step `i` into a pass.
pub fn dispatch(pass: &mut wgpu::ComputePass, bind_group: &wgpu::BindGroup, i: usize, step: &Compiled) {
    let at = u32::try_from(i * AT_STRIDE).unwrap_or(u32::MAX); // load bounds the steps
    pass.set_pipeline(&step.pipeline);
    pass.set_bind_group(0, bind_group, &[at]);
    pass.dispatch_workgroups(step.groups[0], step.groups[1], 1);
}

fn work(graph: &Graph, step: &Step) -> Result<Work, String> {
    let shape = |id: ValueId| graph.value(id).map(|v| v.shape.clone());
    let inputs = step.of_reads.iter().map(|&id| shape(id)).collect::<Result<_, _>>()?;
    Ok(Work { node: step.node.clone(), op: step.op.clone(), inputs, output: shape(step.of)? })
}

/// Four bytes for each value.
fn words(data: &Data) -> Vec<u8> {
    match data {
        Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::U8(v) => v.iter().flat_map(|&x| [x, 0, 0, 0]).collect(),
        _ => Vec::new(), // no input is of another type: load says so
    }
}

/// A buffer of at least so many bytes.
pub fn buffer(gpu: &Gpu, label: &str, bytes: u64, usage: BufferUsages) -> Result<wgpu::Buffer> {
    let size = bytes.max(AT_BYTES).next_multiple_of(VECTOR);
    gpu.scoped(|| {
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        gpu.device.create_buffer(&descriptor)
    })
}

/// Constants to their places, and each step's offsets.
fn upload(
    gpu: &Gpu,
    values: &[Value],
    steps: &[Step],
    plan: &Plan,
    [memory, packed]: [&wgpu::Buffer; 2],
    at: &wgpu::Buffer,
) {
    for (id, &offset) in &plan.offsets {
        let Some(value) = values.get(id.0) else { continue };
        let bytes: Vec<u8> = match value.constant.as_deref() {
            Some(Numbers::F32(v)) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Some(Numbers::I32(v)) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Some(Numbers::I64(_)) | None => continue,
        };
        let buffer = if value.packed { packed } else { memory };
        gpu.queue.write_buffer(buffer, 4 * offset as u64, &bytes);
    }
    let place = |id: &ValueId| {
        let root = values.get(id.0).map_or(*id, |v| v.root);
        u32::try_from(plan.offsets.get(&root).copied().unwrap_or(0)).unwrap_or(0)
    };
    let mut table = Vec::with_capacity(steps.len() * AT_STRIDE);
    for step in steps {
        let mut offsets: Vec<u32> = step.reads.iter().map(|r| r.as_ref().map_or(0, place)).collect();
        offsets.resize(READS, 0);
        offsets.push(place(&step.write));
        offsets.extend(&step.params);
        let start = table.len();
        table.extend(offsets.into_iter().flat_map(u32::to_le_bytes));
        table.resize(start + AT_STRIDE, 0);
    }
    gpu.queue.write_buffer(at, 0, &table);
    gpu.queue.submit([]);
}

/// Every shader's: the one buffer, its step's offsets, packed weights.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{
        DimProto, GraphProto, ModelProto, NodeProto, OperatorSetId, ShapeProto, TensorType, TypeProto,
        ValueInfo,
    };
    use prost::Message;

    /// x [N, 3] -> Relu -> y.
    fn model() -> Vec<u8> {
        let dims = [
            DimProto { dim_param: Some("N".into()), dim_value: None },
            DimProto { dim_value: Some(3), dim_param: None },
        ];
        let tensor_type = Some(TensorType { elem_type: 1, shape: Some(ShapeProto { dim: dims.to_vec() }) });
        let value = |name: &str| ValueInfo {
            name: name.into(),
            r#type: Some(TypeProto { tensor_type: tensor_type.clone() }),
        };
        let node = NodeProto {
            input: vec!["x".into()],
            output: vec!["y".into()],
            op_type: "Relu".into(),
            ..Default::default()
        };
        let graph = GraphProto {
            node: vec![node],
            input: vec![value("x")],
            output: vec![value("y")],
            ..Default::default()
        };
        let opset = OperatorSetId { domain: String::new(), version: 17 };
        ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() }
            .encode_to_vec()
    }

    fn load() -> WgpuBackend {
        let options = Options { batch: Some(2), allow_software: true, ..Options::default() };
        WgpuBackend::load(&model(), Path::new("m.onnx"), &options, "test").unwrap()
    }

    fn input(values: [f32; 6]) -> [Named; 1] {
        [Named { name: "x".into(), tensor: Tensor::f32(&[2, 3], values.to_vec()) }]
    }

    #[test]
    fn runs_alone_and_bound_by_turns() {
        let mut b = load();
        let positive = input([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        b.bind(&input([-1.0; 6])).unwrap();
        b.run_bound().unwrap();
        let found = b.run(&positive).unwrap();
        assert_eq!(found[0].tensor, positive[0].tensor);
        b.run_bound().unwrap();
        assert!(b.info().providers[0].contains("Vulkan"), "{:?}", b.info());
    }

    #[test]
    fn a_lost_device_is_an_error_and_no_panic() {
        let mut b = load();
        b.gpu.device.destroy();
        let error = b.run(&input([0.0; 6])).unwrap_err();
        assert_eq!(error.exit_code(), 3, "{error}");
        b.bind(&input([0.0; 6])).unwrap_err();
        assert_eq!(b.run(&input([0.0; 6])).unwrap_err().exit_code(), 3);
    }

    #[test]
    fn a_device_error_is_told_once_and_for_all() {
        let b = load();
        let made = buffer(&b.gpu, "huge", 1 << 50, BufferUsages::STORAGE);
        assert_eq!(made.unwrap_err().exit_code(), 3);
        b.gpu.check().unwrap(); // it was caught in its scope
        let over = wgpu::BufferDescriptor {
            label: None,
            size: 1 << 50,
            usage: BufferUsages::STORAGE,
            mapped_at_creation: false,
        };
        drop(b.gpu.device.create_buffer(&over));
        assert_eq!(b.gpu.check().unwrap_err().exit_code(), 3);
    }
}
