// y[.., i, j] = alpha * sum over k of a[.., i, k] * b[.., k, j] + beta * c, activated; batches, rows and columns
// by strides, 0 along what is repeated.
override rows: u32 = 1;
override columns: u32 = 1;
override depth: u32 = 1;
override x_row: u32 = 0; override x_depth: u32 = 0;
override w_column: u32 = 0; override w_depth: u32 = 0;
override bias: bool = false;
override b_row: u32 = 0; override b_column: u32 = 0;
override alpha: f32 = 1;
override beta: f32 = 1;
override d1: u32 = 1; override d2: u32 = 1; override d3: u32 = 1;
override x0: u32 = 0; override x1: u32 = 0; override x2: u32 = 0; override x3: u32 = 0;
override w0: u32 = 0; override w1: u32 = 0; override w2: u32 = 0; override w3: u32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let column = i % columns;
    let row = i / columns % rows;
    let batch = i / (columns * rows);
    let i3 = batch % d3; let q3 = batch / d3;
    let i2 = q3 % d2; let q2 = q3 / d2;
    let i1 = q2 % d1; let i0 = q2 / d1;
    let x = at.x + i0 * x0 + i1 * x1 + i2 * x2 + i3 * x3 + row * x_row;
    let w = at.w + i0 * w0 + i1 * w1 + i2 * w2 + i3 * w3 + column * w_column;
    var acc = 0.0;
    for (var k = 0u; k < depth; k++) {
        acc += mem[x + k * x_depth] * mem[w + k * w_depth];
    }
    acc *= alpha;
    if bias { acc += beta * mem[at.b + row * b_row + column * b_column]; }
    mem[at.y + i] = activate(acc);
}
