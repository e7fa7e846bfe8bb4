//! `gtn-train search --fleet`: one search over the supernet for all devices of a fleet. Each student is judged once, for
//! every device whose budget it is within.

use crate::cli::SearchArgs;
use crate::commands::search::evolve::evolve;
use crate::commands::search::judge::{Judge, Judgement, Need};
use crate::commands::search::{effort, page_of};
use crate::commands::set_up;
use gtn_core::fleet::record::{Choice, Fewest, FleetSearch, Judged, SCHEMA, Served};
use gtn_core::fleet::serve::{Offer, best, fewest};
use gtn_core::fleet::{Budget, Fleet, Member, Price};
use gtn_core::html::page::Page;
use gtn_core::html::plot;
use gtn_core::io::artifact;
use gtn_core::latency::select::rising;
use gtn_core::latency::{Basis, Predictor};
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Precision, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Devices whose fronts are on the page: a page of a thousand is not looked at.
const MOST_FRONTS: usize = 20;
/// Devices that a line names before it says how many more there are.
const NAMED: usize = 10;

/// Precisions and which predictor tells the latency in each.
type Latencies = Vec<(Precision, usize)>;

/// What a fleet asks for, each thing once.
struct Asked {
    fleet: Fleet,
    fleet_sha256: String,
    predictors: Vec<Predictor>,
    needs: Vec<Need>,
    /// Of each device: its need, and where its latencies come from.
    devices: Vec<(usize, Basis)>,
}

/// `gtn-train search --fleet FILE`
pub fn run(args: &SearchArgs, path: &Path, cuda: bool) -> Result<()> {
    let mut asked = Asked::read(path)?;
    let (device, _) = set_up(&args.device, cuda)?;
    let mut judge = Judge::open(args, device, std::mem::take(&mut asked.predictors))?;
    evolve(&mut judge, &asked.needs, effort(args))?;
    let mut judged: Vec<(String, Judgement)> =
        judge.seen.into_iter().filter_map(|(id, judged)| Some((id, judged?))).collect();
    // Of equally accurate ones the smaller.
    judged.sort_by(|a, b| (a.1.priced.cost.macs, &a.0).cmp(&(b.1.priced.cost.macs, &b.0)));
    let found = asked.choose(&judged, args);
    artifact::write_json(&args.out, &found)?;
    let (text, beware) = summary(&found);
    let mut told = format!("{}\n{text}\n", table(&found).render());
    beware.iter().for_each(|line| told.push_str(&format!("warning: {line}\n")));
    told.push_str(&format!("{}\n", args.out.display()));
    if let Some(html) = page_of(&args.out)? {
        artifact::write_atomic(&html, page(&found, args).as_bytes())?;
        told.push_str(&format!("{}\n", html.display()));
    }
    let told = exit::print(&told);
    let unserved = names(found.devices.iter().filter(|d| d.chosen.is_none()));
    let work = match unserved.is_empty() {
        true => Ok(()),
        false => Err(Error::Failed(format!(
            "of {} judged, no student is within the budget of {}; a longer search (--generations) or a wider budget may help",
            found.judged.len(),
            unserved
        ))),
    };
    exit::work_first(work, told)
}

impl Asked {
    fn read(path: &Path) -> Result<Self> {
        let text = artifact::read_text(path)?;
        let fleet = Fleet::parse(&text, path)?;
        let (mut predictors, mut needs, mut devices) = (Vec::new(), Vec::<Need>::new(), Vec::new());
        let mut known: BTreeMap<(String, Option<PathBuf>), Latencies> = BTreeMap::new();
        for member in &fleet.devices {
            let at = |e: Error| Error::input(path, format!("device `{}`: {e}", member.name));
            let device = member.device().map_err(at)?;
            let allowed = device.precisions.iter().map(|p| p.name()).collect::<Vec<_>>().join(" ");
            let key = (format!("{} {allowed}", member.target), member.table.clone());
            if !known.contains_key(&key) {
                let found = Predictor::known(&device, member.table.as_deref(), &device.precisions);
                let found = found.map_err(at)?;
                for precision in found.unknown {
                    let from = member.table.as_ref().map_or(device.name.clone(), |t| t.display().to_string());
                    exit::note(&format!(
                        "gtn-train: warning: {from} has no figures for {precision}: it is left out"
                    ));
                }
                let place = |(precision, predictor)| {
                    predictors.push(predictor);
                    (precision, predictors.len() - 1)
                };
                known.insert(key.clone(), found.predictors.into_iter().map(place).collect());
            }
            let served = known.get(&key).cloned().unwrap_or_default();
            let budget = Budget { top1: None, ..member.budget };
            let basis = served
                .first()
                .and_then(|(_, i)| predictors.get(*i))
                .map_or(Basis::Roofline, Predictor::basis);
            let same = |n: &Need| n.budget == budget && n.served == served;
            let need = needs.iter().position(same).unwrap_or_else(|| {
                needs.push(Need { budget, served, ..Need::default() });
                needs.len() - 1
            });
            devices.push((need, basis));
        }
        Ok(Self { fleet_sha256: artifact::sha256(text.as_bytes()), fleet, predictors, needs, devices })
    }

