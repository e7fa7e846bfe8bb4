// Resize along up to six dimensions by tables: for each index along each dimension of y, the two indices of x
// around it (as element offsets) and the weight of the second. main_nearest takes the first.
// w: the tables, one dimension after the other
override d0: u32 = 1; override d1: u32 = 1; override d2: u32 = 1;
override d3: u32 = 1; override d4: u32 = 1; override d5: u32 = 1;

fn entries(i: u32) -> array<u32, 6> {
    let q5 = i / d5; let q4 = q5 / d4; let q3 = q4 / d3; let q2 = q3 / d2; let q1 = q2 / d1;
    return array<u32, 6>(
        at.w + 3u * q1,
        at.w + 3u * (d0 + q2 % d1),
        at.w + 3u * (d0 + d1 + q3 % d2),
        at.w + 3u * (d0 + d1 + d2 + q4 % d3),
        at.w + 3u * (d0 + d1 + d2 + d3 + q5 % d4),
        at.w + 3u * (d0 + d1 + d2 + d3 + d4 + i % d5),
    );
}

@compute @workgroup_size(64)
fn main_nearest(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let e = entries(i);
    var place = at.x;
    for (var k = 0u; k < 6u; k++) { place += bitcast<u32>(mem[e[k]]); }
    mem[at.y + i] = mem[place];
}

@compute @workgroup_size(64)
fn main_linear(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let e = entries(i);
    var sum = 0.0;
    for (var corner = 0u; corner < 64u; corner++) {
        var weight = 1.0;
        var place = at.x;
        for (var k = 0u; k < 6u; k++) {
            let second = (corner >> k) & 1u;
            let share = bitcast<f32>(mem[e[k] + 2u]);
            weight *= select(1.0 - share, share, second == 1u);
            place += bitcast<u32>(mem[e[k] + second]);
        }
        if weight != 0.0 { sum += weight * bitcast<f32>(mem[place]); }
    }
    mem[at.y + i] = bitcast<i32>(sum);
}
