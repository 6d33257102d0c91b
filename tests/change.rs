//! Two audits held against each other: the check change-management and `counterweight diff`.

use crate::support::{AS_OF, Sandbox, TELEMETRY_AUDIT, TELEMETRY_REGIME, shared, text};
use counterweight::report::{Report, Status, Verdict};
use counterweight::simulate::{Defect, columns, example, plant};
use serde_json::Value;

const POLICY: &str = "schema: counterweight/policy/v1\nname: team\nversion: 1.0.0\nextends: standard\n";

fn telemetry() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write_log("logs.parquet", &columns(&example()));
    sandbox.write("regime.yaml", TELEMETRY_REGIME);
    sandbox.write("audit.yaml", TELEMETRY_AUDIT.replace("policy: standard", "policy: team.yaml"));
    sandbox.write("team.yaml", POLICY);
    let first = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--out", "old"]);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first).1);
    sandbox
}

/// Audits against the first audit: the exit code and the record.
fn again(sandbox: &Sandbox, more: &[&str]) -> (Option<i32>, Report) {
    let arguments =
        ["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--out", "new", "--baseline", "old/report.json"];
    let output = sandbox.run(&[&arguments[..], more].concat());
    assert!(output.status.code() < Some(2), "{}", text(&output).1);
    (output.status.code(), serde_json::from_slice(&sandbox.read("new/report.json")).unwrap())
}

fn change_management(report: &Report) -> &counterweight::report::CheckRecord {
    report.checks.iter().find(|check| check.id == "change-management").unwrap()
}

