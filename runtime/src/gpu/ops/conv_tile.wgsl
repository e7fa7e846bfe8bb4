// In shared memory, for large GPUs: a workgroup computes 64 places (over the rows of an image) in 64 output
// channels, an invocation four places in four channels; DEPTH fours of input channels of one tap at a time.
const DEPTH: u32 = 16u / WIDTH;
var<workgroup> xs: array<X, 64u * DEPTH>; // DEPTH fours of input channels by 64 places
var<workgroup> ws: array<P, 256>; // as many by 16 fours of output channels, WIDTH vectors each

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
    let pair = 2u * (HEAD + at.c4 * taps * WIDTH);
    // What this invocation fetches: a place's input, and a vector of weights.
    let fetched = min(first + l % 64u, plane - 1u);
    let oh = fetched / at.out_w;
    let ow = fetched % at.out_w;
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
        for (var c = 0u; c < at.c4; c += DEPTH) {
            var v = P();
            let w_four = c + k / WIDTH;
            if w_four < at.c4 && w_m < at.m4 {
                let weight = 2u * HEAD + ((w_four * taps + tap) * 2u + w_m % 2u) * WIDTH + k % WIDTH;
                v = packed[at.w / 4u + w_m / 2u * pair + weight];
            }
            workgroupBarrier();
            for (var f = 0u; f < DEPTH; f += 4u) {
                let four = c + f + l / 64u;
                var x = outside();
                if four < at.c4 && h < at.in_h && w < at.in_w {
                    x = value(at.x / FOUR + ((image * at.c4 + four) * at.in_h + h) * at.in_w + w);
                }
                xs[f * 64u + l] = x;
            }
            ws[l] = v;
            workgroupBarrier();
            for (var f = 0u; f < DEPTH; f++) {
                let first = f * WIDTH * 16u + at_m;
                let block = weights(ws[first], ws[first + 16u], ws[first + 32u], ws[first + 48u]);
                for (var j = 0u; j < 4u; j++) {
                    acc[j] = product(acc[j], xs[f * 64u + j * 16u + at_p], block);
                }
            }
        }
    }
    if own >= at.m4 { return; }
    let own_head = at.w / 4u + own / 2u * pair + own % 2u;
    let bias = head(own_head);
    let scale = head(own_head + 2u * (HEAD - 1u));
    for (var j = 0u; j < 4u; j++) {
        let p = first + j * 16u + at_p;
        if p < plane { finish((image * at.m4 + own) * plane + p, acc[j] + bias, scale); }
    }
}
