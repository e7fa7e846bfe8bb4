// Convolution of integers, exact in 32 bits: sum of (x - x_zero) * (w - w_zero[m]), plus the integer bias.
// main_float: times scale[m]. main_integer: times scale[m], which holds the output's own scale too, rounded half
// to even, plus y_zero, saturated to lo..hi: what ONNX Runtime's QLinearConv computes. r: scales, s: zero points
// of w.
override bias: bool = false;
override x_zero: i32 = 0;
override y_zero: i32 = 0;
override lo: i32 = 0;
override hi: i32 = 0;
var<private> w_zero: vec4<i32>;

fn value(i: u32) -> i32 {
    return mem[i] - x_zero;
}

fn weights(i: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(mem[i.x], mem[i.y], mem[i.z], mem[i.w]) - w_zero;
}

fn four(start: u32, rows: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(mem[start + rows.x], mem[start + rows.y], mem[start + rows.z], mem[start + rows.w]);
}

fn products(b: Block) -> vec4<i32> {
    w_zero = four(at.s, b.rows);
    if bias { return sums(b, four(at.b, b.rows)); }
    return sums(b, vec4<i32>(0));
}

@compute @workgroup_size(64)
fn main_float(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let b = block(i);
    let acc = products(b);
    for (var j = 0u; j < b.count; j++) {
        let v = f32(acc[j]) * bitcast<f32>(mem[at.r + b.rows[j]]);
        mem[at.y + b.y + j * out_d * out_h * out_w] = bitcast<i32>(v);
    }
}

@compute @workgroup_size(64)
fn main_integer(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let b = block(i);
    let acc = products(b);
    for (var j = 0u; j < b.count; j++) {
        let v = f32(acc[j]) * bitcast<f32>(mem[at.r + b.rows[j]]);
        let q = i32(round(clamp(v, f32(lo - y_zero), f32(hi - y_zero)))) + y_zero;
        mem[at.y + b.y + j * out_d * out_h * out_w] = q;
    }
}
