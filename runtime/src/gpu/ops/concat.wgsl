// One input of Concat into its place: rows of `width` elements, `stride` apart in y, beginning at `start`.
override width: u32 = 1;
override stride: u32 = 1;
override start: u32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    mem[at.y + start + i / width * stride + i % width] = mem[at.x + i];
}
