//! Logs as other people's tools write them: from nothing to a report in two commands, and what cannot be said is said.

use crate::support::{AS_OF, Sandbox, shared, text};
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use counterweight::report::{Report, Status};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// A file of `tests/presets` and what is known of it.
struct Case {
    file: &'static str,
    preset: &'static str,
    cells: &'static str,
    /// a, b, tie; for sources of chosen and rejected responses their order is the hash's, pinned here.
    labels: [u64; 3],
}

const CASES: [Case; 10] = [
    Case { file: "trl.jsonl", preset: "trl", cells: "language", labels: [3, 5, 0] },
    Case { file: "trl_implicit.jsonl", preset: "trl", cells: "whole_log", labels: [2, 6, 0] },
    Case { file: "trl_messages.jsonl", preset: "trl", cells: "topic", labels: [6, 2, 0] },
    Case { file: "arena.jsonl", preset: "arena", cells: "language", labels: [3, 3, 2] },
    Case { file: "arena_55k.csv", preset: "arena", cells: "whole_log", labels: [3, 3, 2] },
    Case { file: "openrlhf.jsonl", preset: "openrlhf", cells: "source", labels: [3, 5, 0] },
    Case { file: "llamafactory/dpo.jsonl", preset: "llamafactory", cells: "lang", labels: [5, 3, 0] },
    Case { file: "llamafactory_alpaca.jsonl", preset: "llamafactory", cells: "lang", labels: [5, 3, 0] },
    Case { file: "helpsteer3.jsonl", preset: "helpsteer3", cells: "domain", labels: [3, 3, 2] },
    Case { file: "ultrafeedback.jsonl", preset: "ultrafeedback", cells: "whole_log", labels: [2, 4, 2] },
];

fn presets() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/presets")
}

/// `init`, then `audit`: the folder, what `init` printed, and the record.
fn two_commands(log: &Path) -> (Sandbox, String, Report) {
    let sandbox = Sandbox::new();
    let log = log.display().to_string();
    let drafted = sandbox.run(&["init", "--quiet", &log]);
    let (stdout, stderr) = text(&drafted);
    assert_eq!(drafted.status.code(), Some(0), "{log}: {stderr}");
    assert!(stdout.contains("Next: counterweight audit ./audit.yaml"), "{stdout}");
    assert!(stdout.lines().skip(1).all(|line| line.chars().count() <= 80), "{stdout}");
    let audited = sandbox.run(&["audit", "--quiet", "--as-of", AS_OF, "--format", "json", "audit.yaml"]);
    let (json, stderr) = text(&audited);
    assert_eq!(audited.status.code(), Some(1), "{log}: {stderr}");
    (sandbox, stdout, serde_json::from_str(&json).unwrap())
}

fn status(report: &Report, id: &str) -> Status {
    report.checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no check {id}")).status
}

