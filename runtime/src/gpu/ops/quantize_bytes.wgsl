// quantize.wgsl with one scale, of channels in fours.
override lo: i32 = 0;
override hi: i32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let x = at.x + 4u * i;
    let zero = mem[at.b];
    let v = round(bitcast<vec4<f32>>(V(mem[x], mem[x + 1u], mem[x + 2u], mem[x + 3u])) / bitcast<f32>(mem[at.w]));
    let least = vec4<f32>(f32(lo - zero));
    put(at.y + i, V(select(clamp(v, least, vec4<f32>(f32(hi - zero))), least, are_nan(v))) + zero);
}
