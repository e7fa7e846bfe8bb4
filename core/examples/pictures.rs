//! What training makes of picture files, written down for scripts/pictures-peer.sh to compare with PIL:
//! `cargo run --release -p gtn-core --features photos --example pictures -- DIR OUT SIZE`
//!
//! DIR is an image folder. Of its `i`-th picture OUT holds four files of planar u8 RGB: `i.file` (decoded, upright),
//! `i.kept` (as the cache keeps it), `i.middle` (what val and test see), `i.part` (what a training step sees: a random
//! crop, mirrored or not). `pictures.jsonl` says what they are. Nothing but the public data path is called.

use gtn_core::data::augment::crop::{self, RandomResizedCrop};
use gtn_core::data::augment::{Augment, Visit};
use gtn_core::data::feed::Feed;
use gtn_core::data::listing::PhotoSource;
use gtn_core::data::photos::Photos;
use gtn_core::image::Image;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const SEED: u64 = 5;
const EPOCH: u64 = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, out, size] = arguments.as_slice() else { return Err("wanted DIR OUT SIZE".into()) };
    let (dir, out, size) = (PathBuf::from(dir), Path::new(out), size.parse::<usize>()?);
    fs::create_dir_all(out)?;
    let source = PhotoSource::ImageFolder(dir.clone());
    let photos = Photos::open_in(&out.join("cache"), &source, size, 1.0, &mut |_, _, _| {})?;
    let random = RandomResizedCrop::default();
    let mut lines = String::new();
    for broken in photos.pictures.broken() {
        writeln!(lines, "{}", serde_json::json!({"name": broken.name, "broken": broken.why}))?;
    }
    for set in [photos.train()?, photos.test()?] {
        let augment = Augment { crop: Some(random), ..Augment::pad_and_flip(0, true) };
        let feed = Feed { set, augment, seed: SEED, balanced: false, fill: vec![0; 3] };
        let places = feed.set.photos().map(|p| p.places.clone()).unwrap_or_default();
        for (index, place) in (0u32..).zip(places) {
            let item = photos.listing.items.get(place as usize).ok_or("a picture is not in the listing")?;
            let (kept, w, h) = photos.pictures.get(place as usize).ok_or("a picture is not in the cache")?;
            let file = Image::from_bytes(&item.place.read()?)?;
            let rect = random.draw(SEED, EPOCH, index, h, w);
            let part = feed.sample(EPOCH, Visit { index, repeat: 0 }, &[(size, size)])?.views.concat();
            let write = |what: &str, pixels: &[u8]| fs::write(out.join(format!("{place}.{what}")), pixels);
            write("file", &file.planar(3)?)?;
            write("kept", kept)?;
            write("middle", &feed.set.image(index as usize)?)?;
            write("part", &part)?;
            let line = serde_json::json!({
                "name": item.name, "place": place, "file": [file.height(), file.width()], "kept": [h, w],
                "rect": [rect.top, rect.left, rect.height, rect.width], "flip": crop::flip(SEED, EPOCH, index),
            });
            writeln!(lines, "{line}")?;
        }
    }
    Ok(fs::write(out.join("pictures.jsonl"), lines)?)
}
