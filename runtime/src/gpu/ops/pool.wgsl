// Windows of [N, C, D, H, W], one plane at a time; channels lie `inner` together (`value`, `put`, `base`: those of
// scalars.wgsl, bytes.wgsl or halves.wgsl).
override inner: u32 = 1;

// Where the plane of a result begins, and its window, counted from the padding before.
struct Pooled { x: u32, d: u32, h: u32, w: u32 }

fn pooled(i: u32) -> Pooled {
    let place = i / inner % (out_d * out_h * out_w);
    let plane = i / inner / (out_d * out_h * out_w);
    let x = base(at.x) + plane * in_d * in_h * in_w * inner + i % inner;
    return Pooled(x, place / (out_h * out_w) * sd, place / out_w % out_h * sh, place % out_w * sw);
}
