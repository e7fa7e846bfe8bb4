// y = saturate(round half to even(x / scale) + zero), the scale of x's index along an axis. ONNX leaves NaN undefined; it is
// `lo` here, as ONNX Runtime has it on x86.
// w: scales, b: zero points
override channels: u32 = 1;
override plane: u32 = 1;
override lo: i32 = 0;
override hi: i32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let c = i / plane % channels;
    let zero = mem[at.b + c];
    let v = round(bitcast<f32>(mem[at.x + i]) / bitcast<f32>(mem[at.w + c]));
    let within = select(clamp(v, f32(lo - zero), f32(hi - zero)), f32(lo - zero), is_nan(v));
    mem[at.y + i] = i32(within) + zero;
}
