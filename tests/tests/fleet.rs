//! A fleet: one search serves every device within its budget, and its students are distilled in one pass.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::fleet::record::{Choice, FleetSearch};
use gtn_core::fleet::{Budget, Price};
use gtn_core::ir::arch::Input;
use gtn_core::ir::cost::Cost;
use gtn_core::ir::graph::Graph;
use gtn_core::latency::Predictor;
use gtn_core::nets::pool;
use gtn_core::{Precision, device};
use gtn_tests::run;
use std::fs;

const FLEET: &str = r#"
schema = "gtn.fleet/1"

[[device]]
name = "kitchen"
target = "rpi5"
count = 3
[device.budget]
latency_ms = 0.9

[[device]]
name = "desk"
target = "host"
precisions = ["fp32"]

[[device]]
name = "door"
target = "rpi5"
[device.budget]
memory_mib = 0.5
model_mib = 0.025
"#;
const RECIPE: &str = "--data fashion-mnist-mini --batch-size 50 --set max_steps=20 --set train_images=1000";

/// What a student costs in each precision, the device's preferred one first.
fn prices(student: &str, target: &str, precisions: Option<&[Precision]>) -> Vec<Price> {
    let device = device::resolve(target).unwrap();
    let input = Input { channels: 1, height: 28, width: 28 };
    let graph = Graph::lower(&pool::student(student, input, 10).unwrap()).unwrap();
    let known = Predictor::known(&device, None, precisions.unwrap_or(&device.precisions)).unwrap();
    let price = |(p, predictor): &(Precision, Predictor)| {
        Price::of(&Cost::of(&graph), *p, predictor.predict(&graph).unwrap())
    };
    known.predictors.iter().map(price).collect()
}

#[test]
fn a_fleet_is_searched_at_once_and_distilled_in_one_pass() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    let gtn = "--teacher resnet8 --method gtn --pool mbv2-mini --set gtn.w_0=1";
    run("gtn-train", &format!("teacher {RECIPE} {gtn} --out {dir}/t")).ok();
    let fleet = temp.path().join("fleet.toml");
    fs::write(&fleet, FLEET).unwrap();
    let search = format!(
        "search --teacher {dir}/t --data fashion-mnist-mini --fleet {dir}/fleet.toml --population 8 --generations 1"
    );
    let told = run("gtn-train", &format!("{search} --out {dir}/found.json")).ok();
    let text = fs::read_to_string(temp.path().join("found.json")).unwrap();
    run("gtn-train", &format!("{search} --out {dir}/again.json")).ok();
    assert_eq!(text, fs::read_to_string(temp.path().join("again.json")).unwrap(), "seeded");

    let found = FleetSearch::read(&temp.path().join("found.json")).unwrap();
    let names: Vec<&str> = found.devices.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["kitchen", "desk", "door"]);
    let mut limited = 0;
    for d in &found.devices {
        let only = (d.name == "desk").then_some(&[Precision::Fp32][..]);
        // By other code: the most accurate of all that are within the budget, in the first precision that is.
        let within = |student: &str, budget: &Budget| {
            prices(student, &d.target, only).into_iter().find(|price| budget.fits(price))
        };
        let fitting: Vec<_> =
            found.judged.iter().filter_map(|j| Some((j, within(&j.student, &d.budget)?))).collect();
        limited += usize::from(fitting.len() < found.judged.len());
        let best = d.best.as_ref().unwrap();
        let most = fitting.iter().map(|(j, _)| j.val_top1).fold(0.0, f64::max);
        assert_eq!(best.val_top1, most, "{}", d.name);
        let (_, price) = fitting.iter().find(|(j, _)| j.student == best.student).unwrap();
        assert_eq!((d.chosen.as_ref(), &best.price), (Some(best), price));
        assert!(told.contains(&d.name) && told.contains(&best.student), "{told}");
        let rising = |pair: &[Choice]| {
            pair[0].price.latency.ms < pair[1].price.latency.ms && pair[0].val_top1 < pair[1].val_top1
        };
        assert!(d.front.windows(2).all(rising), "{:?}", d.front);
    }
    assert!(limited >= 1, "no budget left anything out: {told}");
    assert!(fs::read_to_string(temp.path().join("found.html")).unwrap().contains("kitchen"));

    let few = run("gtn-train", &format!("{search} --fewest --out {dir}/few.json")).ok();
    let fewest = FleetSearch::read(&temp.path().join("few.json")).unwrap();
    assert!(fewest.students.len() <= found.students.len() && few.contains("gives up"), "{few}");
    assert!(fewest.fewest.unwrap().proven && fewest.devices.iter().all(|d| d.chosen.is_some()));

    let recipe = format!("student {RECIPE} --teacher {dir}/t");
    run("gtn-train", &format!("{recipe} --fleet {dir}/found.json --out {dir}/s")).ok();
    for id in &found.students {
        let mut folder = temp.path().join("s");
        if found.students.len() > 1 {
            folder.push(id.replace(':', "_"));
        }
        assert!(folder.join("weights.safetensors").is_file(), "{id}");
    }
    let both = run("gtn-train", &format!("{recipe} --fleet {dir}/found.json --arch resnet8 --out {dir}/no"));
    assert_eq!(both.not_refused(2, &["--fleet", "--arch"]), None);

    refusals(&search, temp.path());
}

/// Budgets that nothing keeps end with 1, the rest served; files that are wrong with 2.
fn refusals(search: &str, temp: &std::path::Path) {
    let dir = temp.display();
    let with = |from: &str, to: &str| {
        fs::write(temp.join("fleet.toml"), FLEET.replace(from, to)).unwrap();
        run("gtn-train", &format!("{search} --out {dir}/odd.json"))
    };
    let none = with("latency_ms = 0.9", "top1 = 1.0");
    assert_eq!(none.not_refused(1, &["no student is within the budget of kitchen"]), None);
    let partly = FleetSearch::read(&temp.join("odd.json")).unwrap();
    assert_eq!(partly.unserved(), ["kitchen"]);
    assert!(none.stdout.contains("kitchen: nothing within top-1 from 100.00 % on; the fastest judged"));
    for (from, to, wanted) in [
        ("\"host\"", "\"toaster\"", "fleet.toml: device `desk`: unknown target `toaster`"),
        ("\"host\"", "\"rpi4\"", "device `desk`: device profile rpi4 has no [performance]"),
        ("latency_ms", "latency", "line 9"),
        (
            "latency_ms = 0.9",
            "latency_ms = 0",
            "device `kitchen`: budget.latency_ms is 0, wanted more than 0",
        ),
    ] {
        assert_eq!(with(from, to).not_refused(2, &[wanted]), None);
    }
    let mixed = run("gtn-train", &format!("{search} --macs 1000000 --out {dir}/odd.json"));
    assert_eq!(mixed.not_refused(2, &["--fleet", "--macs"]), None);
}
