// dequantize.wgsl with one scale, to channels in fours.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let v = bitcast<V>(vec4<f32>(value(at.x + i) - mem[at.b]) * bitcast<f32>(mem[at.w]));
    for (var j = 0u; j < 4u; j++) { mem[at.y + 4u * i + j] = v[j]; }
}
