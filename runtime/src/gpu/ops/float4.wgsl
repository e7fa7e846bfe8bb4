// Four floats at a time: the one buffer, and packed weights.
alias V = vec4<f32>;
@group(0) @binding(0) var<storage, read_write> mem: array<V>;
@group(0) @binding(2) var<storage, read> packed: array<V>;
const FOUR: u32 = 4u; // words of a four
const HEAD: u32 = 1u; // for each four of output channels: the bias
override residual: bool = false;

fn value(i: u32) -> V {
    return mem[i];
}

fn added(acc: V, x: V, k: V) -> V {
    return fma(x, k, acc);
}

fn finish(y: u32, v: V, scale: V) {
    var sum = v;
    if residual { sum += mem[at.r / 4u + y]; }
    mem[at.y / 4u + y] = vec4<f32>(activate(sum.x), activate(sum.y), activate(sum.z), activate(sum.w));
}
