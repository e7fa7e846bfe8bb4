//! What a student learns from: labels alone, or labels and a teacher (Hinton, Vinyals, Dean 2015).

use crate::engine::loader::MixedLabels;
use crate::recipe::Kd;
use tch::{Kind, Reduction, Tensor};

/// Cross-entropy of logits `[n, classes]` and labels `[n]`, batch mean.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, label_smoothing: f64) -> Tensor {
    logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, label_smoothing)
}

/// What labels tell of a batch.
pub struct Labelled<'a> {
    /// Classes, i64 `[n]`.
    pub labels: &'a Tensor,
    /// The partners' classes and the own labels' shares, where images are mixed.
    pub mixed: Option<&'a MixedLabels>,
    /// Of each class, f32 `[classes]`; none: all weigh 1.
    pub weights: Option<&'a Tensor>,
    /// Of the targets.
    pub smoothing: f64,
}

impl Labelled<'_> {
    /// Cross-entropy of logits `[n, classes]`. Of mixed images it is share times the own label's plus the rest times the
    /// partner's (Zhang et al. 2017), batch mean; with weights the mean is weighted, as PyTorch's is.
    pub fn cross_entropy(&self, logits: &Tensor) -> Tensor {
        let Some(mixed) = self.mixed else {
            return match self.weights {
                None => cross_entropy(logits, self.labels, self.smoothing),
                some => logits.cross_entropy_loss(self.labels, some, Reduction::Mean, -100, self.smoothing),
            };
        };
        let each = |labels: &Tensor| {
            logits.cross_entropy_loss(labels, self.weights, Reduction::None, -100, self.smoothing)
        };
        let both = |own: &Tensor, partner: &Tensor| -> Tensor {
            own * &mixed.shares + partner * (1.0 - &mixed.shares)
        };
        let losses = both(&each(self.labels), &each(&mixed.partners));
        match self.weights {
            None => losses.mean(wide(logits)),
            Some(weights) => {
                let weight = |labels: &Tensor| weights.index_select(0, labels);
                let sum = both(&weight(self.labels), &weight(&mixed.partners)).sum(wide(logits));
                losses.sum(wide(logits)) / sum
            }
        }
    }
}

/// n / (k n_c) of each class with images, n images of k classes; 1 of a class without.
pub fn balanced_weights(labels: &[u16], classes: usize) -> Vec<f32> {
    let mut counts = vec![0usize; classes];
    for &label in labels {
        if let Some(count) = counts.get_mut(usize::from(label)) {
            *count += 1;
        }
    }
    let there = counts.iter().filter(|&&n| n > 0).count().max(1);
    let weight = |&n: &usize| if n == 0 { 1.0 } else { labels.len() as f32 / (there * n) as f32 };
    counts.iter().map(weight).collect()
}

/// Softmaxes are taken in f32 at least (bf16 logits lose the small differences), in f64 where given.
fn wide(x: &Tensor) -> Kind {
    if x.kind() == Kind::Double { Kind::Double } else { Kind::Float }
}

/// KL(softmax(p) || softmax(q)), batch mean.
pub fn kl_divergence(p: &Tensor, q: &Tensor) -> Tensor {
    let (log_p, log_q) = (p.log_softmax(-1, wide(p)), q.log_softmax(-1, wide(q)));
    let kl = (log_p.exp() * (log_p - log_q)).sum_dim_intlist([1i64].as_slice(), false, wide(p));
    kl.mean(wide(p))
}

/// T^2 KL(softmax(teacher/T) || softmax(student/T)), batch mean.
pub fn kd_divergence(student: &Tensor, teacher: &Tensor, temperature: f64) -> Tensor {
    kl_divergence(&(teacher / temperature), &(student / temperature)) * (temperature * temperature)
}

/// Decoupled KD (Zhao et al. 2022, eq. 7): alpha TCKD + beta NCKD, both times T^2. TCKD is the KL of the
/// two-way (target, others) distributions, NCKD that of the non-target classes among themselves.
pub fn dkd_divergence(student: &Tensor, teacher: &Tensor, labels: &Tensor, kd: &Kd) -> Tensor {
    let t = kd.temperature;
    let target = labels.one_hot(student.size()[1]).to_kind(wide(student));
    let (s, z) = (student / t, teacher / t);
    let two_way = |x: &Tensor| {
        let p = (x.softmax(-1, wide(x)) * &target).sum_dim_intlist([1i64].as_slice(), true, wide(x));
        // A share of exactly 1 would make the others' log infinite.
        Tensor::cat(&[p.shallow_clone(), 1.0 - p], 1).clamp_min(1e-12).log()
    };
    let (log_s, log_z) = (two_way(&s), two_way(&z));
    let tckd =
        (log_z.exp() * (log_z - log_s)).sum_dim_intlist([1i64].as_slice(), false, wide(&s)).mean(wide(&s));
    // The target's logit is taken out of both.
    let others = |x: &Tensor| x - &target * 1000.0;
    let nckd = kl_divergence(&others(&z), &others(&s));
    (tckd * kd.dkd_alpha + nckd * kd.dkd_beta) * (t * t)
}

