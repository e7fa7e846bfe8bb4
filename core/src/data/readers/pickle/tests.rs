use super::*;

/// `{key: labels, "data": array}` as Python 2's cPickle writes it under protocol 2, which is how CIFAR is published.
pub(in crate::data::readers) fn python2(key: &str, labels: &[u8], columns: u16, data: &[u8]) -> Vec<u8> {
    let short = |text: &str| [&[b'U', text.len() as u8][..], text.as_bytes()].concat();
    let rows = (labels.len() as u16).to_le_bytes();
    let mut bytes =
        [b"\x80\x02}q\x01(", &short("batch_label")[..], b"q\x02", &short("training batch 1 of 5")].concat();
    bytes.extend([b"q\x03", &short(key)[..], b"q\x04]q\x05("].concat());
    labels.iter().for_each(|l| bytes.extend([b'K', *l]));
    bytes.extend([b"e", &short("data")[..]].concat());
    bytes.extend(b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01b\x87q\nRq\x0b(K\x01M");
    bytes.extend(rows);
    bytes.push(b'M');
    bytes.extend(columns.to_le_bytes());
    bytes.extend(b"\x86q\x0ccnumpy\ndtype\nq\rU\x02u1q\x0eK\x00K\x01\x87q\x0fRq\x10(K\x03U\x01|q\x11NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x12b\x89T");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes.extend([b"tq\x13b", &short("filenames")[..], b"q\x14]q\x15(", &short("a.png"), b"eu."].concat());
    bytes
}

#[test]
fn python_2s_array_is_read() {
    let file = python2("labels", &[6, 9], 3, &[1, 2, 3, 4, 5, 6]);
    let pickle = Pickle::read(&file).unwrap();
    assert_eq!(pickle.numbers(pickle.get("labels").unwrap()).unwrap(), [6, 9]);
    let Rows { rows, columns, bytes } = pickle.rows(pickle.get("data").unwrap()).unwrap();
    assert_eq!((rows, columns, &bytes[..]), (2, 3, &[1, 2, 3, 4, 5, 6][..]));
    assert_eq!(pickle.texts(pickle.get("filenames").unwrap()).unwrap(), ["a.png"]);
    assert!(pickle.get("fine").unwrap_err().contains("no key `fine`"));
}

/// What Python 3 and NumPy write (fixtures/pickle-*.pkl, made by scripts/make-photo-fixtures.py): the same, one of
/// them column by column.
#[test]
fn python_3s_protocols_are_read() {
    for file in [
        &include_bytes!("../fixtures/pickle-1.pkl")[..],
        include_bytes!("../fixtures/pickle-2.pkl"),
        include_bytes!("../fixtures/pickle-3.pkl"),
        include_bytes!("../fixtures/pickle-4.pkl"),
        include_bytes!("../fixtures/pickle-4-fortran.pkl"),
    ] {
        let pickle = Pickle::read(file).unwrap();
        assert_eq!(pickle.numbers(pickle.get("fine_labels").unwrap()).unwrap(), [5, 300, -70_000]);
        assert_eq!(pickle.texts(pickle.get("names").unwrap()).unwrap(), ["apple", "caf\u{e9}"]);
        let found = pickle.rows(pickle.get("data").unwrap()).unwrap();
        assert_eq!((found.rows, found.columns), (3, 2));
        assert_eq!(found.bytes, [0, 200, 3, 4, 255, 128]);
    }
}

#[test]
fn only_arrays_of_bytes_are_read() {
    let file = python2("labels", &[6, 9], 3, &[1, 2, 3, 4, 5, 6]);
    let at = file.windows(2).position(|w| w == b"u1").unwrap();
    let mut floats = file.clone();
    floats[at..at + 2].copy_from_slice(b"f4");
    for (file, key, wanted) in [
        (&floats, "data", "is an array of type \"f4\", wanted u1 (bytes)"),
        (&file, "labels", "is no NumPy array"),
        (&python2("labels", &[6, 9], 4, &[1, 2, 3, 4, 5, 6]), "data", "is 2 x 4 and has 6 bytes"),
    ] {
        let pickle = Pickle::read(file).unwrap();
        let error = pickle.rows(pickle.get(key).unwrap()).err().unwrap();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn no_bytes_break_the_machine() {
    let file = python2("labels", &[6, 9], 3, &[1, 2, 3, 4, 5, 6]);
    for at in 0..file.len() {
        assert!(Pickle::read(&file[..at]).is_err(), "cut at {at}");
        for flip in [1, 2, 4, 0x80, 0xff] {
            let mut broken = file.clone();
            broken[at] ^= flip;
            if let Ok(pickle) = Pickle::read(&broken) {
                let _either = pickle.get("data").and_then(|d| pickle.rows(d).map(|_| ()));
                let _either = pickle.get("labels").and_then(|l| pickle.numbers(l).map(|_| ()));
            }
        }
    }
}
