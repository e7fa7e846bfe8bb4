// The largest value of each window of [N, C, D, H, W], one plane at a time; padding does not count. Channels
// lie `inner` together (`value`, `put`: those of scalars.wgsl, bytes.wgsl or halves.wgsl).
override inner: u32 = 1;

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
    var most = V(LEAST);
    for (var zd = 0u; zd < kd; zd++) {
        let d = od * sd + zd * ld - pd; // wraps below zero, and is then too large
        if d >= in_d { continue; }
        for (var zh = 0u; zh < kh; zh++) {
            let h = oh * sh + zh * lh - ph;
            if h >= in_h { continue; }
            for (var zw = 0u; zw < kw; zw++) {
                let w = ow * sw + zw * lw - pw;
                if w >= in_w { continue; }
                most = max(most, value(x + ((d * in_h + h) * in_w + w) * inner));
            }
        }
    }
    put(base(at.y) + i, most);
}
