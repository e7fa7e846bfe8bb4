// Between [N, C, places] and [N, C/4, places, 4]; channels beyond C are 0.
override channels: u32 = 1;
override plane: u32 = 1;

@compute @workgroup_size(64)
fn to_fours(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let fours = (channels + 3u) / 4u;
    let c = i / (4u * plane) % fours * 4u + i % 4u;
    let image = i / (4u * plane * fours);
    var v = 0;
    if c < channels { v = mem[at.x + (image * channels + c) * plane + i / 4u % plane]; }
    mem[at.y + i] = v;
}

@compute @workgroup_size(64)
fn from_fours(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let fours = (channels + 3u) / 4u;
    let c = i / plane % channels;
    let image = i / (plane * channels);
    mem[at.y + i] = mem[at.x + (((image * fours + c / 4u) * plane) + i % plane) * 4u + c % 4u];
}
