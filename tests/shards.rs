//! Statistics as files: shards merge to the whole, one file gives the same report, nothing damaged gets through.

use crate::support::{AS_OF, Sandbox, TELEMETRY_AUDIT, TELEMETRY_REGIME, command, text};
use counterweight::audit::{Audited, Input, StatisticsFile, audit, collect};
use counterweight::declare::{self, Problems};
use counterweight::logs::{ColumnData, Label, Table, TableColumn, read_table, write_table};
use counterweight::report::{CheckRecord, Report, Status};
use counterweight::simulate::{Defect, Row, World, columns, plant, rows};
use counterweight::statistics::{self, CellStatistics, Collected};
use serde_json::Value;
use std::path::Path;

const ROWS: usize = 6000;
const SEED: u64 = 11;
const SHARDS: [&str; 3] = ["a.statistics", "b.statistics", "c.statistics"];

/// The telemetry log, whole and cut by rows into three shards of different sizes.
fn telemetry(defect: Option<&Defect>) -> Sandbox {
    let mut log = rows(&World::telemetry(), ROWS, SEED);
    if let Some(defect) = defect {
        plant(&mut log, defect, SEED);
    }
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", TELEMETRY_REGIME);
    sandbox.write("audit.yaml", TELEMETRY_AUDIT);
    write_shards(&sandbox, &log);
    sandbox
}

fn write_shards(sandbox: &Sandbox, log: &[Row]) {
    sandbox.write_log("logs.parquet", &columns(log));
    let (first, rest) = log.split_at(1000);
    let (second, third) = rest.split_at(3500);
    for (name, shard) in [("a.parquet", first), ("b.parquet", second), ("c.parquet", third)] {
        sandbox.write_log(name, &columns(shard));
    }
}

/// Keeps the statistics of a log of the sandbox.
fn keep(sandbox: &Sandbox, log: &str, file: &str) -> Collected {
    let mut declaration = declare::load(&sandbox.path("audit.yaml"), &[]).unwrap();
    declaration.audit.logs.path = log.to_owned();
    let collected = collect(&declaration, &()).unwrap_or_else(|problems| panic!("{problems}"));
    statistics::write(&collected, &sandbox.path(file)).unwrap_or_else(|problems| panic!("{problems}"));
    collected
}

fn keep_shards(sandbox: &Sandbox) {
    for (log, file) in ["a.parquet", "b.parquet", "c.parquet"].into_iter().zip(SHARDS) {
        keep(sandbox, log, file);
    }
}

fn from_statistics(sandbox: &Sandbox, document: &str, files: &[&str]) -> Result<Audited, Problems> {
    let declaration = declare::load(&sandbox.path(document), &[]).unwrap();
    let files: Vec<StatisticsFile> =
        files.iter().map(|name| StatisticsFile { name: (*name).to_owned(), path: sandbox.path(name) }).collect();
    audit(&declaration, Input::Statistics(&files), AS_OF.parse().unwrap(), &())
}

fn report_of(sandbox: &Sandbox, files: &[&str]) -> Report {
    from_statistics(sandbox, "audit.yaml", files).unwrap_or_else(|problems| panic!("{problems}")).report
}

fn check<'a>(report: &'a Report, id: &str) -> &'a CheckRecord {
    report.checks.iter().find(|check| check.id == id).unwrap()
}

/// Integers and text are equal, other numbers within `tolerance` of each other, relative.
fn same(a: &Value, b: &Value, tolerance: f64, place: &str) {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= tolerance * a.abs().max(b.abs()), "{place}: {a} is not {b}");
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{place}");
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                same(a, b, tolerance, &format!("{place}[{index}]"));
            }
        }
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{place}");
            for (key, a) in a {
                same(a, &b[key], tolerance, &format!("{place}.{key}"));
            }
        }
        _ => assert_eq!(a, b, "{place}"),
    }
}

/// What the second scan is for.
const SECOND_SCAN: [&str; 2] = ["annotator-integrity", "weight-concentration"];

/// Everything of the record that the rows give, but for the checks that need them, or need them all in one scan.
fn numbers(report: &Report) -> Value {
    let without = |check: &&CheckRecord| check.id != "label-integrity" && !SECOND_SCAN.contains(&check.id.as_str());
    let checks: Vec<&CheckRecord> = report.checks.iter().filter(without).collect();
    serde_json::json!({
        "rows": report.rows, "weights": report.weights, "cells": report.cells, "checks": checks,
        "unsupported": report.unsupported_target_mass, "mechanisms": report.regime.mechanisms,
        "resolved": report.regime.resolved,
    })
}

