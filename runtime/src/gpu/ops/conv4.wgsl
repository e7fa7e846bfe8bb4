// Convolutions of [N, C/4, H, W] of four channels each. Packed weights: for each pair of fours of output channels two
// biases and, of integers, two scales (HEAD vectors for each four), then for each four of input channels and each tap
// two K, one for each four of output channels; depthwise: for each four of channels HEAD vectors, then for each row of
// taps row_width() vectors. What X, K and their functions are, floats4.wgsl or
// integer4.wgsl says.
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

// Whether a row of taps can be left out, which is at `h`; below zero `h` wraps, and is then too large.
fn skipped(h: u32) -> bool {
    return SKIPS && padded && h >= at.in_h;
}

// Where row `h` of a plane begins; of a row outside of the input the one at the border.
fn row_start(plane: u32, h: u32) -> u32 {
    let within = select(h, min(h, at.in_h - 1u), padded && !SKIPS);
    return at.x / FOUR + (plane * at.in_h + within) * at.in_w;
}

// The input at column `w` of row `h`, which begins at `row`.
fn column(row: u32, h: u32, w: u32) -> X {
    let v = value(row + min(w, at.in_w - 1u));
    if padded { return select(outside(), v, w < at.in_w && (SKIPS || h < at.in_h)); }
    return v;
}
