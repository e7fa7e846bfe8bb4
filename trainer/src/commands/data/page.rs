//! A picture set as a page: counts, what to look at, and a contact sheet of every class.

use super::survey::{ClassCount, Pair, Survey};
use gtn_core::data::listing::Part;
use gtn_core::data::photos::Photos;
use gtn_core::data::split::stratified;
use gtn_core::html::page::Page;
use gtn_core::html::plot::{self, Bar};
use gtn_core::image::to_png;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};

/// Pictures of each class on the sheet.
const OF_EACH: usize = 8;
/// Classes on the sheet: a page of a thousand classes is not looked at.
const MOST_CLASSES: usize = 50;
/// Pairs shown of each kind.
const MOST_PAIRS: usize = 24;

/// The whole page.
pub fn page(survey: &Survey, photos: &Photos, counts: &Table) -> Result<String> {
    let test: usize = survey.classes.iter().map(|c| c.test).sum();
    let train: usize = survey.classes.iter().map(|c| c.train + c.val).sum();
    let mut page = Page::new(&survey.data, &survey.parted);
    page.tiles(&[
        (survey.classes.len().to_string(), "classes".into()),
        (train.to_string(), "pictures to train and select on".into()),
        (test.to_string(), "test pictures".into()),
        (survey.broken.len().to_string(), "cannot be read".into()),
        (survey.equal.len().to_string(), "pairs of equal files".into()),
        (survey.near.len().to_string(), "pairs that look alike".into()),
    ]);
    page.warnings(&survey.warnings);
    page.heading("Classes").table(counts);
    let bar = |c: &ClassCount| Bar { name: c.name.clone(), value: c.train as f64, note: c.train.to_string() };
    let bars: Vec<Bar> = survey.classes.iter().take(MOST_CLASSES).map(bar).collect();
    page.plot(
        &plot::ranked(&bars, "pictures to train on", "pictures of each class"),
        "Pictures to train on.",
    );
    for (title, pairs) in [("Equal files", &survey.equal), ("Pictures that look alike", &survey.near)] {
        if !pairs.is_empty() {
            page.heading(title).pictures(&pair_sheet(pairs, photos)?);
        }
    }
    sheet(&mut page, photos)?;
    Ok(page.finish())
}

/// Unlike classes first: those are mistakes.
fn pair_sheet(pairs: &[Pair], photos: &Photos) -> Result<Vec<(Vec<u8>, Vec<String>)>> {
    let mut order: Vec<&Pair> = pairs.iter().collect();
    order.sort_by_key(|p| !p.is_unlike());
    let mut all = Vec::new();
    for pair in order.into_iter().take(MOST_PAIRS) {
        for ((&i, name), class) in pair.places.iter().zip(&pair.names).zip(&pair.classes) {
            let mark = if pair.is_unlike() { "!! " } else { "" };
            all.push((picture(photos, i)?, vec![format!("{mark}{class}: {name}")]));
        }
    }
    Ok(all)
}

fn sheet(page: &mut Page, photos: &Photos) -> Result<()> {
    let train = photos.part(Part::Train);
    let labels: Vec<u16> = train.iter().filter_map(|&i| photos.pictures.label(i as usize)).collect();
    let classes = photos.listing.classes.len();
    let chosen = stratified(&labels, classes, OF_EACH * classes, 0);
    page.heading("Contact sheet");
    page.text("Some pictures of each class to train on, as they are cached.");
    for (label, name) in photos.listing.classes.iter().enumerate().take(MOST_CLASSES) {
        let mut pictures = Vec::new();
        for &at in &chosen {
            let of_class = labels.get(at as usize).is_some_and(|&l| usize::from(l) == label);
            let Some(&i) = train.get(at as usize).filter(|_| of_class) else { continue };
            let name = photos.listing.items.get(i as usize).map_or("", |item| item.name.as_str());
            let name = name.rsplit('/').next().unwrap_or(name).to_owned();
            pictures.push((picture(photos, i)?, vec![name]));
        }
        page.heading(name).pictures(&pictures);
    }
    if classes > MOST_CLASSES {
        page.text(&format!("{} more classes are not shown.", classes - MOST_CLASSES));
    }
    Ok(())
}

fn picture(photos: &Photos, i: u32) -> Result<Vec<u8>> {
    let gone = || Error::Failed(format!("{}: picture {i} is gone", photos.pictures.dir().display()));
    let (pixels, width, height) = photos.pictures.get(i as usize).ok_or_else(gone)?;
    to_png(pixels, height, width)
}
