//! A real log with known truth: 60,000 comparisons, every propensity known. Skipped where the data is not there.

use crate::support::{AS_OF, Sandbox, command, shared, text};
use counterweight::report::{EstimateRecord, Report, Status, Verdict};
use serde_json::Value;
use std::path::Path;

const COLUMNS: &str = "{id: event_id, prompt: prompt_id, response_a: response_a, response_b: response_b, label: label, \
    propensity: propensity, target_propensity: target_propensity, mechanism: mechanism, annotator: annotator_id, \
    timestamp: timestamp, generator_a: generator_a, generator_b: generator_b}";

/// A folder with the arena's regime and an audit document that maps every column of that log explicitly.
fn folder(arena: &Path, log: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", std::fs::read(arena.join("regime.yaml")).unwrap());
    sandbox.write(
        "audit.yaml",
        format!(
            "schema: counterweight/audit/v1\nregime: regime.yaml\npolicy: standard\nlogs:\n  path: {}\n  columns: {COLUMNS}\n  \
             cluster: prompt\n  selection: every comparison that was shown was labelled\n",
            arena.join(log).display()
        ),
    );
    sandbox
}

fn close(actual: f64, expected: &Value, tolerance: f64, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((actual / expected - 1.0).abs() <= tolerance, "{what}: {actual} is not {expected}");
}

#[test]
fn weights_agree_with_the_enumerated_truth() {
    let Some(arena) = shared("data/arena") else { return };
    let report: Report = folder(&arena, "logs.parquet").audit("audit.yaml").unwrap();
    let truth: Value = serde_json::from_slice(&std::fs::read(arena.join("truth.json")).unwrap()).unwrap();
    let truth = &truth["weights_empirical_pO"];
    let weights = report.weights.unwrap();
    assert_eq!(weights.n, 60_000);
    close(weights.mean, &truth["mean"], 1e-9, "mean");
    close(weights.mean_square, &truth["mean_sq"], 1e-9, "mean square");
    close(weights.max, &truth["max"], 1e-9, "max");
    close(weights.n_eff, &truth["n_eff"], 1e-9, "n_eff");
    for (level, quantile) in &weights.quantiles {
        close(*quantile, &truth["quantiles"][level], 1e-3, level);
    }
    assert_eq!(weights.quantiles.len(), 8);
    assert!((weights.n_eff_ratio - 0.131).abs() < 5e-4);
    assert_eq!((report.verdict, report.exit_code), (Verdict::Diagnostic, 0));
    let not_passing: Vec<&str> =
        report.checks.iter().filter(|check| check.verdict != Verdict::Pass).map(|check| check.id.as_str()).collect();
    assert_eq!(not_passing, ["effective-sample-size"]);
}

#[test]
fn uniform_pairs_of_the_responses_file_equal_the_logged_target_propensity() {
    let Some(arena) = shared("data/arena") else { return };
    let sandbox = folder(&arena, "logs.parquet");
    let column = sandbox.audit("audit.yaml").unwrap();
    let regime = String::from_utf8(sandbox.read("regime.yaml")).unwrap();
    sandbox.write("regime.yaml", regime.replace("pairs: {column: target_propensity}", "pairs: {uniform: responses}"));
    let audit = String::from_utf8(sandbox.read("audit.yaml")).unwrap();
    sandbox.write("audit.yaml", format!("{audit}  responses: {}\n", arena.join("responses.parquet").display()));
    let uniform = sandbox.audit("audit.yaml").unwrap();
    let (column, uniform) = (column.weights.unwrap(), uniform.weights.unwrap());
    assert!((column.n_eff / uniform.n_eff - 1.0).abs() < 1e-12 && column.n == uniform.n);
}

