//! What disturbed a measurement, as typed values: a reader must know before trusting the numbers.

use crate::host::{Conditions, Disturbance};
use crate::measure::robust::{MAD_TO_SD, median, trend};
use crate::measure::samples::{Latency, Pace};
use serde::{Deserialize, Serialize};
use std::fmt;

/// This is something that disturbed a measurement, or limits what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Warning {
    /// Other programs used the processor while measuring.
    Others {
        /// Cores' worth of time they used.
        cores: f64,
        /// Cores there are.
        of: usize,
    },
    /// Other work kept the machine busy (where the kernel does not tell whose).
    Busy {
        /// Load average before measuring.
        load1: f64,
        /// Cores there are.
        cores: usize,
    },
    /// A hypervisor gave our time to others.
    Stolen {
        /// Cores' worth of time.
        cores: f64,
    },
    /// Threads were put off the CPU against their will.
    Preempted {
        /// How often.
        per_s: f64,
    },
    /// A control group's quota stopped the process.
    Quota {
        /// Periods it was stopped in.
        periods: u64,
    },
    /// The tail is far from the median.
    Spread {
        /// p99 / p50.
        p99_over_p50: f64,
    },
    /// Single inferences far from the rest.
    Outliers {
        /// Their share, 0 to 1.
        share: f64,
        /// They are beyond this, ms.
        beyond_ms: f64,
    },
    /// Latency moved one way while measuring.
    Drift {
        /// The end's level over the beginning's.
        ratio: f64,
    },
    /// The clock changed.
    Clock {
        /// Lowest seen, MHz.
        low: f64,
        /// Highest seen, MHz.
        high: f64,
    },
    /// The clock is kept below what the hardware could.
    Capped {
        /// Allowed on the fastest core, MHz.
        mhz: f64,
    },
    /// The firmware reports throttling or under-voltage.
    Throttled {
        /// Its flags.
        flags: u32,
    },
    /// The processor slowed itself down because of heat while measuring.
    Heat {
        /// Throttling events (x86), or cooling devices in force.
        events: u64,
    },
    /// Inferences began late: the interval is too short for this model.
    Late {
        /// Their share, 0 to 1.
        share: f64,
    },
    /// Too few samples for a p99.
    FewSamples {
        /// How many.
        n: usize,
    },
    /// Execution providers left nodes to the CPU.
    OnCpu {
        /// Nodes on the CPU.
        nodes: usize,
        /// Nodes in all.
        of: usize,
    },
    /// The bundle was made for another machine.
    OtherTarget {
        /// The bundle's target.
        target: String,
    },
    /// The accuracy interval is wide.
    FewImages {
        /// How many.
        n: usize,
    },
    /// The bundle's folder holds what its manifest does not list; nothing of it was read.
    Unlisted {
        /// Names, the first ten.
        files: Vec<String>,
    },
    /// The bundle's samples whose answers are not the shipped model's.
    SamplesDiffer {
        /// Their files in the bundle.
        files: Vec<String>,
    },
    /// Sums of the model's int8 products do not fit this processor's 16 bits.
    Saturates {
        /// Whether it is computed exactly all the same.
        exact: bool,
    },
    /// Every image is of one class.
    OneClass {
        /// Its name.
        label: String,
        /// Images.
        n: usize,
    },
    /// Accuracy is on other data than the network was trained beside.
    OtherData {
        /// As given to `--data`.
        data: String,
    },
    /// The settings were tuned for another model.
    OtherSettings {
        /// That model's name.
        model: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Others { cores, of } => {
                write!(
                    f,
                    "the machine was busy: other programs used {cores:.2} of {of} cores while measuring"
                )
            }
            Self::Busy { load1, cores } => {
                write!(f, "the machine was busy: load {load1:.1} on {cores} cores before measuring")
            }
            Self::Stolen { cores } => write!(f, "the hypervisor took {cores:.2} cores' worth of time"),
            Self::Preempted { per_s } => write!(f, "threads were put off the CPU {per_s:.0} times a second"),
            Self::Quota { periods } => {
                write!(f, "the control group's CPU quota stopped us in {periods} periods")
            }
            Self::Spread { p99_over_p50 } => write!(f, "wide spread: p99 is {p99_over_p50:.1} times p50"),
            Self::Outliers { share, beyond_ms } => {
                write!(
                    f,
                    "outliers: {:.2} % of the inferences took longer than {beyond_ms:.3} ms",
                    100.0 * share
                )
            }
            Self::Drift { ratio } => write!(f, "drift: the end's median is {ratio:.2} times the beginning's"),
            Self::Clock { low, high } => {
                write!(f, "the clock moved between {low:.0} and {high:.0} MHz while measuring")
            }
            Self::Capped { mhz } => {
                write!(f, "a clock is capped below what the hardware could (to {mhz:.0} MHz at most)")
            }
            Self::Throttled { flags } => write!(f, "the firmware reports {}", firmware(*flags)),
            Self::Heat { events } => {
                write!(f, "heat slowed the processor down ({events} events or cooling devices)")
            }
            Self::Late { share } => {
                write!(f, "{:.1} % of the inferences began late: the interval is too short", 100.0 * share)
            }
            Self::FewSamples { n } => write!(f, "{n} samples: p99 wants at least 100"),
            Self::OnCpu { nodes, of } => {
                write!(f, "the execution provider left {nodes} of {of} nodes to the CPU")
            }
            Self::OtherTarget { target } => {
                write!(f, "the bundle is made for `{target}`: latency here says little about it")
            }
            Self::OneClass { label, n } => {
                write!(f, "all {n} images are of class `{label}`: their accuracy says nothing")
            }
            Self::OtherData { data } => {
                write!(f, "`{data}` holds other images than the network was trained beside")
            }
            Self::FewImages { n } => write!(f, "{n} images: the accuracy interval is wide"),
            Self::Unlisted { files } => {
                write!(f, "not of the bundle, and not read: {}", files.join(", "))
            }
            Self::SamplesDiffer { files } => {
                write!(f, "answers are not the shipped model's on the samples {}", files.join(", "))
            }
            Self::Saturates { exact: true } => write!(
                f,
                "sums of 8-bit weights saturate on this processor (x86 without VNNI): computed exactly, which takes \
                 longer than what is fast here (--int8 fast, or a bundle of 7-bit weights: target x86-avx2)"
            ),
            Self::Saturates { exact: false } => write!(
                f,
                "sums of 8-bit weights saturate on this processor (x86 without VNNI): answers may be wrong (--int8 \
                 exact computes them exactly)"
            ),
            Self::OtherSettings { model } => {
                write!(f, "the settings were tuned for another model (`{model}`)")
            }
        }
    }
}

