// Multiply-adds in registers and nothing else, four vectors of four at a time.
@group(0) @binding(0) var<storage, read_write> mem: array<vec4<f32>>;
override rounds: u32 = 1;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = vec4<f32>(f32(id.x) * 1e-9 + 0.5);
    var v0 = a; var v1 = a + 1.0; var v2 = a + 2.0; var v3 = a + 3.0;
    for (var i = 0u; i < rounds; i++) {
        v0 = fma(v0, a, a); v1 = fma(v1, a, a); v2 = fma(v2, a, a); v3 = fma(v3, a, a);
        v0 = fma(v0, a, a); v1 = fma(v1, a, a); v2 = fma(v2, a, a); v3 = fma(v3, a, a);
    }
    mem[id.x] = v0 + v1 + v2 + v3;
}
