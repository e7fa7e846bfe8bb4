//! Buffers, pipelines, and one inference: the backend itself.

use crate::backend::budget;
use crate::backend::{Backend, Named, NodeTime, Options, Slot, check_inputs};
use crate::gpu::exec::adapter;
use crate::gpu::exec::adapter::Gpu;
use crate::gpu::exec::buffers::{AT_STRIDE, bindings, buffer, upload};
use crate::gpu::exec::cache;
use crate::gpu::exec::cache::Pipelines;
use crate::gpu::exec::pipelines::{Compiled, compile};
use crate::gpu::exec::timing::Timing;
use crate::gpu::ir::dtype::DType;
use crate::gpu::kernel::Abilities;
use crate::gpu::program::{self, End, Label, Memory, Program};
use crate::onnx::OnnxFile;
use gtn_core::io::artifact;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::measure::report::BackendInfo;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use std::collections::BTreeMap;
use wgpu::BufferUsages;

/// This is wgpu's version, as in Cargo.toml.
pub const VERSION: &str = "30.0";
/// This is a model on a GPU.
pub struct WgpuBackend {
    gpu: Gpu,
    info: BackendInfo,
    /// What the program takes.
    takes: Memory,
    /// For [`Backend::inputs`].
    inputs: Vec<Slot>,
    input_ends: Vec<End>,
    /// For [`Backend::outputs`].
    outputs: Vec<Slot>,
    output_ends: Vec<End>,
    memory: wgpu::Buffer,
    bind_group: wgpu::BindGroup,
    steps: Vec<Compiled>,
    /// Outputs, one after the other, where the host can read them.
    staging: wgpu::Buffer,
    /// Bound inputs: memory is reused during an inference, so they are copied in each time.
    bound: Option<wgpu::Buffer>,
    /// What each step computes, for [`Backend::node_times`].
    labels: Vec<Label>,
    timing: Option<Timing>,
}

impl WgpuBackend {
    /// Loads a model; open dimensions become what `options` say. Fails with an input error where an operator is
    /// not supported or the values take more than their budget, and with [`Error::Unavailable`] where the GPU
    /// fails.
    pub fn load(file: &OnnxFile, options: &Options, why: &str) -> Result<Self> {
        Self::load_bound(file, options, why, &[])
    }

    /// Does what [`Self::load`] does with some inputs known already: a shape or a list of axes must be.
    pub fn load_bound(file: &OnnxFile, options: &Options, why: &str, known: &[Named]) -> Result<Self> {
        Self::load_with_abilities(file, options, why, known, None)
    }

    /// [`Self::load_bound`] as on an adapter with these abilities (by default its own).
    pub(in crate::gpu) fn load_with_abilities(
        file: &OnnxFile,
        options: &Options,
        why: &str,
        known: &[Named],
        abilities: Option<Abilities>,
    ) -> Result<Self> {
        let path = file.path();
        let loaded = program::read(file, options, known)?;
        let adapter = adapter::find(options.wgpu.allow_software)?;
        let abilities = abilities.unwrap_or_else(|| adapter.abilities());
        let cache = options.wgpu.cache_dir.as_deref();
        let tuned = || {
            let key = cache::key(adapter.info(), VERSION);
            cache::chosen(cache, &key, &artifact::sha256(file.bytes()), loaded.images)
        };
        let kernels = options.wgpu.kernels.or_else(tuned).unwrap_or_else(|| adapter.kernels());
        let program =
            program::compile(loaded, kernels, abilities).map_err(|what| Error::input(path, what))?;
        let takes = program.memory;
        budget::within(4 * takes.activations as u64, options).map_err(|what| Error::input(path, what))?;
        let bytes = 4 * (takes.constants + takes.activations) as u64;
        let packed_bytes = 4 * takes.packed as u64;
        let gpu = adapter::open(adapter, bytes.max(packed_bytes))?;
        let memory = buffer(
            &gpu,
            "memory",
            bytes,
            BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
        )?;
        let packed = buffer(&gpu, "packed", packed_bytes, BufferUsages::STORAGE | BufferUsages::COPY_DST)?;
        let out_bytes = program.outputs.iter().map(|o| 4 * o.len() as u64).sum();
        let staging = buffer(&gpu, "outputs", out_bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        let at = buffer(
            &gpu,
            "offsets",
            (program.steps.len() * AT_STRIDE) as u64,
            BufferUsages::UNIFORM | BufferUsages::COPY_DST,
        )?;
        gpu.scoped(|| upload(&gpu, &program, [&memory, &packed], &at))??;
        let (layout, bind_group) = gpu.scoped(|| bindings(&gpu.device, &memory, &packed, &at))?;
        let pipelines = Pipelines::open(&gpu, options.wgpu.cache_dir.as_deref(), VERSION)?;
        let kernels_of = program.steps.iter().map(|s| (&s.kernel, &s.label.node[..]));
        let steps = compile(&gpu, &layout, kernels_of, pipelines.as_ref().map(|p| &p.cache))?;
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
            batch: program.images,
            why: why.into(),
            options: told,
            nodes: BTreeMap::new(),
        };
        let Program { inputs: input_ends, outputs: output_ends, steps: all, .. } = program;
        let slots = |ends: &[End]| ends.iter().map(|e| e.slot.clone()).collect();
        Ok(Self {
            gpu,
            info,
            takes,
            inputs: slots(&input_ends),
            input_ends,
            outputs: slots(&output_ends),
            output_ends,
            memory,
            bind_group,
            steps,
            staging,
            bound: None,
            labels: all.into_iter().map(|s| s.label).collect(),
            timing,
        })
    }

