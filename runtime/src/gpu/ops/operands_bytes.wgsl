// Two operands in fours with NumPy's broadcasting of planes: an operand's four may be for several places.
override x_places: u32 = 1;
override w_places: u32 = 1;

struct Operands { a: V, b: V }

fn operands(i: u32) -> Operands {
    return Operands(value(at.x + i / x_places), value(at.w + i / w_places));
}
