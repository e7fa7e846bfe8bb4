use super::index::{HEADER, RECORD};
use super::*;
use crate::data::listing::{Listing, PhotoSource};
use crate::image::Image;
use std::fs;
use std::path::Path;

fn png(width: usize, height: usize, seed: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    let data: Vec<u8> = (0..width * height * 3).map(|i| (i * 7 + i / 13 * seed + seed * 31) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&data).unwrap();
    out
}

/// `n` pictures of two classes, 5 to 24 pixels wide; those of `broken` are cut off.
fn set(n: usize, broken: &[usize]) -> (tempfile::TempDir, Listing) {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..n {
        let mut bytes = png(5 + i * 7 % 20, 9 + i % 3, i);
        if broken.contains(&i) {
            bytes.truncate(40);
        }
        let class = dir.path().join("set").join(["a", "b"][i % 2]);
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join(format!("{i:04}.png")), bytes).unwrap();
    }
    let listing = PhotoSource::ImageFolder(dir.path().join("set")).list().unwrap();
    (dir, listing)
}

fn settings() -> Settings {
    Settings { side: 8, channels: 3, max_bad: 0.0, threads: 3 }
}

fn quietly(_: Progress) -> Result<()> {
    Ok(())
}

/// Every file of a finished cache but the lock.
fn contents(dir: &Path) -> Vec<Vec<u8>> {
    [PIXELS, INDEX, BROKEN, FINISHED].map(|name| fs::read(dir.join(name)).unwrap()).to_vec()
}

#[test]
fn pictures_are_as_resized_one_by_one() {
    let (dir, listing) = set(21, &[]);
    let mut told = Vec::new();
    let cache = build(&listing, dir.path(), &settings(), &mut |p| {
        told.push((p.done, p.total));
        Ok(())
    });
    let cache = cache.unwrap();
    assert_eq!(told, (1..=21).map(|i| (i, 21)).collect::<Vec<_>>());
    assert_eq!(
        (cache.len(), cache.channels(), cache.side(), cache.classes()),
        (21, 3, 8, &listing.classes[..])
    );
    cache.verify().unwrap();
    for (i, item) in listing.items.iter().enumerate() {
        let (pixels, width, height) = cache.get(i).unwrap();
        let bytes = item.place.read().unwrap();
        let image = Image::from_bytes(&bytes).unwrap();
        let short = image.width().min(image.height());
        assert_eq!(width.min(height), short.min(8), "{}", item.name);
        if short <= 8 {
            assert_eq!(pixels, image.planar(3).unwrap());
        } else {
            assert_eq!((width, height), (8 * image.width() / short, 8 * image.height() / short));
        }
        assert_eq!(cache.label(i), Some(item.label));
        assert_eq!(crate::io::artifact::sha256(&bytes), hex(&cache.file_sha256(i).unwrap()));
    }
    assert!(cache.get(21).is_none() && cache.label(21).is_none());
    assert_eq!(cache.good().len(), 21);
    // Opened again, nothing is decoded.
    let again = build(&listing, dir.path(), &settings(), &mut |_| Err(Error::Stopped(2))).unwrap();
    assert_eq!(again.get(3), cache.get(3));
    assert_ne!(cache.data_sha256(&listing, &[0, 1]), cache.data_sha256(&listing, &[1, 0]));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Stopped after k pictures and gone on with, with other numbers of threads: the same bytes.
#[test]
fn a_stopped_build_goes_on_where_it_was() {
    let (dir, listing) = set(30, &[3, 17]);
    let with = |threads| Settings { max_bad: 0.1, threads, ..settings() };
    let whole = build(&listing, &dir.path().join("whole"), &with(1), &mut quietly).unwrap();
    for stop in [1, 2, 4, 13, 18, 29, 30] {
        let parent = dir.path().join(format!("stopped-{stop}"));
        let stopped = build(&listing, &parent, &with(3), &mut |p| {
            if p.done == stop { Err(Error::Interrupted(15)) } else { Ok(()) }
        });
        assert_eq!(stopped.unwrap_err().exit_code(), 143);
        let mut first = None;
        let cache = build(&listing, &parent, &with(2), &mut |p| {
            first.get_or_insert(p.done);
            Ok(())
        });
        let cache = cache.unwrap();
        assert!(first.is_none_or(|f| f == stop + 1), "{first:?} after {stop}");
        assert_eq!(contents(cache.dir()), contents(whole.dir()), "stopped after {stop}");
    }
}

/// A crash leaves files at any length, and bytes that were never made durable: none of it is believed.
#[test]
fn a_crash_at_any_moment_leaves_the_same_bytes() {
    let (dir, listing) = set(12, &[5]);
    let settings = Settings { max_bad: 0.1, ..settings() };
    let whole = build(&listing, &dir.path().join("whole"), &settings, &mut quietly).unwrap();
    let parts = contents(whole.dir());
    let lengths =
        [0, 10, HEADER, HEADER + 1, HEADER + RECORD, HEADER + 6 * RECORD + 40, HEADER + 12 * RECORD];
    for (n, &index) in lengths.iter().enumerate() {
        for (m, pixels) in
            [0, 100, parts[0].len() / 2, parts[0].len(), parts[0].len() + 77].into_iter().enumerate()
        {
            let parent = dir.path().join(format!("crash-{n}-{m}"));
            let half = folder(&listing, &parent, &settings);
            fs::create_dir_all(&half).unwrap();
            let mut bytes = parts[0].clone();
            bytes.resize(pixels, 9);
            fs::write(half.join(PIXELS), bytes).unwrap();
            // A record that was cut off may be followed by anything.
            fs::write(half.join(INDEX), [&parts[1][..index], &[0; 50]].concat()).unwrap();
            fs::write(half.join(BROKEN), if n % 2 == 0 { &parts[2][..] } else { b"{\"ind" }).unwrap();
            let cache = build(&listing, &parent, &settings, &mut quietly).unwrap();
            assert_eq!(contents(cache.dir()), parts, "index {index}, pixels {pixels}");
            cache.verify().unwrap();
        }
    }
}

#[test]
fn broken_pictures_are_tolerated_up_to_a_share() {
    let (dir, listing) = set(40, &[0, 6, 7]);
    fs::remove_file(listing.items[1].place.path()).unwrap();
    let tolerant = Settings { max_bad: 0.1, ..settings() };
    let cache = build(&listing, dir.path(), &tolerant, &mut quietly).unwrap();
    let names: Vec<&str> = cache.broken().iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["a/0000.png", "a/0002.png", "a/0006.png", "b/0007.png"]);
    assert!(
        cache.broken()[0].why.contains("not a readable PNG") && cache.broken()[1].why.contains("cannot read")
    );
    assert!(cache.get(0).is_none() && cache.label(0) == Some(0));
    assert_eq!(cache.good().len(), 36);
    let error = build(&listing, dir.path(), &settings(), &mut quietly).unwrap_err().to_string();
    assert!(
        error.contains("4 of 40 pictures cannot be read") && error.contains("a/0000.png: is not a"),
        "{error}"
    );
    let strict = Settings { max_bad: 0.05, side: 9, ..settings() };
    let error = build(&listing, dir.path(), &strict, &mut quietly).unwrap_err().to_string();
    assert!(error.contains("3 of 40") && error.contains("at most 2 may be so (--max-bad 0.05)"), "{error}");
}

