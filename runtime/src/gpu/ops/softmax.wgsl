// Softmax along one axis: an invocation computes a whole row of `len` elements, `inner` apart; with NaN among
// them (or infinity, whose share nothing tells) all are NaN.
override len: u32 = 1;
override inner: u32 = 1;

fn exponential(v: f32) -> f32 {
    return select(exp(v), v, is_nan(v));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let start = i / inner * inner * len + i % inner;
    var most = mem[at.x + start];
    for (var k = 1u; k < len; k++) { most = larger(most, mem[at.x + start + k * inner]); }
    var sum = 0.0;
    for (var k = 0u; k < len; k++) { sum += exponential(mem[at.x + start + k * inner] - most); }
    for (var k = 0u; k < len; k++) {
        mem[at.y + start + k * inner] = exponential(mem[at.x + start + k * inner] - most) / sum;
    }
}
