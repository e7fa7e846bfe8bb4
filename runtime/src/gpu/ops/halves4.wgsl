// halves.wgsl for convolutions: packed weights are float16 too, two vectors of four in one, behind biases in f32.
alias P = vec4<u32>;
@group(0) @binding(2) var<storage, read> packed: array<P>;
const FOUR: u32 = 2u; // words of X
const WIDTH: u32 = 2u; // vectors of K

fn head(w: u32) -> V {
    return bitcast<V>(packed[w]);
}

fn weights(a: P, b: P, c: P, d: P) -> K {
    return K(unpacked(a.xy), unpacked(a.zw), unpacked(b.xy), unpacked(b.zw));
}

fn row_width() -> u32 {
    return (kw + 1u) / 2u;
}

fn row_taps(w: u32) -> array<V, 7> {
    let a = packed[w]; let b = packed[w + 1u]; let c = packed[w + 2u]; let d = packed[w + 3u];
    return array<V, 7>(
        unpacked(a.xy), unpacked(a.zw), unpacked(b.xy), unpacked(b.zw),
        unpacked(c.xy), unpacked(c.zw), unpacked(d.xy),
    );
}
