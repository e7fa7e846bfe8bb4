//! Student branches: an adapter takes a teacher stage's output into the students' stage of the same input
//! resolution; the later stages along a path, and the path's classifier, follow.

use crate::engine::net::{Mode, batch_norm};
use crate::engine::params::Params;
use gtn_core::ir::arch::NormEpsilon;
use gtn_core::ir::graph::{Graph, ParamSpec, Role};
use gtn_core::ir::weights::Weights;
use gtn_core::rng::Rng;
use gtn_core::{Error, Result};
use tch::Tensor;

/// Prefix of the adapters' tensors among others'.
pub const PREFIX: &str = "adapters/";

/// Where one branch leaves the teacher and enters the students.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Teacher stage, from 0: F_{teacher_stage + 1}.
    pub teacher_stage: usize,
    /// The students' stage that it enters.
    pub student_stage: usize,
    /// Channels of F.
    pub from: usize,
    /// Channels that the students' stage takes.
    pub to: usize,
}

/// The branches that exist, matched by resolution: F_i enters the first students' stage whose input has
/// its height and width. None at all is an error that lists both sides.
pub fn sites(teacher: &Graph, student: &Graph) -> Result<Vec<Site>> {
    let inputs: Vec<[usize; 3]> =
        (0..student.stages.len()).filter_map(|s| student.stage_input(s)).map(|v| student.shape(v)).collect();
    let outputs: Vec<[usize; 3]> = teacher.stages.iter().map(|s| teacher.shape(s.value)).collect();
    let site = |(t, &[from, h, w]): (usize, &[usize; 3])| {
        let s = inputs.iter().position(|i| i[1..] == [h, w])?;
        Some(Site { teacher_stage: t, student_stage: s, from, to: inputs[s][0] })
    };
    let sites: Vec<Site> = outputs.iter().enumerate().filter_map(site).collect();
    if sites.is_empty() {
        let sides = |shapes: &[[usize; 3]]| {
            shapes.iter().map(|[_, h, w]| format!("{h}x{w}")).collect::<Vec<_>>().join(", ")
        };
        return Err(Error::usage(format!(
            "no branch: the teacher's stages give {}, the students' stages take {}",
            sides(&outputs),
            sides(&inputs)
        )));
    }
    Ok(sites)
}

/// One adapter: 1x1 convolution and BN.
pub struct Adapter {
    /// Where it stands.
    pub site: Site,
    /// Places of weight, gamma, beta, running mean, running variance.
    pub index: [usize; 5],
}

/// Names and shapes of a site's tensors.
fn specs(site: &Site) -> [ParamSpec; 5] {
    let name = |suffix: &str| format!("{PREFIX}{}.{suffix}", site.teacher_stage);
    let spec = |suffix: &str, shape: Vec<usize>, role| ParamSpec {
        name: name(suffix),
        shape,
        role,
        groups: 1,
        part: None,
    };
    [
        spec("conv.weight", vec![site.to, site.from, 1, 1], Role::Weight),
        spec("bn.weight", vec![site.to], Role::NormScale),
        spec("bn.bias", vec![site.to], Role::NormShift),
        spec("bn.running_mean", vec![site.to], Role::RunningMean),
        spec("bn.running_var", vec![site.to], Role::RunningVar),
    ]
}

/// Initial tensors of all adapters: He-normal by fan-out, BN at identity.
pub fn initial(sites: &[Site], seed: u64) -> (Vec<ParamSpec>, Weights) {
    let (mut all, mut weights) = (Vec::new(), Weights::default());
    for spec in sites.iter().flat_map(specs) {
        let n: usize = spec.shape.iter().product();
        let values = match spec.role {
            Role::Weight => {
                let sd = (2.0 / spec.shape[0] as f64).sqrt();
                let mut rng = Rng::new(seed, &spec.name, 0);
                (0..n).map(|_| (sd * rng.normal()) as f32).collect()
            }
            Role::NormScale | Role::RunningVar => vec![1.0; n],
            _ => vec![0.0; n],
        };
        weights.0.insert(spec.name.clone(), values);
        all.push(spec);
    }
    (all, weights)
}

impl Adapter {
    /// Finds a site's tensors.
    pub fn new(site: Site, params: &Params) -> Result<Self> {
        let mut index = [0; 5];
        for (place, spec) in index.iter_mut().zip(specs(&site)) {
            *place = params.place(&spec.name)?;
        }
        Ok(Self { site, index })
    }

    /// F `[n, from, h, w]` to `[n, to, h, w]`.
    pub fn forward(&self, params: &Params, f: &Tensor, mode: Mode) -> Tensor {
        let [weight, bn @ ..] = self.index.map(|i| &params.tensors[i]);
        let x = f.conv2d(weight, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
        batch_norm(&x, &bn, mode, NormEpsilon::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::ir::arch::Input;
    use gtn_core::nets::pool;
    use gtn_core::nets::zoo;

    #[test]
    fn branches_match_by_resolution() {
        let graph = |side: usize| {
            let input = Input { channels: 3, height: side, width: side };
            let teacher = Graph::lower(&zoo::named("resnet8", input, 10).unwrap().unwrap()).unwrap();
            let p = pool::named("mbv2-mini").unwrap();
            (teacher, Graph::lower(&p.arch(&p.sample(1, 1), input, 10).unwrap()).unwrap())
        };
        let (teacher, student) = graph(32);
        // F_1 at 32x32 enters stage 0, F_2 at 16x16 enters stage 2; nothing takes F_3 at 8x8.
        let found: Vec<_> = sites(&teacher, &student)
            .unwrap()
            .iter()
            .map(|s| (s.teacher_stage, s.student_stage, s.from, s.to))
            .collect();
        assert_eq!(found, [(0, 0, 16, 12), (1, 2, 32, 20)]);
        let (other, _) = graph(24);
        let big = Graph::lower(
            &zoo::named("resnet18", Input { channels: 3, height: 64, width: 64 }, 10).unwrap().unwrap(),
        );
        let error = sites(&big.unwrap(), &other).unwrap_err().to_string();
        assert!(error.starts_with("no branch: the teacher's stages give"), "{error}");
    }
}
