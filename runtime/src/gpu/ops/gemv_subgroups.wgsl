var<workgroup> sums: array<f32, 64>; // of each subgroup

@compute @workgroup_size(64)
fn main(
    @builtin(local_invocation_index) l: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_invocation_id) in_subgroup: u32,
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
) {
    let i = id.x + id.y * n.x;
    if i >= total { return; }
    let sum = subgroupAdd(share(i, l));
    if in_subgroup == 0u { sums[subgroup] = sum; }
    workgroupBarrier();
    if l == 0u {
        var all = sums[0];
        for (var s = 1u; s < subgroups; s++) { all += sums[s]; }
        put(i, all);
    }
}
