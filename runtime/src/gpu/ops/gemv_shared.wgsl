var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(local_invocation_index) l: u32,
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
) {
    let i = id.x + id.y * n.x;
    if i >= total { return; }
    sums[l] = share(i, l);
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if l < half { sums[l] += sums[l + half]; }
    }
    if l == 0u { put(i, sums[0]); }
}
