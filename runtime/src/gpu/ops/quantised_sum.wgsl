// The sum of two dequantised values and the QuantizeLinear behind it, from integers to integers, as ONNX Runtime's
// QLinearAdd computes it: y = x * x_ratio + (w * w_ratio + fixed), where the ratios are scales by the result's and
// `fixed` is the result's zero point less the scaled ones of x and w.
override x_ratio: f32 = 1;
override w_ratio: f32 = 1;
override fixed: f32 = 0;
override lo: i32 = 0;
override hi: i32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let w = fma(F(value(at.w + i)), F(w_ratio), F(fixed));
    let v = fma(F(value(at.x + i)), F(x_ratio), w);
    put(at.y + i, V(round(clamp(v, F(f32(lo)), F(f32(hi))))));
}
