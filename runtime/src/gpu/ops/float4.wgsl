// Four floats at a time: the one buffer, and packed weights.
alias V = vec4<f32>;
alias X = V; // four channels of a place
alias K = array<V, 4>; // weights of four input by four output channels
@group(0) @binding(0) var<storage, read_write> mem: array<V>;
@group(0) @binding(2) var<storage, read> packed: array<V>;
const FOUR: u32 = 4u; // words of X
const WIDTH: u32 = 4u; // vectors of K
const HEAD: u32 = 1u; // for each four of output channels: the bias
const SKIPS: bool = true; // what lies outside of the input adds nothing
override residual: bool = false;

fn value(i: u32) -> X {
    return mem[i];
}

fn outside() -> X {
    return X();
}

fn channels(x: X) -> V {
    return x;
}

fn weights(a: V, b: V, c: V, d: V) -> K {
    return K(a, b, c, d);
}

fn product(acc: V, x: X, k: K) -> V {
    return added(added(added(added(acc, V(x.x), k[0]), V(x.y), k[1]), V(x.z), k[2]), V(x.w), k[3]);
}

fn added(acc: V, x: V, k: V) -> V {
    return fma(x, k, acc);
}

fn row_width() -> u32 {
    return kw;
}

fn row_taps(w: u32) -> array<V, 7> {
    return array<V, 7>(
        packed[w], packed[w + 1u], packed[w + 2u], packed[w + 3u], packed[w + 4u], packed[w + 5u], packed[w + 6u],
    );
}

fn finish(y: u32, v: V, scale: V) {
    var sum = v;
    if residual { sum += mem[at.r / 4u + y]; }
    mem[at.y / 4u + y] = vec4<f32>(activate(sum.x), activate(sum.y), activate(sum.z), activate(sum.w));
}
