// y = (x - zero) * scale, the scale of x's index along an axis.
// w: scales, b: zero points
override channels: u32 = 1;
override plane: u32 = 1;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let c = i / plane % channels;
    mem[at.y + i] = bitcast<i32>(f32(mem[at.x + i] - mem[at.b + c]) * bitcast<f32>(mem[at.w + c]));
}
