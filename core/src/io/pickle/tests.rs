use super::*;

const ARRAYS: Dialect = Dialect { names: &[("a", "b")], persistent: false, only: "arrays of bytes" };

#[test]
fn nothing_else_is_understood() {
    for (file, wanted) in [
        (&b"cos\nsystem\n(S'ls'\ntR."[..], "at byte 0: it asks for `os.system`; only arrays"),
        (b"\x80\x02cbuiltins\neval\n", "at byte 2: it asks for `builtins.eval`"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "it asks for `posix.system`"),
        (b"(i__main__\nX\n.", "opcode 0x69 is none"),
        (b"K\x01K\x02R.", "something is called that is no known name"),
        (b"ca\nb\nb.", "a value is missing"),
        (b"ca\nb\n)b.", "a state is given to what is no object"),
        (b"K\x01Q.", "opcode 0x51 is none"),
        (b"\x80\x02}q\x01", "it is cut off"),
        (b"a.", "a value is missing"),
        (b"e", "a mark is missing"),
        (b"h\x07.", "was not remembered"),
        (b"B\xff\xff\xff\x7fx", "it is cut off"),
    ] {
        let error = Pickle::read(file, &ARRAYS).err().unwrap();
        assert!(error.contains(wanted), "{error}");
    }
    // A list of itself, and endless copies of one value.
    let file = b"]q\x00h\x00a.";
    assert!(Pickle::read(file, &ARRAYS).unwrap().get("x").is_err());
    let many = [&b"]q\x00"[..], &b"h\x00".repeat(machine::MAX_VALUES + 1)].concat();
    assert!(Pickle::read(&many, &ARRAYS).err().unwrap().contains("more than"));
    let many = [&b"N"[..], &b"\x94".repeat(machine::MAX_VALUES + 1)].concat();
    assert!(Pickle::read(&many, &ARRAYS).err().unwrap().contains("more than"));
    let deep = [&b"(".repeat(1001)[..], b"."].concat();
    assert!(Pickle::read(&deep, &ARRAYS).err().unwrap().contains("nested more than 1000 deep"));
}