#[test]
fn another_set_has_another_folder() {
    let (dir, listing) = set(4, &[]);
    let name = |listing: &Listing, settings: &Settings| folder(listing, Path::new("p"), settings);
    let base = name(&listing, &settings());
    assert_eq!(base, name(&listing, &Settings { max_bad: 0.5, threads: 1, ..settings() }));
    assert_ne!(base, name(&listing, &Settings { side: 9, ..settings() }));
    assert_ne!(base, name(&listing, &Settings { channels: 1, ..settings() }));
    let mut other = listing.clone();
    other.items[2].label = 0;
    assert_ne!(base, name(&other, &settings()));
    let path = listing.items[0].place.path();
    fs::write(path, png(5, 5, 77)).unwrap();
    assert_ne!(base, name(&listing, &settings()));
    drop(dir);
}

#[test]
fn damage_and_rivals_are_named() {
    let (dir, listing) = set(6, &[]);
    let cache = build(&listing, dir.path(), &settings(), &mut quietly).unwrap();
    let at = cache.dir().to_owned();
    drop(cache);
    let original = contents(&at);
    let mut pixels = original[0].clone();
    pixels[5] ^= 1;
    fs::write(at.join(PIXELS), &pixels).unwrap();
    let error = Pictures::open(&at).unwrap().verify().unwrap_err().to_string();
    assert!(error.contains("picture 0 (at byte 0) has changed"), "{error}");
    fs::write(at.join(PIXELS), &pixels[1..]).unwrap();
    assert!(Pictures::open(&at).unwrap_err().to_string().contains("truncated or changed"));
    let mut index = original[1].clone();
    index[HEADER + 3] ^= 1;
    fs::write(at.join(INDEX), &index).unwrap();
    assert!(Pictures::open(&at).unwrap_err().to_string().contains("index.bin: its SHA-256 is"));
    fs::remove_file(at.join(FINISHED)).unwrap();
    let lock = fs::File::create(at.join(LOCK)).unwrap();
    lock.try_lock().unwrap();
    let error = build(&listing, dir.path(), &settings(), &mut quietly).unwrap_err().to_string();
    assert!(error.contains("another program is making"), "{error}");
    drop(lock);
    let cache = build(&listing, dir.path(), &settings(), &mut quietly).unwrap();
    assert_eq!(contents(cache.dir()), original);
    for wrong in [
        Settings { side: 0, ..settings() },
        Settings { channels: 2, ..settings() },
        Settings { max_bad: 2.0, ..settings() },
    ] {
        assert_eq!(build(&listing, dir.path(), &wrong, &mut quietly).unwrap_err().exit_code(), 2);
    }
    assert_eq!((short_side(224), short_side(32), short_side(64)), (256, 37, 74));
}