#[test]
fn shards_merge_to_the_whole_in_any_order() {
    let sandbox = telemetry(None);
    keep_shards(&sandbox);
    let whole = sandbox.audit("audit.yaml").unwrap();
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let merged = report_of(&sandbox, &order.map(|index| SHARDS[index]));
        // Compensated sums: a few ulps of the sum of magnitudes, far below 1e-12.
        same(&numbers(&merged), &numbers(&whole), 1e-12, "record");
        assert_eq!(merged.from_statistics.as_ref().unwrap().scans, 3);
        let inputs: Vec<&str> = merged.inputs.iter().map(|input| input.role.as_str()).collect();
        assert_eq!(inputs, ["audit", "regime", "policy", "statistics", "statistics", "statistics"]);
        assert_eq!(merged.inputs[3..].iter().map(|input| input.rows.unwrap()).sum::<u64>(), ROWS as u64);
        for input in &merged.inputs[3..] {
            assert_eq!(counterweight::logs::digest(&sandbox.path(&input.name)).unwrap(), input.sha256);
        }
    }
    // Shards may hold what the others do not, and a merge of merges is the merge of all.
    let first = from_statistics(&sandbox, "audit.yaml", &[SHARDS[0], SHARDS[1]]).unwrap().statistics;
    statistics::write(&first, &sandbox.path("ab.statistics")).unwrap();
    same(&numbers(&report_of(&sandbox, &["ab.statistics", SHARDS[2]])), &numbers(&whole), 1e-12, "merge of merges");
}

#[test]
fn one_file_gives_every_bit_of_the_audit_from_rows() {
    let sandbox = telemetry(None);
    let collected = keep(&sandbox, "logs.parquet", "all.statistics");
    let again = statistics::read(&sandbox.path("all.statistics"), "all.statistics").unwrap();
    assert_eq!(again, Collected { duplicates: again.duplicates.clone(), ..collected });
    let rows = sandbox.audit("audit.yaml").unwrap();
    let file = report_of(&sandbox, &["all.statistics"]);
    same_but_for_the_second_scan(&file, &rows);
    statistics::write(&again, &sandbox.path("again.statistics")).unwrap();
    assert_eq!(sandbox.read("all.statistics"), sandbox.read("again.statistics"), "the same bytes");
}

/// Every bit of what needs no second scan; what does is undetermined.
fn same_but_for_the_second_scan(file: &Report, rows: &Report) {
    let bits = |report: &Report| {
        let checks: Vec<&CheckRecord> =
            report.checks.iter().filter(|check| !SECOND_SCAN.contains(&check.id.as_str())).collect();
        serde_json::to_string(&(&report.weights, &report.cells, &checks, &report.rows)).unwrap()
    };
    assert_eq!(bits(file), bits(rows));
    for id in SECOND_SCAN {
        let (own, from_rows) = (check(file, id), check(rows, id));
        assert_ne!(from_rows.status, Status::Undetermined);
        assert_eq!((own.status, own.message.contains("needs the rows")), (Status::Undetermined, true), "{own:?}");
        assert_eq!(own.severity, from_rows.severity, "that rows were not given is not that they were not logged");
    }
    assert!(file.annotators.is_empty() && file.concentration.top_10_prompts.is_none());
}

/// Inclusion probabilities, missing labels by cell, months, propensities of several mechanisms.
#[test]
fn everything_that_a_scan_counts_survives() {
    let sandbox = telemetry(None);
    let mut log = rows(&World::telemetry(), ROWS, SEED);
    plant(&mut log, &Defect::MissingLabel(40), SEED);
    plant(&mut log, &Defect::Mechanism { from_row: 5000, id: "router@2.2.0".to_owned() }, SEED);
    plant(&mut log, &Defect::MissingMechanism(7), SEED + 1);
    plant(&mut log, &Defect::MissingPropensity(0.01), SEED);
    let inclusion = |row: usize| if row < 9 { f64::NAN } else { [0.1, 0.5, 1.0][row % 3] };
    let with_inclusion = |from: usize, to: usize| {
        let mut columns = columns(&log[from..to]);
        columns.push(("inclusion", ColumnData::Number((from..to).map(|row| Some(inclusion(row))).collect())));
        columns
    };
    sandbox.write_log("logs.parquet", &with_inclusion(0, ROWS));
    for (name, from, to) in [("a.parquet", 0, 1000), ("b.parquet", 1000, 4500), ("c.parquet", 4500, ROWS)] {
        sandbox.write_log(name, &with_inclusion(from, to));
    }
    let collected = keep(&sandbox, "logs.parquet", "all.statistics");
    let statistics = &collected.statistics;
    let logged = statistics.logged.as_ref().unwrap();
    assert_eq!(logged.mechanisms.len(), 3, "two mechanisms and none");
    assert!(logged.mechanisms.values().any(|floor| floor.months.len() > 1));
    assert!(!statistics.unlabelled.is_empty() && statistics.inclusions.unwrap().invalid == 9);
    assert!(statistics.cells.values().all(|cell| cell.shown.is_some()));
    let again =
        statistics::read(&sandbox.path("all.statistics"), "all").unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(again.statistics, collected.statistics);
    let whole = sandbox.audit("audit.yaml").unwrap();
    same_but_for_the_second_scan(&report_of(&sandbox, &["all.statistics"]), &whole);
    keep_shards(&sandbox);
    same(&numbers(&report_of(&sandbox, &SHARDS)), &numbers(&whole), 1e-12, "record");
}

