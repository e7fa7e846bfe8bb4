// Convolution of integers (as conv.wgsl), exact in 32 bits: sum of (x - x_zero) * (w - w_zero[m]), plus the
// integer bias. main_float: times scale[m]. main_integer: times scale[m], which holds the output's own scale
// too, rounded half to even, plus y_zero, saturated to lo..hi: what ONNX Runtime's QLinearConv computes.
struct At { x: u32, w: u32, b: u32, r: u32, s: u32, y: u32 } // r: scales, s: zero points of w
@group(0) @binding(0) var<storage, read_write> mem: array<i32>;
@group(0) @binding(1) var<uniform> at: At;
override total: u32 = 1;
override bias: bool = false;
override x_zero: i32 = 0;
override y_zero: i32 = 0;
override lo: i32 = 0;
override hi: i32 = 0;
override groups: u32 = 1;
override cg: u32 = 1;
override mg: u32 = 1;
override in_d: u32 = 1; override in_h: u32 = 1; override in_w: u32 = 1;
override out_d: u32 = 1; override out_h: u32 = 1; override out_w: u32 = 1;
override kd: u32 = 1; override kh: u32 = 1; override kw: u32 = 1;
override sd: u32 = 1; override sh: u32 = 1; override sw: u32 = 1;
override ld: u32 = 1; override lh: u32 = 1; override lw: u32 = 1;
override pd: u32 = 0; override ph: u32 = 0; override pw: u32 = 0;

struct Sums { acc: vec4<i32>, channel: u32, count: u32, y: u32 }

fn sums(i: u32) -> Sums {
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
    let last = mg - 1u;
    let rows = min(vec4<u32>(m, m + 1u, m + 2u, m + 3u), vec4<u32>(last)) + g * mg;
    let zero = vec4<i32>(mem[at.s + rows.x], mem[at.s + rows.y], mem[at.s + rows.z], mem[at.s + rows.w]);
    let w4 = rows * (cg * kd * kh * kw) + at.w;
    var acc = vec4<i32>(0);
    if bias {
        acc = vec4<i32>(mem[at.b + rows.x], mem[at.b + rows.y], mem[at.b + rows.z], mem[at.b + rows.w]);
    }
    for (var c = 0u; c < cg; c++) {
        let x = at.x + (image * groups * cg + g * cg + c) * in_plane;
        for (var zd = 0u; zd < kd; zd++) {
            let d = od * sd + zd * ld - pd;
            if d >= in_d { continue; }
            for (var zh = 0u; zh < kh; zh++) {
                let h = oh * sh + zh * lh - ph;
                if h >= in_h { continue; }
                for (var zw = 0u; zw < kw; zw++) {
                    let w = ow * sw + zw * lw - pw;
                    if w >= in_w { continue; }
                    let v = mem[x + (d * in_h + h) * in_w + w] - x_zero;
                    let t = w4 + (((c * kd + zd) * kh + zh) * kw + zw);
                    acc += v * (vec4<i32>(mem[t.x], mem[t.y], mem[t.z], mem[t.w]) - zero);
                }
            }
        }
    }
    let y = (image * groups * mg + g * mg + m) * out_plane + place;
    return Sums(acc, g * mg + m, min(4u, mg - m), y);
}

@compute @workgroup_size(64)
fn main_float(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let s = sums(i);
    for (var j = 0u; j < s.count; j++) {
        let v = f32(s.acc[j]) * bitcast<f32>(mem[at.r + s.channel + j]);
        mem[at.y + s.y + j * out_d * out_h * out_w] = bitcast<i32>(v);
    }
}

@compute @workgroup_size(64)
fn main_integer(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let s = sums(i);
    for (var j = 0u; j < s.count; j++) {
        let v = f32(s.acc[j]) * bitcast<f32>(mem[at.r + s.channel + j]);
        let q = i32(round(clamp(v, f32(lo - y_zero), f32(hi - y_zero)))) + y_zero;
        mem[at.y + s.y + j * out_d * out_h * out_w] = q;
    }
}
