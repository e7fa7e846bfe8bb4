//! Against files that torch.save wrote (scripts/make-state-dict-fixtures.py), and against hostile ones made by hand.

use super::*;
use crate::io::tensors::{Data, Tensor};
use half::{bf16, f16};

macro_rules! fixture {
    ($name:literal) => {
        &include_bytes!(concat!("fixtures/", $name, ".pth"))[..]
    };
}

fn load(bytes: &[u8]) -> Result<TensorMap> {
    read(bytes, Path::new("w.pth"))
}

fn refused(bytes: &[u8]) -> String {
    let error = load(bytes).err().unwrap();
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

/// Both forms hold every element type, views with offset and strides, and two names for one storage.
#[test]
fn what_torch_saved_is_read() {
    for file in [fixture!("plain"), fixture!("plain.legacy")] {
        let map = load(file).unwrap();
        let base: Vec<f32> = (0..12u8).map(f32::from).collect();
        let f32 = |shape: &[usize], values: &[f32]| Tensor::f32(shape, values.to_vec());
        for (name, wanted) in [
            ("plain", f32(&[2, 3], &[0.5, -1.5, 2.0, 3.0, 4.0, -0.25])),
            ("turned", f32(&[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])),
            ("part", f32(&[3], &[4.0, 5.0, 6.0])),
            ("every_other", f32(&[3], &[1.0, 5.0, 9.0])),
            ("tied", f32(&[12], &base)),
            ("stretched", f32(&[2, 1], &[7.0, 8.0])),
            ("weight", f32(&[1], &[9.0])),
            ("empty", f32(&[0, 3], &[])),
            ("count", Tensor::i64(&[], vec![70_000])),
            ("flags", Tensor { shape: vec![2], data: Data::Bool(vec![true, false]) }),
            (
                "half",
                Tensor { shape: vec![3], data: Data::F16([1.0, -2.5, 65504.0].map(f16::from_f32).to_vec()) },
            ),
            ("brain", Tensor { shape: vec![2], data: Data::Bf16([1.0, -3.0].map(bf16::from_f32).to_vec()) }),
            ("double", Tensor { shape: vec![2], data: Data::F64(vec![0.1, -1e300]) }),
        ] {
            assert_eq!(map.0[name], wanted, "{name}");
        }
        assert_eq!(map.0.len(), 13);
    }
}

#[test]
fn files_are_told_apart() {
    assert!(is_one(fixture!("plain")) && is_one(fixture!("plain.legacy")));
    let length = |n: u64| [&n.to_le_bytes()[..], b"{}"].concat();
    for n in [0x80, 0x280, 100, 0x0403_4b50] {
        assert!(!is_one(&length(n)), "{n}");
    }
    assert!(!is_one(b""));
}

#[test]
fn checkpoints_are_unwrapped() {
    for file in [fixture!("checkpoint"), fixture!("checkpoint.legacy")] {
        let map = load(file).unwrap();
        assert_eq!(map.0.keys().collect::<Vec<_>>(), ["half", "plain"]);
    }
    for file in [fixture!("twice-wrapped"), fixture!("twice-wrapped.legacy")] {
        assert_eq!(load(file).unwrap().0["a"].shape, [12]);
    }
}

#[test]
fn nothing_is_run_and_all_else_is_named() {
    for (file, wanted) in [
        (fixture!("posix-system"), "asks for `posix.system`; only tensors of a state dict"),
        (fixture!("posix-system.legacy"), "asks for `posix.system`"),
        (fixture!("eval"), "asks for `__builtin__.eval`"),
        (fixture!("eval.legacy"), "asks for `__builtin__.eval`"),
        (fixture!("module"), "asks for `torch.nn.modules.linear.Linear`"),
        (fixture!("no-tensor"), "`b` is no tensor"),
        (fixture!("no-tensor.legacy"), "`b` is no tensor"),
        (fixture!("number-as-name"), "name is no text"),
        (fixture!("number-as-name.legacy"), "name is no text"),
        (fixture!("deflated"), "is compressed (method 8), wanted stored"),
        (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "does not begin as torch.save's files do"),
    ] {
        let error = refused(file);
        assert!(error.starts_with("w.pth: is no PyTorch state dict that is read here: "), "{error}");
        assert!(error.contains(wanted), "{error}");
    }
    assert!(!Path::new("state-dict-was-run").exists());
}

/// Every truncation is refused; of flipped bytes, none panics, and the zip archive's checksums let none pass that
/// changes a tensor.
#[test]
fn no_bytes_break_the_reader() {
    let good = load(fixture!("plain")).unwrap();
    for (file, sealed) in [(fixture!("plain"), true), (fixture!("plain.legacy"), false)] {
        for at in 0..file.len() {
            assert!(load(&file[..at]).is_err(), "cut at {at}");
            for flip in [1, 2, 4, 0x10, 0x80, 0xff] {
                let mut broken = file.to_vec();
                broken[at] ^= flip;
                let read = load(&broken);
                assert!(!sealed || read.is_err() || read.unwrap() == good, "flip {flip:#x} at {at}");
            }
        }
    }
}

/// A stored archive of these entries.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        let length = (bytes.len() as u32).to_le_bytes();
        let numbers =
            [&[0; 8][..], &sum.sum().to_le_bytes(), &length, &length, &(name.len() as u16).to_le_bytes()];
        let offset = (file.len() as u32).to_le_bytes();
        let fields = numbers.concat();
        directory.extend([b"PK\x01\x02\0\0\0\0", &fields[..], &[0; 12], &offset, name.as_bytes()].concat());
        file.extend([b"PK\x03\x04\0\0", &fields[..], &[0; 2], name.as_bytes(), bytes].concat());
    }
    let (count, offset) = ((entries.len() as u16).to_le_bytes(), (file.len() as u32).to_le_bytes());
    let size = (directory.len() as u32).to_le_bytes();
    file.extend(directory);
    file.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &offset, &[0; 2]].concat());
    file
}

