// Convolution of [N, C, D, H, W] with [M, C / groups, KD, KH, KW], any stride, dilation, padding, groups; bias,
// residual, activation. An invocation computes four output channels of one place. (After activate.wgsl.)
struct At { x: u32, w: u32, b: u32, r: u32, s: u32, y: u32 }
@group(0) @binding(0) var<storage, read_write> mem: array<f32>;
@group(0) @binding(1) var<uniform> at: At;
override total: u32 = 1;
override bias: bool = false;
override residual: bool = false;
override groups: u32 = 1;
override cg: u32 = 1; // input channels of a group
override mg: u32 = 1; // output channels of a group
override in_d: u32 = 1; override in_h: u32 = 1; override in_w: u32 = 1;
override out_d: u32 = 1; override out_h: u32 = 1; override out_w: u32 = 1;
override kd: u32 = 1; override kh: u32 = 1; override kw: u32 = 1;
override sd: u32 = 1; override sh: u32 = 1; override sw: u32 = 1;
override ld: u32 = 1; override lh: u32 = 1; override lw: u32 = 1;
override pd: u32 = 0; override ph: u32 = 0; override pw: u32 = 0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let out_plane = out_d * out_h * out_w;
    let in_plane = in_d * in_h * in_w;
    let blocks = (mg + 3u) / 4u;
    let place = i % out_plane;
    let m = i / out_plane % blocks * 4u;
    let g = i / (out_plane * blocks) % groups;
    let image = i / (out_plane * blocks * groups);
    let od = place / (out_h * out_w);
    let oh = place / out_w % out_h;
    let ow = place % out_w;
    // The last block of a group may have less than four channels: it computes its last one again.
    let last = mg - 1u;
    let k = cg * kd * kh * kw;
    let row = at.w + g * mg * k;
    let w0 = row + min(m, last) * k;
    let w1 = row + min(m + 1u, last) * k;
    let w2 = row + min(m + 2u, last) * k;
    let w3 = row + min(m + 3u, last) * k;
    var acc = vec4<f32>(0.0);
    for (var c = 0u; c < cg; c++) {
        let x = at.x + (image * groups * cg + g * cg + c) * in_plane;
        for (var zd = 0u; zd < kd; zd++) {
            let d = od * sd + zd * ld - pd; // wraps below zero, and is then too large
            if d >= in_d { continue; }
            for (var zh = 0u; zh < kh; zh++) {
                let h = oh * sh + zh * lh - ph;
                if h >= in_h { continue; }
                for (var zw = 0u; zw < kw; zw++) {
                    let w = ow * sw + zw * lw - pw;
                    if w >= in_w { continue; }
                    let v = mem[x + (d * in_h + h) * in_w + w];
                    let t = ((c * kd + zd) * kh + zh) * kw + zw;
                    acc += v * vec4<f32>(mem[w0 + t], mem[w1 + t], mem[w2 + t], mem[w3 + t]);
                }
            }
        }
    }
    for (var j = 0u; j < 4u; j++) {
        if m + j > last { return; }
        let channel = g * mg + m + j;
        let o = (image * groups * mg + channel) * out_plane + place;
        var v = acc[j];
        if bias { v += mem[at.b + channel]; }
        if residual { v += mem[at.r + o]; }
        mem[at.y + o] = activate(v);
    }
}
