// In shared memory, for large GPUs: a workgroup computes 64 places (over the rows of an image) in 64 output
// channels, an invocation four places in four channels; 16 input channels of one tap at a time.
var<workgroup> xs: array<V, 256>; // four fours of input channels by 64 places
var<workgroup> ws: array<V, 256>; // 16 input channels by 16 fours of output channels

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) l: u32,
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
) {
    let group = id.x + id.y * n.x;
    if group >= at.total { return; }
    let plane = at.out_h * at.out_w;
    let tiles = (plane + 63u) / 64u;
    let blocks = (at.m4 + 15u) / 16u;
    let first = group % tiles * 64u;
    let m = group / tiles % blocks * 16u;
    let image = group / (tiles * blocks);
    let taps = kh * kw;
    let pair = 2u * HEAD + at.c4 * taps * 8u;
    // What this invocation fetches: a place's input, and a vector of weights.
    let fetched = min(first + l % 64u, plane - 1u);
    let oh = fetched / at.out_w;
    let ow = fetched % at.out_w;
    let x_four = l / 64u;
    let k = l / 16u;
    let w_m = m + l % 16u;
    // What it computes.
    let own = m + l / 16u;
    let at_m = l / 16u;
    let at_p = l % 16u;
    var acc: array<V, 4>;
    for (var j = 0u; j < 4u; j++) { acc[j] = V(); }
    for (var tap = 0u; tap < taps; tap++) {
        let h = oh * sh + tap / kw * lh - at.pad_h;
        let w = ow * sw + tap % kw * lw - at.pad_w;
        for (var c = 0u; c < at.c4; c += 4u) {
            var x = V();
            if c + x_four < at.c4 && h < at.in_h && w < at.in_w {
                x = value(at.x / FOUR + ((image * at.c4 + c + x_four) * at.in_h + h) * at.in_w + w);
            }
            var v = V();
            if c + k / 4u < at.c4 && w_m < at.m4 {
                let weight = 2u * HEAD + ((c + k / 4u) * taps + tap) * 8u + w_m % 2u * 4u + k % 4u;
                v = packed[at.w / 4u + w_m / 2u * pair + weight];
            }
            workgroupBarrier();
            xs[l] = x;
            ws[l] = v;
            workgroupBarrier();
            for (var f = 0u; f < 4u; f++) {
                let weights = array<V, 4>(
                    ws[(4u * f) * 16u + at_m], ws[(4u * f + 1u) * 16u + at_m],
                    ws[(4u * f + 2u) * 16u + at_m], ws[(4u * f + 3u) * 16u + at_m],
                );
                for (var j = 0u; j < 4u; j++) {
                    acc[j] = product(acc[j], xs[f * 64u + j * 16u + at_p], weights);
                }
            }
        }
    }
    if own >= at.m4 { return; }
    let head = at.w / 4u + own / 2u * pair + own % 2u;
    let bias = packed[head];
    let scale = packed[head + 2u * (HEAD - 1u)];
    for (var j = 0u; j < 4u; j++) {
        let p = first + j * 16u + at_p;
        if p < plane { finish((image * at.m4 + own) * plane + p, acc[j] + bias, scale); }
    }
}
