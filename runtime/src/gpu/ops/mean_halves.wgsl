// reduce_mean.wgsl over the places of channels in fours; the result is as ONNX has it.
override count: u32 = 1;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let x = base(at.x) + i * count;
    var sum = V();
    for (var j = 0u; j < count; j++) { sum += value(x + j); }
    let mean = bitcast<vec4<u32>>(sum / f32(count));
    mem[base(at.y) + 2u * i] = mean.xy;
    mem[base(at.y) + 2u * i + 1u] = mean.zw;
}
