// activation.wgsl and binary.wgsl of channels in fours: y = activate(x op w). An operand's four may be for several places.
override op: u32 = 4; // 0 Add, 1 Sub, 2 Mul, 3 Div; 4: there is no w
override x_places: u32 = 1;
override w_places: u32 = 1;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    var v = value(base(at.x) + i / x_places);
    if op < 4u {
        let w = value(base(at.w) + i / w_places);
        switch op {
            case 1u: { v -= w; }
            case 2u: { v *= w; }
            case 3u: { v /= w; }
            default: { v += w; }
        }
    }
    put(base(at.y) + i, activated(v));
}
