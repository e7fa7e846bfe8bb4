//! Sliding windows over up to three spatial dimensions: kernel, strides, dilations, padding, output size. Fewer dimensions
//! are three with ones in front.

/// This is a sliding window, along each of depth, height, width.
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

impl Window {
    /// This is the window of 1x1 images: each has one place.
    pub const POINT: Self = Self {
        rank: 0,
        input: [1; 3],
        kernel: [1; 3],
        stride: [1; 3],
        dilation: [1; 3],
        begin: [0; 3],
        end: [0; 3],
        output: [1; 3],
    };

    /// Returns how far the window reaches along dimension `i`.
    pub fn extent(&self, i: usize) -> usize {
        (self.kernel[i] - 1) * self.dilation[i] + 1
    }

    /// Pads so that there are as many positions as the input has strides: what is odd lies behind (`upper`) or before.
    pub fn same(&mut self, upper: bool) {
        for i in 0..3 {
            let positions = self.input[i].div_ceil(self.stride[i]);
            let needed = (positions.saturating_sub(1)) * self.stride[i] + self.extent(i);
            let all = needed.saturating_sub(self.input[i]);
            let (less, more) = (all / 2, all - all / 2);
            (self.begin[i], self.end[i]) = if upper { (less, more) } else { (more, less) };
        }
    }

    /// Returns the positions of the window along dimension `i`, the last one perhaps beyond the end (`ceil`).
    /// It is an error if the window does not fit.
    pub fn positions(&self, i: usize, ceil: bool) -> Result<usize, String> {
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

    /// Returns `[n, c, output...]` in the tensor's own rank.
    pub fn output_shape(&self, n: usize, c: usize) -> Vec<usize> {
        [n, c].into_iter().chain(self.output.iter().skip(3 - self.rank).copied()).collect()
    }
}

/// These are the groups of a convolution's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// `group`.
    pub groups: usize,
    /// Input channels of each.
    pub cg: usize,
    /// Output channels of each.
    pub mg: usize,
}

impl Groups {
    /// Returns the number of input channels.
    pub fn inputs(&self) -> usize {
        self.groups * self.cg
    }

    /// Returns the number of output channels.
    pub fn outputs(&self) -> usize {
        self.groups * self.mg
    }
}
