// Sums of products of [N, C, D, H, W] and [M, C / groups, KD, KH, KW], any stride, dilation, padding, groups:
// four output channels of one place. `value` and `weights` are the shader's that comes behind.
override groups: u32 = 1;
override cg: u32 = 1; // input channels of a group
override mg: u32 = 1; // output channels of a group

// rows: four output channels; the last block of a group may have less, `count`, and computes its last one again.
// y: the first one's place in [N, M, D, H, W].
struct Block { image: u32, group: u32, place: u32, rows: vec4<u32>, count: u32, y: u32 }

fn block(i: u32) -> Block {
    let out_plane = out_d * out_h * out_w;
    let blocks = (mg + 3u) / 4u;
    let place = i % out_plane;
    let m = i / out_plane % blocks * 4u;
    let g = i / (out_plane * blocks) % groups;
    let image = i / (out_plane * blocks * groups);
    let rows = min(vec4<u32>(m, m + 1u, m + 2u, m + 3u), vec4<u32>(mg - 1u)) + g * mg;
    return Block(image, g, place, rows, min(4u, mg - m), (image * groups * mg + g * mg + m) * out_plane + place);
}

fn sums(b: Block, bias: vec4<T>) -> vec4<T> {
    let in_plane = in_d * in_h * in_w;
    let od = b.place / (out_h * out_w);
    let oh = b.place / out_w % out_h;
    let ow = b.place % out_w;
    let w4 = b.rows * (cg * kd * kh * kw) + at.w;
    var acc = bias;
    for (var c = 0u; c < cg; c++) {
        let x = at.x + (b.image * groups * cg + b.group * cg + c) * in_plane;
        for (var zd = 0u; zd < kd; zd++) {
            let d = od * sd + zd * ld - pd; // wraps below zero, and is then too large
            if d >= in_d { continue; }
            for (var zh = 0u; zh < kh; zh++) {
                let h = oh * sh + zh * lh - ph;
                if h >= in_h { continue; }
                for (var zw = 0u; zw < kw; zw++) {
                    let w = ow * sw + zw * lw - pw;
                    if w >= in_w { continue; }
                    let t = w4 + ((c * kd + zd) * kh + zh) * kw + zw;
                    acc += value(x + (d * in_h + h) * in_w + w) * weights(t);
                }
            }
        }
    }
    return acc;
}
