//! What an application embeds: `cargo run -p gtn-run --example classify -- BUNDLE IMAGE...`

use gtn_core::Result;
use gtn_core::image::Image;
use gtn_run::backend::Options;
use gtn_run::subject::Subject;
use std::path::Path;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let bundle = args.next().unwrap_or_default();
    // Checks every file of the bundle against its manifest, and loads the model.
    let mut subject = Subject::open(Path::new(&bundle), &Options::default())?;
    for path in args {
        // From a camera: Image::from_rgb(width, height, bytes).
        let image = Image::open(Path::new(&path))?;
        for answer in subject.classify(&[image])? {
            println!("{path}: {} ({:.1} %)", answer[0].label, 100.0 * answer[0].probability);
        }
    }
    Ok(())
}
