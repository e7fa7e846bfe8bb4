// The largest value of each window, NaN where there is one; padding does not count. Of a window of padding alone it is 0.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let p = pooled(i);
    var most = V();
    var none = true;
    for (var zd = 0u; zd < kd; zd++) {
        let d = p.d + zd * ld - pd; // wraps below zero, and is then too large
        if d >= in_d { continue; }
        for (var zh = 0u; zh < kh; zh++) {
            let h = p.h + zh * lh - ph;
            if h >= in_h { continue; }
            for (var zw = 0u; zw < kw; zw++) {
                let w = p.w + zw * lw - pw;
                if w >= in_w { continue; }
                let v = value(p.x + ((d * in_h + h) * in_w + w) * inner);
                if none { most = v; }
                none = false;
                most = larger(most, v);
            }
        }
    }
    put(base(at.y) + i, most);
}
