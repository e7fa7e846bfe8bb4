// What a float step may apply to its result: `act` as in activation.rs. Of NaN it is NaN.
override act: u32 = 0;
override act_a: f32 = 0;
override act_b: f32 = 0;

fn activate(v: f32) -> f32 {
    var y = v;
    switch act {
        case 1u: { y = max(v, 0.0); }                          // Relu
        case 2u: { y = min(max(v, act_a), act_b); }            // Clip
        case 3u: { y = v * clamp(v / 6.0 + 0.5, 0.0, 1.0); }   // HardSwish
        case 4u: { y = clamp(act_a * v + act_b, 0.0, 1.0); }   // HardSigmoid
        case 5u: { y = 1.0 / (1.0 + exp(-v)); }                // Sigmoid
        default: {}
    }
    return select(y, v, is_nan(v));
}

fn activated(v: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(activate(v.x), activate(v.y), activate(v.z), activate(v.w));
}
