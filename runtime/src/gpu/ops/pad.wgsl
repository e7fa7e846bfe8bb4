// y[i] = x[i - begin] inside; outside: mode 0 the fill, 1 the edge, 2 mirrored without the edge, 3 wrapped.
// d*: the result's dimensions, e*: x's, p*: begin, as i32 (negative: cut off).
override mode: u32 = 0;
override fill: f32 = 0;
override fill_integer: i32 = 0;
override integer: bool = false;
override d0: u32 = 1; override d1: u32 = 1; override d2: u32 = 1;
override d3: u32 = 1; override d4: u32 = 1; override d5: u32 = 1;
override e0: i32 = 1; override e1: i32 = 1; override e2: i32 = 1;
override e3: i32 = 1; override e4: i32 = 1; override e5: i32 = 1;
override p0: i32 = 0; override p1: i32 = 0; override p2: i32 = 0;
override p3: i32 = 0; override p4: i32 = 0; override p5: i32 = 0;

// Where along a dimension of x, or -1.
fn source(i: u32, begin: i32, extent: i32) -> i32 {
    let v = i32(i) - begin;
    if v >= 0 && v < extent { return v; }
    switch mode {
        case 1u: { return clamp(v, 0, extent - 1); }
        case 2u: {
            if extent == 1 { return 0; }
            let period = 2 * (extent - 1);
            let m = ((v % period) + period) % period;
            return select(period - m, m, m < extent);
        }
        case 3u: { return ((v % extent) + extent) % extent; }
        default: { return -1; }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let q5 = i / d5; let q4 = q5 / d4; let q3 = q4 / d3; let q2 = q3 / d2; let q1 = q2 / d1;
    let s0 = source(q1, p0, e0);
    let s1 = source(q2 % d1, p1, e1);
    let s2 = source(q3 % d2, p2, e2);
    let s3 = source(q4 % d3, p3, e3);
    let s4 = source(q5 % d4, p4, e4);
    let s5 = source(i % d5, p5, e5);
    if min(min(min(s0, s1), min(s2, s3)), min(s4, s5)) < 0 {
        if integer {
            mem[at.y + i] = fill_integer;
        } else {
            mem[at.y + i] = bitcast<i32>(fill);
        }
        return;
    }
    mem[at.y + i] = mem[at.x + u32(((((s0 * e1 + s1) * e2 + s2) * e3 + s3) * e4 + s4) * e5 + s5)];
}
