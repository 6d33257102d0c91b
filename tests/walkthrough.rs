//! `examples/candidates`: what its README quotes is what its audit says, and its log is what its world writes.

use crate::support::{Sandbox, command, text};
use counterweight::report::{Report, Status, Verdict};
use std::path::{Path, PathBuf};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/candidates").join(name)
}

/// The example's audit through the command: exit code, record, Markdown.
fn audited(audit: &Path, more: &[&str]) -> (Option<i32>, Report, String) {
    let sandbox = Sandbox::new();
    let out = sandbox.path("report").display().to_string();
    let mut run = command();
    let output =
        run.arg("audit").arg(audit).args(["--as-of", "2026-11-25", "--out", &out]).args(more).output().unwrap();
    let report = serde_json::from_slice(&sandbox.read("report/report.json"))
        .unwrap_or_else(|error| panic!("{error}\n{}", text(&output).1));
    (output.status.code(), report, String::from_utf8(sandbox.read("report/report.md")).unwrap())
}

fn status(report: &Report, id: &str) -> Status {
    report.checks.iter().find(|check| check.id == id).unwrap().status
}

#[test]
fn every_line_that_the_readme_quotes_is_in_the_report() {
    let readme = std::fs::read_to_string(example("README.md")).unwrap();
    let (code, report, markdown) = audited(&example("audit.yaml"), &[]);
    assert_eq!((code, report.verdict), (Some(0), Verdict::Diagnostic));
    let blocks = readme.split("```text\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let quoted: Vec<&str> = blocks.flat_map(str::lines).collect();
    assert_eq!(quoted.len(), 7, "{quoted:?}");
    for line in quoted {
        assert!(markdown.lines().any(|own| own == line), "not in the report: {line}");
    }
    for number in ["| longer | clipped at 2 | 59.5 % |", "more than 1.826"] {
        assert!(markdown.contains(number), "{number}");
    }
    assert_eq!(status(&report, "observational-reversal"), Status::Fail);
    for id in ["target-regression", "slice-regression", "hidden-confounding", "weight-sensitivity"] {
        assert_eq!(status(&report, id), Status::Pass, "{id}");
    }
}

/// With 4 standard errors of room, a test of m independent normal estimates fails by chance with probability m times 6e-5.
#[test]
fn the_estimates_of_the_example_are_those_of_its_truth() {
    let truth: serde_json::Value = serde_json::from_slice(&std::fs::read(example("truth.json")).unwrap()).unwrap();
    let (_, report, _) = audited(&example("audit.yaml"), &[]);
    for candidate in &report.candidates {
        let within = |own: &counterweight::report::EstimateRecord, truth: &serde_json::Value| {
            let off = (own.estimate - truth.as_f64().unwrap()).abs() / own.se.unwrap();
            assert!(off <= 4.0, "{}: {own:?} is not {truth}", candidate.name);
        };
        let name = &candidate.name;
        let target = candidate.target.preference_accuracy.as_ref().unwrap();
        within(target, &truth["target_preference_accuracy"][name]);
        let observed = candidate.observed.preference_accuracy.as_ref().unwrap();
        within(observed, &truth["observational_preference_accuracy"][name]);
        for cell in &candidate.cells {
            let key = format!("{}|{}", cell.slice["domain"], cell.slice["user_type"]);
            within(cell.estimate.as_ref().unwrap(), &truth["target_preference_accuracy_by_cell"][name][&key]);
        }
    }
}

#[test]
fn breaking_the_example_breaks_what_its_readme_says() {
    let (_, report, _) = audited(&example("audit.yaml"), &["--set", "checks.hidden-confounding.min_gamma=1.25"]);
    assert_eq!(status(&report, "hidden-confounding"), Status::Fail);
    let sandbox = Sandbox::new();
    for name in ["regime.yaml", "logs.parquet", "responses.parquet"] {
        sandbox.write(name, std::fs::read(example(name)).unwrap());
    }
    let audit = std::fs::read_to_string(example("audit.yaml")).unwrap();
    let swapped = audit
        .replace("longer, role: incumbent", "longer, role: CHALLENGER")
        .replace("judge, role: challenger", "judge, role: incumbent")
        .replace("CHALLENGER", "challenger");
    assert_ne!(swapped, audit);
    sandbox.write("audit.yaml", swapped);
    let (code, report, _) = audited(&sandbox.path("audit.yaml"), &[]);
    assert_eq!(code, Some(1));
    for id in ["target-regression", "slice-regression"] {
        assert_eq!(status(&report, id), Status::Fail, "{id}");
    }
}

#[test]
fn the_examples_log_is_what_its_world_writes() {
    let sandbox = Sandbox::new();
    let out = sandbox.path("out").display().to_string();
    let output = command().arg("simulate").arg(example("world.yaml")).args(["--out", &out]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
    for name in ["logs.parquet", "responses.parquet", "truth.json"] {
        let committed = std::fs::read(example(name)).unwrap();
        assert!(
            sandbox.read(&format!("out/{name}")) == committed,
            "{name}: simulate examples/candidates/world.yaml again"
        );
    }
}
