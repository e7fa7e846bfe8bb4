// y = x op w.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let o = operands(i);
    var v = o.a + o.b;
    switch op {
        case 1u: { v = o.a - o.b; }
        case 2u: { v = o.a * o.b; }
        case 3u: { v = o.a / o.b; }
        default: {}
    }
    mem[at.y + i] = activate(v);
}
