//! The idx layout (LeCun's MNIST page) that Fashion-MNIST is published in, plain or gzip.

use crate::data::{ImageSet, find_file};
use crate::io::artifact;
use crate::io::wide;
use crate::ir::arch::Input;
use crate::{Error, Result};
use std::io::Read;
use std::path::Path;

/// Class names of Fashion-MNIST, in label order.
pub(in crate::data) const FASHION_LABELS: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

const IMAGES_MAGIC: u32 = 0x0803; // u8, three dimensions
const LABELS_MAGIC: u32 = 0x0801; // u8, one dimension
const SIDE: usize = 28;
/// Fashion-MNIST has 60,000 images and its largest kin (QMNIST) 120,000: more is a damaged header. This
/// also bounds what a small gzip file can make us hold (103 MB).
const MAX_COUNT: usize = 131_072;
/// Of a file: the most images and their header, with room for gzip that made them no smaller.
const MAX_BYTES: u64 = wide(MAX_COUNT * SIDE * SIDE + (1 << 20));

/// Reads `PART-images-idx3-ubyte` and `PART-labels-idx1-ubyte`, each also with `.gz` or with the dot of
/// some mirrors (`PART-images.idx3-ubyte`).
pub(in crate::data) fn read_part(dir: &Path, part: &str) -> Result<ImageSet> {
    let path = |kind: &str, dims: &str| {
        let names = ["-", "."]
            .iter()
            .flat_map(|sep| [".gz", ""].map(|gz| format!("{part}-{kind}{sep}{dims}-ubyte{gz}")));
        find_file(dir, &names.collect::<Vec<_>>())
    };
    let (images, labels) = (path("images", "idx3")?, path("labels", "idx1")?);
    let read = |path: &Path| artifact::read_at_most(path, MAX_BYTES);
    parse((&images, &read(&images)?), (&labels, &read(&labels)?))
}

/// Images and labels from the files' bytes (gzip is recognised by its magic); paths are for messages.
pub(in crate::data) fn parse(images: (&Path, &[u8]), labels: (&Path, &[u8])) -> Result<ImageSet> {
    let (count, pixels) = payload(images, IMAGES_MAGIC, &[SIDE, SIDE])?;
    let (label_count, bytes) = payload(labels, LABELS_MAGIC, &[])?;
    if label_count != count {
        let what = format!("has {label_count} labels, {} has {count} images", images.0.display());
        return Err(Error::input(labels.0, what));
    }
    if let Some((i, label)) = bytes.iter().enumerate().find(|(_, l)| usize::from(**l) >= FASHION_LABELS.len())
    {
        return Err(Error::input(labels.0, format!("label {i} is {label}, wanted 0 to 9")));
    }
    let input = Input { channels: 1, height: SIDE, width: SIDE };
    ImageSet::new(input, FASHION_LABELS.len(), pixels, bytes.into_iter().map(u16::from).collect())
}

/// Checks the header and that exactly the promised bytes follow; returns (count, bytes).
fn payload((path, raw): (&Path, &[u8]), magic: u32, dims: &[usize]) -> Result<(usize, Vec<u8>)> {
    let gzip = raw.starts_with(&[0x1f, 0x8b]);
    let mut reader: Box<dyn Read + '_> =
        if gzip { Box::new(flate2::read::MultiGzDecoder::new(raw)) } else { Box::new(raw) };
    let bad = |what: String| Error::input(path, what);
    let mut number = |key: &str| -> Result<u32> {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map_err(|e| bad(format!("header ends before `{key}` ({e})")))?;
        Ok(u32::from_be_bytes(bytes))
    };
    let found = number("magic")?;
    if found != magic {
        return Err(bad(format!("magic is {found:#010x}, wanted {magic:#010x} (idx, u8)")));
    }
    let told = number("count")?;
    let count = usize::try_from(told).ok().filter(|count| (1..=MAX_COUNT).contains(count));
    let count = count.ok_or_else(|| bad(format!("count is {told}, wanted 1 to {MAX_COUNT}")))?;
    for &want in dims {
        let side = number("side")?;
        if usize::try_from(side) != Ok(want) {
            return Err(bad(format!("side is {side}, wanted {want}")));
        }
    }
    // One byte more than wanted is enough to see a trailing byte, and bounds what a hostile gzip
    // stream can make us hold.
    let want = count * dims.iter().product::<usize>();
    let mut bytes = Vec::new();
    let read = reader.take(wide(want) + 1).read_to_end(&mut bytes);
    if let Err(e) = read {
        return Err(bad(format!("damaged or truncated after {} of {want} bytes ({e})", bytes.len())));
    }
    match bytes.len() {
        n if n < want => Err(bad(format!("truncated: {n} bytes of data, the header says {want}"))),
        n if n > want => Err(bad(format!("more data than the {want} bytes the header says"))),
        _ => Ok((count, bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn images(count: u32, pixels: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for n in [IMAGES_MAGIC, count, 28, 28] {
            bytes.extend(n.to_be_bytes());
        }
        bytes.extend((0..pixels).map(|i| (i % 251) as u8));
        bytes
    }

    fn labels(count: u32, values: &[u8]) -> Vec<u8> {
        [&LABELS_MAGIC.to_be_bytes()[..], &count.to_be_bytes()[..], values].concat()
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(i: &[u8], l: &[u8]) -> Result<ImageSet> {
        parse((Path::new("I"), i), (Path::new("L"), l))
    }

    #[test]
    fn plain_and_gzip_agree() {
        let (i, l) = (images(2, 2 * 784), labels(2, &[9, 0]));
        let plain = read(&i, &l).unwrap();
        assert_eq!((plain.len(), &plain.labels[..]), (2, &[9, 0][..]));
        assert_eq!(plain.image(1).unwrap()[0], (784 % 251) as u8);
        assert_eq!(read(&gz(&i), &gz(&l)).unwrap(), plain);
    }

    #[test]
    fn every_truncation_is_refused() {
        let (i, l) = (images(1, 784), labels(1, &[3]));
        for packed in [i.clone(), gz(&i)] {
            for n in (0..packed.len()).step_by(3) {
                let error = read(&packed[..n], &l).unwrap_err().to_string();
                assert!(error.starts_with("I: "), "{n} bytes: {error}");
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let good = images(2, 2 * 784);
        let mut side = good.clone();
        side[11] = 29;
        let cases = [
            (good.clone(), labels(3, &[1, 2, 3]), "L: has 3 labels, I has 2 images"),
            (good.clone(), labels(2, &[1, 10]), "L: label 1 is 10, wanted 0 to 9"),
            (good.clone(), labels(2, &[1, 2, 3]), "L: more data than the 2 bytes"),
            (labels(2, &[1, 2]), labels(2, &[1, 2]), "I: magic is 0x00000801, wanted 0x00000803"),
            (images(u32::MAX, 10), labels(2, &[1, 2]), "I: count is 4294967295"),
            (side, labels(2, &[1, 2]), "I: side is 29, wanted 28"),
        ];
        for (i, l, wanted) in cases {
            let error = read(&i, &l).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }

    #[test]
    fn a_missing_file_lists_what_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_part(dir.path(), "train").unwrap_err().to_string();
        assert!(error.contains("train-images-idx3-ubyte.gz, train-images-idx3-ubyte,"), "{error}");
        let error = read_part(&dir.path().join("no"), "train").unwrap_err().to_string();
        assert!(error.contains("no such folder"), "{error}");
    }
}
