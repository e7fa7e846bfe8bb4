// Four float16 at a time, in two words of the one buffer; what is computed is f32.
alias V = vec4<f32>;
@group(0) @binding(0) var<storage, read_write> mem: array<vec2<u32>>;

fn unpacked(m: vec2<u32>) -> V {
    return V(unpack2x16float(m.x), unpack2x16float(m.y));
}

fn value(i: u32) -> V {
    return unpacked(mem[i]);
}

fn put(i: u32, v: V) {
    mem[i] = vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}

// Where a value begins.
fn base(word: u32) -> u32 {
    return word / 2u;
}
