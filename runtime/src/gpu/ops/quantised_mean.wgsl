// The mean of each dequantised plane of `count` places and the QuantizeLinear behind it, from integers to integers, as
// ONNX Runtime's QLinearGlobalAveragePool computes it: the exact sum, then one scale.
override count: u32 = 1;
override x_zero: i32 = 0;
override scale: f32 = 1;
override y_zero: i32 = 0;
override lo: i32 = 0;
override hi: i32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    var sum = V(-x_zero * i32(count));
    for (var j = 0u; j < count; j++) { sum += value(at.x + i * count + j); }
    let within = clamp(F(sum) * scale, F(f32(lo - y_zero)), F(f32(hi - y_zero)));
    put(at.y + i, V(round(within)) + y_zero);
}
