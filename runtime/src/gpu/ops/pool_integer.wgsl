// As main_max of pool.wgsl, of integers.
struct At { x: u32, w: u32, b: u32, r: u32, s: u32, y: u32 }
@group(0) @binding(0) var<storage, read_write> mem: array<i32>;
@group(0) @binding(1) var<uniform> at: At;
override total: u32 = 1;
override in_d: u32 = 1; override in_h: u32 = 1; override in_w: u32 = 1;
override out_d: u32 = 1; override out_h: u32 = 1; override out_w: u32 = 1;
override kd: u32 = 1; override kh: u32 = 1; override kw: u32 = 1;
override sd: u32 = 1; override sh: u32 = 1; override sw: u32 = 1;
override ld: u32 = 1; override lh: u32 = 1; override lw: u32 = 1;
override pd: u32 = 0; override ph: u32 = 0; override pw: u32 = 0;

@compute @workgroup_size(64)
fn main_max(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let out_plane = out_d * out_h * out_w;
    let x = at.x + i / out_plane * in_d * in_h * in_w;
    let od = i % out_plane / (out_h * out_w);
    let oh = i / out_w % out_h;
    let ow = i % out_w;
    var most = -2147483647i - 1i;
    for (var zd = 0u; zd < kd; zd++) {
        let d = od * sd + zd * ld - pd;
        if d >= in_d { continue; }
        for (var zh = 0u; zh < kh; zh++) {
            let h = oh * sh + zh * lh - ph;
            if h >= in_h { continue; }
            for (var zw = 0u; zw < kw; zw++) {
                let w = ow * sw + zw * lw - pw;
                if w >= in_w { continue; }
                most = max(most, mem[x + (d * in_h + h) * in_w + w]);
            }
        }
    }
    mem[at.y + i] = most;
}