/// The Raspberry Pi firmware's flags that are set now, in words.
fn firmware(flags: u32) -> String {
    let names = ["under-voltage", "a capped frequency", "throttling", "the soft temperature limit"];
    let set = names.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, name)| *name);
    format!("{} (flags {flags:#x})", set.collect::<Vec<_>>().join(", "))
}

/// Cores' worth of other programs' time that is noticed, per core.
const OTHERS: f64 = 0.05;
/// Preemptions a second that are noticed: a quiet machine's are well below.
const PREEMPTIONS: f64 = 20.0;
/// An outlier is further above the median than this many robust standard deviations, and half the median.
const OUTLIER_SDS: f64 = 10.0;
/// Stretches of time whose medians are looked at for a trend.
const STRETCHES: usize = 12;

impl Latency {
    /// Returns what in this measurement a reader must know.
    pub fn warnings(&self, cores: usize) -> Vec<Warning> {
        let mut found = Vec::new();
        match &self.disturbance {
            Some(d) => found.extend(activity(d, cores)),
            None => found.extend(
                self.before
                    .load1
                    .filter(|&l| l > 0.7 * cores as f64)
                    .map(|load1| Warning::Busy { load1, cores }),
            ),
        }
        found.extend(self.samples_warnings());
        found.extend(self.clock_warnings());
        if let Pace::Paced { late, .. } = self.pace {
            let share = late as f64 / self.inferences.max(1) as f64;
            found.extend((share > 0.01).then_some(Warning::Late { share }));
        }
        found
    }

