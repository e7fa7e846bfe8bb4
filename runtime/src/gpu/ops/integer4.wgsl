// Four integers at a time, as integer_conv.wgsl computes them: the one buffer, and packed weights, whose zero points
// are taken off already.
alias T = i32;
alias V = vec4<i32>;
@group(0) @binding(0) var<storage, read_write> mem: array<V>;
@group(0) @binding(2) var<storage, read> packed: array<V>;
const HEAD: u32 = 2u; // for each four of output channels: the bias, and the scales (bits of floats)
override x_zero: i32 = 0;
override requantise: bool = false;
override y_zero: i32 = 0;
override lo: i32 = 0;
override hi: i32 = 0;

fn value(i: u32) -> V {
    return mem[i] - x_zero;
}

fn added(acc: V, x: V, k: V) -> V {
    return acc + x * k;
}

fn finish(y: u32, v: V, scale: V) {
    let f = vec4<f32>(v) * bitcast<vec4<f32>>(scale);
    if requantise {
        let within = clamp(f, vec4<f32>(f32(lo - y_zero)), vec4<f32>(f32(hi - y_zero)));
        mem[at.y / 4u + y] = vec4<i32>(round(within)) + y_zero;
    } else {
        mem[at.y / 4u + y] = bitcast<V>(f);
    }
}