#[test]
fn every_variant_is_judged_as_its_name_says() {
    let Some(arena) = shared("data/arena") else { return };
    type Variant = (&'static str, i32, Option<(&'static str, Status)>);
    let variants: Vec<Variant> = vec![
        ("clean", 0, None),
        ("missing_propensity", 1, Some(("propensity-completeness", Status::Fail))),
        ("impossible_propensity", 1, Some(("propensity-completeness", Status::Fail))),
        ("unsupported_cell", 1, Some(("cell-support", Status::Fail))),
        ("mechanism_changed_silently", 1, Some(("mechanism-provenance", Status::Fail))),
        ("duplicate_events", 1, Some(("label-integrity", Status::Fail))),
        ("unknown_label", 1, Some(("label-integrity", Status::Fail))),
        ("null_covariate", 1, Some(("covariate-completeness", Status::Fail))),
        ("cell_outside_target", 0, Some(("cell-support", Status::Warn))),
        ("one_annotator_always_a", 1, Some(("annotator-integrity", Status::Fail))),
        ("no_propensity_column", 2, None),
        ("empty", 2, None),
    ];
    for (variant, code, expected) in variants {
        let sandbox = folder(&arena, &format!("variants/{variant}.parquet"));
        let output = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--format", "json"]);
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(code), "{variant}: {stderr}");
        if code == 2 {
            assert!(stderr.contains("error:") && stdout.is_empty(), "{variant}: {stdout}{stderr}");
            continue;
        }
        let report: Report = serde_json::from_str(&stdout).unwrap();
        for check in &report.checks {
            match expected {
                Some((id, status)) if check.id == id => {
                    assert_eq!(check.status, status, "{variant}: {}", check.message)
                }
                None => assert_ne!(check.status, Status::Fail, "{variant}: {} {}", check.id, check.message),
                _ => {}
            }
        }
        match variant {
            "unsupported_cell" => assert!((report.unsupported_target_mass - 0.1).abs() < 1e-12),
            "duplicate_events" => assert_eq!(report.rows.excluded["duplicate_id"], 1500),
            "unknown_label" => assert_eq!(report.rows.excluded["unknown_label"], 1),
            "null_covariate" => assert_eq!(report.rows.excluded["missing_covariate"], 1),
            "cell_outside_target" => {
                let outside: Vec<_> = report.cells.iter().filter(|cell| cell.p_target <= 0.0).collect();
                assert_eq!((outside.len(), outside[0].n), (1, 1));
                assert!(outside[0].weight_share <= 0.0, "it weighs nothing");
            }
            _ => {}
        }
    }
}

/// The shared audit document through the command: its record, exit code, and Markdown.
fn shared_audit(arena: &Path) -> (Report, Option<i32>, String) {
    let sandbox = Sandbox::new();
    let out = sandbox.path("report").display().to_string();
    let output =
        command().arg("audit").arg(arena.join("audit.yaml")).args(["--as-of", AS_OF, "--out", &out]).output().unwrap();
    let report = serde_json::from_slice(&sandbox.read("report/report.json"))
        .unwrap_or_else(|error| panic!("{error}\n{}", text(&output).1));
    (report, output.status.code(), String::from_utf8(sandbox.read("report/report.md")).unwrap())
}

/// With 4 standard errors of room, a test of m independent normal estimates fails by chance with probability m times 6e-5.
fn within_four_errors(own: &EstimateRecord, truth: &Value, what: &str) {
    let (truth, se) = (truth.as_f64().unwrap(), own.se.unwrap());
    assert!((own.estimate - truth).abs() <= 4.0 * se, "{what}: {} is not {truth}, standard error {se}", own.estimate);
}