#[test]
fn copies_between_shards_keep_a_check_from_passing_and_copies_within_fail_it() {
    let status = |defect: Option<&Defect>, files: &[&str]| {
        let sandbox = telemetry(defect);
        keep_shards(&sandbox);
        keep(&sandbox, "logs.parquet", "all.statistics");
        let report = report_of(&sandbox, files);
        check(&report, "label-integrity").clone()
    };
    assert_eq!(status(None, &["all.statistics"]).status, Status::Pass);
    let merged = status(None, &SHARDS);
    assert_eq!(merged.status, Status::Undetermined);
    assert!(merged.message.contains("3 scans") && merged.remedy.as_ref().unwrap().contains("--from-statistics"));
    assert!(!merged.measures.is_empty(), "what was counted within the shards is shown");
    assert_eq!(merged.severity, "block", "that rows were not given is not that they were not logged");
    // Warnings are no better known than passes.
    assert_eq!(status(Some(&Defect::Abstentions(0.3)), &SHARDS).status, Status::Undetermined);
    // Whatever fails within one scan fails in all of them.
    assert_eq!(status(Some(&Defect::UnknownLabel(1)), &SHARDS).status, Status::Fail);
    let sandbox = telemetry(None);
    let log = rows(&World::telemetry(), ROWS, SEED);
    sandbox.write_log("b.parquet", &columns(&[&log[1000..4500], &log[1000..1002]].concat()));
    keep_shards(&sandbox);
    let report = report_of(&sandbox, &SHARDS);
    assert_eq!(check(&report, "label-integrity").status, Status::Fail);
    assert_eq!(report.rows.excluded["duplicate_id"], 2);
}

#[test]
fn without_ids_shards_are_judged_as_the_rows_are() {
    let sandbox = Sandbox::new();
    let mut log = rows(&World::telemetry(), ROWS, SEED);
    plant(&mut log, &Defect::NoColumn("event_id".to_owned()), SEED);
    sandbox.write("regime.yaml", TELEMETRY_REGIME);
    sandbox.write("audit.yaml", TELEMETRY_AUDIT.replace("    id: event_id\n", ""));
    write_shards(&sandbox, &log);
    keep_shards(&sandbox);
    let (rows, merged) = (sandbox.audit("audit.yaml").unwrap(), report_of(&sandbox, &SHARDS));
    assert_eq!(check(&merged, "label-integrity"), check(&rows, "label-integrity"));
}

#[test]
fn another_target_needs_no_log() {
    let sandbox = telemetry(None);
    let other = TELEMETRY_REGIME
        .replace("writing: 0.4, coding: 0.3, advice: 0.3", "writing: 0.2, coding: 0.5, advice: 0.3")
        .replace("version: 1.0.0", "version: 1.1.0");
    sandbox.write("other.yaml", &other);
    sandbox.write("other-audit.yaml", TELEMETRY_AUDIT.replace("regime: regime.yaml", "regime: other.yaml"));
    let rows = sandbox.audit("other-audit.yaml").unwrap();
    keep(&sandbox, "logs.parquet", "all.statistics");
    std::fs::remove_file(sandbox.path("logs.parquet")).unwrap();
    let file = from_statistics(&sandbox, "other-audit.yaml", &["all.statistics"]).unwrap().report;
    same(&numbers(&file), &numbers(&rows), 0.0, "another target");
    assert_ne!(numbers(&file), numbers(&report_of(&sandbox, &["all.statistics"])));
}

