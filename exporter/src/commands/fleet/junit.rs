//! A fleet's result for a build server: a suite a device, a case a limit.

use gtn_core::fleet::result::{FleetResult, Gate, Outcome, Verdict};
use gtn_core::{Error, Result};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// Returns the result as JUnit's XML. A limit that is missed is a failure, one that nobody can tell is skipped.
pub fn xml(result: &FleetResult) -> Result<String> {
    let mut report = Report::new("gtn fleet");
    report.add_test_suites(result.devices.iter().map(suite));
    report.to_string().map_err(|e| Error::Failed(format!("junit.xml: {e}")))
}

fn suite(outcome: &Outcome) -> TestSuite {
    let mut suite = TestSuite::new(outcome.name.as_str());
    suite.add_test_cases(outcome.gates.iter().map(case));
    suite
}

fn case(gate: &Gate) -> TestCase {
    let wanted = gate.limit.as_ref().map_or(String::new(), |limit| format!(", wanted {limit}"));
    let told = format!("{}{wanted}", gate.found);
    let mut status = match gate.verdict {
        Verdict::Kept | Verdict::Predicted => TestCaseStatus::success(),
        Verdict::Missed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Unknown => TestCaseStatus::skipped(),
    };
    if !matches!(gate.verdict, Verdict::Kept | Verdict::Predicted) {
        status.set_message(told.as_str());
    }
    let mut case = TestCase::new(gate.name.as_str(), status);
    case.set_system_out(told.as_str());
    case
}
