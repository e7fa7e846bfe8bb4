//! Antialiased bilinear resizing of u8 images as Pillow's `Image.resize(.., BILINEAR)`: what photographs are shrunk by
//! where people train (torchvision and timm call it). Bit for bit where Pillow resizes rows first. Pillow 13 begins with
//! the columns of some pictures, mostly tall ones, which rounds otherwise: then by one level at most
//! (`scripts/pictures-peer.sh`).
//!
//! Each output position is a weighted mean of the source positions under a triangle as wide as the scale
//! (at least one pixel each way). Weights are integers of 22 bits; rows are resized first and rounded to
//! bytes, then columns. Crates were tried: `fast_image_resize` 6.1 weighs with 16 bits and differs from
//! Pillow 13 by 1 in a fifth of all values, and wants the whole picture at once, where this takes it row by
//! row and computes the cropped window alone.

/// Bits after the point of a weight (Pillow: 32 - 8 - 2).
const BITS: u32 = 22;
/// One half, for rounding.
const HALF: i32 = 1 << (BITS - 1);

/// A window of one side: of a side resized from `from` to `to` pixels, `count` of them from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Pixels of the source.
    pub from: usize,
    /// Pixels of the whole side after resizing.
    pub to: usize,
    /// First pixel of the window.
    pub first: usize,
    /// Pixels of the window.
    pub count: usize,
}

/// What one output position is the sum of.
struct Taps {
    /// Source position of the first weight.
    start: usize,
    weights: Vec<i32>,
}

impl Taps {
    fn end(&self) -> usize {
        self.start + self.weights.len()
    }
}

/// The window `(rows, columns)` of a resized picture of `channels` planes, `[C, rows.count, columns.count]`.
/// `row(y, out)` writes row `y` of the source, plane after plane (`[C, columns.from]`); it is asked for the
/// rows that are needed, once each, from the top. Sides are at least 1 pixel, and windows lie inside them.
pub fn bilinear(
    channels: usize,
    (rows, columns): (Side, Side),
    mut row: impl FnMut(usize, &mut [u8]),
) -> Vec<u8> {
    let (down, across) = (taps(rows), taps(columns));
    let width = columns.count;
    let mut source = vec![0; channels * columns.from];
    let mut line = vec![0; channels * width];
    // Sums of every output row, `[rows.count, C, columns.count]`: they fit, since weights add up to 1 or so.
    let mut sums = vec![HALF; rows.count * channels * width];
    let needed = down.first().map_or(0, |t| t.start)..down.iter().map(Taps::end).max().unwrap_or(0);
    let mut done = 0; // output rows above have all they need: windows move down only
    for y in needed {
        row(y, &mut source);
        for (plane, out) in source.chunks_exact(columns.from).zip(line.chunks_exact_mut(width)) {
            for (taps, out) in across.iter().zip(out) {
                *out = byte(dot(&plane[taps.start..taps.end()], &taps.weights));
            }
        }
        done += down.iter().skip(done).take_while(|t| t.end() <= y).count();
        let reached = down.iter().zip(sums.chunks_exact_mut(channels * width)).skip(done);
        for (taps, sums) in reached.take_while(|(t, _)| t.start <= y) {
            let Some(&weight) = taps.weights.get(y - taps.start) else { continue };
            sums.iter_mut().zip(&line).for_each(|(sum, &b)| *sum += i32::from(b) * weight);
        }
    }
    let plane = |c: usize| sums.chunks_exact(width).skip(c).step_by(channels.max(1)).flatten();
    (0..channels).flat_map(plane).map(|&sum| byte(sum)).collect()
}

/// Returns what writes row `y` of a planar picture `[C, h, w]`, plane after plane, as [`bilinear`] asks for it.
pub fn rows_of(image: &[u8], h: usize, w: usize) -> impl FnMut(usize, &mut [u8]) {
    move |y, out| {
        for (plane, out) in image.chunks_exact(h * w).zip(out.chunks_exact_mut(w)) {
            out.copy_from_slice(&plane[y * w..(y + 1) * w]);
        }
    }
}

