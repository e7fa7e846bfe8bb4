// Four integers at a time, as integer_conv.wgsl computes them: the one buffer, where four bytes are a word, and packed
// weights, whose zero points are taken off already.
alias V = vec4<i32>;
@group(0) @binding(0) var<storage, read_write> mem: array<u32>;
@group(0) @binding(2) var<storage, read> packed: array<V>;
const FOUR: u32 = 1u; // words of a four
const HEAD: u32 = 2u; // for each four of output channels: the bias, and the scales (bits of floats)
override x_unsigned: bool = false;
override x_zero: i32 = 0;
override requantise: bool = false;
override y_zero: i32 = 0;
override lo: i32 = 0;
override hi: i32 = 0;

fn value(i: u32) -> V {
    if x_unsigned { return V(unpack4xU8(mem[i])) - x_zero; }
    return unpack4xI8(mem[i]) - x_zero;
}

fn added(acc: V, x: V, k: V) -> V {
    return acc + x * k;
}

fn finish(y: u32, v: V, scale: V) {
    let f = vec4<f32>(v) * bitcast<vec4<f32>>(scale);
    if requantise {
        let within = clamp(f, vec4<f32>(f32(lo - y_zero)), vec4<f32>(f32(hi - y_zero)));
        mem[at.y + y] = pack4xI8(vec4<i32>(round(within)) + y_zero); // the low bytes, of either type
    } else {
        let bits = bitcast<vec4<u32>>(f);
        for (var j = 0u; j < 4u; j++) { mem[at.y + 4u * y + j] = bits[j]; }
    }
}