    /// Returns the bytes that the driver gave us, and those that the plan wants (weights and activations).
    /// Returns `None` where the driver does not say.
    pub fn device_memory(&self) -> Option<(u64, u64)> {
        let planned = 4 * (self.takes.constants + self.takes.packed + self.takes.activations) as u64;
        Some((self.gpu.device.generate_allocator_report()?.total_allocated_bytes, planned))
    }

    /// The values of each input in the order of the slots, as the GPU holds them.
    fn words(&self, inputs: &[Named]) -> Result<Vec<Vec<u8>>> {
        check_inputs(&self.inputs, inputs)?;
        let of = |slot: &Slot| match inputs.iter().find(|i| i.name == slot.name) {
            Some(input) => words(&input.tensor.data),
            None => Err(Error::Failed(format!("input `{}` is missing", slot.name))),
        };
        self.inputs.iter().map(of).collect()
    }

    /// One inference on inputs that are in place; its outputs wait in the staging buffer, mapped.
    fn compute(&self, timing: &mut Option<Timing>) -> Result<()> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        if let Some(bound) = &self.bound {
            let mut from = 0;
            for end in &self.input_ends {
                let (offset, bytes) = place(end);
                encoder.copy_buffer_to_buffer(bound, from, &self.memory, offset, bytes);
                from += bytes;
            }
        }
        if let Some(timing) = timing {
            self.gpu.queue.submit([encoder.finish()]);
            timing.run(&self.gpu, &self.steps, |step, pass| dispatch(pass, &self.bind_group, step))?;
            encoder = self.gpu.device.create_command_encoder(&Default::default());
        } else {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            self.steps.iter().for_each(|step| dispatch(&mut pass, &self.bind_group, step));
        }
        let mut to = 0;
        for end in &self.output_ends {
            let (offset, bytes) = place(end);
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
        for end in &self.output_ends {
            let (own, behind) =
                rest.split_at_checked(4 * end.len()).ok_or_else(|| self.gpu.failed("outputs are cut off"))?;
            rest = behind;
            let words = own.as_chunks().0.iter();
            let data = match end.dtype {
                DType::F32 => Data::F32(words.map(|&w| f32::from_le_bytes(w)).collect()),
                _ => Data::U8(words.map(|w| w[0]).collect()),
            };
            let tensor = Tensor { shape: end.shape.clone(), data };
            outputs.push(Named { name: end.slot.name.clone(), tensor });
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
            for (end, bytes) in self.input_ends.iter().zip(&words) {
                self.gpu.queue.write_buffer(&self.memory, place(end).0, bytes);
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
        let one = |(label, us): (&Label, Vec<f64>)| NodeTime {
            name: label.node.clone(),
            op: label.op.clone(),
            provider: provider.clone(),
            inputs: label.inputs.clone(),
            output: label.output.clone(),
            us,
        };
        Ok(self.labels.iter().zip(timing.us).map(one).collect())
    }
}

/// Puts a step into a pass.
pub fn dispatch(pass: &mut wgpu::ComputePass, bind_group: &wgpu::BindGroup, step: &Compiled) {
    pass.set_pipeline(&step.pipeline);
    pass.set_bind_group(0, bind_group, &[step.at]);
    pass.dispatch_workgroups(step.groups[0], step.groups[1], 1);
}

/// Where an input or output lies, and its bytes.
fn place(end: &End) -> (u64, u64) {
    (4 * end.offset as u64, 4 * end.len() as u64)
}

/// Four bytes for each value.
fn words(data: &Data) -> Result<Vec<u8>> {
    match data {
        Data::F32(v) => Ok(v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Data::U8(v) => Ok(v.iter().flat_map(|&x| [x, 0, 0, 0]).collect()),
        other => Err(Error::Failed(format!("an input is {}, not float or uint8", other.element().name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::WgpuOptions;
    use crate::onnx::proto::{
        DimProto, GraphProto, ModelProto, NodeProto, OperatorSetId, ShapeProto, TensorType, TypeProto,
        ValueInfo,
    };
    use prost::Message;
    use std::num::NonZeroUsize;
    use std::path::Path;

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
        let options =
            Options { batch: NonZeroUsize::new(2), wgpu: WgpuOptions::any_adapter(), ..Options::default() };
        WgpuBackend::load(&OnnxFile::parse(&model(), Path::new("m.onnx")).unwrap(), &options, "test").unwrap()
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
