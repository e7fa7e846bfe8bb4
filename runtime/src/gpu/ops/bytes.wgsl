// Elements of the one buffer of integers that are four bytes each.
alias V = vec4<i32>;
alias F = vec4<f32>;
override unsigned: bool = false;

fn value(i: u32) -> V {
    let word = bitcast<u32>(mem[i]);
    if unsigned { return V(unpack4xU8(word)); }
    return unpack4xI8(word);
}

fn put(i: u32, v: V) {
    mem[i] = bitcast<T>(pack4xI8(v)); // the low bytes, of either type
}

// Where a value begins.
fn base(word: u32) -> u32 {
    return word;
}
