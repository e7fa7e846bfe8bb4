// Depthwise, kernels up to seven wide, strides of one or two: an invocation computes four neighbouring places of a
// row in four channels, and reads each row of the input once.
var<private> a: array<V, 4>;

fn taps(x0: V, x1: V, x2: V, x3: V, w: u32) {
    let k = packed[w];
    a[0] = added(a[0], x0, k); a[1] = added(a[1], x1, k);
    a[2] = added(a[2], x2, k); a[3] = added(a[3], x3, k);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= at.total { return; }
    let tiles = (at.out_w + 3u) / 4u;
    let ow = i % tiles * 4u;
    let oh = i / tiles % at.out_h;
    let c = i / (tiles * at.out_h) % at.c4;
    let image = i / (tiles * at.out_h * at.c4);
    let start = ow * sw - at.pad_w;
    var w = at.w / 4u + c * (HEAD + kh * kw);
    let bias = packed[w];
    a[0] = bias; a[1] = bias; a[2] = bias; a[3] = bias;
    let scale = packed[w + HEAD - 1u];
    w += HEAD;
    for (var zh = 0u; zh < kh; zh++) {
        let h = oh * sh + zh * lh - at.pad_h;
        if padded && h >= at.in_h {
            w += kw;
            continue;
        }
        let row = at.x / FOUR + ((image * at.c4 + c) * at.in_h + h) * at.in_w;
        // 3 strides and the kernel's width: 4 to 13 columns, those that nothing reads fall away.
        let x0 = column(row, start); let x1 = column(row, start + 1u);
        let x2 = column(row, start + 2u); let x3 = column(row, start + 3u);
        let x4 = column(row, start + 4u); let x5 = column(row, start + 5u);
        let x6 = column(row, start + 6u); let x7 = column(row, start + 7u);
        let x8 = column(row, start + 8u); let x9 = column(row, start + 9u);
        let x10 = column(row, start + 10u); let x11 = column(row, start + 11u);
        let x12 = column(row, start + 12u);
        if sw == 1u {
            taps(x0, x1, x2, x3, w);
            if kw > 1u { taps(x1, x2, x3, x4, w + 1u); }
            if kw > 2u { taps(x2, x3, x4, x5, w + 2u); }
            if kw > 3u { taps(x3, x4, x5, x6, w + 3u); }
            if kw > 4u { taps(x4, x5, x6, x7, w + 4u); }
            if kw > 5u { taps(x5, x6, x7, x8, w + 5u); }
            if kw > 6u { taps(x6, x7, x8, x9, w + 6u); }
        } else {
            taps(x0, x2, x4, x6, w);
            if kw > 1u { taps(x1, x3, x5, x7, w + 1u); }
            if kw > 2u { taps(x2, x4, x6, x8, w + 2u); }
            if kw > 3u { taps(x3, x5, x7, x9, w + 3u); }
            if kw > 4u { taps(x4, x6, x8, x10, w + 4u); }
            if kw > 5u { taps(x5, x7, x9, x11, w + 5u); }
            if kw > 6u { taps(x6, x8, x10, x12, w + 6u); }
        }
        w += kw;
    }
    let row = ((image * at.c4 + c) * at.out_h + oh) * at.out_w;
    for (var j = 0u; j < 4u; j++) {
        if ow + j < at.out_w { finish(row + ow + j, a[j], scale); }
    }
}
