// Elements of the one buffer, each by itself.
alias V = T;
alias F = f32;

fn value(i: u32) -> V {
    return mem[i];
}

fn put(i: u32, v: V) {
    mem[i] = v;
}

// Where a value begins.
fn base(word: u32) -> u32 {
    return word;
}
