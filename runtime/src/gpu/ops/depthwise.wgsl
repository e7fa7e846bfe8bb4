// Depthwise, kernels up to seven wide, strides of one or two: an invocation computes four neighbouring places of a
// row in four channels, and reads each row of the input once.
var<private> a: array<V, 4>;

fn taps(x0: V, x1: V, x2: V, x3: V, k: V) {
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
    var w = at.w / 4u + c * (HEAD + kh * row_width());
    let bias = head(w);
    a[0] = bias; a[1] = bias; a[2] = bias; a[3] = bias;
    let scale = head(w + HEAD - 1u);
    w += HEAD;
    for (var zh = 0u; zh < kh; zh++) {
        let h = oh * sh + zh * lh - at.pad_h;
        if skipped(h) {
            w += row_width();
            continue;
        }
        let row = row_start(image * at.c4 + c, h);
        let k = row_taps(w);
        // 3 strides and the kernel's width: 4 to 13 columns, those that nothing reads fall away.
        let x0 = channels(column(row, h, start)); let x1 = channels(column(row, h, start + 1u));
        let x2 = channels(column(row, h, start + 2u)); let x3 = channels(column(row, h, start + 3u));
        let x4 = channels(column(row, h, start + 4u)); let x5 = channels(column(row, h, start + 5u));
        let x6 = channels(column(row, h, start + 6u)); let x7 = channels(column(row, h, start + 7u));
        let x8 = channels(column(row, h, start + 8u)); let x9 = channels(column(row, h, start + 9u));
        let x10 = channels(column(row, h, start + 10u)); let x11 = channels(column(row, h, start + 11u));
        let x12 = channels(column(row, h, start + 12u));
        if sw == 1u {
            taps(x0, x1, x2, x3, k[0]);
            if kw > 1u { taps(x1, x2, x3, x4, k[1]); }
            if kw > 2u { taps(x2, x3, x4, x5, k[2]); }
            if kw > 3u { taps(x3, x4, x5, x6, k[3]); }
            if kw > 4u { taps(x4, x5, x6, x7, k[4]); }
            if kw > 5u { taps(x5, x6, x7, x8, k[5]); }
            if kw > 6u { taps(x6, x7, x8, x9, k[6]); }
        } else {
            taps(x0, x2, x4, x6, k[0]);
            if kw > 1u { taps(x1, x3, x5, x7, k[1]); }
            if kw > 2u { taps(x2, x4, x6, x8, k[2]); }
            if kw > 3u { taps(x3, x5, x7, x9, k[3]); }
            if kw > 4u { taps(x4, x6, x8, x10, k[4]); }
            if kw > 5u { taps(x5, x7, x9, x11, k[5]); }
            if kw > 6u { taps(x6, x8, x10, x12, k[6]); }
        }
        w += row_width();
    }
    let row = ((image * at.c4 + c) * at.out_h + oh) * at.out_w;
    for (var j = 0u; j < 4u; j++) {
        if ow + j < at.out_w { finish(row + ow + j, a[j], scale); }
    }
}