    fn samples_warnings(&self) -> Vec<Warning> {
        let mut found = Vec::new();
        let s = &self.summary;
        if s.n < 100 {
            found.push(Warning::FewSamples { n: s.n });
        }
        let p99_over_p50 = s.p99 / s.p50;
        if p99_over_p50 > 2.0 {
            found.push(Warning::Spread { p99_over_p50 });
        }
        if let Some(r) = &self.robust {
            let beyond_ms = s.p50 + (OUTLIER_SDS * MAD_TO_SD * r.mad).max(0.5 * s.p50);
            let n = self.samples_ms.iter().filter(|&&x| x > beyond_ms).count();
            let share = n as f64 / s.n.max(1) as f64;
            found.extend((share > 0.005).then_some(Warning::Outliers { share, beyond_ms }));
        }
        let stretch = self.samples_ms.len() / STRETCHES;
        if stretch >= 5 {
            let medians: Vec<f64> =
                self.samples_ms.chunks_exact(stretch).take(STRETCHES).map(median).collect();
            if let Some(t) = trend(&medians) {
                let ratio = 1.0 + t.slope * (STRETCHES - 1) as f64 / s.p50;
                // A step in the middle moves the halves' medians and hardly the slope.
                let half = |m: &[f64]| median(m);
                let (first, second) = medians.split_at(STRETCHES / 2);
                let step = half(second) / half(first);
                let far = |r: f64| !(0.95..=1.05).contains(&r);
                let ratio = if far(step) && (step - 1.0).abs() > (ratio - 1.0).abs() { step } else { ratio };
                if far(ratio) && t.tau.abs() > 0.5 {
                    found.push(Warning::Drift { ratio });
                }
            }
        }
        found
    }

    fn clock_warnings(&self) -> Vec<Warning> {
        clocks(&self.before, &self.after, self.during.iter().filter_map(|m| m.mhz))
    }
}

/// Returns what clocks, caps, throttling, heat and quotas between two moments are worth telling; `between` holds the clocks
/// that were seen meanwhile, MHz.
pub(crate) fn clocks(
    before: &Conditions,
    after: &Conditions,
    between: impl Iterator<Item = f64>,
) -> Vec<Warning> {
    let mut found = Vec::new();
    let seen = [before.mhz, after.mhz].into_iter().flatten().chain(between);
    let (low, high) = seen.fold((f64::INFINITY, 0.0), |(l, h): (f64, f64), m| (l.min(m), h.max(m)));
    if high > 1.1 * low {
        found.push(Warning::Clock { low, high });
    }
    found.extend(after.capped_mhz.or(before.capped_mhz).map(|mhz| Warning::Capped { mhz }));
    if let Some(flags) = after.throttled.filter(|&f| f & 0xf != 0) {
        found.push(Warning::Throttled { flags });
    }
    let grew = |f: fn(&Conditions) -> Option<u64>| {
        f(before).zip(f(after)).map(|(a, b)| b.saturating_sub(a)).filter(|&n| n > 0)
    };
    let cooling = after.cooling.filter(|&n| n > 0).map(u64::from);
    found.extend(grew(|c| c.throttle_events).or(cooling).map(|events| Warning::Heat { events }));
    found.extend(grew(|c| c.quota_stops).map(|periods| Warning::Quota { periods }));
    found
}

