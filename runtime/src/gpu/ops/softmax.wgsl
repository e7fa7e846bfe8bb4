// Softmax along one axis: an invocation computes a whole row of `len` elements, `inner` apart.
override len: u32 = 1;
override inner: u32 = 1;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let start = i / inner * inner * len + i % inner;
    var most = mem[at.x + start];
    for (var k = 1u; k < len; k++) { most = max(most, mem[at.x + start + k * inner]); }
    var sum = 0.0;
    for (var k = 0u; k < len; k++) { sum += exp(mem[at.x + start + k * inner] - most); }
    for (var k = 0u; k < len; k++) {
        mem[at.y + start + k * inner] = exp(mem[at.x + start + k * inner] - most) / sum;
    }
}
