//! Baseline JPEG files (ITU-T T.81) of coefficients that are drawn and not computed from pixels: no transform, no rounding,
//! so the same bytes on every machine. Colours are halved in both directions (4:2:0), as cameras write them.

use crate::rng::Rng;

/// Every step of quantisation: coefficients are multiples of it.
const STEP: u8 = 16;
/// Coefficients of a block behind its mean, at the lowest frequencies (in zigzag order), that are drawn.
const DRAWN: usize = 5;
/// A drawn coefficient is from minus this to this.
const SWING: i32 = 4;
/// Symbols of the means' table: the bits of a difference.
const MEANS: u8 = 12;

/// What a JPEG shows: the means of 16 x 16 pixels' luma and colours, each 0 to 255.
pub(super) type Means<'a> = &'a dyn Fn(usize, usize) -> [u8; 3];

/// Returns a file of `width` x `height` pixels as stored, whose EXIF data say `orientation`; `means(x, y)` gives the luma and
/// the two colours around pixel `(x, y)`, and `rng` the detail.
pub(super) fn jpeg((width, height): (u16, u16), orientation: u8, means: Means, rng: &mut Rng) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    let exif =
        [b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[orientation][..], b"\0\0\0\0\0\0"];
    segment(&mut out, 0xe1, &exif.concat());
    segment(&mut out, 0xdb, &[&[0][..], &[STEP; 64]].concat());
    let ([w1, w0], [h1, h0]) = (width.to_be_bytes(), height.to_be_bytes());
    // Precision; height, width; of each component its number, sampling factors (h, v) and table.
    segment(&mut out, 0xc0, &[8, h1, h0, w1, w0, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]);
    segment(&mut out, 0xc4, &codes(0x00, 4, &(0..MEANS).collect::<Vec<u8>>()));
    segment(&mut out, 0xc4, &codes(0x10, 8, &symbols()));
    segment(&mut out, 0xda, &[3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    let mut bits = Bits::default();
    let mut last = [0; 3];
    for y in (0..usize::from(height)).step_by(16) {
        for x in (0..usize::from(width)).step_by(16) {
            for (dx, dy) in [(0, 0), (8, 0), (0, 8), (8, 8)] {
                let [luma, ..] = means(x + dx, y + dy);
                block(&mut bits, &mut last[0], luma, rng);
            }
            let [_, blue, red] = means(x, y);
            block(&mut bits, &mut last[1], blue, rng);
            block(&mut bits, &mut last[2], red, rng);
        }
    }
    out.extend(bits.finish());
    out.extend([0xff, 0xd9]);
    out
}

fn segment(out: &mut Vec<u8>, marker: u8, data: &[u8]) {
    let length = u16::try_from(data.len() + 2).unwrap_or(u16::MAX);
    out.extend([0xff, marker]);
    out.extend(length.to_be_bytes());
    out.extend(data);
}

/// A table in which every code has `length` bits: a symbol's code is its place.
fn codes(table: u8, length: u8, symbols: &[u8]) -> Vec<u8> {
    let count = |bits: u8| if bits == length { u8::try_from(symbols.len()).unwrap_or(u8::MAX) } else { 0 };
    [&[table][..], &(1..=16).map(count).collect::<Vec<u8>>(), symbols].concat()
}

/// Of the coefficients' table: zeros before one and its bits; that all others are zero comes first.
fn symbols() -> Vec<u8> {
    let zeros_and_bits = (0..16u8).flat_map(|zeros| (1..=10).map(move |bits| zeros << 4 | bits));
    [0].into_iter().chain(zeros_and_bits).collect()
}

/// One block of 8 x 8: the difference of its mean to the last one's, and what is drawn.
fn block(bits: &mut Bits, last: &mut i32, mean: u8, rng: &mut Rng) {
    // The first coefficient is eight times the mean, less 128.
    let level = (i32::from(mean) - 128) * 8 / i32::from(STEP);
    let difference = level - *last;
    *last = level;
    let size = size_of(difference);
    bits.push(size.into(), 4);
    bits.push_number(difference, size);
    let mut zeros = 0;
    for _ in 0..DRAWN {
        let span = u64::from(SWING.unsigned_abs()) * 2 + 1;
        let value = i32::try_from(rng.below(span)).unwrap_or(0) - SWING;
        if value == 0 {
            zeros += 1;
            continue;
        }
        let size = size_of(value);
        // The place in `symbols`.
        bits.push(1 + zeros * 10 + u32::from(size) - 1, 8);
        bits.push_number(value, size);
        zeros = 0;
    }
    bits.push(0, 8);
}

/// Bits of a number's magnitude.
fn size_of(value: i32) -> u8 {
    u8::try_from(32 - value.unsigned_abs().leading_zeros()).unwrap_or(0)
}

/// Bits, the first one highest; a byte of ones is followed by a zero.
#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, code: u32, length: u32) {
        for bit in (0..length).rev() {
            self.held = self.held << 1 | (code >> bit & 1);
            self.count += 1;
            if self.count == 8 {
                let byte = u8::try_from(self.held & 0xff).unwrap_or(0);
                self.out.push(byte);
                self.out.extend((byte == 0xff).then_some(0));
                (self.held, self.count) = (0, 0);
            }
        }
    }

    /// A number behind its size: a negative one less one, in so many bits.
    fn push_number(&mut self, value: i32, size: u8) {
        let bits = if value < 0 { value - 1 } else { value };
        self.push(bits.cast_unsigned() & ((1 << size) - 1), size.into());
    }

    /// Filled up with ones.
    fn finish(mut self) -> Vec<u8> {
        while self.count > 0 {
            self.push(1, 1);
        }
        self.out
    }
}