    fn choose(&self, judged: &[(String, Judgement)], args: &SearchArgs) -> FleetSearch {
        let members = || self.fleet.devices.iter().zip(&self.devices);
        let fits = |judgement: &Judgement| -> Vec<bool> {
            let within: Vec<bool> = self.needs.iter().map(|n| n.price(&judgement.priced).is_some()).collect();
            let enough = |m: &Member| m.budget.top1.is_none_or(|least| judgement.top1 >= least);
            members().map(|(m, (need, _))| within[*need] && enough(m)).collect()
        };
        let offers: Vec<Offer> = judged.iter().map(|(_, j)| Offer { top1: j.top1, fits: fits(j) }).collect();
        let counts: Vec<u32> = self.fleet.devices.iter().map(|m| m.count).collect();
        let few = args.fewest.then(|| fewest(&offers, &counts));
        let fronts: Vec<Vec<Choice>> = self.needs.iter().map(|need| front(need, judged)).collect();
        let choice = |need: usize, i: usize| {
            let (student, judgement) = judged.get(i)?;
            let price = self.needs[need].price(&judgement.priced)?;
            Some(Choice { student: student.clone(), val_top1: judgement.top1, price })
        };
        let serve = |(d, (member, (need, basis))): (usize, (&Member, &(usize, Basis)))| {
            let own = best(&offers, 0..offers.len(), d);
            let shared = few.as_ref().map_or(own, |few| best(&offers, few.students.iter().copied(), d));
            Served {
                name: member.name.clone(),
                target: member.target.clone(),
                count: member.count,
                budget: member.budget,
                basis: *basis,
                best: own.and_then(|i| choice(*need, i)),
                chosen: shared.and_then(|i| choice(*need, i)),
                front: fronts[*need].clone(),
            }
        };
        let devices: Vec<Served> = members().enumerate().map(serve).collect();
        let students: BTreeSet<String> =
            devices.iter().filter_map(|d| Some(d.chosen.as_ref()?.student.clone())).collect();
        let told = |(student, j): &(String, Judgement)| Judged {
            student: student.clone(),
            macs: j.priced.cost.macs,
            params: j.priced.cost.params,
            val_top1: j.top1,
        };
        FleetSearch {
            schema: SCHEMA.into(),
            fleet_sha256: self.fleet_sha256.clone(),
            seed: args.seed,
            students: students.into_iter().collect(),
            fewest: few.map(|few| Fewest { proven: few.proven, gives_up: gives_up(&devices) }),
            devices,
            judged: judged.iter().map(told).collect(),
        }
    }
}

/// Top-1 that a device gives up, the mean over all that are served.
fn gives_up(devices: &[Served]) -> f64 {
    let each = devices.iter().filter_map(|d| {
        let less = d.best.as_ref()?.val_top1 - d.chosen.as_ref()?.val_top1;
        Some((f64::from(d.count), less))
    });
    let (count, sum) = each.fold((0.0, 0.0), |(n, sum), (count, less)| (n + count, sum + count * less));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Those that no faster one beats, each in the precision that is within the budget, or else in the preferred one.
fn front(need: &Need, judged: &[(String, Judgement)]) -> Vec<Choice> {
    let told = |(student, j): &(String, Judgement)| {
        let price = need.price(&j.priced).or_else(|| need.prices(&j.priced).next())?;
        Some(Choice { student: student.clone(), val_top1: j.top1, price })
    };
    let mut all: Vec<Choice> = judged.iter().filter_map(told).collect();
    let ms = |c: &Choice| c.price.latency.ms;
    all.sort_by(|a, b| ms(a).total_cmp(&ms(b)).then(b.val_top1.total_cmp(&a.val_top1)));
    rising(all, |c| c.val_top1)
}

fn band(price: &Price) -> String {
    let [low, high] = price.latency.band.map(format::ms);
    format!("{low} to {high}")
}

fn table(found: &FleetSearch) -> Table {
    let headings =
        ["device", "count", "target", "budget", "student", "precision", "latency", "band", "val top-1"];
    let few = found.fewest.is_some();
    let mut table = Table::new(headings.into_iter().chain(few.then_some("gives up")));
    for d in &found.devices {
        let known = |cell: fn(&Choice) -> String| d.chosen.as_ref().map_or("-".into(), cell);
        let mut row = vec![
            d.name.clone(),
            d.count.to_string(),
            d.target.clone(),
            if d.budget == Budget::default() { "no limit".into() } else { format!("within {}", d.budget) },
            d.chosen.as_ref().map_or("none within the budget".into(), |c| c.student.clone()),
            known(|c| c.price.precision.name().into()),
            known(|c| format::ms(c.price.latency.ms)),
            known(|c| band(&c.price)),
            known(|c| format::percent(c.val_top1)),
        ];
        if few {
            let less = d.best.as_ref().zip(d.chosen.as_ref()).map(|(b, c)| 100.0 * (b.val_top1 - c.val_top1));
            row.push(less.map_or("-".into(), |points| format!("{points:.2}")));
        }
        table.row(row);
    }
    table
}

fn names<'a>(devices: impl Iterator<Item = &'a Served>) -> String {
    format::some(devices.map(|d| d.name.clone()), ", ", NAMED)
}

