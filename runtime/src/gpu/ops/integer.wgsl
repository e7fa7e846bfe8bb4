// The one buffer, of integers (or of bits).
alias T = i32;
const LEAST: T = -2147483647i - 1i;
@group(0) @binding(0) var<storage, read_write> mem: array<T>;