#[test]
fn statistics_that_do_not_belong_together_are_refused() {
    let sandbox = telemetry(None);
    keep_shards(&sandbox);
    let refused = |files: &[&str], document: &str, words: &[&str]| {
        let problems = from_statistics(&sandbox, document, files).unwrap_err().to_string();
        assert!(words.iter().all(|word| problems.contains(word)), "{document} {files:?} {words:?}:\n{problems}");
    };
    refused(&[SHARDS[0], SHARDS[1], SHARDS[0]], "audit.yaml", &["already among those counted", "a.parquet"]);
    refused(&["a.parquet"], "audit.yaml", &["a.parquet", "counterweight statistics"]);
    refused(&["audit.yaml"], "audit.yaml", &["not a readable Parquet file"]);
    refused(&["none.statistics"], "audit.yaml", &["none.statistics", "cannot be read"]);
    refused(&["."], "audit.yaml", &["not a file"]);

    // What the statistics were counted under is not what is declared.
    let documents: [(&str, &str, &str, &[&str]); 5] = [
        ("regime", "cells: [domain, user_type]", "cells: [user_type, domain]", &["cells", "[user_type, domain]"]),
        ("regime", "pairs: {column: target_propensity}", "pairs: logged", &["`column:target_propensity`", "`logged`"]),
        ("audit", "    annotator: annotator_id\n", "    annotator: prompt_id\n", &["annotator", "`prompt_id`"]),
        ("audit", "tie: [tie]", "tie: [tie, draw]", &["label alphabet"]),
        ("audit", "    timestamp: timestamp\n", "    timestamp: when\n", &["timestamp", "`when`"]),
    ];
    for (kind, from, to, words) in documents {
        let edited = |own: &str, text: &str| {
            let edited = text.replace(from, to);
            assert_eq!(edited == text, kind != own, "{from}");
            edited
        };
        sandbox.write("edited-regime.yaml", edited("regime", TELEMETRY_REGIME));
        let audit = edited("audit", TELEMETRY_AUDIT);
        sandbox.write("edited.yaml", audit.replace("regime: regime.yaml", "regime: edited-regime.yaml"));
        refused(&SHARDS, "edited.yaml", words);
    }

    // Shards that were collected differently do not merge.
    let b = read_table(&sandbox.path(SHARDS[1]), SHARDS[1], 1000).unwrap();
    for (from, to, words) in [
        (r#""domain","user_type""#, r#""user_type","domain""#, "cells are"),
        (r#""annotator":"annotator_id""#, r#""annotator":"rater""#, "`rater`"),
        (r#""pairs":"column:target_propensity""#, r#""pairs":"logged""#, "`logged`"),
        (r#""tie":["tie"]"#, r#""tie":["draw"]"#, "alphabet"),
    ] {
        let mut edited = b.clone();
        let header = edited.metadata.get_mut("statistics").unwrap();
        assert!(header.contains(from), "{header}");
        *header = header.replace(from, to);
        write_table(&sandbox.path("edited.statistics"), &edited).unwrap();
        let first = statistics::read(&sandbox.path(SHARDS[0]), "a").unwrap();
        let second = statistics::read(&sandbox.path("edited.statistics"), "b").unwrap();
        let problems = Collected::merge_all(vec![("a".to_owned(), first), ("b".to_owned(), second)]).unwrap_err();
        assert!(problems.to_string().contains(words), "{problems}");
    }
}

#[test]
fn no_damage_changes_a_number_or_panics() {
    let sandbox = telemetry(None);
    keep(&sandbox, "a.parquet", "a.statistics");
    let whole = statistics::read(&sandbox.path("a.statistics"), "a").unwrap();
    let bytes = sandbox.read("a.statistics");
    let path = sandbox.path("damaged.statistics");
    let damaged = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        statistics::read(&path, "damaged.statistics")
    };
    // The digest covers every value, so that a flipped byte is refused or does not matter. The footer, where a flip can
    // mean anything, byte by byte; the values in steps.
    let footer = bytes.len() - 12_000.min(bytes.len());
    let places = (0..footer).step_by(41).chain((footer..bytes.len()).step_by(3));
    for place in places {
        for mask in [0x01, 0xff] {
            let mut flipped = bytes.clone();
            flipped[place] ^= mask;
            if let Ok(read) = damaged(&flipped) {
                assert_eq!(read, whole, "byte {place}");
            }
        }
    }
    for length in (0..bytes.len()).step_by(501).chain([bytes.len() - 1]) {
        assert!(damaged(&bytes[..length]).is_err(), "cut at {length}");
    }
    assert!(damaged(&[&bytes[..], b"x"].concat()).is_err());
}

type Edit = fn(&mut Table);

fn integers<'a>(table: &'a mut Table, column: &str) -> &'a mut Vec<Option<i64>> {
    match table.columns.iter_mut().find(|(name, _)| name == column) {
        Some((_, TableColumn::Integer(values))) => values,
        _ => panic!("{column}"),
    }
}

fn lists<'a>(table: &'a mut Table, column: &str) -> &'a mut Vec<Vec<i64>> {
    match table.columns.iter_mut().find(|(name, _)| name == column) {
        Some((_, TableColumn::Integers(values))) => values,
        _ => panic!("{column}"),
    }
}