#[test]
fn two_commands_from_nothing_to_a_report_for_every_preset() {
    for Case { file, preset, cells, labels } in CASES {
        let (sandbox, stdout, report) = two_commands(&presets().join(file));
        assert!(stdout.contains(&format!("reads like the preset {preset}")), "{file}: {stdout}");
        assert!(stdout.contains("no propensities"), "{file}: {stdout}");
        assert_eq!(report.audit.preset.as_deref(), Some(preset), "{file}");
        assert_eq!(report.regime.covariates, [cells], "{file}");
        assert_eq!((report.rows.read, report.rows.audited), (8, 8), "{file}");
        assert_eq!(["a", "b", "tie"].map(|label| report.rows.labels[label]), labels, "{file}");
        // The draft leaves to a person what only a person knows, and the editor is told which schema is whose.
        let written = |name: &str| String::from_utf8(sandbox.read(name)).unwrap();
        for kind in ["regime", "policy", "audit"] {
            let first = format!("# yaml-language-server: $schema=schemas/{kind}.schema.json\n");
            assert!(written(&format!("{kind}.yaml")).starts_with(&first), "{file}");
            let schema: Value = serde_json::from_str(&written(&format!("schemas/{kind}.schema.json"))).unwrap();
            assert!(schema["$schema"].is_string(), "{file}");
        }
        assert_eq!(std::fs::read_dir(sandbox.path("schemas")).unwrap().count(), 3, "{file}");
        // A draft is nobody's declaration, and without propensities nothing is identified.
        assert_eq!(status(&report, "regime-declaration"), Status::Fail, "{file}");
        assert_eq!(status(&report, "propensity-completeness"), Status::Fail, "{file}");
        assert_ne!(status(&report, "required-fields"), Status::Fail, "{file}");
        let sides = ["arena", "helpsteer3"].contains(&preset);
        for id in ["position-bias", "label-integrity", "annotator-integrity"] {
            assert!(sides || status(&report, id) == Status::Undetermined, "{file}: {id}");
        }
        // No text of a prompt or a response enters a document or the record.
        let documents = ["regime.yaml", "policy.yaml", "audit.yaml", "counterweight-report/report.json"];
        for name in documents {
            let document = String::from_utf8(sandbox.read(name)).unwrap();
            assert!(!document.contains("river") && !document.contains("Loire"), "{file}: {name}");
        }
    }
}

#[test]
fn a_drafted_target_passes_once_a_person_has_taken_it_over_and_has_written_what_it_leaves_open() {
    let (sandbox, _, report) = two_commands(&presets().join("arena.jsonl"));
    let message =
        |report: &Report| report.checks.iter().find(|c| c.id == "regime-declaration").unwrap().message.clone();
    assert!(message(&report).contains("a draft that a program wrote"), "{}", message(&report));
    let regime = String::from_utf8(sandbox.read("regime.yaml")).unwrap();
    let effective = "effective: 2026-10-01";
    let lines: Vec<&str> = regime.lines().filter(|line| *line != "draft: true").collect();
    let lines: Vec<&str> =
        lines.into_iter().map(|line| if line.starts_with("effective:") { effective } else { line }).collect();
    let mechanism = "mechanisms:\n  - {id: s@1, description: two models drawn uniformly}";
    let unmarked = format!("{}\n{mechanism}\n", lines.join("\n"));
    sandbox.write("regime.yaml", &unmarked);
    let report = sandbox.audit("audit.yaml").unwrap();
    assert_eq!(status(&report, "regime-declaration"), Status::Fail);
    assert!(message(&report).contains("still has to say: owner, motivation"), "{}", message(&report));
    let owner = unmarked.replace("owner: TODO, who answers for this population", "owner: risk");
    let written = owner.replace("motivation: TODO, why this population and not another", "motivation: our users");
    sandbox.write("regime.yaml", written);
    let report = sandbox.audit("audit.yaml").unwrap();
    assert_eq!(status(&report, "regime-declaration"), Status::Pass, "{}", message(&report));
}

/// The two responses of a pair come in the same order whichever of them won: `a` says nothing about the winner.
#[test]
fn the_order_of_a_chosen_and_a_rejected_response_does_not_depend_on_which_won() {
    let log = std::fs::read_to_string(presets().join("trl.jsonl")).unwrap();
    let swapped =
        log.replace("\"chosen\"", "\"x\"").replace("\"rejected\"", "\"chosen\"").replace("\"x\"", "\"rejected\"");
    let folder = Sandbox::new();
    folder.write("swapped.jsonl", swapped);
    let (_, _, one) = two_commands(&presets().join("trl.jsonl"));
    let (_, _, other) = two_commands(&folder.path("swapped.jsonl"));
    let labels = |report: &Report| -> BTreeMap<String, u64> { report.rows.labels.clone() };
    assert_eq!((labels(&one)["a"], labels(&one)["b"]), (labels(&other)["b"], labels(&other)["a"]));
    assert!(labels(&one)["a"] > 0 && labels(&one)["b"] > 0);
}