/// 8 accuracies and 40 of cells: a false failure in 350 such logs.
#[test]
fn candidates_are_worth_what_the_truth_says() {
    let Some(arena) = shared("data/arena") else { return };
    let truth: Value = serde_json::from_slice(&std::fs::read(arena.join("truth.json")).unwrap()).unwrap();
    let (report, code, markdown) = shared_audit(&arena);
    let names: Vec<&str> = report.candidates.iter().map(|own| own.name.as_str()).collect();
    assert_eq!(names, ["longer", "judge", "shorter", "uniform"]);
    for candidate in &report.candidates {
        let name = &candidate.name;
        let target = candidate.target.preference_accuracy.as_ref().unwrap();
        within_four_errors(target, &truth["target_preference_accuracy"][name], name);
        let observed = candidate.observed.preference_accuracy.as_ref().unwrap();
        within_four_errors(observed, &truth["observational_preference_accuracy"][name], name);
        assert_eq!((candidate.missing, candidate.cells.len()), (0, 10));
        for cell in &candidate.cells {
            let key = format!("{}|{}", cell.slice["domain"], cell.slice["user_type"]);
            let expected = &truth["target_preference_accuracy_by_cell"][name][&key];
            within_four_errors(cell.estimate.as_ref().unwrap(), expected, &format!("{name} in {key}"));
        }
        for other in candidate.estimators.iter().filter(|own| !own.name.starts_with("clipped")) {
            let Some(estimate) = &other.estimate else { continue };
            within_four_errors(
                estimate,
                &truth["target_preference_accuracy"][name],
                &format!("{name}, {}", other.name),
            );
        }
    }
    let status = |id: &str| report.checks.iter().find(|check| check.id == id).unwrap();
    let reversal = status("observational-reversal");
    assert_eq!(reversal.status, Status::Fail, "{}", reversal.message);
    assert!(reversal.message.contains("longer looks better in the logs"), "{}", reversal.message);
    assert!(reversal.message.contains("judge is better under the target"), "{}", reversal.message);
    let judge = &report.comparisons[0];
    assert_eq!((judge.challenger.as_str(), judge.incumbent.as_str()), ("judge", "longer"));
    assert!(judge.difference.as_ref().unwrap().ci.unwrap()[0] > 0.05);
    assert!(judge.observed_difference.as_ref().unwrap().estimate < 0.0);
    // What it takes to overturn that. Without sampling error: of the disagreements' weight 60 % is won, odds of 1.5, whose root is
    // Lambda's; either with sampling error is less, and clusters that may go one way leave less than independent rows.
    let (gamma, lambda) = (judge.gamma.as_ref().unwrap(), judge.lambda.as_ref().unwrap());
    let (by_row, point) = (gamma.tipping_by_row.unwrap(), gamma.tipping_point.unwrap());
    assert!((gamma.share_won.unwrap() - 0.6).abs() < 0.01 && (point - 1.5).abs() < 0.02, "{gamma:?}");
    let tipping = gamma.tipping.unwrap();
    assert!(1.2 < tipping && tipping < by_row - 0.1 && by_row < point - 0.05, "{tipping} {by_row} {point}");
    let (tipping, point) = (lambda.tipping.unwrap(), lambda.tipping_point.unwrap());
    assert!(1.15 < tipping && tipping < point - 0.02 && (point - 1.225).abs() < 0.01, "{tipping} {point}");
    for other in &report.comparisons[1..] {
        let nothing = (other.gamma.as_ref().unwrap().tipping, other.lambda.as_ref().unwrap().tipping);
        assert_eq!(nothing, (None, None), "{} is behind: there is nothing to overturn", other.challenger);
    }
    assert_eq!(status("candidate-completeness").status, Status::Pass);
    // One of the three challengers is worse for the declared population, and the policy blocks on that.
    let regression = status("target-regression");
    assert_eq!((regression.status, code), (Status::Fail, Some(1)), "{}", regression.message);
    assert!(
        regression.message.contains("shorter is worse than longer")
            && regression.message.contains("judge is not worse")
    );
    assert_eq!(status("slice-regression").status, Status::Pass);
    assert_eq!(status("rank-stability").status, Status::Warn, "n_eff/n, as effective-sample-size");
    let (decision, _) = markdown.split_once("\n## 1").unwrap();
    assert!(decision.contains("Under the target judge is ahead"), "{decision}");
}

/// With the target's pairs listed, an outcome model takes part of the error away; the estimate stays that of the truth.
#[test]
fn doubly_robust_estimates_agree_with_the_truth() {
    let Some(arena) = shared("data/arena") else { return };
    let truth: Value = serde_json::from_slice(&std::fs::read(arena.join("truth.json")).unwrap()).unwrap();
    let sandbox = folder(&arena, "logs.parquet");
    let regime = String::from_utf8(sandbox.read("regime.yaml")).unwrap();
    sandbox.write("regime.yaml", regime.replace("pairs: {column: target_propensity}", "pairs: {uniform: responses}"));
    let audit = String::from_utf8(sandbox.read("audit.yaml")).unwrap();
    let responses = arena.join("responses.parquet").display().to_string();
    let candidates: String = [("longer", "incumbent"), ("judge", "challenger")]
        .map(|(name, role)| format!("  - {{name: {name}, role: {role}, logp: {name}_logp}}\n"))
        .concat();
    sandbox.write(
        "audit.yaml",
        format!("{audit}  responses: {responses}\nreference: {{logp: ref_logp}}\ncandidates:\n{candidates}"),
    );
    let report = sandbox.audit("audit.yaml").unwrap();
    for candidate in &report.candidates {
        let robust = candidate.estimators.iter().find(|own| own.name == "doubly robust").unwrap();
        let estimate = robust.estimate.as_ref().unwrap_or_else(|| panic!("{:?}", robust.note));
        within_four_errors(estimate, &truth["target_preference_accuracy"][&candidate.name], &candidate.name);
        let headline = candidate.target.preference_accuracy.as_ref().unwrap();
        assert!(estimate.se_by_row < headline.se_by_row, "{estimate:?} {headline:?}");
    }
}
