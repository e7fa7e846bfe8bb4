// Between float and integers of up to 32 bits. main_integer: float to integer, towards zero, within lo..hi
// (beyond them ONNX leaves it undefined); main_float: integer to float, or float16 where `half` says so; main_half: float
// to float16; main_wrap: to a narrower integer.
override half: bool = false;
override lo: f32 = 0;
override hi: f32 = 0;
override bits: u32 = 32;
override unsigned: bool = false;

// The bits of the nearest float16, ties to even, as a float; beyond 65504 infinity. By hand: adapters may treat small and
// large numbers as they like in their own conversion.
fn nearest_half(bits: i32) -> i32 {
    let sign = bits & bitcast<i32>(0x80000000u);
    let m = bits & 0x7fffffff;
    if m > 0x7f800000 { return bits; }
    if m >= 0x477ff000 { return sign | 0x7f800000; }
    if m < 0x38800000 { return sign | bitcast<i32>(round(bitcast<f32>(m) * 16777216.0) / 16777216.0); }
    return sign | ((m + 0xfff + ((m >> 13u) & 1)) & ~0x1fff);
}

@compute @workgroup_size(64)
fn main_half(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    mem[at.y + i] = nearest_half(mem[at.x + i]);
}

@compute @workgroup_size(64)
fn main_integer(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    mem[at.y + i] = i32(clamp(trunc(bitcast<f32>(mem[at.x + i])), lo, hi));
}

@compute @workgroup_size(64)
fn main_float(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let v = bitcast<i32>(f32(mem[at.x + i]));
    if half {
        mem[at.y + i] = nearest_half(v);
    } else {
        mem[at.y + i] = v;
    }
}

@compute @workgroup_size(64)
fn main_wrap(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let v = mem[at.x + i];
    if unsigned {
        mem[at.y + i] = bitcast<i32>(extractBits(bitcast<u32>(v), 0u, bits));
    } else {
        mem[at.y + i] = extractBits(v, 0u, bits);
    }
}
