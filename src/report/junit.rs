//! JUnit XML: one test case a check, so that whatever shows test results shows the checklist.

use super::escape::xml;
use super::gate;
use super::record::{CheckRecord, Report, Status, Verdict};
use std::fmt::Write;

/// The checklist as JUnit XML. A check is a failure where it is among the reasons for exit code 1, an error where it is
/// that and could not be computed, and skipped where it does not apply or a waiver covers it; anything else that is not
/// well is a passing case with its sentence under `system-out`. So there are failures or errors exactly where the exit
/// code is 1.
///
/// Source: the schema that Jenkins publishes for its xUnit plugin (`junit-10.xsd`); no times, which the record has none of.
pub fn junit(report: &Report) -> String {
    let reasons = || report.checks.iter().filter(|check| gate::reaches_gate(check, report));
    let errors = reasons().filter(|check| check.status == Status::Undetermined).count();
    let failures = reasons().count() - errors;
    let skipped = report.checks.iter().filter(|check| is_skipped(check)).count();
    let tests = report.checks.len();
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"");
    let name = xml(&format!("counterweight {} {}", report.regime.name, report.regime.version));
    let total = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\"");
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "<testsuites name=\"counterweight\" {total}>\n  <testsuite name=\"{name}\" {counts}>");
    text.push_str("    <properties>\n");
    for (key, value) in properties(report) {
        let _ = writeln!(text, "      <property name=\"{key}\" value=\"{}\"/>", xml(&value));
    }
    text.push_str("    </properties>\n");
    for check in &report.checks {
        let _ = writeln!(
            text,
            "    <testcase classname=\"counterweight\" name=\"{}\">{}</testcase>",
            xml(&check.id),
            result(check, report)
        );
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn properties(report: &Report) -> [(&'static str, String); 6] {
    let verdict = match report.verdict {
        Verdict::Pass => "pass",
        Verdict::Diagnostic => "diagnostic",
        Verdict::Block => "block",
    };
    [
        ("verdict", verdict.to_owned()),
        ("exit_code", report.exit_code.to_string()),
        ("fail_on", report.fail_on.clone()),
        ("as_of", report.as_of.clone()),
        ("regime_fingerprint", report.regime.fingerprint.clone()),
        ("policy_fingerprint", report.policy.fingerprint.clone()),
    ]
}

fn is_skipped(check: &CheckRecord) -> bool {
    matches!(check.status, Status::Waived | Status::NotApplicable)
}

fn result(check: &CheckRecord, report: &Report) -> String {
    let sentence = xml(&gate::sentence(check));
    if gate::reaches_gate(check, report) {
        let element = if check.status == Status::Undetermined { "error" } else { "failure" };
        let message = xml(&super::format::sentence(&check.message));
        return format!("<{element} type=\"{}\" message=\"{message}\">{sentence}</{element}>", xml(&check.severity));
    }
    match check.status {
        Status::Pass => String::new(),
        Status::Waived => {
            let waiver = gate::waivers(check, report).next();
            let why = waiver.map_or(String::new(), |waiver| {
                format!(" (until {}, {}, approved by {})", waiver.expires, waiver.ticket, waiver.approver)
            });
            format!("<skipped message=\"{}\"/>", xml(&format!("{}{why}", gate::sentence(check))))
        }
        Status::NotApplicable => {
            format!("<skipped message=\"{}\"/>", xml(&format!("Not applicable: {}", check.message)))
        }
        Status::Warn | Status::Fail | Status::Undetermined => format!("<system-out>{sentence}</system-out>"),
    }
}
