//! Degenerate logs as a table: no panic, a record that survives its own JSON, and never a pass.

use crate::support::Sandbox;
use counterweight::report::{self, Report, Status, Verdict};

const REGIME: &str = "\
schema: counterweight/regime/v1
name: two-cells
version: 1.0.0
effective: 2026-10-01
owner: tests
motivation: both levels alike
cells: [c]
target: {uniform: {c: [x, y]}}
pairs: {column: target_propensity}
mechanisms:
  - {id: m, description: a mechanism, max_pair_ratio: 4}
";

const AUDIT: &str = "\
schema: counterweight/audit/v1
regime: regime.yaml
logs: {path: log.csv, selection: all shown were labelled}
";

const HEADER: &str =
    "event_id,prompt_id,response_a,response_b,label,c,propensity,target_propensity,mechanism,annotator_id,timestamp\n";

#[test]
fn a_timestamp_that_is_not_there_is_a_warning() {
    let whole = log(2000, |row| format!("{},{},0.5,0.5", label(row), level(row)));
    let status = |log: &str| {
        let record = audit(REGIME, log);
        record
            .checks
            .iter()
            .find(|check| check.id == "required-fields")
            .map(|check| (check.status, check.message.clone()))
    };
    let (found, _) = status(&whole).unwrap();
    assert_eq!(found, Status::Pass);
    let (found, message) = status(&whole.replacen("2026-10-02T00:00:00Z", "", 3)).unwrap();
    assert_eq!(found, Status::Warn);
    assert_eq!(message, "3 rows without a timestamp");
}

#[test]
fn a_response_beside_itself_is_no_comparison() {
    let whole = log(2000, |row| format!("{},{},0.5,0.5", label(row), level(row)));
    let with_copies = |copies: usize| {
        let rows = whole.lines().enumerate().map(|(number, line)| {
            let mut fields: Vec<&str> = line.split(',').collect();
            if number > 0 && number <= copies {
                fields[3] = fields[2];
            }
            fields.join(",") + "\n"
        });
        audit(REGIME, &rows.collect::<String>())
    };
    for (copies, expected) in [(0, Status::Pass), (400, Status::Pass), (401, Status::Warn), (1001, Status::Fail)] {
        let record = with_copies(copies);
        let check = record.checks.iter().find(|check| check.id == "label-integrity").unwrap();
        assert_eq!(check.status, expected, "{copies} copies: {}", check.message);
    }
    let record = with_copies(2000);
    assert_eq!(record.verdict, Verdict::Block);
    let check = record.checks.iter().find(|check| check.id == "label-integrity").unwrap();
    assert_eq!(check.message, "2,000 rows that compare a response with itself");
}

/// A log of `n` rows; `fields` gives label, c, propensity and target propensity of a row.
fn log(n: usize, fields: impl Fn(usize) -> String) -> String {
    let rows = (0..n).map(|row| {
        let (prompt, annotator) = (row % 500, row % 20);
        format!("e{row},p{prompt},r{row},s{row},{},m,ann{annotator},2026-10-02T00:00:00Z\n", fields(row))
    });
    HEADER.to_owned() + &rows.collect::<String>()
}

fn audit(regime: &str, log: &str) -> Report {
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", regime);
    sandbox.write("audit.yaml", AUDIT);
    sandbox.write("log.csv", log);
    let record = sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    let json = report::to_json(&record);
    assert_eq!(report::from_json(&json, "report.json").unwrap(), record, "the record survives its JSON");
    report::write_folder(&record, &sandbox.path("out")).unwrap();
    record
}

fn level(row: usize) -> &'static str {
    if row.is_multiple_of(2) { "x" } else { "y" }
}

fn label(row: usize) -> &'static str {
    if row.is_multiple_of(3) { "a" } else { "b" }
}