fn set_number(table: &mut Table, column: &str, number: Option<f64>) {
    match table.columns.iter_mut().find(|(name, _)| name == column) {
        Some((_, TableColumn::Number(values))) => values[0] = number,
        _ => panic!("{column}"),
    }
}

fn edit_header(table: &mut Table, edit: impl Fn(&mut Value)) {
    let text = table.metadata.get_mut("statistics").unwrap();
    let mut header: Value = serde_json::from_str(text).unwrap();
    edit(&mut header);
    *text = header.to_string();
}

/// Files whose digest is right and whose numbers cannot be.
#[test]
fn numbers_that_contradict_each_other_are_refused() {
    let sandbox = telemetry(None);
    keep(&sandbox, "logs.parquet", "all.statistics");
    let table = read_table(&sandbox.path("all.statistics"), "all", 1000).unwrap();
    let edits: [(&str, Edit); 31] = [
        ("`counterweight/statistics/v2`, where", |t| {
            t.metadata.insert("schema".into(), "counterweight/statistics/v2".into());
        }),
        ("the footer's JSON: EOF", |t| {
            t.metadata.remove("statistics");
        }),
        ("unknown field `further`", |t| edit_header(t, |h| h["further"] = 1.into())),
        ("the columns are not those", |t| {
            t.columns.pop();
        }),
        ("hold other rows than were read", |t| edit_header(t, |h| h["rows_read"] = 6001.into())),
        ("more rows or scans than can be", |t| edit_header(t, |h| h["rows_read"] = u64::MAX.into())),
        ("more rows or scans than can", |t| edit_header(t, |h| h["scans"] = 0.into())),
        ("skipped than are copies", |t| edit_header(t, |h| h["duplicates"]["identical"] = 1.into())),
        ("propensities are not counted", |t| edit_header(t, |h| h["propensities"]["valid"] = 1.into())),
        ("the files scanned hold other", |t| edit_header(t, |h| h["sources"] = Value::Array(Vec::new()))),
        ("no role or digest", |t| edit_header(t, |h| h["sources"][0]["sha256"] = "xyz".into())),
        ("audited and excluded rows are not", |t| integers(t, "rows")[0] = Some(1)),
        ("usable `label_a`", |t| integers(t, "label_a")[0] = Some(-5)),
        ("usable `zeros`", |t| integers(t, "zeros")[0] = None),
        ("labels are not counted", |t| integers(t, "label_a")[0] = Some(1)),
        ("moments of the ratio are impossible", |t| set_number(t, "sum", Some(f64::NAN))),
        ("moments of the ratio are", |t| set_number(t, "labelled_sum", Some(1e6))),
        ("moments of the ratio", |t| set_number(t, "max", Some(f64::INFINITY))),
        ("the tail is impossible", |t| set_number(t, "tail_floor", Some(1.0))),
        ("usable `tail_values`", |t| lists(t, "tail_counts")[0][0] = i64::MAX),
        ("span too many buckets", |t| lists(t, "buckets")[0][0] = i64::from(i32::MIN)),
        ("a floor, which the log does not carry", |t| edit_header(t, |h| h["logged"] = Value::Null)),
        ("more timestamps are counted", |t| edit_header(t, |h| h["logged"]["without_time"] = 9999.into())),
        ("what is counted is not what is mapped", |t| {
            edit_header(t, |h| h["inclusions"] = serde_json::json!({"valid": 6000, "invalid": 0, "min": 0.5}));
        }),
        ("usable `months`", |t| {
            lists(t, "months").iter_mut().for_each(|months| months.iter_mut().for_each(|m| *m += 50))
        }),
        ("what is counted is not what is mapped", |t| edit_header(t, |h| h["duplicates"] = Value::Null)),
        ("what is counted is not what is mapped", |t| edit_header(t, |h| h["alike"] = Value::Null)),
        ("more rows hold one response twice", |t| edit_header(t, |h| h["alike"] = 9999.into())),
        ("a mechanism, which the log does not carry", |t| edit_header(t, |h| h["mechanism_missing"] = Value::Null)),
        ("what is counted is not what is mapped", |t| edit_header(t, |h| h["propensities"] = Value::Null)),
        ("usable `buckets`", |t| lists(t, "buckets")[0].swap(0, 1)),
    ];
    for (words, edit) in edits {
        let mut edited = table.clone();
        edit(&mut edited);
        write_table(&sandbox.path("edited.statistics"), &edited).unwrap();
        let problems = statistics::read(&sandbox.path("edited.statistics"), "edited.statistics")
            .map_or_else(|problems| problems, |_| panic!("not refused: {words}"));
        let problems = problems.0[0].to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(problems.contains("edited.statistics") && problems.contains(words), "{words}: {problems}");
    }
    write_table(&sandbox.path("edited.statistics"), &table).unwrap();
    assert_eq!(sandbox.read("edited.statistics"), sandbox.read("all.statistics"), "without an edit nothing is refused");
}