/// The lines below the table: what was found, and what to beware of.
fn summary(found: &FleetSearch) -> (String, Vec<String>) {
    let served: u64 = found.devices.iter().filter(|d| d.chosen.is_some()).map(|d| u64::from(d.count)).sum();
    let students = format::counted(found.students.len(), "student");
    let mut text =
        format!("{students} for {served} devices, of {} judged in the supernet on val", found.judged.len());
    if let Some(few) = found.fewest {
        let proof = if few.proven {
            "no fewer can serve them"
        } else {
            "fewer may do: the search for them was given up"
        };
        text.push_str(&format!("; {proof}; a device gives up {:.2} points on average", 100.0 * few.gives_up));
    }
    let unserved = || found.devices.iter().filter(|d| d.chosen.is_none());
    let mut beware: Vec<String> = unserved().take(NAMED).map(nearest).collect();
    if let more @ 1.. = unserved().count().saturating_sub(NAMED) {
        beware.push(format!("and {} more that nothing serves", format::counted(more, "device")));
    }
    let beyond = |d: &&Served| {
        let limit = d.budget.latency_ms.zip(d.chosen.as_ref());
        limit.is_some_and(|(most, c)| c.price.latency.band[1] > most)
    };
    let doubtful = names(found.devices.iter().filter(beyond));
    if !doubtful.is_empty() {
        beware.push(format!(
            "predicted, and the band reaches beyond the limit: measure before you rely on it: {doubtful}"
        ));
    }
    (text, beware)
}

/// A device that nothing serves, and what comes nearest.
fn nearest(d: &Served) -> String {
    let nearest = d.front.first().map_or("none was judged".into(), |c| {
        let Price { latency, memory_bytes, model_bytes, .. } = c.price;
        format!(
            "the fastest judged, {}, takes {latency}, {} of memory, a model of {}, val top-1 {}",
            c.student,
            format::bytes(memory_bytes),
            format::bytes(model_bytes),
            format::percent(c.val_top1)
        )
    });
    format!("{}: nothing within {}; {nearest}", d.name, d.budget)
}

fn page(found: &FleetSearch, args: &SearchArgs) -> String {
    let title = format!("{} for a fleet", format::counted(found.students.len(), "student"));
    let mut page = Page::new(&title, &format!("from {}, seed {}", args.teacher.display(), found.seed));
    let count: u64 = found.devices.iter().map(|d| u64::from(d.count)).sum();
    page.tiles(&[
        (count.to_string(), "devices".into()),
        (found.students.len().to_string(), "different students".into()),
        (found.unserved().len().to_string(), "kinds without a student".into()),
        (found.judged.len().to_string(), "judged on val".into()),
    ]);
    let (text, beware) = summary(found);
    page.heading("Who gets what").table(&table(found)).text(&format!("{text}.")).warnings(&beware);
    let point = |j: &Judged| plot::Point {
        label: match found.students.contains(&j.student) {
            true => j.student.split(':').nth(1).unwrap_or_default().to_owned(),
            false => String::new(),
        },
        x: j.macs as f64 / 1e6,
        y: 100.0 * j.val_top1,
        interval: None,
    };
    let points: Vec<_> = found.judged.iter().map(point).collect();
    let svg = plot::scatter(&points, "MACs, millions", "val top-1, %", "accuracy against cost");
    page.heading("All that were judged")
        .plot(&svg, "Accuracy of paths in the supernet; those that were chosen have names.");
    let mut shown: Vec<&[Choice]> = Vec::new();
    for d in &found.devices {
        if shown.len() == MOST_FRONTS || shown.contains(&d.front.as_slice()) {
            continue;
        }
        shown.push(&d.front);
        let alike = names(found.devices.iter().filter(|other| other.front == d.front));
        let mut table =
            Table::new(["student", "precision", "latency", "band", "memory", "model", "val top-1", ""]);
        for c in d.front.iter().rev() {
            let takes = |other: &&Served| {
                other.front == d.front && other.chosen.as_ref().is_some_and(|own| own.student == c.student)
            };
            let whose = names(found.devices.iter().filter(takes));
            table.row([
                c.student.clone(),
                c.price.precision.name().into(),
                format::ms(c.price.latency.ms),
                band(&c.price),
                format::bytes(c.price.memory_bytes),
                format::bytes(c.price.model_bytes),
                format::percent(c.val_top1),
                if whose.is_empty() { whose } else { format!("for {whose}") },
            ]);
        }
        page.heading(&alike).text(&format!("Latency {}.", d.basis)).table(&table);
    }
    page.finish()
}
