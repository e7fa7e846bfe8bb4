//! What a student learns from: labels alone, or labels and a teacher (Hinton, Vinyals, Dean 2015).

use crate::recipe::Kd;
use tch::{Kind, Reduction, Tensor};

/// Cross-entropy of logits `[n, classes]` and labels `[n]`, batch mean.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, label_smoothing: f64) -> Tensor {
    logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, label_smoothing)
}

/// T^2 KL(softmax(teacher/T) || softmax(student/T)), batch mean.
pub fn kd_divergence(student: &Tensor, teacher: &Tensor, temperature: f64) -> Tensor {
    let log_p = (teacher / temperature).log_softmax(-1, Kind::Float);
    let log_q = (student / temperature).log_softmax(-1, Kind::Float);
    let kl = (log_p.exp() * (log_p - log_q)).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    kl.mean(Kind::Float) * (temperature * temperature)
}

/// (1 - alpha) CE + alpha T^2 KL, with its two parts detached for the log.
pub fn kd_loss(
    student: &Tensor,
    teacher: &Tensor,
    labels: &Tensor,
    label_smoothing: f64,
    kd: &Kd,
) -> (Tensor, Tensor, Tensor) {
    let ce = cross_entropy(student, labels, label_smoothing);
    let kl = kd_divergence(student, teacher, kd.temperature);
    let total = &ce * (1.0 - kd.alpha) + &kl * kd.alpha;
    (total, ce.detach(), kl.detach())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, spelt out in f64.
    #[test]
    fn kd_by_hand() {
        let (s, t) = ([[1.0f32, 2.0, 0.5], [0.0, -1.0, 3.0]], [[0.3f32, 0.2, 2.0], [1.0, 1.0, -2.0]]);
        let temperature = 4.0;
        let softmax = |row: &[f32; 3]| {
            let e: Vec<f64> = row.iter().map(|&x| (f64::from(x) / temperature).exp()).collect();
            let sum: f64 = e.iter().sum();
            e.into_iter().map(|x| x / sum).collect::<Vec<_>>()
        };
        let kl = |s: &[f32; 3], t: &[f32; 3]| {
            softmax(t).iter().zip(softmax(s)).map(|(p, q)| p * (p / q).ln()).sum::<f64>()
        };
        let want = 16.0 * (kl(&s[0], &t[0]) + kl(&s[1], &t[1])) / 2.0;
        let (s, t) = (Tensor::from_slice2(&s), Tensor::from_slice2(&t));
        let got = kd_divergence(&s, &t, temperature).double_value(&[]);
        assert!((got - want).abs() < 1e-5, "{got}, wanted {want}");
        assert!(kd_divergence(&s, &s, temperature).double_value(&[]).abs() < 1e-6);

        let labels = Tensor::from_slice(&[1i64, 2]);
        let kd = Kd { alpha: 0.9, temperature };
        let (total, ce, kl) = kd_loss(&s, &t, &labels, 0.0, &kd);
        let (ce, kl) = (ce.double_value(&[]), kl.double_value(&[]));
        assert!((total.double_value(&[]) - (0.1 * ce + 0.9 * kl)).abs() < 1e-5);
        assert!((ce - cross_entropy(&s, &labels, 0.0).double_value(&[])).abs() < 1e-7);
    }
}
