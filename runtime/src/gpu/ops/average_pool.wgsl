// The mean of each window of [N, C, D, H, W], one plane at a time: over what lies in the input, or in the padded
// input where include_pad says so. Channels lie `inner` together (`value`, `put`: those of scalars.wgsl or halves.wgsl).
override inner: u32 = 1;
override include_pad: bool = false;
override ed: u32 = 0; override eh: u32 = 0; override ew: u32 = 0; // padding behind

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let place = i / inner % (out_d * out_h * out_w);
    let plane = i / inner / (out_d * out_h * out_w);
    let x = base(at.x) + plane * in_d * in_h * in_w * inner + i % inner;
    let od = place / (out_h * out_w);
    let oh = place / out_w % out_h;
    let ow = place % out_w;
    var sum = V();
    var inside = 0u;
    var padded = 0u;
    for (var zd = 0u; zd < kd; zd++) {
        let d = od * sd + zd * ld;
        for (var zh = 0u; zh < kh; zh++) {
            let h = oh * sh + zh * lh;
            for (var zw = 0u; zw < kw; zw++) {
                let w = ow * sw + zw * lw;
                if d >= pd + in_d + ed || h >= ph + in_h + eh || w >= pw + in_w + ew { continue; }
                padded++;
                if d - pd >= in_d || h - ph >= in_h || w - pw >= in_w { continue; }
                inside++;
                sum += value(x + (((d - pd) * in_h + h - ph) * in_w + w - pw) * inner);
            }
        }
    }
    var count = inside;
    if include_pad { count = padded; }
    put(base(at.y) + i, sum / f32(max(count, 1u)));
}