/// Returns what of the machine's other activity is worth telling on `cores` cores.
pub fn activity(d: &Disturbance, cores: usize) -> Vec<Warning> {
    let mut found = Vec::new();
    let noticed = OTHERS * cores.max(1) as f64;
    found.extend(d.others_cores.filter(|&c| c > noticed).map(|c| Warning::Others { cores: c, of: cores }));
    found.extend(d.stolen_cores.filter(|&c| c > 0.02).map(|cores| Warning::Stolen { cores }));
    found.extend(d.preempted_per_s.filter(|&p| p > PREEMPTIONS).map(|per_s| Warning::Preempted { per_s }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::samples::{Io, Moment, Robust};
    use crate::measure::stats::Summary;

    fn latency(samples: Vec<f64>) -> Latency {
        Latency {
            batch: 1,
            init_ms: 1.0,
            first_ms: 1.0,
            warmup_runs: 0,
            warmup_s: 0.0,
            pace: Pace::BackToBack,
            io: Io::Bound,
            cpus: None,
            inferences: samples.len(),
            kept_every: 1,
            summary: Summary::of(&samples).unwrap(),
            robust: Robust::of(&samples),
            samples_ms: samples,
            before: Conditions { load1: Some(0.1), mhz: Some(2000.0), ..Default::default() },
            after: Conditions { mhz: Some(2000.0), ..Default::default() },
            during: vec![],
            disturbance: Some(Disturbance::default()),
        }
    }

    #[test]
    fn quiet_measurements_have_no_warnings() {
        assert_eq!(latency(vec![1.0; 200]).warnings(4), []);
        let noisy = (0..500).map(|i| 1.0 + 0.03 * f64::from(i * 7919 % 100) / 100.0).collect();
        assert_eq!(latency(noisy).warnings(4), []);
    }

    #[test]
    fn each_disturbance_of_the_samples_is_told() {
        let l = latency([vec![1.0; 100], vec![1.5; 100]].concat());
        assert_eq!(l.warnings(4), [Warning::Drift { ratio: 1.5 }]);
        let rising = (0..240).map(|i| 1.0 + f64::from(i) / 1000.0).collect();
        assert!(
            matches!(latency(rising).warnings(4)[..], [Warning::Drift { ratio }] if (1.15..1.25).contains(&ratio))
        );
        let l = latency([vec![1.0; 150], vec![5.0; 5], vec![1.0; 5]].concat());
        assert!(
            matches!(l.warnings(4)[..], [Warning::Spread { .. }, Warning::Outliers { .. }]),
            "{:?}",
            l.warnings(4)
        );
        assert_eq!(latency(vec![1.0; 10]).warnings(4), [Warning::FewSamples { n: 10 }]);
    }

    #[test]
    fn each_disturbance_of_the_machine_is_told() {
        let check = |edit: fn(&mut Latency), wanted: Warning| {
            let mut l = latency(vec![1.0; 200]);
            edit(&mut l);
            assert_eq!(l.warnings(4), [wanted]);
        };
        check(|l| l.after.throttled = Some(0x50005), Warning::Throttled { flags: 0x50005 });
        check(|l| l.after.capped_mhz = Some(1200.0), Warning::Capped { mhz: 1200.0 });
        check(
            |l| l.during.push(Moment { at_s: 1.0, mhz: Some(1000.0), celsius: None }),
            Warning::Clock { low: 1000.0, high: 2000.0 },
        );
        check(
            |l| (l.before.throttle_events, l.after.throttle_events) = (Some(5), Some(8)),
            Warning::Heat { events: 3 },
        );
        check(|l| l.after.cooling = Some(1), Warning::Heat { events: 1 });
        check(
            |l| (l.before.quota_stops, l.after.quota_stops) = (Some(1), Some(3)),
            Warning::Quota { periods: 2 },
        );
        check(|l| l.pace = Pace::Paced { interval_ms: 1.0, late: 100 }, Warning::Late { share: 0.5 });
        let with = |d: Disturbance| {
            let mut l = latency(vec![1.0; 200]);
            l.disturbance = Some(d);
            l.warnings(4)
        };
        let none = Disturbance::default();
        assert_eq!(
            with(Disturbance { others_cores: Some(0.5), ..none }),
            [Warning::Others { cores: 0.5, of: 4 }]
        );
        assert_eq!(with(Disturbance { others_cores: Some(0.1), ..none }), []);
        assert_eq!(with(Disturbance { stolen_cores: Some(0.1), ..none }), [Warning::Stolen { cores: 0.1 }]);
        assert_eq!(
            with(Disturbance { preempted_per_s: Some(99.0), ..none }),
            [Warning::Preempted { per_s: 99.0 }]
        );
        let mut blind = latency(vec![1.0; 200]);
        (blind.disturbance, blind.before.load1) = (None, Some(8.0));
        assert_eq!(blind.warnings(4), [Warning::Busy { load1: 8.0, cores: 4 }]);
        let text = Warning::Throttled { flags: 0x50005 }.to_string();
        assert_eq!(text, "the firmware reports under-voltage, throttling (flags 0x50005)");
    }
}
