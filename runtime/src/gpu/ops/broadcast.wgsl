// Two operands with broadcasting. d*: the result's dimensions; x*, w*: strides, 0 along what is repeated.
override op: u32 = 0; // 0 Add, 1 Sub, 2 Mul, 3 Div
override d1: u32 = 1; override d2: u32 = 1; override d3: u32 = 1; override d4: u32 = 1; override d5: u32 = 1;
override x0: u32 = 0; override x1: u32 = 0; override x2: u32 = 0;
override x3: u32 = 0; override x4: u32 = 0; override x5: u32 = 0;
override w0: u32 = 0; override w1: u32 = 0; override w2: u32 = 0;
override w3: u32 = 0; override w4: u32 = 0; override w5: u32 = 0;

struct Operands { a: T, b: T }

fn operands(i: u32) -> Operands {
    let i5 = i % d5; let q5 = i / d5;
    let i4 = q5 % d4; let q4 = q5 / d4;
    let i3 = q4 % d3; let q3 = q4 / d3;
    let i2 = q3 % d2; let q2 = q3 / d2;
    let i1 = q2 % d1; let i0 = q2 / d1;
    return Operands(
        mem[at.x + i0 * x0 + i1 * x1 + i2 * x2 + i3 * x3 + i4 * x4 + i5 * x5],
        mem[at.w + i0 * w0 + i1 * w1 + i2 * w2 + i3 * w3 + i4 * w4 + i5 * w5],
    );
}