#[test]
fn degenerate_logs_never_pass() {
    let plain = |row: usize| format!("{},{},0.5,0.5", label(row), level(row));
    let cases: Vec<(&str, String, &str)> = vec![
        ("one row", log(1, plain), "effective-sample-size"),
        ("two rows", log(2, plain), "effective-sample-size"),
        ("one cell only", log(5000, |row| format!("{},x,0.5,0.5", label(row))), "unsupported-target-mass"),
        ("no cell of the target", log(5000, |row| format!("{},z,0.5,0.5", label(row))), "effective-sample-size"),
        ("all abstain", log(5000, |row| format!("abstain,{},0.5,0.5", level(row))), "effective-sample-size"),
        ("every label a", log(5000, |row| format!("a,{},0.5,0.5", level(row))), "label-integrity"),
        ("every label b", log(5000, |row| format!("b,{},0.5,0.5", level(row))), "label-integrity"),
        ("all ties", log(5000, |row| format!("tie,{},0.5,0.5", level(row))), "label-integrity"),
        ("every g_T zero", log(5000, |row| format!("{},{},0.5,0", label(row), level(row))), "effective-sample-size"),
        (
            "g_T/g_O beyond squares",
            log(5000, |row| format!("{},{},1e-300,1", label(row), level(row))),
            "propensity-completeness",
        ),
        (
            "g_T/g_O too small to square",
            log(5000, |row| format!("{},{},1,1e-300", label(row), level(row))),
            "effective-sample-size",
        ),
        (
            "one row carries all",
            log(5000, |row| format!("{},{},{},0.5", label(row), level(row), if row == 0 { 1e-9 } else { 1.0 })),
            "weight-tails",
        ),
        (
            "no propensity in any row",
            log(5000, |row| format!("{},{},,", label(row), level(row))),
            "propensity-completeness",
        ),
        ("no label in any row", log(5000, |row| format!(",{},0.5,0.5", level(row))), "label-integrity"),
        ("no covariate in any row", log(5000, |row| format!("{},,0.5,0.5", label(row))), "covariate-completeness"),
    ];
    for (name, log, check) in cases {
        let record = audit(REGIME, &log);
        assert_ne!(record.verdict, Verdict::Pass, "{name}");
        let check = record.checks.iter().find(|record| record.id == check).unwrap();
        assert!(!matches!(check.status, Status::Pass | Status::NotApplicable), "{name}: {check:#?}");
    }
}

#[test]
fn weights_are_one_where_the_target_is_the_logging_regime() {
    let record = audit(REGIME, &log(5000, |row| format!("{},{},0.25,0.25", label(row), level(row))));
    let weights = record.weights.unwrap();
    assert!(
        (weights.mean - 1.0).abs() < 1e-12
            && (weights.n_eff - 5000.0).abs() < 1e-8
            && (weights.max - 1.0).abs() < 1e-12
    );
    assert_eq!(weights.pareto_k, None);
    let tails = record.checks.iter().find(|check| check.id == "weight-tails").unwrap();
    assert_eq!(tails.status, Status::Pass, "constant weights have no tail to hold against the log: {}", tails.message);
    assert_eq!(record.verdict, Verdict::Pass);
}

#[test]
fn multipliers_follow_the_log_and_a_table_declares_it() {
    let log = log(6000, |row| format!("{},{},0.25,0.25", label(row), if row % 4 == 0 { "x" } else { "y" }));
    let multipliers = REGIME.replace("target: {uniform: {c: [x, y]}}", "target: {multipliers: [{c: y, times: 0.5}]}");
    // Logged 1/4 and 3/4; times 1 and 1/2: 1/4 and 3/8, that is 2/5 and 3/5.
    let record = audit(&multipliers, &log);
    let masses: Vec<f64> = record.cells.iter().map(|cell| cell.p_target).collect();
    assert!((masses[0] - 0.4).abs() < 1e-12 && (masses[1] - 0.6).abs() < 1e-12, "{masses:?}");
    let table = REGIME.to_owned() + "observed: {table: [{c: x, mass: 0.25}, {c: y, mass: 0.75}]}\n";
    let record = audit(&table, &log);
    let weights: Vec<f64> = record.cells.iter().map(|cell| cell.ratio.unwrap()).collect();
    assert!((weights[0] - 2.0).abs() < 1e-12 && (weights[1] - 2.0 / 3.0).abs() < 1e-12, "{weights:?}");
}

#[test]
fn a_table_that_denies_rows_is_caught() {
    let log = log(6000, |row| format!("{},{},0.25,0.25", label(row), level(row)));
    let table = REGIME.to_owned() + "observed: {table: [{c: x, mass: 1.0}, {c: y, mass: 0.0}]}\n";
    let record = audit(&table, &log);
    let support = record.checks.iter().find(|check| check.id == "cell-support").unwrap();
    assert_eq!(support.status, Status::Fail);
    assert!((record.unsupported_target_mass - 0.5).abs() < 1e-12);
    assert_eq!(record.verdict, Verdict::Block);
}
