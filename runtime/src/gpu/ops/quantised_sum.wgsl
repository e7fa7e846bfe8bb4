// The sum of two dequantised values and the QuantizeLinear behind it, from integers to integers, as ONNX Runtime's
// QLinearAdd computes it: y = fma(x, x_ratio, fma(w, w_ratio, fixed)), where the ratios are scales by the result's and
// `fixed` is the result's zero point less the scaled ones of x and w. b: both ratios in two halves each, `fixed`, 0.
override lo: i32 = 0;
override hi: i32 = 0;

fn number(i: u32) -> f32 {
    return bitcast<f32>(mem[at.b + i]);
}

// The same, which a compiler does not know: it would make p of (c + p) - c.
fn opaque(v: F) -> F {
    return bitcast<F>(bitcast<V>(v) ^ V(mem[at.b + 5u]));
}

// x * (high + low) + c, rounded once, where a driver's fma() may round twice: products of a byte and half a ratio are
// exact, and so is what the sum of two floats leaves out.
fn multiply_add(x: F, high: f32, low: f32, c: F) -> F {
    let p = x * high;
    let s = opaque(c + p);
    let q = opaque(s - c);
    return s + (((c - (s - q)) + (p - q)) + x * low);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let w = multiply_add(F(value(at.w + i)), number(2u), number(3u), F(number(4u)));
    let v = multiply_add(F(value(at.x + i)), number(0u), number(1u), w);
    put(at.y + i, V(round(clamp(v, F(f32(lo)), F(f32(hi))))));
}
