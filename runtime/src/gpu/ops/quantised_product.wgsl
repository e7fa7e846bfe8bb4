// The product of two dequantised values and the QuantizeLinear behind it, from integers to integers, as ONNX Runtime's
// QLinearMul computes it: y = (x - x_zero) * (w - w_zero) * ratio + zero, the product exact, the scaled one rounded by itself.
// b: the ratio of the operands' scales by the result's, the result's zero point, 0.
override x_zero: i32 = 0;
override w_zero: i32 = 0;
override lo: i32 = 0;
override hi: i32 = 0;

fn number(i: u32) -> f32 {
    return bitcast<f32>(mem[at.b + i]);
}

// The same, which a compiler does not know: it would round p * ratio + zero once.
fn opaque(v: F) -> F {
    return bitcast<F>(bitcast<V>(v) ^ V(mem[at.b + 2u]));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let o = operands(i);
    let scaled = opaque(F((o.a - x_zero) * (o.b - w_zero)) * number(0u));
    put(at.y + i, V(round(clamp(scaled + number(1u), F(f32(lo)), F(f32(hi))))));
}
