//! Networks with random weights: for tests here and in the other crates, and for kits (what is timed needs
//! no training). Deterministic.

use crate::ir::graph::{Graph, Role};
use crate::ir::weights::Weights;
use crate::rng::Rng;

/// Makes weights with realistic scales. Products are He-normal and BN statistics away from 0 and 1, so that a
/// forgotten mean, variance or bias shows.
pub fn random_weights(graph: &Graph, seed: u64) -> Weights {
    let mut weights = Weights::default();
    for (i, spec) in graph.params().into_iter().enumerate() {
        let mut rng = Rng::new(seed, "random_weights", i as u64);
        let n: usize = spec.shape.iter().product();
        let fan_in: usize = spec.shape.iter().skip(1).product();
        let mut draw = |mean: f64, sd: f64| (0..n).map(|_| (mean + sd * rng.normal()) as f32).collect();
        let values: Vec<f32> = match spec.role {
            Role::Weight => draw(0.0, (2.0 / fan_in.max(1) as f64).sqrt()),
            Role::Bias | Role::NormShift | Role::RunningMean => draw(0.0, 0.1),
            Role::NormScale => draw(1.0, 0.1),
            Role::RunningVar => {
                let normal: Vec<f32> = draw(0.0, 0.3);
                normal.into_iter().map(|x| x.exp()).collect()
            }
        };
        weights.0.insert(spec.name, values);
    }
    weights
}

/// Makes one standard-normal image, `[C, H, W]`.
pub fn random_image(graph: &Graph, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed, "random_image", 0);
    let n = graph.input.channels * graph.input.height * graph.input.width;
    (0..n).map(|_| rng.normal() as f32).collect()
}
