// Convolutions of [N, C/4, H, W] of four channels each. Packed weights: for each pair of fours of output channels two
// biases and, of integers, two scales (HEAD vectors for each four), then for each four of input channels and each tap
// eight vectors, four input channels by two fours of output channels; depthwise: for each four of channels HEAD
// vectors, then the taps. `value`, `added` and `finish` are those of float4.wgsl or integer4.wgsl.
struct At {
    x: u32, w: u32, b: u32, r: u32, s: u32, y: u32, // elements
    total: u32, // invocations (conv_tile: workgroups)
    c4: u32, m4: u32, // fours of input and output channels
    in_h: u32, in_w: u32, out_h: u32, out_w: u32,
    pad_h: u32, pad_w: u32,
}
@group(0) @binding(1) var<uniform> at: At;
override padded: bool = false; // whether a tap may lie outside of the input
override kh: u32 = 1; override kw: u32 = 1;
override sh: u32 = 1; override sw: u32 = 1;
override lh: u32 = 1; override lw: u32 = 1;

// The input at a place of a row, 0 outside of it; below zero a column wraps, and is then too large.
fn column(row: u32, w: u32) -> V {
    let v = value(row + min(w, at.in_w - 1u));
    if padded { return select(V(), v, w < at.in_w); }
    return v;
}

// acc + four input channels by four output channels.
fn product(acc: V, x: V, k: array<V, 4>) -> V {
    return added(added(added(added(acc, V(x.x), k[0]), V(x.y), k[1]), V(x.z), k[2]), V(x.w), k[3]);
}