fn diff(sandbox: &Sandbox) -> (Option<i32>, Value) {
    let output = sandbox.run(&["diff", "old/report.json", "new/report.json", "--format", "json"]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_same_audit_again_changes_nothing() {
    let sandbox = telemetry();
    let (code, report) = again(&sandbox, &[]);
    assert_eq!((code, change_management(&report).status), (Some(0), Status::Pass));
    let baseline = report.baseline.unwrap();
    assert_eq!((baseline.changes.len(), baseline.verdict), (0, Verdict::Pass));
    assert!(report.command.contains("--baseline old/report.json"), "{}", report.command);
    assert!(report.inputs.iter().any(|input| input.role == "baseline" && input.name == "old/report.json"));
    let (code, diff) = diff(&sandbox);
    // The check itself could not run in the first audit and passes in the second: that is all.
    let items: Vec<&str> = diff["changes"].as_array().unwrap().iter().map(|c| c["item"].as_str().unwrap()).collect();
    assert_eq!((code, items), (Some(0), vec!["change-management"]));
}

#[test]
fn regimes_that_change() {
    let lead = TELEMETRY_REGIME.lines().find(|line| line.starts_with("version:")).unwrap().to_owned();
    let moved = |version: &str, more: &str| TELEMETRY_REGIME.replace(&lead, &format!("version: {version}\n{more}"));
    let masses = |regime: String| {
        assert!(regime.contains("casual: 0.5"), "{regime}");
        regime.replace("casual: 0.5", "casual: 0.4").replace("expert: 0.5", "expert: 0.6")
    };
    let reason = |regime: String| {
        let at = regime.find("motivation:").unwrap();
        let end = at + regime[at..].find("\ncells:").unwrap();
        format!("{}motivation: Experts count more since the review of November.{}", &regime[..at], &regime[end..])
    };
    let cases: Vec<(&str, String, Status, &str)> = vec![
        ("comments and key order alone", format!("# Reviewed.\n{TELEMETRY_REGIME}"), Status::Pass, "within the limits"),
        ("masses under the same version", masses(TELEMETRY_REGIME.to_owned()), Status::Fail, "under the same version"),
        ("the version went backwards", masses(moved("0.9.0", "")), Status::Fail, "backwards"),
        ("build metadata is no new version", masses(moved("1.0.0+b", "")), Status::Fail, "under the same version"),
        ("another name", TELEMETRY_REGIME.replacen("name: ", "name: other-", 1), Status::Fail, "another regime"),
        ("a new version without a reason", masses(moved("1.1.0", "supersedes: 1.0.0")), Status::Warn, "motivation"),
        ("a new version that follows no other", reason(masses(moved("1.1.0", ""))), Status::Warn, "supersedes"),
        ("a new version", reason(masses(moved("1.1.0", "supersedes: 1.0.0"))), Status::Pass, "within the limits"),
    ];
    for (name, regime, status, words) in cases {
        let sandbox = telemetry();
        sandbox.write("regime.yaml", regime);
        let (_, report) = again(&sandbox, &[]);
        let check = change_management(&report);
        assert_eq!(check.status, status, "{name}: {}", check.message);
        assert!(check.message.contains(words), "{name}: {}", check.message);
    }
}

#[test]
fn policies_that_loosen_are_named() {
    let limits = "checks:\n  cell-support: {min_rows: 50}\n  effective-sample-size: {severity: diagnostic}\n";
    let waiver =
        "waivers:\n  - {check: position-bias, reason: r, owner: o, approver: a, ticket: T-1, expires: 2026-12-01}\n";
    let moved = POLICY.replace("1.0.0", "1.1.0");
    let cases: Vec<(&str, String, Vec<&str>, Status, &str)> = vec![
        ("tighter", format!("{POLICY}checks: {{cell-support: {{min_rows: 101}}}}\n"), vec![], Status::Pass, "within"),
        ("same version", format!("{POLICY}{limits}"), vec![], Status::Fail, "checks.cell-support.min_rows"),
        ("new version", format!("{moved}{limits}"), vec![], Status::Warn, "checks.effective-sample-size.severity"),
        ("older version", format!("{}{limits}", POLICY.replace("1.0.0", "0.9.0")), vec![], Status::Fail, "min_rows"),
        ("another name", format!("{}{limits}", moved.replace("team", "lenient")), vec![], Status::Fail, "min_rows"),
        // Which side of alpha is the stricter one differs from check to check: any move counts.
        ("unknown side", format!("{moved}checks: {{position-bias: {{alpha: 0.02}}}}\n"), vec![], Status::Warn, "alpha"),
        ("--set", POLICY.to_owned(), vec!["--set", "checks.cell-support.min_rows=50"], Status::Fail, "min_rows"),
        (
            "a list",
            format!("{moved}checks: {{required-fields: {{required: [prompt]}}}}\n"),
            vec![],
            Status::Warn,
            "required",
        ),
        ("waiver", format!("{POLICY}{waiver}"), vec![], Status::Warn, "waivers: position-bias, T-1"),
    ];
    for (name, policy, settings, status, words) in cases {
        let sandbox = telemetry();
        sandbox.write("team.yaml", policy);
        let (_, report) = again(&sandbox, &settings);
        let check = change_management(&report);
        assert_eq!(check.status, status, "{name}: {}", check.message);
        assert!(check.message.contains(words), "{name}: {}", check.message);
    }
    // The gate is a limit too.
    let sandbox = telemetry();
    sandbox.write("team.yaml", format!("{POLICY}gate: {{fail_on: diagnostic}}\n"));
    sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--out", "old"]);
    sandbox.write("team.yaml", POLICY);
    assert!(change_management(&again(&sandbox, &[]).1).message.contains("gate.fail_on"));
}

#[test]
fn a_policy_cannot_loosen_the_rules_by_which_diff_judges_it() {
    let sandbox = telemetry();
    let rules = "  change-management: {severity: note, max_unversioned: 99}\n";
    sandbox.write("team.yaml", format!("{POLICY}checks:\n{rules}  cell-support: {{min_rows: 50}}\n"));
    again(&sandbox, &[]);
    let (code, diff) = diff(&sandbox);
    assert_eq!((code, &diff["verdict"], &diff["exit_code"]), (Some(1), &Value::from("block"), &Value::from(1)));
    assert_eq!(diff["rulings"][0]["crossed"], "fail", "{diff:#}");
    // Nor those by which an audit with a baseline judges it: the older record's severity and limits stand in both.
    let (code, report) = again(&sandbox, &[]);
    let check = change_management(&report);
    assert_eq!((code, check.status, check.severity.as_str()), (Some(1), Status::Fail, "block"));
    let limit = check.measures[0].limit.as_ref().unwrap();
    assert_eq!((limit.key.as_deref(), limit.value), (Some("max_unversioned"), 0.0));
    // The record keeps the policy in force.
    assert!(report.policy.limits.iter().any(|own| own.key == "max_unversioned" && own.value == 99.0));
}

/// Candidates' estimates, and a challenger that no longer leads.
#[test]
fn candidates_and_their_standing_are_compared() {
    let sandbox = telemetry();
    let rows = example();
    let number = |value: &dyn Fn(usize) -> f64| {
        counterweight::logs::ColumnData::Number((0..rows.len()).map(|row| Some(value(row))).collect())
    };
    let log = |leads: bool| {
        let mut all = columns(&rows);
        // The challenger prefers what was preferred, or its opposite; the incumbent always a.
        let sign = |row: usize| if rows[row].label.as_deref() == Some("a") { 1.0 } else { -1.0 };
        let side = if leads { 1.0 } else { -1.0 };
        all.extend([
            ("ra", number(&|_| -2.0)),
            ("rb", number(&|_| -2.0)),
            ("ia", number(&|_| -1.0)),
            ("ib", number(&|_| -2.0)),
            ("ca", number(&|row| -2.0 + side * sign(row))),
            ("cb", number(&|_| -2.0)),
        ]);
        sandbox.write_log("logs.parquet", &all);
    };
    let candidates = "reference: {logp_a: ra, logp_b: rb}\ncandidates:\n  \
                      - {name: always, role: incumbent, beta: 0.1, logp_a: ia, logp_b: ib}\n  \
                      - {name: judge, role: challenger, beta: 0.1, logp_a: ca, logp_b: cb}\n";
    let document = TELEMETRY_AUDIT.replace("policy: standard", "policy: team.yaml");
    sandbox.write("audit.yaml", format!("{document}\n{candidates}"));
    log(true);
    sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--out", "old"]);
    log(false);
    again(&sandbox, &[]);
    let (code, diff) = diff(&sandbox);
    assert_eq!(code, Some(1), "a lead that is lost blocks through target-regression");
    let change = |item: &str| {
        let all = diff["changes"].as_array().unwrap();
        all.iter().find(|change| change["item"] == item).unwrap_or_else(|| panic!("{item}: {diff:#}")).clone()
    };
    let standing = change("judge against always, under the target");
    assert_eq!((&standing["before"], &standing["after"]), (&Value::from("leads"), &Value::from("trails")));
    assert_eq!(standing["rule"], "warn_worsened");
    let accuracy = change("judge, target preference accuracy");
    let (before, after) = (accuracy["before"].as_f64().unwrap(), accuracy["after"].as_f64().unwrap());
    assert!(before > 0.9 && after < 0.1 && (before + after - 1.0).abs() < 1e-9, "{before} {after}");
    assert!(change("judge against always, target difference")["rule"].is_null());
    assert!(change("judge against always, Gamma that overturns it")["after"].is_null());
}

#[test]
fn logs_that_change() {
    let sandbox = telemetry();
    let mut rows = example();
    plant(&mut rows, &Defect::Mechanism { from_row: 1500, id: "router@2.2.0".to_owned() }, 1);
    rows.retain(|row| (row.domain.as_deref(), row.user_type.as_deref()) != (Some("writing"), Some("expert")));
    sandbox.write_log("logs.parquet", &columns(&rows));
    let (code, report) = again(&sandbox, &[]);
    let check = change_management(&report);
    assert_eq!((code, check.status), (Some(1), Status::Fail));
    assert!(check.message.contains("rows of router@2.2.0") && check.message.contains("vanished"), "{}", check.message);
    // 129 of 2,000 rows: above a twentieth, below a tenth.
    let value = |key: &str| {
        let limit =
            |m: &&counterweight::report::MeasureRecord| m.limit.as_ref().is_some_and(|l| l.key.as_deref() == Some(key));
        check.measures.iter().find(limit).unwrap().value.unwrap()
    };
    assert!((value("warn_lost_share") - 129.0 / 2000.0).abs() < 1e-12, "{}", value("warn_lost_share"));
    let (code, diff) = diff(&sandbox);
    assert_eq!(code, Some(1));
    let regressions: Vec<&str> = diff["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["rule"] == "max_regressions")
        .map(|change| change["item"].as_str().unwrap())
        .collect();
    assert!(regressions.contains(&"the verdict") && regressions.contains(&"mechanism-provenance"), "{regressions:?}");
}

#[test]
fn a_policy_may_demand_a_baseline() {
    let sandbox = telemetry();
    sandbox.write("team.yaml", format!("{POLICY}checks: {{change-management: {{baseline: required}}}}\n"));
    let output = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--format", "json", "--quiet"]);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), change_management(&report).status), (Some(1), Status::Undetermined));
}

#[test]
fn records_that_cannot_be_read_are_exit_2() {
    let sandbox = telemetry();
    sandbox.write("broken.json", "{\"schema\": \"counterweight/report/v1\"");
    sandbox.write("other.json", "{\"schema\": \"something/else\"}");
    for arguments in [
        vec!["diff", "old/report.json", "broken.json"],
        vec!["diff", "missing.json", "old/report.json"],
        vec!["diff", "other.json", "old"],
        vec!["audit", "audit.yaml", "--baseline", "broken.json"],
        vec!["audit", "audit.yaml", "--baseline", "missing.json"],
    ] {
        let output = sandbox.run(&arguments);
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stdout}{stderr}");
        assert!(stdout.is_empty() && stderr.contains("error:") && !stderr.contains("panicked"), "{stderr}");
    }
}

/// Two audits of the arena log: the second with a mechanism that changed silently, and with masses that changed under the
/// same version.
#[test]
fn the_arena_log_changes_silently_and_is_blocked() {
    let Some(arena) = shared("data/arena") else { return };
    let sandbox = Sandbox::new();
    let regime = std::fs::read_to_string(arena.join("regime.yaml")).unwrap();
    let log = |name: &str| {
        format!(
            "schema: counterweight/audit/v1\nregime: regime.yaml\nlogs:\n  path: {}\n  cluster: prompt\n  \
             selection: every comparison that was shown was labelled\n",
            arena.join(name).display()
        )
    };
    sandbox.write("regime.yaml", &regime);
    sandbox.write("audit.yaml", log("variants/clean.parquet"));
    let first = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--out", "old"]);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first).1);
    assert!(regime.contains("concise: 0.5, thorough: 0.5"), "{regime}");
    sandbox.write("regime.yaml", regime.replace("concise: 0.5, thorough: 0.5", "concise: 0.4, thorough: 0.6"));
    sandbox.write("audit.yaml", log("variants/mechanism_changed_silently.parquet"));
    let (code, report) = again(&sandbox, &[]);
    let check = change_management(&report);
    assert_eq!((code, check.status, check.verdict), (Some(1), Status::Fail, Verdict::Block));
    assert!(check.message.contains("the content, under the same version 1.0.0"), "{}", check.message);
    assert!(check.message.contains("new mechanisms that nobody declared"), "{}", check.message);
    let output = sandbox.run(&["diff", "old/report.json", "new/report.json"]);
    let (shown, _) = text(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(shown.starts_with("BLOCK: "), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(shown.contains("target mass of domain: koala, user_type: concise: 10 % → 8 %"), "{shown}");
    let (markdown, _) = text(&sandbox.run(&["diff", "old", "new", "--format", "markdown"]));
    assert!(markdown.starts_with("## BLOCK") && markdown.contains("| ✗ |"), "{markdown}");
}

/// The audit document moves no version: another way of reading answers or judging candidates is shown.
#[test]
fn another_way_of_reading_the_same_log_is_shown() {
    let sandbox = telemetry();
    let document = TELEMETRY_AUDIT.replace("policy: standard", "policy: team.yaml");
    let reference = "reference: {logp_a: ra, logp_b: rb}\ncandidates:\n";
    let always = "  - {name: always, role: incumbent, beta: 0.1, logp_a: ia, logp_b: ib}\n";
    let judge = "  - {name: judge, role: challenger, beta: 0.1, logp_a: ca, logp_b: cb}\n";
    let mut all = columns(&example());
    let number = |value: f64| counterweight::logs::ColumnData::Number(vec![Some(value); example().len()]);
    all.extend(["ra", "rb", "ia", "ib", "ca", "cb"].map(|name| (name, number(if name == "ib" { -3.0 } else { -2.0 }))));
    sandbox.write_log("logs.parquet", &all);
    let with = |candidates: &str| format!("{document}\n{reference}{candidates}");
    sandbox.write("audit.yaml", with(always));
    sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--out", "old"]);
    let cases = [
        ("nothing", with(always), None),
        ("one candidate more", with(&format!("{always}{judge}")), None),
        ("answers the other way round", with(always).replace("{a: [a], b: [b],", "{a: [b], b: [a],"), Some("labels.a")),
        ("errors by annotator", with(always).replace("cluster: prompt", "cluster: annotator"), Some("cluster")),
        (
            "a candidate from the other side's columns",
            with(&always.replace("logp_a: ia, logp_b: ib", "logp_a: ib, logp_b: ia")),
            Some("candidates.always"),
        ),
    ];
    for (name, audit, item) in cases {
        sandbox.write("audit.yaml", audit);
        let (_, report) = again(&sandbox, &[]);
        let own = change_management(&report);
        let (_, diff) = diff(&sandbox);
        let ruled: Vec<&str> = diff["changes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|change| change["rule"] == "warn_evaluation")
            .map(|change| change["item"].as_str().unwrap())
            .collect();
        match item {
            None => assert_eq!((own.status, ruled.len()), (Status::Pass, 0), "{name}: {} {ruled:?}", own.message),
            Some(item) => {
                assert_eq!(own.status, Status::Warn, "{name}: {}", own.message);
                assert!(ruled.iter().any(|own| own.starts_with(item)), "{name}: {ruled:?}");
            }
        }
    }
}
