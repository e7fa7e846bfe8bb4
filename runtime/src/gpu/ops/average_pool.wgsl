// The mean of each window: over what lies in the input, or in the padded input where include_pad says so.
override include_pad: bool = false;
override ed: u32 = 0; override eh: u32 = 0; override ew: u32 = 0; // padding behind

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let p = pooled(i);
    var sum = V();
    var inside = 0u;
    var padded = 0u;
    for (var zd = 0u; zd < kd; zd++) {
        let d = p.d + zd * ld;
        for (var zh = 0u; zh < kh; zh++) {
            let h = p.h + zh * lh;
            for (var zw = 0u; zw < kw; zw++) {
                let w = p.w + zw * lw;
                if d >= pd + in_d + ed || h >= ph + in_h + eh || w >= pw + in_w + ew { continue; }
                padded++;
                if d - pd >= in_d || h - ph >= in_h || w - pw >= in_w { continue; }
                inside++;
                sum += value(p.x + (((d - pd) * in_h + h - ph) * in_w + w - pw) * inner);
            }
        }
    }
    var count = inside;
    if include_pad { count = padded; }
    put(base(at.y) + i, sum / f32(max(count, 1u)));
}
