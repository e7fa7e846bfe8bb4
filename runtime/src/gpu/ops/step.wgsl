// Where a step's values lie, in elements: up to five that it reads, and the one it writes.
struct At { x: u32, w: u32, b: u32, r: u32, s: u32, y: u32 }
@group(0) @binding(1) var<uniform> at: At;
override total: u32 = 1; // invocations
