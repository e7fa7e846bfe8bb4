//! Sliding windows over up to three spatial dimensions: kernel, strides, dilations, padding, output size.
//! Fewer dimensions are three with ones in front.

use super::Node;

/// Along each of depth, height, width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Spatial dimensions of the tensor.
    pub rank: usize,
    /// Input size.
    pub input: [usize; 3],
    /// Kernel size.
    pub kernel: [usize; 3],
    /// Strides.
    pub stride: [usize; 3],
    /// Dilations.
    pub dilation: [usize; 3],
    /// Padding before.
    pub begin: [usize; 3],
    /// Padding after.
    pub end: [usize; 3],
    /// Positions of the window.
    pub output: [usize; 3],
}

/// Beyond this no kernel, stride or padding makes sense, and products stay small.
const MOST: i64 = 1 << 20;

/// One value for each spatial dimension, all of them within 0 (or 1) and 2^20.
pub fn per_dimension(
    given: Option<&[i64]>,
    rank: usize,
    default: i64,
    least: i64,
) -> Result<[usize; 3], String> {
    let mut all = [usize::try_from(default).unwrap_or(0); 3];
    let Some(given) = given else { return Ok(all) };
    if given.len() != rank || rank > 3 {
        return Err(format!("{given:?} does not have {rank} values"));
    }
    for (slot, &v) in all.iter_mut().skip(3 - rank).zip(given) {
        let fits = (least..=MOST).contains(&v);
        *slot = usize::try_from(v).ok().filter(|_| fits).ok_or_else(|| format!("{v} is out of range"))?;
    }
    Ok(all)
}

/// Spatial sizes of `[N, C, ...]`.
pub fn spatial(shape: &[usize]) -> Result<[usize; 3], String> {
    let Some(own) = shape.get(2..).filter(|s| (1..=3).contains(&s.len())) else {
        return Err(format!("input is {shape:?}, wanted [N, C, and one to three dimensions]"));
    };
    let mut all = [1; 3];
    all.iter_mut().skip(3 - own.len()).zip(own).for_each(|(a, &d)| *a = d);
    Ok(all)
}

impl Window {
    /// From a node's attributes; `kernel` where the weights say it.
    pub fn read(n: &Node, shape: &[usize], kernel: Option<[usize; 3]>) -> Result<Self, String> {
        let input = spatial(shape)?;
        let rank = shape.len() - 2;
        let asked = n.ints("kernel_shape")?.map(|k| per_dimension(Some(k), rank, 1, 1)).transpose()?;
        let kernel = match (kernel, asked) {
            (Some(a), Some(b)) if a != b => {
                return Err(format!("kernel_shape {b:?} is not the weights' {a:?}"));
            }
            (Some(k), _) | (None, Some(k)) => k,
            (None, None) => return Err("attribute `kernel_shape` is missing".into()),
        };
        let stride = per_dimension(n.ints("strides")?, rank, 1, 1)?;
        let dilation = per_dimension(n.ints("dilations")?, rank, 1, 1)?;
        let mut w =
            Self { rank, input, kernel, stride, dilation, begin: [0; 3], end: [0; 3], output: [1; 3] };
        match n.text("auto_pad", "NOTSET")? {
            "NOTSET" => (w.begin, w.end) = pads(n, rank)?,
            "VALID" => {}
            same @ ("SAME_UPPER" | "SAME_LOWER") => w.same(same == "SAME_UPPER"),
            other => return Err(format!("auto_pad `{other}` is not known")),
        }
        let ceil = n.int("ceil_mode", 0)? != 0;
        for i in 0..3 {
            w.output[i] = w.positions(i, ceil)?;
        }
        Ok(w)
    }

    /// How far the window reaches.
    pub fn extent(&self, i: usize) -> usize {
        (self.kernel[i] - 1) * self.dilation[i] + 1
    }

    fn same(&mut self, upper: bool) {
        for i in 0..3 {
            let positions = self.input[i].div_ceil(self.stride[i]);
            let needed = (positions.saturating_sub(1)) * self.stride[i] + self.extent(i);
            let all = needed.saturating_sub(self.input[i]);
            let (less, more) = (all / 2, all - all / 2);
            (self.begin[i], self.end[i]) = if upper { (less, more) } else { (more, less) };
        }
    }

    fn positions(&self, i: usize, ceil: bool) -> Result<usize, String> {
        let padded = self.input[i] + self.begin[i] + self.end[i];
        let room = padded.checked_sub(self.extent(i)).ok_or_else(|| {
            format!("a window of {} does not fit into {padded} (with padding)", self.extent(i))
        })?;
        if !ceil {
            return Ok(room / self.stride[i] + 1);
        }
        let positions = room.div_ceil(self.stride[i]) + 1;
        // No window starts beyond the input and what is padded before it.
        let beyond = (positions - 1) * self.stride[i] >= self.input[i] + self.begin[i];
        Ok(if beyond { positions - 1 } else { positions })
    }

    /// As a shader's constants: `in_*`, `k*`, `s*`, `l*` (dilation), `p*`, `out_*`.
    pub fn constants(&self) -> Vec<(&'static str, f64)> {
        const NAMES: [[&str; 3]; 6] = [
            ["in_d", "in_h", "in_w"],
            ["kd", "kh", "kw"],
            ["sd", "sh", "sw"],
            ["ld", "lh", "lw"],
            ["pd", "ph", "pw"],
            ["out_d", "out_h", "out_w"],
        ];
        let all = [self.input, self.kernel, self.stride, self.dilation, self.begin, self.output];
        let pair = |(names, values): ([&'static str; 3], [usize; 3])| names.into_iter().zip(values);
        NAMES.into_iter().zip(all).flat_map(pair).map(|(name, v)| (name, v as f64)).collect()
    }

    /// `[n, c, output...]` in the tensor's own rank.
    pub fn output_shape(&self, n: usize, c: usize) -> Vec<usize> {
        [n, c].into_iter().chain(self.output.iter().skip(3 - self.rank).copied()).collect()
    }
}

/// `pads`: all begins, then all ends.
pub fn pads(n: &Node, rank: usize) -> Result<([usize; 3], [usize; 3]), String> {
    let Some(all) = n.ints("pads")? else { return Ok(([0; 3], [0; 3])) };
    if all.len() != 2 * rank {
        return Err(format!("pads {all:?} are not two for each of {rank} dimensions"));
    }
    let (begin, end) = all.split_at(rank);
    Ok((per_dimension(Some(begin), rank, 0, 0)?, per_dimension(Some(end), rank, 0, 0)?))
}
