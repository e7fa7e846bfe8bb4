// y[n, c, i] = (x - mean[c]) / sqrt(var[c] + epsilon) * scale[c] + bias[c]
// x, then w: scale, b: bias, r: mean, s: var
override channels: u32 = 1;
override plane: u32 = 1;
override epsilon: f32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let c = i / plane % channels;
    let scale = mem[at.w + c] / sqrt(mem[at.s + c] + epsilon);
    mem[at.y + i] = (mem[at.x + i] - mem[at.r + c]) * scale + mem[at.b + c];
}
