// y = min(max(x, lo), hi) of integers (Clip, Relu).
struct At { x: u32, w: u32, b: u32, r: u32, s: u32, y: u32 }
@group(0) @binding(0) var<storage, read_write> mem: array<i32>;
@group(0) @binding(1) var<uniform> at: At;
override total: u32 = 1;
override lo: i32 = 0;
override hi: i32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    mem[at.y + i] = min(max(mem[at.x + i], lo), hi);
}
