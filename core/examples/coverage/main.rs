//! How often every interval that a report prints holds the truth: `cargo run --release -p gtn-core --example
//! coverage [DRAWS]` (20,000 unasked). The table in docs/measuring.md is this one's. Exit status 1 where one
//! holds less than it states.

mod cases;

use gtn_core::text::table::Table;
use std::process::ExitCode;

fn main() -> ExitCode {
    let draws = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let rows = cases::all(draws);
    let mut table = Table::new(["interval", "of", "stated", "draws", "held", ""]);
    for row in &rows {
        table.row([
            row.interval.to_owned(),
            row.of.clone(),
            format!("{:.0} %", 100.0 * row.stated),
            row.draws.map_or_else(|| "all".into(), |n| n.to_string()),
            format!("{:.2} %", 100.0 * row.held),
            row.remark().to_owned(),
        ]);
    }
    print!("{}", table.to_markdown());
    if rows.iter().all(cases::Row::keeps) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
