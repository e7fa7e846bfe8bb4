// y = x op w with broadcasting; op: 0 Add, 1 Sub, 2 Mul, 3 Div. d*: the result's dimensions; x*, w*: strides,
// 0 along what is repeated. (After activate.wgsl.)
struct At { x: u32, w: u32, b: u32, r: u32, s: u32, y: u32 }
@group(0) @binding(0) var<storage, read_write> mem: array<f32>;
@group(0) @binding(1) var<uniform> at: At;
override total: u32 = 1;
override op: u32 = 0;
override d1: u32 = 1; override d2: u32 = 1; override d3: u32 = 1; override d4: u32 = 1; override d5: u32 = 1;
override x0: u32 = 0; override x1: u32 = 0; override x2: u32 = 0;
override x3: u32 = 0; override x4: u32 = 0; override x5: u32 = 0;
override w0: u32 = 0; override w1: u32 = 0; override w2: u32 = 0;
override w3: u32 = 0; override w4: u32 = 0; override w5: u32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let i5 = i % d5; let q5 = i / d5;
    let i4 = q5 % d4; let q4 = q5 / d4;
    let i3 = q4 % d3; let q3 = q4 / d3;
    let i2 = q3 % d2; let q2 = q3 / d2;
    let i1 = q2 % d1; let i0 = q2 / d1;
    let a = mem[at.x + i0 * x0 + i1 * x1 + i2 * x2 + i3 * x3 + i4 * x4 + i5 * x5];
    let b = mem[at.w + i0 * w0 + i1 * w1 + i2 * w2 + i3 * w3 + i4 * w4 + i5 * w5];
    var v = a + b;
    switch op {
        case 1u: { v = a - b; }
        case 2u: { v = a * b; }
        case 3u: { v = a / b; }
        default: {}
    }
    mem[at.y + i] = activate(v);
}
