// y = x op w of integers, wrapped to the result's type: `bits` wide, signed or not. Division goes towards zero;
// by zero it is undefined in ONNX and gives x here, as in WGSL.
override bits: u32 = 32;
override unsigned: bool = false;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let o = operands(i);
    var v = o.a + o.b;
    switch op {
        case 1u: { v = o.a - o.b; }
        case 2u: { v = o.a * o.b; }
        case 3u: {
            if unsigned {
                v = bitcast<i32>(bitcast<u32>(o.a) / bitcast<u32>(o.b));
            } else {
                v = o.a / o.b;
            }
        }
        default: {}
    }
    if unsigned {
        v = bitcast<i32>(extractBits(bitcast<u32>(v), 0u, bits));
    } else {
        v = extractBits(v, 0u, bits);
    }
    mem[at.y + i] = v;
}
