// y[i] = the mean over the reduced dimensions. k*, r*: sizes of the kept and the reduced dimensions; ks*, rs*:
// their strides in x.
override k1: u32 = 1; override k2: u32 = 1; override k3: u32 = 1; override k4: u32 = 1; override k5: u32 = 1;
override ks0: u32 = 0; override ks1: u32 = 0; override ks2: u32 = 0;
override ks3: u32 = 0; override ks4: u32 = 0; override ks5: u32 = 0;
override count: u32 = 1;
override r1: u32 = 1; override r2: u32 = 1; override r3: u32 = 1; override r4: u32 = 1; override r5: u32 = 1;
override rs0: u32 = 0; override rs1: u32 = 0; override rs2: u32 = 0;
override rs3: u32 = 0; override rs4: u32 = 0; override rs5: u32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let q5 = i / k5; let q4 = q5 / k4; let q3 = q4 / k3; let q2 = q3 / k2; let q1 = q2 / k1;
    let x = at.x + q1 * ks0 + q2 % k1 * ks1 + q3 % k2 * ks2 + q4 % k3 * ks3 + q5 % k4 * ks4 + i % k5 * ks5;
    // Four sums, so that a long one does not lose what a short one keeps.
    var sums = vec4<f32>(0.0);
    for (var j = 0u; j < count; j++) {
        let p5 = j / r5; let p4 = p5 / r4; let p3 = p4 / r3; let p2 = p3 / r2; let p1 = p2 / r1;
        let o = p1 * rs0 + p2 % r1 * rs1 + p3 % r2 * rs2 + p4 % r3 * rs3 + p5 % r4 * rs4 + j % r5 * rs5;
        sums[j % 4u] += mem[x + o];
    }
    mem[at.y + i] = (sums.x + sums.y + sums.z + sums.w) / f32(count);
}
