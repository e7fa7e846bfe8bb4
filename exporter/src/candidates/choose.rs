//! Which of two models is faster on this machine: measured in turn and judged by the interval over rounds, as
//! `gtn-run compare` does it. Where that cannot tell, nothing is decided here.

use gtn_core::io::tensors::Tensor;
use gtn_core::measure::compare::{Ratio, Verdict};
use gtn_core::measure::robust::median;
use gtn_core::{Error, Result};
use gtn_run::backend::ort::OrtBackend;
use gtn_run::backend::{Backend, Named, Options};
use gtn_run::onnx::OnnxFile;
use gtn_run::timing::interleave::{Plan, Rounds, Runner, interleave};
use serde::Serialize;
use std::path::Path;

/// Rounds at each look, 0.1 s a round: more than `gtn-run compare` makes unasked, and shorter ones. Nobody looks at the
/// machine first; at rest the first look tells, beside other work each one sees twice what the one before saw.
const LOOKS: [usize; 5] = [30, 60, 120, 240, 480];
const ROUND_S: f64 = 0.1;
/// A difference that must show: looking goes on while there may be one.
const SHOWS: f64 = 0.05;
/// Differences below this are no difference: `gtn-run compare`'s default.
const MIN_EFFECT: f64 = 0.01;

/// This is one of two models that are to be compared.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// For people and reports: `int8`.
    pub name: &'a str,
    /// model.onnx.
    pub model: &'a [u8],
}

/// A duel is two models measured in turn, and the result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Duel {
    /// The one compared with.
    pub first: String,
    /// The one judged.
    pub second: String,
    /// Median over rounds of each, ms.
    pub p50_ms: [f64; 2],
    /// The second's time over the first's.
    pub result: Ratio,
}

impl Duel {
    /// Measures both on one image `[1, C, H, W]`, until the interval over rounds settles whether there is a
    /// difference of 5 %, or all looks have been made.
    pub fn of(first: Side, second: Side, image: &Tensor, options: &Options) -> Result<Self> {
        let load = |side: Side| -> Result<Runner> {
            let path = Path::new(side.name).join("model.onnx");
            let mut backend =
                OrtBackend::load(&OnnxFile::parse(side.model, &path)?, options, "the exporter's own")?;
            let name = backend.inputs().first().map_or("image", |slot| slot.name.as_str()).to_owned();
            backend.bind(&[Named { name, tensor: image.clone() }])?;
            Ok(Box::new(move || backend.run_bound()))
        };
        let mut all = Rounds::default();
        loop {
            let made = all.log_ratios.len();
            let rounds = LOOKS.into_iter().find(|&look| look > made).unwrap_or(made) - made;
            let plan = Plan { rounds, seconds: ROUND_S * rounds as f64, seed: made as u64 };
            all.extend(interleave([&mut || load(first), &mut || load(second)], plan, |_| ())?);
            let result = Ratio::at_looks(&all.log_ratios, LOOKS.len(), MIN_EFFECT)?;
            if !result.is_open(SHOWS) || LOOKS.last() == Some(&all.log_ratios.len()) {
                let p50_ms = all.p50_ms.each_ref().map(|p50| median(p50));
                return Ok(Self { first: first.name.into(), second: second.name.into(), p50_ms, result });
            }
        }
    }

    /// Returns whether the second is faster beyond doubt.
    pub fn second_wins(&self) -> bool {
        self.result.verdict == Verdict::Faster
    }
}

impl std::fmt::Display for Duel {
    /// `int8 takes 10.8 % more time than fp32 (95 % CI +9.1 to +12.6 %)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |ratio: f64| 100.0 * (ratio - 1.0);
        let (first, second, change) = (&self.first, &self.second, percent(self.result.ratio));
        match self.result.verdict {
            Verdict::Faster => write!(f, "{second} takes {:.1} % less time than {first}", -change)?,
            Verdict::Slower => write!(f, "{second} takes {change:.1} % more time than {first}")?,
            Verdict::CannotTell => write!(f, "cannot tell {second} from {first}: {change:+.1} %")?,
        }
        match self.result.ci95 {
            Some([low, high]) => write!(f, " (95 % CI {:+.1} to {:+.1} %)", percent(low), percent(high)),
            None => Ok(()),
        }
    }
}

/// Makes up an image of standard-normal values, `[1, C, H, W]`. A size beyond what can be counted is a usage
/// error.
pub fn made_up_image([channels, height, width]: [usize; 3]) -> Result<Tensor> {
    let values = channels.checked_mul(height).and_then(|n| n.checked_mul(width));
    let values = values.ok_or_else(|| Error::usage("the input has too many values"))?;
    let mut rng = gtn_core::rng::Rng::new(0, "duel.image", 0);
    let image = (0..values).map(|_| rng.normal() as f32).collect();
    Ok(Tensor::f32(&[1, channels, height, width], image))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duel(ratio: f64, ci95: [f64; 2], verdict: Verdict) -> Duel {
        Duel {
            first: "int8".into(),
            second: "fp32".into(),
            p50_ms: [1.0, ratio],
            result: Ratio { ratio, ci95: Some(ci95), min_effect: MIN_EFFECT, verdict },
        }
    }

    #[test]
    fn a_sentence_for_each_verdict() {
        let faster = duel(0.9, [0.88, 0.92], Verdict::Faster);
        assert_eq!(faster.to_string(), "fp32 takes 10.0 % less time than int8 (95 % CI -12.0 to -8.0 %)");
        let slower = duel(1.25, [1.2, 1.3], Verdict::Slower);
        assert_eq!(slower.to_string(), "fp32 takes 25.0 % more time than int8 (95 % CI +20.0 to +30.0 %)");
        let open = duel(1.02, [0.97, 1.07], Verdict::CannotTell);
        assert_eq!(open.to_string(), "cannot tell fp32 from int8: +2.0 % (95 % CI -3.0 to +7.0 %)");
        assert!(faster.second_wins() && !slower.second_wins() && !open.second_wins());
    }
}