#[test]
fn hh_rlhf_is_read_as_it_is() {
    let Some(data) = shared("data") else { return };
    let (_, stdout, report) = two_commands(&data.join("hh-harmless-base-test.jsonl.gz"));
    assert!(stdout.contains("no covariates") && stdout.contains("no sides"), "{stdout}");
    assert_eq!((report.rows.read, report.rows.audited), (2_312, 2_312));
    // A fair coin's count of 2,312 lies within six standard deviations, 144, of one half.
    assert!(report.rows.labels["a"].abs_diff(1_156) <= 144, "{:?}", report.rows.labels);
    let blocking: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.verdict == counterweight::report::Verdict::Block)
        .map(|check| check.id.as_str())
        .collect();
    assert_eq!(blocking, ["regime-declaration", "propensity-completeness"]);
}

#[test]
fn init_overwrites_nothing_and_names_what_is_in_the_way() {
    let (sandbox, ..) = two_commands(&presets().join("arena.jsonl"));
    sandbox.write("policy.yaml", "mine");
    let again = sandbox.run(&["init", "-q", &presets().join("arena.jsonl").display().to_string()]);
    let (_, stderr) = text(&again);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr.contains("policy.yaml") && stderr.contains("nothing is overwritten"), "{stderr}");
    assert_eq!(sandbox.read("policy.yaml"), b"mine");
}

#[test]
fn inspect_says_what_the_columns_were_taken_for() {
    let sandbox = Sandbox::new();
    sandbox.write("arena.jsonl", std::fs::read(presets().join("arena.jsonl")).unwrap());
    let output = sandbox.run(&["inspect", "-q", "arena.jsonl"]);
    insta::assert_snapshot!(text(&output).0);
}

#[test]
fn what_holds_no_pairs_or_fits_no_preset_is_refused_with_a_hint() {
    let sandbox = Sandbox::new();
    sandbox.write("unpaired.jsonl", std::fs::read(presets().join("unpaired.jsonl")).unwrap());
    sandbox.write("other.csv", "left,right,who\nx,y,z\n");
    sandbox.write("empty.jsonl", "\n");
    for (file, hint) in [
        ("unpaired.jsonl", "single completions"),
        ("other.csv", "no preset fits"),
        ("empty.jsonl", "no rows"),
        ("absent.jsonl", "no file, folder or match"),
    ] {
        let output = sandbox.run(&["init", "-q", file]);
        assert_eq!(output.status.code(), Some(2), "{file}");
        assert!(text(&output).1.contains(hint), "{file}: {}", text(&output).1);
        assert!(!sandbox.path("audit.yaml").exists());
    }
}

/// A log that is hostile to the terminal or to YAML stays a value.
#[test]
fn hostile_levels_are_quoted_in_documents_and_shown_without_their_escapes() {
    let sandbox = Sandbox::new();
    let levels = ["no", "\u{1b}[31mred", "a: b # c", "\"q\\"];
    let row = |i: usize| {
        serde_json::json!({"prompt": format!("p{i}"), "chosen": format!("c{i}"), "rejected": format!("r{i}"), "kind": levels[i % 4]})
            .to_string()
    };
    sandbox.write("log.jsonl", (0..16).map(row).collect::<Vec<_>>().join("\n"));
    let seen = text(&sandbox.run(&["inspect", "-q", "log.jsonl"])).0;
    assert!(!seen.contains('\u{1b}'), "{seen}");
    let (_, _, report) = two_commands(&sandbox.path("log.jsonl"));
    assert_eq!(report.cells.len(), 4);
    assert!(report.unsupported_target_mass <= 0.0);
}

