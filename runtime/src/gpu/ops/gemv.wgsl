// gemm.wgsl for few rows, where the depth of both operands lies together: a workgroup for each result, whose invocations
// share the depth, so that neighbours read neighbours.
override columns: u32 = 1;
override depth: u32 = 1;
override x_row: u32 = 0;
override w_column: u32 = 0;
override bias: bool = false;
override b_row: u32 = 0; override b_column: u32 = 0;
override alpha: f32 = 1;
override beta: f32 = 1;

// Of result `i` what invocation `l` of 64 adds.
fn share(i: u32, l: u32) -> f32 {
    let x = at.x + i / columns * x_row;
    let w = at.w + i % columns * w_column;
    var acc = 0.0;
    for (var k = l; k < depth; k += 64u) { acc += mem[x + k] * mem[w + k]; }
    return acc;
}

fn put(i: u32, sum: f32) {
    var acc = alpha * sum;
    if bias { acc += beta * mem[at.b + i / columns * b_row + i % columns * b_column]; }
    mem[at.y + i] = activate(acc);
}
