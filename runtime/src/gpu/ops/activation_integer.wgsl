// y = min(max(x, lo), hi) of integers (Clip, Relu).
override lo: i32 = 0;
override hi: i32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    mem[at.y + i] = min(max(mem[at.x + i], lo), hi);
}
