// The larger of two integers, or of four pairs.
fn larger(a: V, b: V) -> V {
    return max(a, b);
}