/// Files that would stand for more than they hold: compressed, with dictionaries, or of too many rows.
#[test]
fn only_plain_tables_of_few_rows_are_read() {
    let sandbox = telemetry(None);
    let problems = read_table(&sandbox.path("logs.parquet"), "logs.parquet", 1_000_000).unwrap_err().to_string();
    assert!(problems.contains("is compressed"), "{problems}");
    keep(&sandbox, "logs.parquet", "all.statistics");
    let problems = read_table(&sandbox.path("all.statistics"), "all", 3).unwrap_err().to_string();
    assert!(problems.contains("at most 3"), "{problems}");
}

/// Zeros, extremes, more values than a tail keeps, constants, cells without labels: all come back to the bit.
#[test]
fn extremes_survive_the_file() {
    let sandbox = telemetry(None);
    let mut collected = keep(&sandbox, "logs.parquet", "all.statistics");
    let cells: Vec<Vec<f64>> = vec![
        vec![0.0; 3],
        vec![1.0; 40_000],
        vec![f64::MIN_POSITIVE, 1e-300, 0.0, 3e100],
        (1..40_000).map(|i| f64::from(i * 7919 % 39_989) / 39_989.0).collect(),
        vec![0.1],
    ];
    collected.statistics.cells.clear();
    for (index, ratios) in cells.iter().enumerate() {
        let mut cell = CellStatistics::default();
        let label = [Label::A, Label::Soft(0.1), Label::Abstain, Label::Tie, Label::B][index];
        ratios.iter().for_each(|ratio| cell.add(label, *ratio));
        collected.statistics.cells.insert(vec![format!("ü {index}"), "\"\n\u{0}".to_owned()], cell);
    }
    let rows = collected.statistics.audited();
    collected.statistics.rows_read = rows;
    collected.statistics.excluded.clear();
    collected.statistics.propensities = None;
    collected.statistics.alike = None;
    collected.statistics.mechanisms = None;
    collected.statistics.generators = None;
    collected.statistics.logged = None;
    collected.statistics.unlabelled.clear();
    collected.conditions.columns.clear();
    collected.sources[0].rows = Some(rows);
    collected.duplicates = None;
    statistics::write(&collected, &sandbox.path("extremes.statistics")).unwrap_or_else(|problems| panic!("{problems}"));
    let read = statistics::read(&sandbox.path("extremes.statistics"), "extremes").unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(read, collected);
    for (read, own) in read.statistics.cells.values().zip(collected.statistics.cells.values()) {
        let bits = |cell: &CellStatistics| {
            let sums = [cell.audited.sum, cell.audited.sum_of_squares, cell.audited.sum_of_ratio_ln_ratio];
            sums.map(|sum| (sum.parts().0.to_bits(), sum.parts().1.to_bits()))
        };
        assert_eq!(bits(read), bits(own));
    }
}

#[test]
fn the_file_holds_no_identifier_of_a_row() {
    let sandbox = telemetry(None);
    keep(&sandbox, "logs.parquet", "all.statistics");
    let bytes = sandbox.read("all.statistics");
    let holds = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(holds("writing") && holds("casual"), "levels are stored as plain text");
    for row in rows(&World::telemetry(), ROWS, SEED).iter().step_by(97) {
        let named = [&row.event_id, &row.prompt_id, &row.response_a, &row.response_b];
        for name in named.into_iter().flatten() {
            assert!(!holds(name), "{name}");
        }
    }
}

