//! Pictures that occur twice: the same file, or the same photograph once more, smaller, recoloured or packed again. One
//! of them to train on and one to test on makes an accuracy that is none, so they are kept on one side of a split
//! ([`crate::data::split::split_groups`]).
//!
//! **Equal** is the same SHA-256 of the file. **Near** is both of: at most [`MAX_BITS`] of 64 bits of the difference
//! hash differ (whether each of 9 x 8 grey pixels is darker than its right neighbour), and the mean absolute difference
//! of the 16 x 16 grey thumbnails is at most [`MAX_DIFFERENCE`] of 255 levels. The hash alone takes flat pictures for
//! each other, the thumbnail alone dark ones.
//!
//! The bounds were chosen on 4,317 photographs of flowers as Pillow decodes them: 18 pairs are near by them (16 as
//! decoded and shrunk here: hashes of almost black pairs have an eighth bit), and each is one photograph or one
//! scene twice (a grey copy, another crop of some pixels, the next shot of a series). The first wrong pair, a purple
//! and a red picture, both nearly flat, has 5 bits and 11.9 levels; without the bound on levels there are 403 pairs
//! within 7 bits, nearly all of them wrong. Mirrored, turned or strongly cropped copies are not found.

use crate::image::resize::{self, Side};
use std::collections::HashMap;

/// Bits of the difference hash in which near pictures differ at most. Two hashes of 8 bytes that differ in 7 bits have
/// a byte in common, which is how they are found without looking at all pairs.
pub const MAX_BITS: u32 = 7;
/// Levels (of 255) by which the thumbnails of near pictures differ at most, in the mean.
pub const MAX_DIFFERENCE: f64 = 10.5;

const SIDE: usize = 16;
/// Pixels of a thumbnail.
pub const PIXELS: usize = SIDE * SIDE;
/// Both the thumbnail and the hash are made of so many by so many pixels.
const MIDDLE: usize = 144;
const MAX_SUM: u32 = (MAX_DIFFERENCE * PIXELS as f64) as u32;
/// Pictures that one is compared with for each byte of its hash. Ordinary sets stay far below; in a set of a hundred
/// thousand pictures of one blank wall, each is held against so many of about its brightness.
const MOST_LOOKS: usize = 2000;

/// What a picture looks like, whatever size it is looked at: made of the whole picture as it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The difference hash.
    pub hash: u64,
    /// 16 x 16 grey pixels.
    pub thumbnail: [u8; PIXELS],
}

impl Look {
    /// Of no picture.
    pub const NONE: Self = Self { hash: 0, thumbnail: [0; PIXELS] };

    /// Of a picture of this height and width; `grey` writes its row `y` in grey. Rows are asked for from the top, once
    /// each.
    pub fn of(height: usize, width: usize, grey: impl FnMut(usize, &mut [u8])) -> Self {
        let side = |from: usize, to: usize| Side { from, to, first: 0, count: to };
        // A large picture is gone through once.
        let middle = resize::bilinear(1, (side(height, MIDDLE), side(width, MIDDLE)), grey);
        let shrunk = |rows: usize, columns: usize| {
            let row = |y: usize, out: &mut [u8]| {
                out.iter_mut().zip(middle.iter().skip(y * MIDDLE)).for_each(|(to, from)| *to = *from);
            };
            resize::bilinear(1, (side(MIDDLE, rows), side(MIDDLE, columns)), row)
        };
        let mut thumbnail = [0; PIXELS];
        thumbnail.iter_mut().zip(shrunk(SIDE, SIDE)).for_each(|(to, from)| *to = from);
        let darker = |w: &[u8]| matches!(w, [left, right] if left < right);
        let bits =
            shrunk(8, 9).chunks_exact(9).flat_map(|row| row.windows(2).map(darker)).collect::<Vec<_>>();
        Self { hash: bits.into_iter().fold(0, |hash, bit| hash << 1 | u64::from(bit)), thumbnail }
    }
}

/// What is kept of a picture to compare it by: 0.3 KB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Print {
    sha256: [u8; 32],
    look: Look,
    /// Of the thumbnail.
    sum: u32,
}

