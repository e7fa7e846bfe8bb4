// In registers: an invocation computes four neighbouring places of a row in eight output channels.
fn four(w: u32) -> K {
    return weights(packed[w], packed[w + 1u], packed[w + 2u], packed[w + 3u]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= at.total { return; }
    let tiles = (at.out_w + 3u) / 4u;
    let pairs = (at.m4 + 1u) / 2u;
    let ow = i % tiles * 4u;
    let oh = i / tiles % at.out_h;
    let pair = i / (tiles * at.out_h) % pairs;
    let image = i / (tiles * at.out_h * pairs);
    // Places beyond the row compute its last one again.
    let place = min(vec4<u32>(ow, ow + 1u, ow + 2u, ow + 3u), vec4<u32>(at.out_w - 1u));
    let start = place * sw - at.pad_w;
    var w = at.w / 4u + pair * 2u * (HEAD + at.c4 * kh * kw * WIDTH);
    var a0 = head(w); var a1 = a0; var a2 = a0; var a3 = a0;
    var b0 = head(w + 1u); var b1 = b0; var b2 = b0; var b3 = b0;
    let scale_a = head(w + 2u * (HEAD - 1u));
    let scale_b = head(w + 2u * (HEAD - 1u) + 1u);
    w += 2u * HEAD;
    for (var c = 0u; c < at.c4; c++) {
        for (var zh = 0u; zh < kh; zh++) {
            let h = oh * sh + zh * lh - at.pad_h;
            if skipped(h) {
                w += 2u * WIDTH * kw;
                continue;
            }
            let row = row_start(image * at.c4 + c, h);
            for (var zw = 0u; zw < kw; zw++) {
                let z = start + zw * lw;
                let x0 = column(row, h, z.x);
                let x1 = column(row, h, z.y);
                let x2 = column(row, h, z.z);
                let x3 = column(row, h, z.w);
                let ka = four(w);
                a0 = product(a0, x0, ka); a1 = product(a1, x1, ka);
                a2 = product(a2, x2, ka); a3 = product(a3, x3, ka);
                let kb = four(w + WIDTH);
                b0 = product(b0, x0, kb); b1 = product(b1, x1, kb);
                b2 = product(b2, x2, kb); b3 = product(b3, x3, kb);
                w += 2u * WIDTH;
            }
        }
    }
    let row = ((image * at.m4 + 2u * pair) * at.out_h + oh) * at.out_w;
    finish(row + place.x, a0, scale_a); finish(row + place.y, a1, scale_a);
    finish(row + place.z, a2, scale_a); finish(row + place.w, a3, scale_a);
    if 2u * pair + 1u < at.m4 {
        let next = row + at.out_h * at.out_w;
        finish(next + place.x, b0, scale_b); finish(next + place.y, b1, scale_b);
        finish(next + place.z, b2, scale_b); finish(next + place.w, b3, scale_b);
    }
}
