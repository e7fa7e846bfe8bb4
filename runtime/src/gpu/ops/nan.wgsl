// NaN by its bits: in WGSL min, max, clamp and comparisons of NaN give what they like, and a compiler may take every
// float for a number. A broken network must not look sound, so that whatever a step computes of NaN is NaN.
fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn are_nan(v: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}
