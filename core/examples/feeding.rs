//! How many images a second the photograph data path makes ready, as batches of 64 normalised f32 images:
//! `cargo run --release -p gtn-core --features photos --example feeding -- SET CACHES SIZE files|cache [--jitter] [--threads N] [--seconds S]`
//!
//! `cache` is what a training step's images come from (`trainer/src/engine/loader.rs` makes batches like these):
//! RandomResizedCrop (scale 0.25 to 1, as recipe `photos`), mirror, with `--jitter` that recipe's colours. `files`
//! decodes each original file anew instead and crops that, which training never does: what other loaders do. Prints
//! a line of JSON: images, wall and CPU seconds. The cache must be there for `cache` to be timed alone: it is made first.

use gtn_core::data::augment::crop::{self, RandomResizedCrop};
use gtn_core::data::augment::jitter::ColourJitter;
use gtn_core::data::augment::{Augment, Visit};
use gtn_core::data::feed::Feed;
use gtn_core::data::listing::PhotoSource;
use gtn_core::data::photos::{MAX_BAD, Photos};
use gtn_core::data::preprocess::{Preprocess, Resize};
use gtn_core::host;
use gtn_core::image::Image;
use gtn_core::ir::arch::Input;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const BATCH: usize = 64;
const SEED: u64 = 1;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [set, caches, size, way, flags @ ..] = arguments.as_slice() else {
        return Err("wanted SET CACHES SIZE files|cache".into());
    };
    let flag = |name: &str| flags.iter().position(|f| f == name).and_then(|i| flags.get(i + 1));
    let size: usize = size.parse()?;
    let cores = std::thread::available_parallelism()?.get();
    let threads: usize = flag("--threads").map_or(Ok(cores), |n| n.parse())?;
    let seconds: f64 = flag("--seconds").map_or(Ok(10.0), |s| s.parse())?;
    let jitter = ColourJitter { brightness: 0.3, contrast: 0.3, saturation: 0.3, hue: 0.0 };
    let augment = Augment {
        crop: Some(RandomResizedCrop { scale: (0.25, 1.0), ..RandomResizedCrop::default() }),
        jitter: flags.iter().any(|f| f == "--jitter").then_some(jitter),
        ..Augment::pad_and_flip(0, true)
    };
    let source: PhotoSource = set.parse()?;
    let photos = Photos::open_in(Path::new(caches), &source, size, MAX_BAD, &mut |_, _, _| {})?;
    let feed = Feed { set: photos.train()?, augment, seed: SEED, balanced: false, fill: vec![0; 3] };
    let preprocess = Preprocess {
        channels: 3,
        height: size,
        width: size,
        resize_short: Some(crop::short_side(size)),
        resize: Some(Resize::PIL),
        mean: vec![0.485, 0.456, 0.406],
        std: vec![0.229, 0.224, 0.225],
    };
    let image = |epoch: u64, visit: Visit| match way.as_str() {
        "cache" => Ok(feed.sample(epoch, visit, &[(size, size)])?.views.concat()),
        "files" => from_file(&photos, &feed, epoch, visit.index, size),
        other => Err(format!("`{other}`, wanted files or cache").into()),
    };
    let made = AtomicUsize::new(0);
    let cpu = || host::cpu_seconds().ok_or("the system does not tell CPU time");
    let (start, before) = (Instant::now(), cpu()?);
    let end = start + Duration::from_secs_f64(seconds);
    let work = |thread: usize| -> Result<()> {
        for epoch in 0.. {
            let order = feed.order(epoch);
            for batch in order.chunks(BATCH).skip(thread).step_by(threads) {
                let pixels = batch.iter().map(|&visit| image(epoch, visit)).collect::<Result<Vec<_>>>()?;
                std::hint::black_box(preprocess.normalise(&pixels.concat())?);
                made.fetch_add(batch.len(), Ordering::Relaxed);
                if Instant::now() >= end {
                    return Ok(());
                }
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..threads).map(|i| scope.spawn(move || work(i))).collect();
        running.into_iter().try_for_each(|t| t.join().map_err(|_| "a thread panicked")?)
    })?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu()? - before);
    let images = made.into_inner();
    println!("{}", serde_json::json!({"images": images, "wall": wall, "cpu": cpu}));
    Ok(())
}

/// As the feed makes an image, of the file and not of the cache.
fn from_file(photos: &Photos, feed: &Feed, epoch: u64, index: u32, size: usize) -> Result<Vec<u8>> {
    let place = feed.set.photos().and_then(|p| p.places.get(index as usize)).ok_or("no such picture")?;
    let item = photos.listing.items.get(*place as usize).ok_or("a picture is not in the listing")?;
    let file = Image::from_bytes(&item.place.read()?)?;
    let (h, w) = (file.height(), file.width());
    let random = feed.augment.crop.unwrap_or_default();
    let (rect, flip) = (random.draw(SEED, epoch, index, h, w), crop::flip(SEED, epoch, index));
    let mut view = crop::resize(&file.planar(3)?, 3, (h, w), rect, flip, (size, size))?;
    if let Some(jitter) = &feed.augment.jitter {
        jitter.draw(SEED, epoch, index).apply(&mut view, Input { channels: 3, height: size, width: size });
    }
    Ok(view)
}
