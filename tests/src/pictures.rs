//! A folder of made pictures, and programs that keep its caches beside it.

#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use crate::{Done, command};
use gtn_core::image::to_png;
use gtn_core::rng::Rng;
use std::fs;
use std::path::{Path, PathBuf};

/// Pictures of three classes that a small network can tell apart in some steps: stripes along, across, and neither.
pub fn picture(class: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed, "stripes", class as u64);
    let (width, height) = (36 + rng.below(30) as usize, 36 + rng.below(30) as usize);
    let (phase, tint) = (rng.unit_f64() * 6.3, [rng.unit_f64(), rng.unit_f64(), rng.unit_f64()]);
    let mut pixels = Vec::with_capacity(3 * width * height);
    for (c, y, x) in (0..3).flat_map(|c| (0..height).flat_map(move |y| (0..width).map(move |x| (c, y, x)))) {
        let along = [x as f64, y as f64, (x + y) as f64 * 0.7][class];
        let wave = (along * 0.8 + phase).sin() * 70.0 + rng.below(30) as f64;
        pixels.push((110.0 + wave + 40.0 * tint[c]).clamp(0.0, 255.0) as u8);
    }
    to_png(&pixels, height, width).unwrap()
}

/// `each` pictures of each class, under a name with a space and an umlaut.
pub fn folder(dir: &Path, each: u64) -> PathBuf {
    let root = dir.join("my pictures, größer");
    for (class, name) in ["across", "along", "slanting ones"].iter().enumerate() {
        let of_class = root.join(name);
        fs::create_dir_all(&of_class).unwrap();
        for i in 0..each {
            fs::write(of_class.join(format!("{i:03}.png")), picture(class, i)).unwrap();
        }
    }
    root
}

/// Runs a program that keeps its picture caches below `dir`; arguments may hold spaces.
pub fn run(dir: &Path, name: &str, args: &[&str]) -> Done {
    let mut command = command(name, "");
    command.args(args).env("XDG_CACHE_HOME", dir.join("cache"));
    command.output().unwrap().into()
}

/// As `--data` takes it.
pub fn data(root: &Path, size: usize) -> String {
    format!("imagefolder@{size}:{}", root.display())
}