impl Print {
    /// Of a picture; `sha256` is its file's.
    pub fn new(sha256: [u8; 32], look: Look) -> Self {
        Self { sha256, look, sum: look.thumbnail.iter().map(|b| u32::from(*b)).sum() }
    }

    /// Whether two pictures look alike, by the rule above.
    pub fn is_near(&self, other: &Self) -> bool {
        (self.look.hash ^ other.look.hash).count_ones() <= MAX_BITS && {
            let apart = |(a, b): (&u8, &u8)| u32::from(a.abs_diff(*b));
            self.look.thumbnail.iter().zip(&other.look.thumbnail).map(apart).sum::<u32>() <= MAX_SUM
        }
    }

    fn byte(&self, i: usize) -> u8 {
        (self.look.hash >> (8 * i)) as u8
    }
}

/// Which pictures belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// For each picture the smallest index of its group: its own, where it is alone.
    pub of: Vec<u32>,
    /// Pairs with the same file: each with the first of its kind.
    pub equal: Vec<(u32, u32)>,
    /// Pairs that look alike and are not the same file, smaller index first, ascending.
    pub near: Vec<(u32, u32)>,
}

impl Groups {
    /// Groups of more than one picture, each ascending, by their first.
    pub fn sets(&self) -> Vec<Vec<u32>> {
        let mut members: HashMap<u32, Vec<u32>> = HashMap::new();
        for (i, &first) in (0u32..).zip(&self.of) {
            members.entry(first).or_default().push(i);
        }
        let mut sets: Vec<Vec<u32>> = members.into_values().filter(|m| m.len() > 1).collect();
        sets.sort_unstable();
        sets
    }
}

/// Groups of equal and near pictures: near to one of a group is of the group. A pure function of the prints. The work
/// grows with the pictures that share a byte of the hash and about a brightness: 100,000 take seconds.
pub fn groups(prints: &[Print]) -> Groups {
    let mut joined = Joined::new(prints.len());
    let (mut equal, mut firsts) = (Vec::new(), Vec::new());
    let mut seen: HashMap<&[u8; 32], u32> = HashMap::new();
    for (i, print) in (0u32..).zip(prints) {
        match seen.get(&print.sha256) {
            Some(&first) => {
                joined.join(first, i);
                equal.push((first, i));
            }
            None => {
                seen.insert(&print.sha256, i);
                firsts.push((i, print));
            }
        }
    }
    let mut near = Vec::new();
    for byte in 0..8 {
        firsts.sort_unstable_by_key(|(i, p)| (p.byte(byte), p.sum, *i));
        for (at, &(i, one)) in firsts.iter().enumerate() {
            let close = |p: &Print| p.byte(byte) == one.byte(byte) && p.sum - one.sum <= MAX_SUM;
            let rest = firsts.iter().skip(at + 1).take(MOST_LOOKS);
            for &(j, other) in rest.take_while(|(_, p)| close(p)) {
                // A pair with several bytes in common is looked at for the first of them.
                let before = (0..byte).any(|b| one.byte(b) == other.byte(b));
                if !before && one.is_near(other) {
                    joined.join(i, j);
                    near.push((i.min(j), i.max(j)));
                }
            }
        }
    }
    near.sort_unstable();
    Groups { of: (0..prints.len()).map(|i| joined.first(i as u32)).collect(), equal, near }
}

/// Union-find; the root of a group is its smallest index.
struct Joined {
    parents: Vec<u32>,
}

impl Joined {
    fn new(n: usize) -> Self {
        Self { parents: (0..n as u32).collect() }
    }

