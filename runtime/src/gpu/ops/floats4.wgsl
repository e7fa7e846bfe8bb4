// Four floats at a time, as float4.wgsl or halves4.wgsl keep them.
alias X = vec4<f32>; // four channels of a place
alias K = array<vec4<f32>, 4>; // weights of four input by four output channels
const HEAD: u32 = 1u; // for each four of output channels: the bias
const SKIPS: bool = true; // what lies outside of the input adds nothing
override residual: bool = false;

fn outside() -> X {
    return X();
}

fn channels(x: X) -> X {
    return x;
}

fn product(acc: X, x: X, k: K) -> X {
    return added(added(added(added(acc, X(x.x), k[0]), X(x.y), k[1]), X(x.z), k[2]), X(x.w), k[3]);
}

fn added(acc: X, x: X, k: X) -> X {
    return fma(x, k, acc);
}

fn finish(y: u32, v: X, scale: X) {
    var sum = v;
    if residual { sum += value(at.r / FOUR + y); }
    put(at.y / FOUR + y, activated(sum));
}
