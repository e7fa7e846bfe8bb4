// Four bytes at a time: the one buffer, where they are a word, and packed weights. What integer_conv.wgsl computes, to
// the bit: x - x_zero is (x as i8) + (128 or 0) - x_zero, whose constant part times the sum of a channel's weights is in
// its bias (modulo 2^32, as all sums here), so that a place outside of the input is read as x_zero.
alias V = vec4<i32>;
alias X = u32; // four channels of a place, as i8
alias P = V;
alias K = V; // weights of four input by four output channels: a word of the former for each of the latter
@group(0) @binding(0) var<storage, read_write> mem: array<u32>;
@group(0) @binding(2) var<storage, read> packed: array<P>;
const FOUR: u32 = 1u; // words of X
const WIDTH: u32 = 1u; // vectors of K
const HEAD: u32 = 2u; // for each four of output channels: the bias, and the scales (bits of floats)
const SKIPS: bool = false;
override x_flip: u32 = 0; // makes i8 of u8
override x_outside: u32 = 0; // x_zero as X
override requantise: bool = false;
override y_zero: i32 = 0;
override lo: i32 = 0;
override hi: i32 = 0;

fn value(i: u32) -> X {
    return mem[i] ^ x_flip;
}

fn outside() -> X {
    return x_outside;
}

fn channels(x: X) -> V {
    return unpack4xI8(x);
}

fn head(w: u32) -> V {
    return packed[w];
}

fn weights(a: P, b: P, c: P, d: P) -> K {
    return a;
}

fn product(acc: V, x: X, k: K) -> V {
    let w = bitcast<vec4<u32>>(k);
    return acc + V(dot4I8Packed(x, w.x), dot4I8Packed(x, w.y), dot4I8Packed(x, w.z), dot4I8Packed(x, w.w));
}

fn added(acc: V, x: V, k: V) -> V {
    return acc + x * k;
}

// A row of taps of four channels: a word for each tap.
fn row_width() -> u32 {
    return (kw + 3u) / 4u;
}

fn row_taps(w: u32) -> array<V, 7> {
    let a = bitcast<vec4<u32>>(packed[w]);
    let b = bitcast<vec4<u32>>(packed[w + 1u]);
    return array<V, 7>(
        unpack4xI8(a.x), unpack4xI8(a.y), unpack4xI8(a.z), unpack4xI8(a.w),
        unpack4xI8(b.x), unpack4xI8(b.y), unpack4xI8(b.z),
    );
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