/// A pickle of `names` tensors of one storage of `count` f32 values.
fn pickled(names: usize, count: u32, offset: u32, size: &[u32], stride: &[u32]) -> Vec<u8> {
    let number = |n: &u32| [&b"\x8a\x05"[..], &n.to_le_bytes(), &[0]].concat();
    let tuple = |n: &[u32]| [&b"("[..], &n.iter().flat_map(number).collect::<Vec<u8>>(), b"t"].concat();
    let storage =
        [&b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpu"[..], &number(&count), b"tQ"].concat();
    let mut file = b"\x80\x02}(".to_vec();
    for name in 0..names {
        file.extend([&b"X\x04\0\0\0"[..], format!("{name:04}").as_bytes()].concat());
        file.extend([&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage, &number(&offset)].concat());
        file.extend([&tuple(size)[..], &tuple(stride), b"\x89NtR"].concat());
    }
    file.extend(b"u.");
    file
}

#[test]
fn lying_sizes_are_refused() {
    let four = [0u8; 16];
    let of = |pickle: Vec<u8>| archive(&[("x/data.pkl", &pickle), ("x/data/0", &four)]);
    assert_eq!(load(&of(pickled(1, 4, 0, &[2, 2], &[1, 2]))).unwrap().0["0000"].shape, [2, 2]);
    for (file, wanted) in [
        (of(pickled(1, 4, 0, &[5], &[1])), "lies outside its storage of 4 values"),
        (of(pickled(1, 4, 1, &[4], &[1])), "lies outside its storage"),
        (of(pickled(1, 4, 0, &[2], &[4])), "lies outside its storage"),
        (of(pickled(1, 4, u32::MAX, &[2], &[1])), "lies outside its storage"),
        // One value, stretched to more than there are.
        (of(pickled(1, 4, 0, &[1 << 31, 1 << 31], &[0, 0])), "lies outside its storage"),
        (of(pickled(1, 4, 0, &[u32::MAX, u32::MAX, u32::MAX, 0], &[0; 4])), "lies outside its storage"),
        (of(pickled(1, 4, 0, &[2, 2], &[1])), "has 2 dimensions and 1 strides"),
        (of(pickled(1, 4, 0, &[1; 9], &[1; 9])), "has 9 dimensions, wanted at most 8"),
        (of(pickled(1, 5, 0, &[4], &[1])), "is of a storage of 20 bytes, the file has 16"),
        (of(pickled(1, u32::MAX, 0, &[4], &[1])), "the file has 16"),
        (archive(&[("x/data.pkl", &pickled(1, 4, 0, &[4], &[1]))]), "entry `data/0` is missing"),
        (archive(&[("x/data/0", &four)]), "entry `data.pkl` is missing"),
        (archive(&[("data.pkl", &four)]), "is in no folder"),
        (archive(&[("x/data.pkl", &four), ("y/data.pkl", &four)]), "is in another folder"),
        (archive(&[("x/data.pkl", &four), ("x/data.pkl", &four)]), "is there twice"),
        (
            archive(&[
                ("x/data.pkl", &pickled(1, 4, 0, &[4], &[1])),
                ("x/byteorder", b"big"),
                ("x/data/0", &four),
            ]),
            "not little-endian",
        ),
        (of(pickled(0, 4, 0, &[4], &[1])), "it holds no tensors"),
        (of(b"\x80\x02]q\0h\0a.".to_vec()), "it is no dictionary"),
    ] {
        let error = refused(&file);
        assert!(error.contains(wanted), "{error}");
    }
}

/// Many views of one storage, and many entries at one place: more than the file could hold.
#[test]
fn bombs_are_refused() {
    let storage = vec![0u8; 40_000];
    let bomb = archive(&[("x/data.pkl", &pickled(100, 10_000, 0, &[10_000], &[1])), ("x/data/0", &storage)]);
    let error = refused(&bomb);
    assert!(error.contains("`0002` and those before it are more than twice as large as the file"), "{error}");

    let mut bomb = archive(&[("x/a", &storage), ("x/b", &storage)]);
    let second = bomb.windows(3).rposition(|w| w == b"x/b").unwrap();
    bomb[second + 2] = b'a';
    bomb[second - 4..second].copy_from_slice(&[0; 4]);
    // The same entry a second time; the second one's own bytes are cut out.
    let gap = 30 + 3 + storage.len();
    bomb.drain(gap..2 * gap);
    let at = bomb.len() - 6;
    bomb[at..at + 4].copy_from_slice(&(gap as u32).to_le_bytes());
    assert!(refused(&bomb).contains("entries are larger than the archive"), "{}", refused(&bomb));
}
