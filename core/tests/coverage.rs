//! Every interval that a report prints holds the truth as often as it says, on few draws; the example of the
//! same name makes 20,000.

#[path = "../examples/coverage/cases.rs"]
mod cases;

#[test]
fn intervals_hold_what_they_state() {
    let rows = cases::all(1000);
    let broken: Vec<String> = rows
        .iter()
        .filter(|row| !row.keeps())
        .map(|r| format!("{}, {}: {:.2} % of {:?}{}", r.interval, r.of, 100.0 * r.held, r.draws, r.remark()))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(rows.len() > 30, "{}", rows.len());
}
