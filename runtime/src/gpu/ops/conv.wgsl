// Convolution: bias, residual, activation.
override bias: bool = false;
override residual: bool = false;

fn value(i: u32) -> f32 {
    return mem[i];
}

fn weights(i: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(mem[i.x], mem[i.y], mem[i.z], mem[i.w]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let b = block(i);
    let acc = sums(b, vec4<f32>(0.0));
    for (var j = 0u; j < b.count; j++) {
        let y = b.y + j * out_d * out_h * out_w;
        var v = acc[j];
        if bias { v += mem[at.b + b.rows[j]]; }
        if residual { v += mem[at.r + y]; }
        mem[at.y + y] = activate(v);
    }
}