/// A student's loss of one batch, with its parts for the log.
pub struct StudentLoss {
    /// What is minimised.
    pub total: Tensor,
    /// Named parts, detached.
    pub parts: Vec<(&'static str, Tensor)>,
}

/// (1 - alpha) CE + alpha T^2 KL (Hinton, Vinyals, Dean 2015).
pub fn kd_loss(student: &Tensor, teacher: &Tensor, labelled: &Labelled, kd: &Kd) -> StudentLoss {
    let ce = labelled.cross_entropy(student);
    let kl = kd_divergence(student, teacher, kd.temperature);
    let total = &ce * (1.0 - kd.alpha) + &kl * kd.alpha;
    StudentLoss { total, parts: vec![("ce", ce.detach()), ("kl", kl.detach())] }
}

/// CE + min(epoch / warm-up, 1) DKD, as its authors train it.
pub fn dkd_loss(student: &Tensor, teacher: &Tensor, labelled: &Labelled, epoch: f64, kd: &Kd) -> StudentLoss {
    let ce = labelled.cross_entropy(student);
    let dkd = dkd_divergence(student, teacher, labelled.labels, kd);
    let weight = if kd.dkd_warmup > 0.0 { (epoch / kd.dkd_warmup).min(1.0) } else { 1.0 };
    let total = &ce + &dkd * weight;
    StudentLoss { total, parts: vec![("ce", ce.detach()), ("dkd", dkd.detach())] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(labels: &Tensor) -> Labelled<'_> {
        Labelled { labels, mixed: None, weights: None, smoothing: 0.0 }
    }

    /// Mixed and weighted, against the definition in f64.
    #[test]
    fn mixed_labels_by_hand() {
        let z = [[1.0f64, 2.0, 0.5], [0.0, -1.0, 3.0]];
        let (own, partner, shares, weights) = ([1i64, 2], [0i64, 2], [0.25f64, 1.0], [0.5f64, 1.0, 4.0]);
        let nll = |row: &[f64; 3], c: i64| row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[c as usize];
        let logits = Tensor::from_slice2(&z);
        let labels = Tensor::from_slice(&own);
        let mixed =
            MixedLabels { partners: Tensor::from_slice(&partner), shares: Tensor::from_slice(&shares) };
        let class_weights = Tensor::from_slice(&weights);
        for weighted in [false, true] {
            let w = |c: i64| if weighted { weights[c as usize] } else { 1.0 };
            let (mut sum, mut weight) = (0.0, 0.0);
            for i in 0..2 {
                for (c, share) in [(own[i], shares[i]), (partner[i], 1.0 - shares[i])] {
                    sum += share * w(c) * nll(&z[i], c);
                    weight += share * w(c);
                }
            }
            let all = Labelled {
                mixed: Some(&mixed),
                weights: weighted.then_some(&class_weights),
                ..labelled(&labels)
            };
            let got = all.cross_entropy(&logits).double_value(&[]);
            assert!((got - sum / weight).abs() < 1e-9, "{got}, wanted {}", sum / weight);
        }
        assert_eq!(balanced_weights(&[0, 0, 0, 2], 3), [4.0 / 6.0, 1.0, 2.0]);
    }

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
        let kd = Kd { alpha: 0.9, temperature, ..Kd::default() };
        let StudentLoss { total, parts } = kd_loss(&s, &t, &labelled(&labels), &kd);
        let (ce, kl) = (parts[0].1.double_value(&[]), parts[1].1.double_value(&[]));
        assert!((total.double_value(&[]) - (0.1 * ce + 0.9 * kl)).abs() < 1e-5);
        assert!((ce - cross_entropy(&s, &labels, 0.0).double_value(&[])).abs() < 1e-7);
    }

    /// The identity that DKD is built on (Zhao et al., eq. 5): KD = TCKD + (1 - p_t) NCKD, for one image.
    #[test]
    fn dkd_decouples_kd() {
        let s = Tensor::from_slice2(&[[1.0f64, 2.0, 0.5, -1.0]]);
        let t = Tensor::from_slice2(&[[0.3f64, 0.2, 2.0, 0.7]]);
        let labels = Tensor::from_slice(&[2i64]);
        let part = |alpha: f64, beta: f64| {
            let kd = Kd { temperature: 4.0, dkd_alpha: alpha, dkd_beta: beta, ..Kd::default() };
            dkd_divergence(&s, &t, &labels, &kd).double_value(&[])
        };
        let target = (&t / 4.0).softmax(-1, Kind::Double).double_value(&[0, 2]);
        let want = kd_divergence(&s, &t, 4.0).double_value(&[]);
        let got = part(1.0, 0.0) + (1.0 - target) * part(0.0, 1.0);
        assert!((got - want).abs() < 1e-9, "{got}, wanted {want}");
    }
}
