// The one buffer, of floats.
alias T = f32;
const LEAST: T = -3.40282346638528859812e38f;
@group(0) @binding(0) var<storage, read_write> mem: array<T>;