/// The rows of an NDJSON fixture.
fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The narrowest arrow type of these values, as libraries that write Parquet choose it: messages are a list of structures
/// with every key that one of them has.
fn arrow_type(values: &[Option<&Value>]) -> DataType {
    let all = |test: fn(&Value) -> bool| values.iter().flatten().all(|value| test(value));
    let there: Vec<&Value> = values.iter().flatten().copied().collect();
    if there.is_empty() || all(Value::is_string) {
        DataType::Utf8
    } else if all(Value::is_boolean) {
        DataType::Boolean
    } else if all(Value::is_i64) {
        DataType::Int64
    } else if all(Value::is_number) {
        DataType::Float64
    } else if all(Value::is_array) {
        let items: Vec<Option<&Value>> = there
            .iter()
            .flat_map(|value| value.as_array().unwrap())
            .map(|item| Some(item).filter(|i| !i.is_null()))
            .collect();
        DataType::List(Arc::new(Field::new("element", arrow_type(&items), true)))
    } else {
        let keys: BTreeSet<&String> = there.iter().flat_map(|value| value.as_object().unwrap().keys()).collect();
        let field = |key: &String| {
            let values: Vec<Option<&Value>> =
                there.iter().map(|value| value.get(key).filter(|v| !v.is_null())).collect();
            Field::new(key, arrow_type(&values), true)
        };
        DataType::Struct(keys.into_iter().map(field).collect())
    }
}

fn arrow_array(values: &[Option<&Value>], data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Utf8 => Arc::new(values.iter().map(|value| value.and_then(Value::as_str)).collect::<StringArray>()),
        DataType::Boolean => {
            Arc::new(values.iter().map(|value| value.and_then(Value::as_bool)).collect::<BooleanArray>())
        }
        DataType::Int64 => Arc::new(values.iter().map(|value| value.and_then(Value::as_i64)).collect::<Int64Array>()),
        DataType::Float64 => {
            Arc::new(values.iter().map(|value| value.and_then(Value::as_f64)).collect::<Float64Array>())
        }
        DataType::List(field) => {
            let items = |value: &Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
            let lists: Vec<Vec<Value>> = values.iter().map(items).collect();
            let flat: Vec<Option<&Value>> = lists.iter().flatten().map(Some).collect();
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
            let nulls = NullBuffer::from_iter(values.iter().map(Option::is_some));
            Arc::new(ListArray::new(Arc::clone(field), offsets, arrow_array(&flat, field.data_type()), Some(nulls)))
        }
        DataType::Struct(fields) => {
            let column = |field: &Arc<Field>| {
                let of_row =
                    |value: &Option<&Value>| value.and_then(|v| v.get(field.name())).cloned().filter(|v| !v.is_null());
                let values: Vec<Option<Value>> = values.iter().map(of_row).collect();
                arrow_array(&values.iter().map(Option::as_ref).collect::<Vec<_>>(), field.data_type())
            };
            let nulls = NullBuffer::from_iter(values.iter().map(Option::is_some));
            Arc::new(StructArray::new(fields.clone(), fields.iter().map(column).collect(), Some(nulls)))
        }
        other => panic!("no fixture has {other}"),
    }
}