#[test]
fn the_command_keeps_merges_and_reproduces() {
    let sandbox = telemetry(None);
    for shard in ["a", "b", "c"] {
        let (log, out) = (format!("{shard}.parquet"), format!("{shard}.statistics"));
        let output = sandbox.run(&["statistics", "audit.yaml", "--logs", &log, "--out", &out]);
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
        assert!(stdout.starts_with("Statistics: "), "{stdout}");
    }
    let softer = ["--set", "checks.label-integrity.severity=diagnostic"];
    let softer = [&softer[..], &["--set", "checks.annotator-integrity.severity=diagnostic"]].concat();
    let audit = ["audit", "audit.yaml", "--from-statistics", "a.statistics", "b.statistics", "c.statistics"];
    let output = sandbox.run(&[&audit[..], &["--as-of", AS_OF, "--format", "json", "--quiet"], &softer[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report.command.contains("--from-statistics a.statistics b.statistics c.statistics"), "{}", report.command);
    let markdown = String::from_utf8(sandbox.read("counterweight-report/report.md")).unwrap();
    let (decision, rest) = markdown.split_once("\n## ").unwrap();
    assert!(decision.contains("Made from statistics") || rest.contains("Made from statistics"), "{markdown}");
    assert!(markdown.contains("b.statistics") && markdown.contains("b.parquet"), "{markdown}");

    // The command that the report shows makes the same bytes, and so does one from another folder.
    let words: Vec<&str> = report.command.split(' ').skip(1).chain(["--format", "json", "--quiet"]).collect();
    assert_eq!(sandbox.run(&words).stdout, output.stdout);
    let elsewhere = words.iter().map(|word| match *word {
        name if name.ends_with(".statistics") || name.ends_with(".yaml") => sandbox.path(name).display().to_string(),
        other => other.to_owned(),
    });
    let output_elsewhere = command().args(elsewhere).output().unwrap();
    assert_eq!(output_elsewhere.stdout, output.stdout, "{}", text(&output_elsewhere).1);

    // Statistics beside the report, from rows and from statistics.
    let kept = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--statistics", "all.statistics", "--quiet"]);
    assert_eq!(kept.status.code(), Some(0), "{}", text(&kept).1);
    sandbox.run(&["statistics", "audit.yaml", "--out", "all-again.statistics", "--quiet"]);
    assert_eq!(sandbox.read("all.statistics"), sandbox.read("all-again.statistics"));
    let merged = sandbox.run(&[&audit[..], &["--as-of", AS_OF, "--statistics", "abc.statistics", "--quiet"]].concat());
    assert_eq!(merged.status.code(), Some(1), "copies between shards are not looked for");
    assert_eq!(statistics::read(&sandbox.path("abc.statistics"), "abc").unwrap().scans, 3);
}

#[test]
fn the_command_writes_over_nothing_but_statistics() {
    let sandbox = telemetry(None);
    let log = sandbox.read("logs.parquet");
    for out in ["logs.parquet", "./logs.parquet", "audit.yaml"] {
        let output = sandbox.run(&["statistics", "audit.yaml", "--out", out, "--quiet"]);
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(2), "{out}: {stdout}{stderr}");
        assert!(stderr.contains("already there"), "{stderr}");
    }
    assert_eq!(sandbox.read("logs.parquet"), log);
    for _ in 0..2 {
        let output = sandbox.run(&["statistics", "audit.yaml", "--out", "all.statistics", "--quiet"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
    }
    let files = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name()).collect::<Vec<_>>();
    let folder = sandbox.path("all.statistics").parent().unwrap().to_owned();
    assert!(files(&folder).iter().all(|name| !name.to_string_lossy().contains("partial")), "{:?}", files(&folder));
    // One shard twice, under its own name, as a copy and within a merge; a cut one; one of other cells.
    keep_shards(&sandbox);
    std::fs::write(sandbox.path("copy.statistics"), sandbox.read("a.statistics")).unwrap();
    let merged = from_statistics(&sandbox, "audit.yaml", &["a.statistics", "b.statistics"]).unwrap().statistics;
    statistics::write(&merged, &sandbox.path("ab.statistics")).unwrap();
    std::fs::write(sandbox.path("cut.statistics"), &sandbox.read("b.statistics")[..999]).unwrap();
    std::fs::write(sandbox.path("nothing.statistics"), "").unwrap();
    sandbox.write("cells.yaml", TELEMETRY_AUDIT.replace("regime.yaml", "cells-regime.yaml"));
    let cells = TELEMETRY_REGIME.replace("cells: [domain, user_type]", "cells: [user_type, domain]");
    assert_ne!(cells, TELEMETRY_REGIME);
    sandbox.write("cells-regime.yaml", cells);
    let from = |files: &[&'static str]| [&["audit", "audit.yaml", "--from-statistics"], files].concat();
    for arguments in [
        from(&["a.statistics", "a.statistics"]),
        from(&["a.statistics", "copy.statistics"]),
        from(&["a.statistics", "ab.statistics"]),
        from(&["ab.statistics", "b.statistics", "c.statistics"]),
        from(&["a.statistics", "cut.statistics"]),
        from(&["nothing.statistics"]),
        from(&["audit.yaml"]),
        from(&["."]),
        vec!["audit", "cells.yaml", "--from-statistics", "a.statistics"],
        vec!["audit", "audit.yaml", "--from-statistics", "logs.parquet"],
        vec!["audit", "audit.yaml", "--from-statistics"],
        vec!["statistics", "audit.yaml"],
        vec!["statistics", "audit.yaml", "--logs", "nowhere/*.parquet", "--out", "x.statistics"],
    ] {
        let output = sandbox.run(&arguments);
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stdout}{stderr}");
        assert!(stdout.is_empty() && stderr.contains("error:") && !stderr.contains("panicked"), "{stderr}");
    }
}

/// From the file alone: the same `weights` section to the last digit, through the command.
#[test]
fn the_weights_from_the_statistics_alone_are_those_of_the_rows_to_the_last_digit() {
    let sandbox = telemetry(None);
    let base = ["audit", "audit.yaml", "--as-of", AS_OF, "--quiet"];
    assert_eq!(
        sandbox.run(&[&base[..], &["--out", "rows", "--statistics", "all.statistics"]].concat()).status.code(),
        Some(0)
    );
    std::fs::remove_file(sandbox.path("logs.parquet")).unwrap();
    sandbox.run(&[&base[..], &["--out", "alone", "--from-statistics", "all.statistics"]].concat());
    let weights = |folder: &str| {
        let record: Value = serde_json::from_slice(&sandbox.read(&format!("{folder}/report.json"))).unwrap();
        assert!(record["weights"]["n_eff"].as_f64().unwrap() > 0.0);
        (record["weights"].to_string(), record["cells"].to_string())
    };
    assert_eq!(weights("rows"), weights("alone"));
}

/// Cells below the declared size are not in the file, are said to be missing, and make nothing pass.
#[test]
fn small_cells_are_withheld_and_nothing_looks_better_for_it() {
    let cell = vec!["writing".to_owned(), "expert".to_owned()];
    // 120 rows are enough for every check of the rows; a cell outside of the target has 3.
    for (defect, min, target) in [
        (Defect::ThinCell { cell: cell.clone(), keep: 120 }, 150, true),
        (Defect::CellOutsideTarget { cell: vec!["gaming".to_owned(), "expert".to_owned()], rows: 3 }, 5, false),
    ] {
        let sandbox = telemetry(Some(&defect));
        let base = ["audit", "audit.yaml", "--as-of", AS_OF, "--quiet"];
        sandbox.run(&[&base[..], &["--out", "rows", "--statistics", "all.statistics"]].concat());
        sandbox.write("audit.yaml", format!("{TELEMETRY_AUDIT}statistics: {{min_cell_rows: {min}}}\n"));
        let said = text(&sandbox.run(&["statistics", "audit.yaml", "--out", "few.statistics"])).0;
        assert!(said.contains(&format!("of which 1 with fewer than {min} rows are withheld")), "{said}");
        let kept = statistics::read(&sandbox.path("few.statistics"), "few").unwrap();
        assert!(kept.statistics.cells.values().all(|own| own.audited.n >= min));
        let all = statistics::read(&sandbox.path("all.statistics"), "all").unwrap();
        assert_eq!(kept.statistics.cells.len() + 1, all.statistics.cells.len());
        let missing = all.statistics.audited() - kept.statistics.audited();
        assert!(missing > 0 && missing < min);
        assert_eq!(kept.statistics.excluded_for(counterweight::logs::Exclusion::Withheld), missing);
        let (from_all, from_few) = (report_of(&sandbox, &["all.statistics"]), report_of(&sandbox, &["few.statistics"]));
        assert_eq!(from_few.rows.excluded["withheld"], missing);
        assert_eq!(from_few.from_statistics.as_ref().unwrap().withheld, missing);
        assert!(!from_all.rows.excluded.contains_key("withheld"));
        assert_eq!(from_few.unsupported_target_mass > 0.0, target);
        // What is in a way better has not become a pass.
        for check in &from_few.checks {
            let before = from_all.checks.iter().find(|other| other.id == check.id).unwrap();
            let rank = |status: Status| match status {
                Status::Pass | Status::NotApplicable | Status::Waived => 0,
                Status::Warn => 1,
                Status::Fail | Status::Undetermined => 2,
            };
            assert!(
                rank(check.status) >= rank(before.status),
                "{}: {:?} became {:?}",
                check.id,
                before.status,
                check.status
            );
        }
        assert_eq!(from_few.exit_code, 1);
        let support = from_few.checks.iter().find(|check| check.id == "effective-sample-size").unwrap();
        assert!(
            support.message.contains(&format!("{missing} rows lie in cells too small to be told")),
            "{}",
            support.message
        );
        let page = counterweight::report::markdown(&from_few).unwrap();
        assert!(page.contains("rows lie in cells too small to be told and are withheld"));
        // Withholding what is withheld changes nothing; a minimum of one row withholds nothing.
        assert_eq!(kept.clone().withhold(min), (kept, 0));
        assert_eq!(all.clone().withhold(1), (all, 0));
    }
}
