// Four floats at a time: the one buffer, and packed weights.
alias V = vec4<f32>;
alias P = V;
@group(0) @binding(0) var<storage, read_write> mem: array<V>;
@group(0) @binding(2) var<storage, read> packed: array<P>;
const FOUR: u32 = 4u; // words of X
const WIDTH: u32 = 4u; // vectors of K

fn value(i: u32) -> V {
    return mem[i];
}

fn put(i: u32, v: V) {
    mem[i] = v;
}

fn head(w: u32) -> V {
    return packed[w];
}

fn weights(a: P, b: P, c: P, d: P) -> K {
    return K(a, b, c, d);
}

fn row_width() -> u32 {
    return kw;
}

fn row_taps(w: u32) -> array<V, 7> {
    return array<V, 7>(
        packed[w], packed[w + 1u], packed[w + 2u], packed[w + 3u], packed[w + 4u], packed[w + 5u], packed[w + 6u],
    );
}