/// Returns the whole of a planar picture `[channels, height, width]`, resized to `to`, height and width of 1 and more.
#[cfg(feature = "photos")]
pub fn whole(pixels: &[u8], channels: usize, [height, width]: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    let side = |from, to| Side { from, to, first: 0, count: to };
    bilinear(channels, (side(height, to[0]), side(width, to[1])), rows_of(pixels, height, width))
}

fn dot(pixels: &[u8], weights: &[i32]) -> i32 {
    HALF + pixels.iter().zip(weights).map(|(&p, &w)| i32::from(p) * w).sum::<i32>()
}

fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// The weights of each position of a window, as Pillow computes and rounds them.
fn taps(Side { from, to, first, count }: Side) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    // The triangle's half width: wider than a source pixel where the picture shrinks.
    let support = scale.max(1.0);
    let tap = |i: usize| {
        let centre = ((first + i) as f64 + 0.5) * scale;
        let start = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from).max(start);
        let triangle = |x: usize| {
            let distance = (((x as f64) - centre + 0.5) * (1.0 / support)).abs();
            (1.0 - distance).max(0.0)
        };
        let total: f64 = (start..end).map(triangle).sum();
        let weight = |x: usize| {
            let share = if total > 0.0 { triangle(x) / total } else { 0.0 };
            (share * f64::from(1 << BITS) + 0.5) as i32
        };
        Taps { start, weights: (start..end).map(weight).collect() }
    };
    (0..count).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that the script beside the fixture makes too: a small linear congruential generator.
    fn noise(n: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..n).map(|_| next()).collect()
    }

    fn whole(from: usize, to: usize) -> Side {
        Side { from, to, first: 0, count: to }
    }

    fn resized(pixels: &[u8], channels: usize, rows: Side, columns: Side) -> Vec<u8> {
        let plane = rows.from * columns.from;
        bilinear(channels, (rows, columns), |y, out| {
            for (image, out) in pixels.chunks(plane).zip(out.chunks_mut(columns.from)) {
                out.copy_from_slice(&image[y * columns.from..(y + 1) * columns.from]);
            }
        })
    }

    /// Every byte of Pillow's answers (fixtures/resize-pil.txt, made by scripts/make-resize-fixture.py).
    #[test]
    fn equals_pillow_bit_for_bit() {
        let mut cases = 0;
        for line in include_str!("fixtures/resize-pil.txt").lines().filter(|l| !l.starts_with('#')) {
            let (sizes, answer) = line.split_once(": ").unwrap();
            let n: Vec<usize> = sizes.split(' ').map(|n| n.parse().unwrap()).collect();
            let [channels, h, w, to_h, to_w] = n[..] else { panic!("{sizes}") };
            let found = resized(&noise(channels * h * w), channels, whole(h, to_h), whole(w, to_w));
            let wanted: Vec<u8> = (0..answer.len() / 2)
                .map(|i| u8::from_str_radix(&answer[2 * i..2 * i + 2], 16).unwrap())
                .collect();
            assert!(found == wanted, "{sizes}: {found:?}\nwanted {wanted:?}");
            cases += 1;
        }
        assert!(cases >= 12, "{cases}");
    }

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        let pixels = noise(3 * 30 * 41);
        let (rows, columns) = (whole(30, 17), whole(41, 50));
        let all = resized(&pixels, 3, rows, columns);
        let part = resized(
            &pixels,
            3,
            Side { first: 4, count: 9, ..rows },
            Side { first: 11, count: 20, ..columns },
        );
        for c in 0..3 {
            for y in 0..9 {
                let at = (c * 17 + y + 4) * 50 + 11;
                assert_eq!(part[(c * 9 + y) * 20..][..20], all[at..at + 20], "plane {c}, row {y}");
            }
        }
    }

    /// Rows come once each, in order, and no more of them than the window needs.
    #[test]
    fn rows_are_asked_for_once() {
        let mut asked = Vec::new();
        let rows = Side { from: 100, to: 10, first: 4, count: 2 };
        let out = bilinear(1, (rows, whole(3, 3)), |y, out| {
            asked.push(y);
            out.fill(7);
        });
        assert_eq!((out, asked), (vec![7; 6], (35..65).collect::<Vec<_>>()));
    }
}
