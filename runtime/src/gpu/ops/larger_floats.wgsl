// The larger of two floats, NaN if either is; four at a time.
fn larger(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return select(select(max(a, b), b, are_nan(b)), a, are_nan(a));
}
