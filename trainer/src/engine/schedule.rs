//! The learning rate of a step: a pure function of the recipe, so that resuming needs no state.

use crate::recipe::Schedule;

/// Factor on the recipe's learning rate at `step` of `steps` (`per_epoch` steps an epoch).
pub fn factor(schedule: &Schedule, step: usize, steps: usize, per_epoch: usize) -> f64 {
    match schedule {
        Schedule::OneCycle { warmup } => {
            const START: f64 = 1.0 / 25.0;
            let up = (steps as f64 * warmup).max(1.0);
            let at = step as f64;
            if at < up {
                return START + (1.0 - START) * at / up;
            }
            let share = (at - up) / (steps as f64 - up).max(1.0);
            0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
        }
        Schedule::Cosine { warmup_epochs, end } => {
            let up = (warmup_epochs * per_epoch as f64).min(steps as f64);
            let at = step as f64;
            if at < up {
                return (at + 1.0) / (up + 1.0);
            }
            let share = (at - up) / (steps as f64 - up).max(1.0);
            end + (1.0 - end) * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
        }
        Schedule::Multistep { milestones, gamma } => {
            let epoch = step / per_epoch.max(1);
            let passed = milestones.iter().filter(|&&m| epoch >= m).count();
            gamma.powi(i32::try_from(passed).unwrap_or(i32::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_rises_then_falls_to_zero() {
        let s = Schedule::OneCycle { warmup: 0.25 };
        let at = |step| factor(&s, step, 100, 10);
        assert!((at(0) - 0.04).abs() < 1e-12 && (at(25) - 1.0).abs() < 1e-12);
        assert!((0..25).all(|i| at(i) < at(i + 1)) && (25..99).all(|i| at(i) > at(i + 1)));
        assert!(at(99) < 1e-3 && at(99) > 0.0);
    }

    #[test]
    fn cosine_warms_up_and_ends_where_it_is_told() {
        let s = Schedule::Cosine { warmup_epochs: 2.0, end: 0.1 };
        let at = |step| factor(&s, step, 100, 10);
        assert!((at(0) - 1.0 / 21.0).abs() < 1e-12 && (at(20) - 1.0).abs() < 1e-12);
        assert!((0..20).all(|i| at(i) < at(i + 1)) && (20..99).all(|i| at(i) > at(i + 1)));
        assert!((at(60) - 0.55).abs() < 1e-12 && at(99) > 0.1 && at(99) < 0.101);
    }

    #[test]
    fn multistep_drops_at_the_epoch() {
        let s = Schedule::Multistep { milestones: vec![2, 3], gamma: 0.1 };
        let at = |step| factor(&s, step, 40, 10);
        assert_eq!([at(0), at(19), at(20), at(29)], [1.0, 1.0, 0.1, 0.1]);
        assert!((at(30) - 0.01).abs() < 1e-15);
    }
}
