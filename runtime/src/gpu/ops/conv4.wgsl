// Convolutions of [N, C/4, H, W] of four channels each. Packed weights: for each pair of fours of output
// channels two biases, then for each four of input channels and each tap eight vectors, four input channels by
// two fours of output channels; depthwise: for each four of channels a bias, then the taps.
struct At {
    x: u32, w: u32, b: u32, r: u32, s: u32, y: u32, // elements
    total: u32, // invocations (conv_tile: workgroups)
    c4: u32, m4: u32, // fours of input and output channels
    in_h: u32, in_w: u32, out_h: u32, out_w: u32,
    pad_h: u32, pad_w: u32,
}
@group(0) @binding(0) var<storage, read_write> mem: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> at: At;
@group(0) @binding(2) var<storage, read> packed: array<vec4<f32>>;
override residual: bool = false;
override padded: bool = false; // whether a tap may lie outside of the input
override kh: u32 = 1; override kw: u32 = 1;
override sh: u32 = 1; override sw: u32 = 1;
override lh: u32 = 1; override lw: u32 = 1;

// The input at a place of a row, 0 outside of it; below zero a column wraps, and is then too large.
fn column(row: u32, w: u32) -> vec4<f32> {
    let v = mem[row + min(w, at.in_w - 1u)];
    if padded { return select(vec4<f32>(0.0), v, w < at.in_w); }
    return v;
}

// acc + four input channels by four output channels.
fn product(acc: vec4<f32>, x: vec4<f32>, k: array<vec4<f32>, 4>) -> vec4<f32> {
    let a = fma(vec4<f32>(x.x), k[0], acc);
    let b = fma(vec4<f32>(x.y), k[1], a);
    let c = fma(vec4<f32>(x.z), k[2], b);
    return fma(vec4<f32>(x.w), k[3], c);
}

fn finish(y: u32, v: vec4<f32>) {
    var sum = v;
    if residual { sum += mem[at.r / 4u + y]; }
    mem[at.y / 4u + y] = vec4<f32>(activate(sum.x), activate(sum.y), activate(sum.z), activate(sum.w));
}
