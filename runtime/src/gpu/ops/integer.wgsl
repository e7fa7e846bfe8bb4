// The one buffer, of integers (or of bits).
alias T = i32;
@group(0) @binding(0) var<storage, read_write> mem: array<T>;
