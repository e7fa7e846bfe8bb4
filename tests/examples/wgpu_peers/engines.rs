//! The runtimes, and how each is started.

use crate::child::Child;
use gtn_core::ir::arch::Input;
use gtn_tests::root;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One runtime.
pub struct Engine {
    /// For the table.
    pub name: &'static str,
    /// Program and the arguments before the model.
    program: PathBuf,
    args: Vec<String>,
}

/// Ours first. `torch`: where PyTorch computes, if at all (`cuda`, `cpu`, `none`).
pub fn all(dir: &Path, torch: &str) -> Vec<Engine> {
    let python = root().join(".venv-gpu-peers/bin/python");
    let script = root().join("tests/examples/wgpu_peers/peer.py").display().to_string();
    let peer = |name, program: &Path, which: &str| Engine {
        name,
        program: program.into(),
        args: vec![script.clone(), which.into()],
    };
    let ours = std::env::current_exe().unwrap();
    let torch_python = root().join(".venv/bin/python");
    let torch_python = std::env::var_os("TORCH_PYTHON").map_or(torch_python, PathBuf::from);
    let mut all = vec![
        Engine { name: "gtn-run, wgpu", program: ours, args: vec!["serve".into()] },
        Engine { name: "burn-wgpu, SPIR-V", program: dir.join("burn-spirv"), args: vec![] },
        Engine { name: "burn-wgpu, WGSL", program: dir.join("burn-wgsl"), args: vec![] },
        peer("ncnn, Vulkan, fp32", &python, "ncnn-fp32"),
        peer("ncnn, Vulkan, fp32 without Winograd", &python, "ncnn-direct"),
        peer("ncnn, Vulkan, its defaults (fp16)", &python, "ncnn"),
        peer("ONNX Runtime, WebGPU", &python, "webgpu"),
    ];
    match torch {
        "none" => {}
        "cpu" => all.push(peer("PyTorch, eager, CPU", &torch_python, "torch-cpu")),
        "cuda" => all.push(peer("PyTorch, eager, CUDA", &torch_python, "torch-cuda")),
        other => unreachable!("--torch {other}: wanted cuda, cpu or none"),
    }
    all
}

impl Engine {
    /// Loads `model`, beside which lie its input and what was made of it.
    pub fn start(&self, model: &Path, input: Input) -> Result<Child, String> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(model);
        command.args([input.channels, input.height, input.width].map(|d| d.to_string()));
        Child::start(&mut command, &model.with_extension("stderr"))
    }
}