/// Writes rows as Parquet, lists and objects as nested columns.
fn write_nested(path: &Path, rows: &[Value]) {
    let values: Vec<Option<&Value>> = rows.iter().map(Some).collect();
    let DataType::Struct(fields) = arrow_type(&values) else { panic!("rows are objects") };
    let columns = fields.iter().map(|field| {
        let values: Vec<Option<&Value>> =
            rows.iter().map(|row| row.get(field.name()).filter(|v| !v.is_null())).collect();
        arrow_array(&values, field.data_type())
    });
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields.clone())), columns.collect()).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The same rows as a JSON list over many lines and as Parquet with nested columns: preset, labels (and with them the order of
/// every pair, which is a hash of the texts) and cells are the same as in NDJSON.
#[test]
fn a_json_list_and_nested_parquet_say_the_same_as_ndjson() {
    for Case { file, preset, cells, labels } in CASES.iter().filter(|case| case.file.ends_with(".jsonl")) {
        let rows = rows(&presets().join(file));
        let source = Sandbox::new();
        source.write("log.json", serde_json::to_string_pretty(&rows).unwrap());
        write_nested(&source.path("log.parquet"), &rows);
        for log in ["log.json", "log.parquet"] {
            if file.contains('/') {
                let info = String::from_utf8(std::fs::read(presets().join("llamafactory/dataset_info.json")).unwrap());
                source.write("dataset_info.json", info.unwrap().replace("dpo.jsonl", log));
            }
            let (_, stdout, report) = two_commands(&source.path(log));
            assert!(stdout.contains(&format!("reads like the preset {preset}")), "{file} as {log}: {stdout}");
            assert_eq!(report.regime.covariates, [*cells], "{file} as {log}");
            assert_eq!((report.rows.read, report.rows.audited), (8, 8), "{file} as {log}");
            assert_eq!(["a", "b", "tie"].map(|label| report.rows.labels[label]), *labels, "{file} as {log}");
        }
    }
}

/// Parquet gives every message every field: one that is null there and one that is null or absent in JSON are the same.
#[test]
fn messages_with_fields_that_are_null_are_the_same_as_without() {
    let plain = rows(&presets().join("trl_messages.jsonl"));
    let mut filled = plain.clone();
    for row in &mut filled {
        for side in ["chosen", "rejected"] {
            for message in row[side].as_array_mut().unwrap() {
                message["tool_calls"] = Value::Null;
            }
        }
    }
    let folder = Sandbox::new();
    let lines: Vec<String> = filled.iter().map(Value::to_string).collect();
    folder.write("filled.jsonl", lines.join("\n"));
    let (.., report) = two_commands(&folder.path("filled.jsonl"));
    assert_eq!(["a", "b", "tie"].map(|label| report.rows.labels[label]), [6, 2, 0]);
}

/// Cached log-probabilities of the reference follow the order of the pair, under both of TRL's names for them.
#[test]
fn cached_reference_log_probabilities_are_drafted_in_the_order_of_the_pair() {
    for (written, made) in [("ref", "ref"), ("reference", "reference")] {
        let log = std::fs::read_to_string(presets().join("trl.jsonl")).unwrap();
        let folder = Sandbox::new();
        folder.write("log.jsonl", log.replace("ref_", &format!("{written}_")));
        let (sandbox, ..) = two_commands(&folder.path("log.jsonl"));
        let audit = String::from_utf8(sandbox.read("audit.yaml")).unwrap();
        assert!(audit.contains(&format!("reference: {{logp_a: {made}_a_logps, logp_b: {made}_b_logps}}")), "{audit}");
    }
}

#[test]
fn the_arena_log_goes_from_nothing_to_a_report_in_two_commands() {
    let Some(data) = shared("data/arena") else { return };
    let (sandbox, stdout, report) = two_commands(&data.join("logs.parquet"));
    assert!(stdout.contains("reads like the preset canonical"), "{stdout}");
    assert!(stdout.contains("Everything that the standard checks ask for is mapped."), "{stdout}");
    assert_eq!((report.rows.read, report.rows.audited), (60_000, 60_000));
    assert_eq!(report.regime.covariates, ["domain", "user_type"]);
    assert_eq!((report.cells.len(), report.rows.labels["tie"], report.rows.labels["abstain"]), (10, 1_202, 588));
    let blocking = report.checks.iter().filter(|check| check.verdict == counterweight::report::Verdict::Block);
    assert_eq!(blocking.map(|check| check.id.as_str()).collect::<Vec<_>>(), ["regime-declaration"]);
    // The log carries a target's pair probabilities, and the draft says so rather than choosing them.
    let regime = String::from_utf8(sandbox.read("regime.yaml")).unwrap();
    assert!(
        regime.contains("carries the probability of each pair under") && regime.contains("\npairs: logged\n"),
        "{regime}"
    );
}

/// A folder that holds a log and other tables is told so file by file, before any document is drafted.
#[test]
fn files_of_several_kinds_are_no_log() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("all")).unwrap();
    sandbox.write("all/logs.csv", "prompt_id,response_a,response_b,label\np,x,y,a\n");
    sandbox.write("all/prompts.csv", "prompt_id,text\np,Hello\n");
    for command in ["inspect", "init"] {
        let output = sandbox.run(&[command, "-q", "all"]);
        let (_, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr.contains("this file has no `label`, `response_a`, `response_b`"), "{stderr}");
        assert!(stderr.contains("all/prompts.csv") && stderr.contains("such as `logs-*.parquet`"), "{stderr}");
        assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
    }
    assert!(!sandbox.path("audit.yaml").exists());
}

