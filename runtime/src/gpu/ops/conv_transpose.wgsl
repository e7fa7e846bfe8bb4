// Transposed convolution of [N, C, D, H, W] with [C, M / groups, KD, KH, KW]: each output gathers the inputs
// whose window covers it.
override bias: bool = false;
override groups: u32 = 1;
override cg: u32 = 1;
override mg: u32 = 1;

// The input whose window's tap lies on `o`, or something too large.
fn source(o: u32, pad: u32, tap: u32, stride: u32) -> u32 {
    let reach = o + pad;
    if reach < tap || (reach - tap) % stride != 0u { return 0xffffffffu; }
    return (reach - tap) / stride;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let out_plane = out_d * out_h * out_w;
    let in_plane = in_d * in_h * in_w;
    let place = i % out_plane;
    let channel = i / out_plane % (groups * mg);
    let image = i / (out_plane * groups * mg);
    let g = channel / mg;
    let od = place / (out_h * out_w);
    let oh = place / out_w % out_h;
    let ow = place % out_w;
    var acc = 0.0;
    for (var c = g * cg; c < (g + 1u) * cg; c++) {
        let x = at.x + (image * groups * cg + c) * in_plane;
        let w = at.w + (c * mg + channel % mg) * kd * kh * kw;
        for (var zd = 0u; zd < kd; zd++) {
            let d = source(od, pd, zd * ld, sd);
            if d >= in_d { continue; }
            for (var zh = 0u; zh < kh; zh++) {
                let h = source(oh, ph, zh * lh, sh);
                if h >= in_h { continue; }
                for (var zw = 0u; zw < kw; zw++) {
                    let v = source(ow, pw, zw * lw, sw);
                    if v >= in_w { continue; }
                    acc += mem[x + (d * in_h + h) * in_w + v] * mem[w + (zd * kh + zh) * kw + zw];
                }
            }
        }
    }
    if bias { acc += mem[at.b + channel]; }
    mem[at.y + i] = activate(acc);
}
