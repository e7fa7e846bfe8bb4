//! What a picture set is like, and what of it stands in the way of a good network.

use gtn_core::Result;
use gtn_core::data::listing::Part;
use gtn_core::data::photos::{Photos, TEST_FRACTION};
use gtn_core::data::{Origin, only_class};
use gtn_core::image::detail_side;
use gtn_core::text::format;
use serde::Serialize;
use std::sync::Arc;

/// Schema of the answer to `--json`.
pub const SCHEMA: &str = "gtn.data/1";
/// The largest class over the smallest: beyond it, accuracy says little of the small one.
const IMBALANCE: f64 = 10.0;
/// Pictures of a class to train on: fewer are hardly learnt.
const FEW_TO_TRAIN: usize = 20;
/// Test pictures: with fewer, an accuracy of 90 % is known to no better than +- 6 points.
const FEW_TO_TEST: usize = 100;
/// Pictures that are looked at for how much detail they hold, at even distances.
const LOOKED_AT: usize = 200;
/// Names that a warning lists before it counts the rest.
const NAMED: usize = 8;

/// A picture set, judged.
#[derive(Debug, Serialize)]
pub struct Survey {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// As `--data` names it.
    pub data: String,
    /// Pictures that can be read, of each class in each part.
    pub classes: Vec<ClassCount>,
    /// How train, val and test came about.
    pub parted: String,
    /// Shapes of the readable pictures in the cache: `[smallest, median, largest]` short side, pixels.
    pub short_side: [usize; 3],
    /// Short side, in pixels, that holds the detail of half the pictures (the cache's are looked at, 200 at most).
    pub detail: usize,
    /// Long side over short: `[smallest, median, largest]`.
    pub aspect: [f64; 3],
    /// Means of the channels of what is trained on, of x / 255.
    pub mean: Vec<f32>,
    /// Their standard deviations.
    pub std: Vec<f32>,
    /// Names of the test pictures, in the order that an evaluation answers them in.
    pub test: Vec<String>,
    /// What cannot be read, and why.
    pub broken: Vec<Named>,
    /// Files with the same bytes.
    pub equal: Vec<Pair>,
    /// Pictures that look alike.
    pub near: Vec<Pair>,
    /// What to look at, and what to do about it.
    pub warnings: Vec<String>,
}

/// One class.
#[derive(Debug, Serialize)]
pub struct ClassCount {
    /// Its name.
    pub name: String,
    /// To train on (val is cut from these where the set has none).
    pub train: usize,
    /// The set's own val.
    pub val: usize,
    /// Test.
    pub test: usize,
}

/// A picture and something about it.
#[derive(Debug, Serialize)]
pub struct Named {
    /// Its name in the set.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Two pictures that are the same, or nearly.
#[derive(Debug, Serialize)]
pub struct Pair {
    /// Places in the listing.
    #[serde(skip)]
    pub places: [u32; 2],
    /// Names.
    pub names: [String; 2],
    /// Their classes.
    pub classes: [String; 2],
    /// The set itself has them in different parts.
    pub across_parts: bool,
}

impl Pair {
    /// Whether the set calls one picture two things.
    pub fn is_unlike(&self) -> bool {
        matches!(&self.classes, [a, b] if a != b)
    }
}

impl Survey {
    /// Judges an opened set; `data` is what `--data` says.
    pub fn of(data: &str, photos: &Arc<Photos>) -> Result<Self> {
        let train = photos.train()?;
        let (mean, std) = train.channel_mean_std()?;
        let item = |i: u32| photos.listing.items.get(i as usize);
        let class = |i: u32| {
            let label = item(i).map_or(0, |item| usize::from(item.label));
            photos.listing.classes.get(label).cloned().unwrap_or_default()
        };
        let pair = |&(a, b): &(u32, u32)| Pair {
            places: [a, b],
            names: [a, b].map(|i| item(i).map_or_else(String::new, |item| item.name.clone())),
            classes: [a, b].map(class),
            across_parts: matches!((item(a), item(b)), (Some(a), Some(b)) if a.part != b.part),
        };
        let broken =
            photos.pictures.broken().iter().map(|b| Named { name: b.name.clone(), why: b.why.clone() });
        let (short_side, aspect) = shapes(photos);
        let mut survey = Self {
            schema: SCHEMA,
            data: data.to_owned(),
            classes: counts(photos),
            parted: parted(photos, train.origin.as_deref()),
            short_side,
            detail: detail(photos),
            aspect,
            mean,
            std,
            test: photos.part(Part::Test).iter().filter_map(|&i| Some(item(i)?.name.clone())).collect(),
            broken: broken.collect(),
            equal: photos.groups.equal.iter().map(pair).collect(),
            near: photos.groups.near.iter().map(pair).collect(),
            warnings: photos.listing.problems.clone(),
        };
        survey.warn(photos, only_class(&photos.test()?.labels).is_some());
        Ok(survey)
    }