    fn first(&mut self, i: u32) -> u32 {
        let parent = |parents: &[u32], i: u32| parents.get(i as usize).copied().unwrap_or(i);
        let mut root = i;
        while parent(&self.parents, root) != root {
            root = parent(&self.parents, root);
        }
        let mut at = i;
        while at != root {
            let next = parent(&self.parents, at);
            if let Some(slot) = self.parents.get_mut(at as usize) {
                *slot = root;
            }
            at = next;
        }
        root
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.first(a), self.first(b));
        if let Some(slot) = self.parents.get_mut(a.max(b) as usize) {
            *slot = a.min(b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::luma;
    use crate::rng::Rng;

    /// Smooth pictures of 40 x 30 pixels; the same `which` is the same scene, `noise` levels of noise on it.
    fn picture(which: u64, noise: u64) -> Vec<u8> {
        let mut scene = Rng::new(which, "scene", 0);
        let waves: Vec<[f64; 4]> = (0..6).map(|_| std::array::from_fn(|_| scene.unit_f64())).collect();
        let mut rng = Rng::new(which, "noise", noise);
        let mut pixels = Vec::new();
        for (c, y, x) in (0..3).flat_map(|c| (0..30).flat_map(move |y| (0..40).map(move |x| (c, y, x)))) {
            let wave = |w: &[f64; 4]| {
                (w[0] * 0.4 * f64::from(x) + w[1] * 0.4 * f64::from(y) + 6.3 * w[2]).sin() * w[3] * 40.0
            };
            let value = 128.0 + waves.iter().map(wave).sum::<f64>() + f64::from(c * 5);
            let noisy = value + rng.below(noise + 1) as f64 - noise as f64 / 2.0;
            pixels.push(noisy.clamp(0.0, 255.0) as u8);
        }
        pixels
    }

    fn print(which: u64, noise: u64) -> Print {
        let mut sha = [0; 32];
        sha[..8].copy_from_slice(&which.to_le_bytes());
        sha[8..16].copy_from_slice(&noise.to_le_bytes());
        let pixels = picture(which, noise);
        let grey = |y: usize, out: &mut [u8]| {
            for (x, out) in out.iter_mut().enumerate() {
                let at = |c: usize| pixels[(c * 30 + y) * 40 + x];
                *out = luma(at(0), at(1), at(2));
            }
        };
        Print::new(sha, Look::of(30, 40, grey))
    }

    #[test]
    fn noise_is_near_and_other_scenes_are_not() {
        let prints = [print(1, 0), print(2, 0), print(1, 8), print(3, 0), print(2, 0), print(2, 6)];
        let found = groups(&prints);
        assert_eq!(found.of, [0, 1, 0, 3, 1, 1]);
        assert_eq!((&found.equal[..], &found.near[..]), (&[(1, 4)][..], &[(0, 2), (1, 5)][..]));
        assert_eq!(found.sets(), [vec![0, 2], vec![1, 4, 5]]);
        assert!(groups(&[]).of.is_empty());
    }

    /// A black and a dark picture have the same hash, which is why it is not enough.
    #[test]
    fn flat_pictures_are_told_apart_by_their_levels() {
        let flat = |level: u8| Print::new([level; 32], Look::of(3, 4, |_, out| out.fill(level)));
        assert!(flat(0).is_near(&flat(10)) && !flat(0).is_near(&flat(11)));
    }

    /// The same answer as looking at all pairs.
    #[test]
    fn nothing_is_missed() {
        let mut rng = Rng::new(5, "prints", 0);
        let mut prints: Vec<Print> = (0..300).map(|i| print(i / 3, i % 3 * 3)).collect();
        for i in 0..600 {
            // Hashes some bits away from another's, thumbnails some levels away.
            let mut copy = prints[rng.below(300) as usize].clone();
            (0..rng.below(10)).for_each(|_| copy.look.hash ^= 1 << rng.below(64));
            let add = rng.below(24) as u8;
            copy.look.thumbnail.iter_mut().for_each(|b| *b = b.saturating_add(add));
            copy = Print::new(copy.sha256, copy.look);
            copy.sha256[20] = 1 + (i % 200) as u8;
            copy.sha256[21] = (i / 200) as u8;
            prints.push(copy);
        }
        let found = groups(&prints);
        let mut wanted = Vec::new();
        for i in 0..prints.len() {
            for j in i + 1..prints.len() {
                if prints[i].sha256 != prints[j].sha256 && prints[i].is_near(&prints[j]) {
                    wanted.push((i as u32, j as u32));
                }
            }
        }
        assert!(wanted.len() > 300 && found.near == wanted, "{} of {}", found.near.len(), wanted.len());
    }
}
