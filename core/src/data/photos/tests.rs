use super::*;
use crate::data::split::SplitRule;
use crate::image::{Image, to_png};
use crate::program::progress::unwatched;
use crate::rng::Rng;
use std::collections::BTreeSet;
use std::fs;

const SIZE: usize = 14;

/// Smooth pictures, each unlike the others; `twin` pictures have the bytes of number 0 of their class.
fn picture(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed, "picture", 0);
    let (width, height) = (20 + rng.below(20) as usize, 20 + rng.below(20) as usize);
    let waves: Vec<f64> = (0..12).map(|_| rng.unit_f64()).collect();
    let value = |c: usize, y: usize, x: usize| {
        let wave = |w: &[f64]| {
            (w[0] * 9.0 * x as f64 / width as f64 + w[1] * 9.0 * y as f64 / height as f64 + 6.3 * w[2]).sin()
        };
        (128.0 + 60.0 * waves.chunks(3).map(wave).sum::<f64>() / 2.0 + 10.0 * c as f64) as u8
    };
    let pixels: Vec<u8> = (0..3)
        .flat_map(|c| (0..height).flat_map(move |y| (0..width).map(move |x| (c, y, x))))
        .map(|(c, y, x)| value(c, y, x))
        .collect();
    to_png(&pixels, height, width).unwrap()
}

/// Classes `a` and `b` of 20 pictures each below every one of `parts`; in `a` five have the same bytes.
fn set(parts: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (p, part) in parts.iter().enumerate() {
        for (c, class) in ["a", "b"].iter().enumerate() {
            let folder = dir.path().join("set of ü").join(part).join(class);
            fs::create_dir_all(&folder).unwrap();
            for i in 0..20 {
                let twin = c == 0 && i % 4 == 0;
                let seed = if twin { 1000 } else { (p * 100 + c * 40 + i) as u64 };
                fs::write(folder.join(format!("{i:02}.png")), picture(seed)).unwrap();
            }
        }
    }
    dir
}

fn open(dir: &Path) -> Result<Arc<Photos>> {
    let source = PhotoSource::ImageFolder(dir.join("set of ü"));
    Photos::open_in(&dir.join("cache"), &source, SIZE, 0.0, &mut unwatched)
}

#[test]
fn a_set_without_parts_is_parted_with_its_twins_together() {
    let dir = set(&[""]);
    let photos = open(dir.path()).unwrap();
    assert_eq!(photos.groups.equal.len(), 4);
    let (train, test) = (photos.part(Part::Train), photos.part(Part::Test));
    let both: BTreeSet<u32> = train.iter().chain(test).copied().collect();
    assert_eq!((both.len(), train.len() + test.len()), (40, 40));
    let groups = |part: &[u32]| part.iter().map(|&i| photos.groups.of[i as usize]).collect::<BTreeSet<_>>();
    assert!(groups(train).is_disjoint(&groups(test)));
    // A fifth of each class, or less where a group did not fit.
    let labels = photos.test().unwrap().labels;
    let of = |class| labels.iter().filter(|&&l| l == class).count();
    assert!(of(1) == 4 && (1..=4).contains(&of(0)), "{labels:?}");
    let set = photos.train().unwrap();
    let (rest, val) = SplitRule { train_images: 0, val_fraction: 0.25 }.apply(&set).unwrap();
    assert_eq!(rest.len() + val.len(), train.len());
    assert!((4..=8).contains(&val.len()), "{}", val.len());
    // The second time nothing is decoded, and the answer is the same.
    let again = open(dir.path()).unwrap();
    assert_eq!((again.train().unwrap(), again.part(Part::Test)), (set, test));
}

#[test]
fn a_set_s_own_parts_are_taken() {
    let dir = set(&["train", "val", "test"]);
    let photos = open(dir.path()).unwrap();
    let set = photos.train().unwrap();
    assert_eq!((set.len(), photos.test().unwrap().len()), (80, 40));
    let (train, val) = SplitRule::default().apply(&set).unwrap();
    assert_eq!((train.len(), val.len()), (40, 40));
    let first = photos.part(Part::Val)[0] as usize;
    assert!(photos.listing.items[first].name.starts_with("val/a/"), "{}", photos.listing.items[first].name);
    assert_eq!(val.image(0).unwrap(), set.image(40).unwrap());
}

#[test]
fn a_picture_is_cropped_as_a_device_crops_its_file() {
    let dir = set(&["train", "test"]);
    let photos = open(dir.path()).unwrap();
    let test = photos.test().unwrap();
    let preprocess = Preprocess {
        channels: 3,
        height: SIZE,
        width: SIZE,
        resize_short: Some(crop::short_side(SIZE)),
        resize: Some(Resize::PIL),
        mean: vec![0.0; 3],
        std: vec![1.0; 3],
    };
    for (at, &i) in photos.part(Part::Test).iter().enumerate() {
        let image = Image::from_bytes(&photos.listing.items[i as usize].place.read().unwrap()).unwrap();
        let (h, w) = (image.height(), image.width());
        let wanted = preprocess.apply(&image.planar(3).unwrap(), h, w).unwrap();
        assert_eq!(preprocess.normalise(&test.image(at).unwrap()).unwrap(), wanted, "picture {i}");
    }
}

#[test]
fn the_identity_is_of_the_files_and_not_of_the_size() {
    let dir = set(&["train", "test"]);
    let source = PhotoSource::ImageFolder(dir.path().join("set of ü"));
    let sha = |size| {
        let cache = dir.path().join("cache");
        Photos::open_in(&cache, &source, size, 0.0, &mut unwatched)
            .unwrap()
            .train()
            .unwrap()
            .sha256()
            .unwrap()
    };
    assert_eq!(sha(SIZE), sha(8));
    // Which pictures are copies, and so the parts, do not depend on the size that they are looked at either.
    let open = |size| {
        let cache = dir.path().join("cache");
        Photos::open_in(&cache, &source, size, 0.0, &mut unwatched).unwrap()
    };
    for size in [4, 9, 40] {
        assert_eq!(open(size).groups, open(SIZE).groups, "{size}");
    }
    let before = sha(SIZE);
    fs::write(dir.path().join("set of ü/train/b/03.png"), picture(77)).unwrap();
    assert_ne!(sha(SIZE), before);
}