    fn warn(&mut self, photos: &Photos, one_class: bool) {
        let mut told = Vec::new();
        told.extend(photos.left_out());
        for (pairs, what) in [(&self.equal, "of the same bytes"), (&self.near, "that look alike")] {
            let names =
                |p: &&Pair| format!("{} ({}) = {} ({})", p.names[0], p.classes[0], p.names[1], p.classes[1]);
            let unlike: Vec<&Pair> = pairs.iter().filter(|p| p.is_unlike()).collect();
            if !unlike.is_empty() {
                told.push(format!(
                    "{} {what} and of unlike classes: one of each pair is labelled wrongly, correct or delete it ({})",
                    format::counted(unlike.len(), "pair"),
                    format::some(unlike.iter().map(names), "; ", NAMED)
                ));
            }
            let across: Vec<&Pair> = pairs.iter().filter(|p| p.across_parts).collect();
            if !across.is_empty() {
                told.push(format!(
                    "{} {what} and in different parts of the set: its accuracy would flatter, delete one of each ({})",
                    format::counted(across.len(), "pair"),
                    format::some(across.iter().map(names), "; ", NAMED)
                ));
            }
        }
        let largest = self.classes.iter().max_by_key(|c| c.train);
        let smallest = self.classes.iter().min_by_key(|c| c.train);
        if let (Some(large), Some(small)) = (largest, smallest) {
            if large.train as f64 > IMBALANCE * small.train.max(1) as f64 {
                told.push(format!(
                    "class {} has {} to train on, {} has {}: look at the accuracy of each class, not at the mean",
                    large.name,
                    format::counted(large.train, "picture"),
                    small.name,
                    small.train
                ));
            }
            if small.train < FEW_TO_TRAIN {
                let few = self.classes.iter().filter(|c| c.train < FEW_TO_TRAIN);
                let few = format::some(few.map(|c| format!("{}: {}", c.name, c.train)), "; ", NAMED);
                told.push(format!(
                    "fewer than {FEW_TO_TRAIN} pictures to train on ({few}): take more of these"
                ));
            }
        }
        let test: usize = self.classes.iter().map(|c| c.test).sum();
        if test < FEW_TO_TEST {
            told.push(format!("{test} test pictures tell little: with {FEW_TO_TEST}, 90 % is 82 to 95 %"));
        }
        if one_class {
            told.push("all test pictures are of one class: no accuracy on them says anything".into());
        }
        let size = photos.size();
        let small = photos.pictures.good().into_iter().filter(|&i| {
            photos.pictures.get(i as usize).is_some_and(|(_, width, height)| width.min(height) < size)
        });
        let small = small.count();
        if small > 0 {
            told.push(format!(
                "{} with a side below {size} pixels, to be enlarged: a smaller size loses nothing there",
                format::counted(small, "picture")
            ));
        }
        // Two thirds: the sides that are tried are so far apart.
        let shown = size.min(self.short_side[1]);
        if 3 * self.detail <= 2 * shown {
            told.push(format!(
                "half of the pictures hold no more detail than {} pixels a side can show (enlarged once, or blurred): \
                 {size} cost more and show no more",
                self.detail
            ));
        }
        self.warnings.extend(told);
    }
}

fn counts(photos: &Photos) -> Vec<ClassCount> {
    let name = |name: &String| ClassCount { name: name.clone(), train: 0, val: 0, test: 0 };
    let mut counts: Vec<ClassCount> = photos.listing.classes.iter().map(name).collect();
    for part in [Part::Train, Part::Val, Part::Test] {
        for &i in photos.part(part) {
            let label = photos.pictures.label(i as usize).map(usize::from);
            let Some(count) = label.and_then(|l| counts.get_mut(l)) else { continue };
            match part {
                Part::Train => count.train += 1,
                Part::Val => count.val += 1,
                Part::Test => count.test += 1,
            }
        }
    }
    counts
}

fn parted(photos: &Photos, origin: Option<&Origin>) -> String {
    let own_test = photos.listing.items.iter().any(|item| item.part == Some(Part::Test));
    let test = if own_test {
        "test is the set's own".to_owned()
    } else {
        format!(
            "the set has no test part: {:.0} % of each class are drawn for it (seed 0), copies of one picture together",
            100.0 * TEST_FRACTION
        )
    };
    let val = match origin.map_or(0, |origin| origin.val) {
        0 => "val is cut from train (val_fraction of the recipe), copies together",
        _ => "val is the set's own",
    };
    format!("{test}; {val}")
}

/// Short sides and aspects: smallest, median, largest.
fn shapes(photos: &Photos) -> ([usize; 3], [f64; 3]) {
    let sides = photos.pictures.good().into_iter().filter_map(|i| {
        photos.pictures.get(i as usize).map(|(_, width, height)| (width.min(height), width.max(height)))
    });
    let (mut short, mut aspect): (Vec<usize>, Vec<f64>) =
        sides.map(|(short, long)| (short, long as f64 / short as f64)).unzip();
    short.sort_unstable();
    aspect.sort_unstable_by(f64::total_cmp);
    let places = [0, short.len() / 2, short.len().saturating_sub(1)];
    let of = |i: usize| short.get(i).copied().unwrap_or(0);
    (places.map(of), places.map(|i| aspect.get(i).copied().unwrap_or(0.0)))
}

/// The median of what pictures need to show their detail.
fn detail(photos: &Photos) -> usize {
    let good = photos.pictures.good();
    let looked_at = good.iter().step_by(good.len().div_ceil(LOOKED_AT).max(1));
    let side = |&i: &u32| {
        let (pixels, width, height) = photos.pictures.get(i as usize)?;
        detail_side(pixels, height, width)
    };
    let mut sides: Vec<usize> = looked_at.filter_map(side).collect();
    sides.sort_unstable();
    sides.get(sides.len() / 2).copied().unwrap_or(0)
}
