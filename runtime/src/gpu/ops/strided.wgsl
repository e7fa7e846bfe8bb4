// y[i0, ..., i5] = x[start + i0 * x0 + ... + i5 * x5] (modulo 2^32, so that strides may be negative).
override start: u32 = 0;
override d1: u32 = 1; override d2: u32 = 1; override d3: u32 = 1; override d4: u32 = 1; override d5: u32 = 1;
override x0: u32 = 0; override x1: u32 = 0; override x2: u32 = 0;
override x3: u32 = 0; override x4: u32 = 0; override x5: u32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let q5 = i / d5; let q4 = q5 / d4; let q3 = q4 / d3; let q2 = q3 / d2; let q1 = q2 / d1;
    let place = start + q1 * x0 + q2 % d1 * x1 + q3 % d2 * x2 + q4 % d3 * x3 + q5 % d4 * x4 + i % d5 * x5;
    mem[at.y + i] = mem[at.x + place];
}