/// Names of its own: the draft says where they belong, and the audit then runs.
#[test]
fn a_log_under_names_of_its_own_is_drafted_as_canonical_and_its_columns_named() {
    let sandbox = Sandbox::new();
    let row = |i: usize| format!("q{i},x{i},y{i},{},{}\n", ["left", "right"][i % 2], ["en", "de"][i / 2 % 2]);
    sandbox.write("log.csv", format!("question,left,right,won,language\n{}", (0..8).map(row).collect::<String>()));
    let refused = text(&sandbox.run(&["init", "-q", "log.csv"])).1;
    assert!(refused.contains("--preset canonical") && refused.contains("won"), "{refused}");
    let drafted = sandbox.run(&["init", "-q", "log.csv", "--preset", "canonical"]);
    assert_eq!(drafted.status.code(), Some(0), "{}", text(&drafted).1);
    let audit = String::from_utf8(sandbox.read("audit.yaml")).unwrap();
    assert!(audit.contains("# Not found: id, prompt, response_a, response_b, label, propensity"), "{audit}");
    let columns = "  columns: {prompt: question, response_a: left, response_b: right, label: won}\n  labels: {a: [left], b: [right], tie: [], abstain: []}\n";
    sandbox.write("audit.yaml", audit.replace("  preset: canonical\n", &format!("  preset: canonical\n{columns}")));
    let report = sandbox.audit("audit.yaml").unwrap();
    assert_eq!((report.rows.audited, report.rows.labels["a"], report.rows.labels["b"]), (8, 4, 4));
}

/// What the answer decides is no group of users, however few values it has.
#[test]
fn columns_that_the_answer_decides_are_no_covariates() {
    let sandbox = Sandbox::new();
    let row = |i: usize| {
        let (source, margin, score) = (["web", "book"][i % 2], i % 3, i % 2);
        serde_json::json!({"prompt": format!("p{i}"), "chosen": format!("c{i}"), "rejected": format!("r{i}"), "margin": margin, "source": source, "score": score}).to_string()
    };
    sandbox.write("log.jsonl", (0..24).map(row).collect::<Vec<_>>().join("\n"));
    let (.., report) = two_commands(&sandbox.path("log.jsonl"));
    assert_eq!(report.regime.covariates, ["source"]);
}

#[test]
fn llamafactorys_list_of_data_sets_is_a_mapping_and_no_log() {
    let sandbox = Sandbox::new();
    for file in ["dpo.jsonl", "dataset_info.json"] {
        sandbox.write(file, std::fs::read(presets().join("llamafactory").join(file)).unwrap());
    }
    let refused = sandbox.run(&["inspect", "-q", "dataset_info.json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused).1.contains("list of data sets, not a log"), "{}", text(&refused).1);
    // In a folder it is read over.
    let seen = text(&sandbox.run(&["inspect", "-q", "."])).0;
    assert!(seen.contains("reads like the preset llamafactory") && seen.contains("8 rows"), "{seen}");
}
