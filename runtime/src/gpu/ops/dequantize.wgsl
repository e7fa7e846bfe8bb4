// y = (x - zero) * scale, the scale of x's index along an axis.
struct At { x: u32, w: u32, b: u32, r: u32, s: u32, y: u32 } // w: scales, b: zero points
@group(0) @binding(0) var<storage, read_write> mem: array<i32>;
@group(0) @binding(1) var<uniform> at: At;
override total: u32 = 1;
override channels: u32 = 1;
override plane: u32 = 1;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let c = i / plane % channels;
    mem[at.y + i] = bitcast<i32>(f32(mem[at.x + i] - mem[at.b + c]) * bitcast<f32>(mem[at.w + c]));
}
