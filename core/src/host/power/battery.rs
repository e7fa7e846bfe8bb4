//! What the machine draws from its batteries (<https://docs.kernel.org/power/power_supply_class.html>). It says
//! something only while they discharge: on mains power they see nothing of the load.

use super::{Meter, Quantity, Reader, Reading, Scope};
use crate::host::sysfs::{names, number, text};
use std::path::{Path, PathBuf};
use std::time::Duration;

const CLASS: &str = "sys/class/power_supply";
/// Joules of a microwatt hour; coulombs of a microampere hour.
const HOUR: f64 = 3.6e-3;

/// The machine's batteries.
#[derive(Debug)]
pub(super) struct Battery {
    root: PathBuf,
    /// Below [`CLASS`].
    names: Vec<String>,
    gauge: Gauge,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Gauge {
    /// `power_now`, or `current_now` times `voltage_now`.
    Power,
    /// `energy_now`, or `charge_now` times `voltage_now`; joules at the first reading.
    Charge(Option<f64>),
}

impl Battery {
    fn at(&self, name: &str, file: &str) -> Option<f64> {
        number(&self.root, &format!("{CLASS}/{name}/{file}"))
    }

    /// The batteries that discharge; why none does, or the reading means nothing.
    fn discharging(&self) -> Result<Vec<&String>, String> {
        let status = |name: &String| {
            let found = text(&self.root, &format!("{CLASS}/{name}/status")).unwrap_or_default();
            found.trim().to_owned()
        };
        let all: Vec<(&String, String)> = self.names.iter().map(|name| (name, status(name))).collect();
        let charging = all.iter().find(|(_, status)| status == "Charging");
        let active: Vec<&String> =
            all.iter().filter(|(_, status)| status == "Discharging").map(|(name, _)| *name).collect();
        match (charging.or(all.first()), active.is_empty() || charging.is_some()) {
            (Some((name, status)), true) => Err(format!("{name} is `{status}`, wanted Discharging")),
            _ => Ok(active),
        }
    }

    /// Watts of one battery. Makers disagree about the sign of a current that flows out; 0 is what some say
    /// before they know.
    fn power(&self, name: &str) -> Option<f64> {
        let pair = || Some(self.at(name, "current_now")? * self.at(name, "voltage_now")? * 1e-12);
        self.at(name, "power_now").map(|uw| uw * 1e-6).or_else(pair).map(f64::abs).filter(|&w| w > 0.0)
    }

    /// Joules left in one battery.
    fn left(&self, name: &str) -> Option<f64> {
        let pair = || Some(self.at(name, "charge_now")? * self.at(name, "voltage_now")? * 1e-6);
        let left = self.at(name, "energy_now").or_else(pair)? * HOUR;
        (left >= 0.0).then_some(left)
    }

    pub(super) fn quantity(&self) -> Quantity {
        match self.gauge {
            Gauge::Power => Quantity::Watts,
            Gauge::Charge(_) => Quantity::Joules { range: None },
        }
    }

    pub(super) fn read(&mut self) -> Option<Reading> {
        let active = self.discharging().ok()?;
        match self.gauge {
            Gauge::Power => {
                Some(Reading::Watts(active.iter().map(|name| self.power(name)).sum::<Option<f64>>()?))
            }
            Gauge::Charge(first) => {
                let left = self.names.iter().map(|name| self.left(name)).sum::<Option<f64>>()?;
                // Fuller than at first: charged in between, so it starts again, which shows as a fall.
                let first = first.filter(|&first| left <= first).unwrap_or(left);
                self.gauge = Gauge::Charge(Some(first));
                Some(Reading::Joules(first - left))
            }
        }
    }
}

/// The machine's batteries together, while they discharge.
pub(super) fn find(root: &Path) -> Result<Vec<Meter>, String> {
    let is = |name: &str, file: &str, wanted: &str| {
        text(root, &format!("{CLASS}/{name}/{file}")).is_some_and(|found| found.trim() == wanted)
    };
    // A mouse's or a pen's battery has the scope Device.
    let found = names(root, CLASS, |name| is(name, "type", "Battery") && !is(name, "scope", "Device"));
    if found.is_empty() {
        return Err(format!("battery: none in {CLASS}"));
    }
    let mut battery = Battery { root: root.to_owned(), names: found, gauge: Gauge::Power };
    let active = battery.discharging().map_err(|why| format!("battery: {why}"))?;
    let powers = active.iter().all(|name| battery.power(name).is_some());
    let charges = battery.names.iter().all(|name| battery.left(name).is_some());
    if !powers {
        battery.gauge = Gauge::Charge(None);
    }
    if !(powers || charges) {
        return Err(format!(
            "battery: {} has no readable power_now, current_now and voltage_now, energy_now or charge_now",
            battery.names.join(" + ")
        ));
    }
    Ok(vec![Meter {
        source: format!("battery {}", battery.names.join(" + ")),
        scope: Scope::Battery,
        interval: Duration::from_secs(1),
        // 10 mW and 10 mWh: the Smart Battery specification's units.
        step: if powers { 0.01 } else { 36.0 },
        reader: Reader::Battery(battery),
    }])
}
