//! Each ONNX file in the folder that GTN_PEER_MODELS names becomes a burn module.

use burn_onnx::ModelGen;

fn main() {
    println!("cargo::rerun-if-env-changed=GTN_PEER_MODELS");
    let dir = std::env::var("GTN_PEER_MODELS").expect("GTN_PEER_MODELS: the folder of the ONNX files");
    for name in ["student", "mobilenetv2", "resnet18"] {
        let path = format!("{dir}/{name}.onnx");
        println!("cargo::rerun-if-changed={path}");
        ModelGen::new().input(&path).out_dir("models/").run_from_script();
    }
}
