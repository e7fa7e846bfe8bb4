// The one buffer, of floats.
alias T = f32;
@group(0) @binding(0) var<storage, read_write> mem: array<T>;
