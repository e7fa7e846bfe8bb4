// relayout.wgsl for [N, C/4, places, 2] of words of two float16.
@compute @workgroup_size(64)
fn to_halves(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let fours = (channels + 3u) / 4u;
    let c = i / (2u * plane) % fours * 4u + i % 2u * 2u;
    let image = i / (2u * plane * fours);
    let place = i / 2u % plane;
    let pair = bitcast<vec2<f32>>(vec2<i32>(plain(image, c, place), plain(image, c + 1u, place)));
    mem[at.y + i] = bitcast<i32>(pack2x16float(pair));
}

@compute @workgroup_size(64)
fn from_halves(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let f = four(i);
    let pair = unpack2x16float(bitcast<u32>(mem[at.x + f.x * 2u + f.y / 2u]));
    mem[at.y + i] = bitcast<i32>(pair[f.y % 2u]);
}
