// Between float and integers of up to 32 bits. main_integer: float to integer, towards zero, within lo..hi
// (beyond them ONNX leaves it undefined); main_float: integer to float; main_wrap: to a narrower integer.
override lo: f32 = 0;
override hi: f32 = 0;
override bits: u32 = 32;
override unsigned: bool = false;

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
    mem[at.y + i] = bitcast<i32>(f32(mem[at.x + i]));
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
