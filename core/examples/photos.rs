//! What a picture set is: `cargo run --release -p gtn-core --features photos --example photos -- imagefolder:DIR CACHE [SIZE [THREADS]]`
//! lists it, caches it for networks that see SIZE x SIZE pixels (224), and finds pictures that occur twice.

use gtn_core::data::cache::{self, Settings};
use gtn_core::data::duplicates::{Print, groups};
use gtn_core::data::listing::PhotoSource;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| arguments.get(i).map_or(Ok(default), |n| n.parse());
    let (Some(source), Some(parent)) = (arguments.first(), arguments.get(1)) else {
        return Err("wanted SET CACHE [SIZE [THREADS]]".into());
    };
    let start = Instant::now();
    let listing = source.parse::<PhotoSource>()?.list()?;
    println!(
        "{} pictures of {} classes, listed in {:?}",
        listing.items.len(),
        listing.classes.len(),
        start.elapsed()
    );
    listing.problems.iter().for_each(|p| println!("problem: {p}"));

    let start = Instant::now();
    let settings = Settings { threads: number(3, 0)?, ..Settings::for_size(number(2, 224)?, 3) };
    let mut bytes = 0;
    let pictures = cache::build(&listing, parent.as_ref(), &settings, &mut |p| {
        bytes = p.bytes;
        Ok(())
    })?;
    let rate = pictures.len() as f64 / start.elapsed().as_secs_f64();
    println!("{}: {bytes} bytes in {:?}, {rate:.0} pictures/s", pictures.dir().display(), start.elapsed());
    pictures.broken().iter().for_each(|b| println!("broken: {}: {}", b.name, b.why));

    let good = pictures.good();
    let print = |&i: &u32| Some(Print::new(pictures.file_sha256(i as usize)?, pictures.look(i as usize)?));
    let prints: Vec<Print> = good.iter().filter_map(print).collect();
    let start = Instant::now();
    let found = groups(&prints);
    println!(
        "{} equal and {} near pairs, {} groups, in {:?}",
        found.equal.len(),
        found.near.len(),
        found.sets().len(),
        start.elapsed()
    );
    let name = |i: &u32| {
        good.get(*i as usize).and_then(|&i| listing.items.get(i as usize)).map_or("", |item| &item.name)
    };
    found.sets().iter().for_each(|set| println!("{}", set.iter().map(name).collect::<Vec<_>>().join("  ")));
    Ok(())
}
