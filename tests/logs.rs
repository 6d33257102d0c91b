//! Reading logs: formats, mapping, judging rows, duplicates, damage.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, LargeStringArray, ListBuilder, StringArray,
    StringBuilder, StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::record_batch::RecordBatch;
use counterweight::declare::{
    Audit, LabelWords, LogSpec, Observed, Pairs, Preset, Problem, Problems, Regime, Role, Source, Target, TargetForm,
};
use counterweight::logs::{self, Block, Codes, Duplicates, Exclusion, Label, Log, Outcome, PropensityState, Request};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

fn source(name: &str) -> Source {
    Source { name: name.to_owned(), text: String::new(), sha256: String::new() }
}

/// An audit of `path`, canonical columns.
fn audit(folder: &Path, path: &str) -> Audit {
    Audit {
        source: source("audit.yaml"),
        folder: folder.to_owned(),
        regime: "regime.yaml".to_owned(),
        policy: "standard".to_owned(),
        logs: LogSpec {
            path: path.to_owned(),
            preset: Preset::Canonical,
            chosen: None,
            columns: BTreeMap::new(),
            log_propensity_parts: Vec::new(),
            labels: None,
            cluster: Vec::new(),
            responses: None,
            target_sample: None,
            selection: None,
        },
        reference: None,
        candidates: Vec::new(),
        min_cell_rows: None,
        identify: Vec::new(),
    }
}

fn regime(cells: &[&str], pairs: Pairs) -> Regime {
    Regime {
        source: source("regime.yaml"),
        fingerprint: String::new(),
        declared: serde_json::Value::Null,
        name: "test".to_owned(),
        version: semver::Version::new(1, 0, 0),
        effective: chrono::NaiveDate::from_ymd_opt(2026, 10, 1).unwrap(),
        owner: String::new(),
        motivation: String::new(),
        supersedes: None,
        cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
        form: TargetForm::Table,
        target: Target::Masses(BTreeMap::new()),
        pairs,
        observed: Observed::Empirical,
        mechanisms: Vec::new(),
        critical: Vec::new(),
        draft: false,
    }
}

fn target_column() -> Pairs {
    Pairs::Column("target_propensity".to_owned())
}

/// Every block, in the order in which they were merged.
fn blocks(log: &Log, skip: &[u64]) -> Result<Vec<Block>, Problems> {
    logs::scan(
        log,
        &Request { what: "test", skip, ..Request::default() },
        &(),
        &Vec::new,
        &|all: &mut Vec<Block>, block| all.push(block.clone()),
        &mut |all, more| {
            all.extend(more);
        },
    )
}

/// One row a line, everything a block says of it.
fn rows(blocks: &[Block]) -> Vec<String> {
    let mut lines = Vec::new();
    for block in blocks {
        for row in 0..block.outcomes.len() {
            let cell = block.cells.get(block.cell_of_row[row] as usize);
            let mechanism = block.mechanisms.as_ref().map(|codes| codes.values.get(codes.codes[row] as usize));
            lines.push(format!(
                "{} {:?} {cell:?} {:?} {:?} {:?} {mechanism:?}",
                block.first_row + row as u64,
                block.outcomes[row],
                block.labels[row],
                block.pair_ratios[row],
                block.propensities.get(row),
            ));
        }
    }
    lines
}

fn outcomes(blocks: &[Block]) -> Vec<Outcome> {
    blocks.iter().flat_map(|block| block.outcomes.clone()).collect()
}

fn labels(blocks: &[Block]) -> Vec<Label> {
    blocks.iter().flat_map(|block| block.labels.clone()).collect()
}

/// How many rows have each outcome.
fn counts(blocks: &[Block]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes(blocks) {
        let name = match outcome {
            Outcome::Audited => "audited",
            Outcome::Excluded(reason) => reason.name(),
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn text(problems: &Problems) -> String {
    let line = |p: &Problem| format!("{}: {} [{}]", p.file, p.message, p.help.as_deref().unwrap_or(""));
    problems.0.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn error<T>(result: Result<T, Problems>) -> String {
    match result {
        Ok(_) => String::from("no error"),
        Err(problems) => {
            assert!(!problems.0.is_empty(), "an error without a problem");
            text(&problems)
        }
    }
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "expected `{part}` in:\n{said}");
    }
}

fn strings(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn words(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn integers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>, rows_a_group: usize) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows_a_group)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder for one test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn audit(&self, path: &str) -> Audit {
        audit(self.0.path(), path)
    }

    fn open(&self, path: &str, pairs: Pairs) -> Result<Log, Problems> {
        logs::open(&self.audit(path), &regime(&["domain"], pairs))
    }

    /// Opens and scans a file with the covariate `domain`.
    fn scan(&self, path: &str, pairs: Pairs) -> Result<Vec<Block>, Problems> {
        blocks(&self.open(path, pairs)?, &[])
    }

    /// Writes a CSV file and scans it.
    fn csv(&self, content: &str, pairs: Pairs) -> Result<Vec<Block>, Problems> {
        self.write("log.csv", content);
        self.scan("log.csv", pairs)
    }
}

// ---- formats ----

const CSV: &str =
    "event_id,prompt_id,response_a,response_b,domain,user_type,label,propensity,target_propensity,mechanism
1,p1,x,y,\"law, civil\",new,a,0.5,0.25,m@1
2,p2,x,,\"two
lines\",new,b,0.125,0.25,m@1
3,,x,y,\"a \"\"quoted\"\" word\",old,tie,1,0,m@2
4,NA,x,y,math,NA,abstain,0.5,0.25,
5,p5,x,y,math,old,,0.5,0.25,m@1
6,p6,x,y,math,old,c,0.5,0.25,m@1
7,p7,x,y,math,old,a,null,0.25,m@1
8,p8,x,y,math,old,a,2,0.25,m@1
9,p9,x,y,math,old,a,0.5,,m@1
";

const NDJSON: &str = r#"
{"event_id":1,"prompt_id":"p1","response_a":"x","response_b":"y","domain":"law, civil","user_type":"new","label":"a","propensity":0.5,"target_propensity":0.25,"mechanism":"m@1"}
{"event_id":2,"prompt_id":"p2","response_a":"x","response_b":null,"domain":"two\nlines","user_type":"new","label":"b","propensity":"0.125","target_propensity":0.25,"mechanism":"m@1","other":[[{}]]}

{"event_id":3,"response_a":"x","response_b":"y","domain":"a \"quoted\" word","user_type":"old","label":"tie","propensity":1,"target_propensity":0.0,"mechanism":"m@2"}
{"mechanism":null,"prompt_id":"NA","response_a":"x","response_b":"y","domain":"math","user_type":"NA","label":"abstain","propensity":5e-1,"target_propensity":0.25,"event_id":4}
{"event_id":5,"prompt_id":"p5","response_a":"x","response_b":["nested","is","there"],"domain":"math","user_type":"old","label":null,"propensity":0.5,"target_propensity":0.25,"mechanism":"m@1"}
{"event_id":6,"prompt_id":"p6","response_a":"x","response_b":"y","domain":"math","user_type":"old","label":"c","propensity":0.5,"target_propensity":0.25,"mechanism":"m@1"}
{"event_id":7,"prompt_id":"p7","response_a":"x","response_b":"y","domain":"math","user_type":"old","label":"a","propensity":"null","target_propensity":0.25,"mechanism":"m@1"}
{"event_id":8,"prompt_id":"p8","response_a":"x","response_b":"y","domain":"math","user_type":"old","label":"a","propensity":2,"target_propensity":0.25,"mechanism":"m@1"}
{"event_id":9,"prompt_id":"p9","response_a":"x","response_b":"y","domain":"math","user_type":"old","label":"a","propensity":0.5,"target_propensity":null,"mechanism":"m@1"}
"#;

/// The rows of [`CSV`] as typed columns.
fn example_columns() -> Vec<(&'static str, ArrayRef)> {
    let some = |values: [&'static str; 9]| -> Vec<Option<&'static str>> { values.into_iter().map(Some).collect() };
    let mut prompts = some(["p1", "p2", "", "NA", "p5", "p6", "p7", "p8", "p9"]);
    prompts[2] = None;
    let mut response_b = some(["y"; 9]);
    response_b[1] = None;
    let mut label = some(["a", "b", "tie", "abstain", "", "c", "a", "a", "a"]);
    label[4] = None;
    let math = "math";
    let domains = ["law, civil", "two\nlines", "a \"quoted\" word", math, math, math, math, math, math];
    let propensity = [Some(0.5), Some(0.125), Some(1.0), Some(0.5), Some(0.5), Some(0.5), None, Some(2.0), Some(0.5)];
    let mut target = vec![Some(0.25); 9];
    target[2] = Some(0.0);
    target[8] = None;
    vec![
        ("event_id", integers(&[1, 2, 3, 4, 5, 6, 7, 8, 9])),
        ("prompt_id", strings(&prompts)),
        ("response_a", words(&["x"; 9])),
        ("response_b", strings(&response_b)),
        ("domain", words(&domains)),
        ("user_type", words(&["new", "new", "old", "NA", "old", "old", "old", "old", "old"])),
        ("label", strings(&label)),
        ("propensity", Arc::new(Float64Array::from(propensity.to_vec()))),
        ("target_propensity", Arc::new(Float64Array::from(target))),
        ("mechanism", words(&["m@1", "m@1", "m@2", "", "m@1", "m@1", "m@1", "m@1", "m@1"])),
    ]
}

#[test]
fn every_format_and_compression_gives_the_same_blocks() {
    let folder = Folder::new();
    write_parquet(&folder.path("log.parquet"), example_columns(), 1000);
    folder.write("log.csv", CSV);
    folder.write("log.csv.gz", gzip(CSV.as_bytes()));
    folder.write("log.csv.zst", zstd::encode_all(CSV.as_bytes(), 1).unwrap());
    folder.write("log.jsonl", NDJSON);
    folder.write("log.ndjson.gz", [gzip(&NDJSON.as_bytes()[..500]), gzip(&NDJSON.as_bytes()[500..])].concat());
    folder.write("log.ndjson.zst", zstd::encode_all(NDJSON.as_bytes(), 1).unwrap());
    let regime = regime(&["domain", "user_type"], target_column());
    let read = |name: &str| blocks(&logs::open(&folder.audit(name), &regime).unwrap(), &[]).unwrap();
    let expected = read("log.csv");
    assert_eq!(
        outcomes(&expected),
        [
            Outcome::Audited,
            Outcome::Audited,
            Outcome::Audited,
            Outcome::Excluded(Exclusion::MissingCovariate),
            Outcome::Excluded(Exclusion::MissingLabel),
            Outcome::Excluded(Exclusion::UnknownLabel),
            Outcome::Excluded(Exclusion::MissingPropensity),
            Outcome::Excluded(Exclusion::PropensityAboveOne),
            Outcome::Excluded(Exclusion::InvalidTargetPropensity),
        ]
    );
    let block = &expected[0];
    assert_eq!(block.pair_ratios[..4], [0.5, 2.0, 0.0, 0.5]);
    assert_eq!(block.cells[1], ["two\nlines", "new"]);
    assert_eq!(block.cell_of_row, [0, 1, 2, Codes::MISSING, 3, 3, 3, 3, 3]);
    assert_eq!(block.missing, BTreeMap::from([(Role::Prompt, 2), (Role::ResponseA, 0), (Role::ResponseB, 1)]));
    let mechanisms = block.mechanisms.as_ref().unwrap();
    assert_eq!(mechanisms.values, ["m@1", "m@2"]);
    assert_eq!(mechanisms.codes, [0, 0, 1, Codes::MISSING, 0, 0, 0, 0, 0]);
    for name in ["log.parquet", "log.csv.gz", "log.csv.zst", "log.jsonl", "log.ndjson.gz", "log.ndjson.zst"] {
        assert_eq!(format!("{:?}", read(name)), format!("{expected:?}"), "{name}");
    }
}

#[test]
fn physical_types_of_parquet_do_not_matter() {
    let folder = Folder::new();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("event_id", Arc::new(UInt64Array::from(vec![u64::MAX, 1, 2]))),
        ("domain", Arc::new(StringViewArray::from(vec!["one", "null", "two"]))),
        ("region", Arc::new(LargeStringArray::from(vec!["n", "s", "n"]))),
        ("adult", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ("year", integers(&[2024, 2025, 2026])),
        ("score", floats(&[1.0, 2.5, 1.0])),
        ("half", Arc::new(Float32Array::from(vec![0.5, f32::NAN, 0.1]))),
        ("day", Arc::new(TimestampMicrosecondArray::from(vec![0, 0, 0]).with_timezone("Europe/Vienna"))),
        ("label", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("propensity", words(&["0.5", "1e-1", " 1 "])),
    ];
    write_parquet(&folder.path("log.parquet"), columns, 1000);
    let cells = ["domain", "region", "adult", "year", "score", "half", "day"];
    let log = logs::open(&folder.audit("log.parquet"), &regime(&cells, Pairs::Logged)).unwrap();
    let blocks = blocks(&log, &[]).unwrap();
    assert_eq!(blocks[0].cells[0], ["one", "n", "true", "2024", "1", "0.5", "1970-01-01T00:00:00"]);
    assert_eq!(blocks[0].cells[1], ["two", "n", "true", "2026", "1", "0.1", "1970-01-01T00:00:00"]);
    assert_eq!(blocks[0].cell_of_row, [0, Codes::MISSING, 1]);
    assert_eq!(labels(&blocks), [Label::A, Label::B, Label::Invalid]);
    assert_eq!(blocks[0].propensities, [PropensityState::Valid; 3]);
    assert_eq!(logs::duplicates(&log, &()).unwrap(), Some(Duplicates::default()));
}

#[test]
fn dictionary_pages_plain_pages_and_a_mixture_give_the_same_blocks() {
    let folder = Folder::new();
    let n = 70_000;
    let domains: Vec<String> = (0..n).map(|row| format!("domain {}", row * row % 20_011)).collect();
    let regime = regime(&["domain"], Pairs::Logged);
    let read = |properties: WriterProperties| {
        let domains: ArrayRef = Arc::new(StringArray::from(domains.clone()));
        let batch = RecordBatch::try_from_iter([("domain", domains), ("label", words(&vec!["a"; n]))]).unwrap();
        let file = std::fs::File::create(folder.path("log.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        rows(&blocks(&logs::open(&folder.audit("log.parquet"), &regime).unwrap(), &[]).unwrap())
    };
    let dictionary = read(WriterProperties::builder().set_dictionary_page_size_limit(1 << 24).build());
    assert_says(&dictionary[69_999], &["69999 Audited", &domains[69_999]]);
    assert!(read(WriterProperties::builder().set_dictionary_enabled(false).build()) == dictionary);
    let small = WriterProperties::builder().set_dictionary_page_size_limit(1 << 10).set_data_page_row_count_limit(500);
    assert!(read(small.build()) == dictionary);
}

#[test]
fn many_cells_do_not_depend_on_the_table_of_codes() {
    let folder = Folder::new();
    let n = 2000;
    let left: Vec<String> = (0..n).map(|i| format!("l{}", i % 1000)).collect();
    let right: Vec<String> = (0..n).map(|i| format!("r{}", i % 999)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("left", Arc::new(StringArray::from(left.clone()))),
        ("right", Arc::new(StringArray::from(right.clone()))),
    ];
    write_parquet(&folder.path("log.parquet"), columns, 5000);
    let log = logs::open(&folder.audit("log.parquet"), &regime(&["left", "right"], Pairs::Logged)).unwrap();
    let blocks = blocks(&log, &[]).unwrap();
    assert_eq!(blocks[0].cells.len(), n, "1000 and 999 have no common divisor: every row is a cell of its own");
    for row in 0..n {
        assert_eq!(blocks[0].cells[blocks[0].cell_of_row[row] as usize], [left[row].clone(), right[row].clone()]);
    }
}

// ---- files ----

#[test]
fn files_of_a_folder_or_glob_come_in_the_order_of_their_paths() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("logs")).unwrap();
    folder.write("logs/b.csv", "domain,label\nsecond,a\n");
    folder.write("logs/a.jsonl", "{\"domain\":\"first\",\"label\":\"a\"}\n");
    write_parquet(&folder.path("logs/c.pq"), vec![("domain", words(&["third"])), ("label", words(&["b"]))], 10);
    folder.write("logs/notes.txt", "not a log");
    let order = |path: &str| {
        let log = folder.open(path, Pairs::Logged).unwrap();
        let cells: Vec<String> = blocks(&log, &[]).unwrap().into_iter().flat_map(|b| b.cells.concat()).collect();
        (log.files.iter().map(|file| file.name.clone()).collect::<Vec<_>>(), cells)
    };
    let names = ["logs/a.jsonl", "logs/b.csv", "logs/c.pq"].map(str::to_owned).to_vec();
    let cells = ["first", "second", "third"].map(str::to_owned).to_vec();
    assert_eq!(order("logs"), (names.clone(), cells.clone()));
    assert_eq!(order("logs/"), (names.clone(), cells.clone()));
    assert_eq!(order("logs/?.*"), (names, cells));
    assert_eq!(order("logs/c.pq").0, ["logs/c.pq"]);
    let log = folder.open("logs", Pairs::Logged).unwrap();
    assert_eq!(log.rows(), None, "text files do not say how many rows they have");
    assert_eq!(log.files[2].rows, Some(1));
    assert_says(&error(folder.open("logs/*", Pairs::Logged)), &["logs/notes.txt", "known format", ".parquet"]);
}

/// This program's own files beside logs are no logs; a log that has the name of one is read like any other.
#[test]
fn a_shard_is_passed_over_for_what_it_holds_and_not_for_its_name() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("logs")).unwrap();
    folder.write("logs/a.csv", "domain,label\nfirst,a\n");
    folder.write("logs/report.json", "{\n  \"schema\": \"counterweight/report/v1\"\n}\n");
    folder.write("logs/truth.json", include_bytes!("../examples/candidates/truth.json"));
    let names = || {
        let log = folder.open("logs", Pairs::Logged).unwrap();
        log.files.iter().map(|file| file.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["logs/a.csv"]);
    folder.write("logs/report.json", "[{\"domain\":\"second\",\"label\":\"b\"}]");
    folder.write("logs/truth.json", "{\"domain\":\"third\",\"label\":\"b\"}\n");
    assert_eq!(names(), ["logs/a.csv", "logs/report.json", "logs/truth.json"]);
}

#[test]
fn what_is_not_there_is_named() {
    let folder = Folder::new();
    folder.write("notes.txt", "x");
    folder.write("zero.parquet", "");
    folder.write("header.csv", "domain,label\n");
    folder.write("blank.jsonl", "\n \n");
    std::fs::create_dir(folder.path("empty")).unwrap();
    let open = |path: &str| error(folder.open(path, Pairs::Logged));
    assert_says(&open("nothing.parquet"), &["nothing.parquet", "there is no file"]);
    assert_says(&open("no*.parquet"), &["no file matches", "no*.parquet"]);
    assert_says(&open("empty"), &["holds no log file", ".parquet"]);
    assert_says(&open("notes.txt"), &["known format"]);
    assert_says(&open("zero.parquet"), &["zero.parquet", "empty (0 bytes)"]);
    assert_says(&open("header.csv"), &["the log holds no rows"]);
    assert_says(&open("blank.jsonl"), &["the log holds no rows"]);
    assert_says(&open("[.csv"), &["not a valid glob"]);
}

// ---- mapping ----

#[test]
fn missing_columns_are_all_named_with_those_that_are_there() {
    let folder = Folder::new();
    folder.write("a.csv", "domain,labell,prompt_id\nx,a,1\n");
    folder.write("b.csv", "label,prompt_id\na,1\n");
    let mut audit = folder.audit("?.csv");
    audit.logs.columns.insert(Role::Label, "label".to_owned());
    audit.logs.columns.insert(Role::Timestamp, "when".to_owned());
    let said = error(logs::open(&audit, &regime(&["domain"], Pairs::Column("g_t".to_owned()))));
    assert_says(&said, &["a.csv: there is no column `label` (taken for label) [did you mean `labell`?"]);
    assert_says(&said, &["the columns are: domain, labell, prompt_id]"]);
    assert_says(&said, &["a.csv: there is no column `when` (taken for timestamp)", "b.csv: there is no column `when`"]);
    assert_says(&said, &["b.csv: there is no column `domain` (the covariate domain of the regime's cells)"]);
    assert_says(&said, &["b.csv: there is no column `g_t` (the regime's target propensity)"]);
    assert_eq!(said.lines().count(), 6, "{said}");
}

#[test]
fn a_form_of_the_propensity_that_is_named_keeps_the_others_from_being_taken() {
    let folder = Folder::new();
    let header = "domain,label,propensity,log_propensity,q,target_propensity,log_target_propensity";
    folder.write("log.csv", format!("{header}\nx,a,0.5,-1,-2,0.25,-3\n"));
    let ratio = |change: &dyn Fn(&mut Audit)| {
        let mut audit = folder.audit("log.csv");
        change(&mut audit);
        let log = logs::open(&audit, &regime(&["domain"], target_column())).unwrap();
        assert!(log.has_propensity());
        let ratio = blocks(&log, &[]).unwrap()[0].pair_ratios[0];
        (ratio, log.mapped.get(&Role::Propensity).cloned(), log.mapped.get(&Role::LogPropensity).cloned())
    };
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(ratio(&|_| {}), (0.5, named("propensity"), None));
    let log_form = |audit: &mut Audit| {
        audit.logs.columns.insert(Role::LogPropensity, "log_propensity".to_owned());
    };
    assert_eq!(ratio(&log_form), ((0.25_f64.ln() + 1.0).exp(), None, named("log_propensity")));
    let parts = |audit: &mut Audit| {
        audit.logs.log_propensity_parts = vec!["log_propensity".to_owned(), "q".to_owned()];
        audit.logs.columns.insert(Role::LogTargetPropensity, "log_target_propensity".to_owned());
    };
    assert_eq!(ratio(&parts), (1.0, None, named("log_propensity + q")));
    let mut both = folder.audit("log.csv");
    both.logs.columns.insert(Role::Propensity, "propensity".to_owned());
    log_form(&mut both);
    assert_says(&error(logs::open(&both, &regime(&["domain"], Pairs::Logged))), &["say the same thing twice"]);
}

#[test]
fn a_covariate_may_be_a_role_and_the_target_propensity_any_column() {
    let folder = Folder::new();
    folder.write("log.csv", "event_id,who,uniform,label,propensity\n1,ann,0.5,a,0.5\n");
    let mut audit = folder.audit("log.csv");
    audit.logs.columns.insert(Role::Annotator, "who".to_owned());
    let log = logs::open(&audit, &regime(&["annotator"], Pairs::Column("uniform".to_owned()))).unwrap();
    let blocks = blocks(&log, &[]).unwrap();
    assert_eq!(blocks[0].cells, [["ann"]]);
    assert_eq!(blocks[0].pair_ratios, [1.0]);
    assert_eq!(log.mapped[&Role::Id], "event_id");
    assert_eq!(log.columns, ["event_id", "who", "uniform", "label", "propensity"]);
    assert_eq!(blocks[0].missing, BTreeMap::new());
    assert!(blocks[0].mechanisms.is_none());
}

#[test]
fn columns_of_an_unusable_type_are_refused() {
    let folder = Folder::new();
    let mut list = ListBuilder::new(StringBuilder::new());
    list.values().append_value("x");
    list.append(true);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("domain", Arc::new(list.finish())),
        ("propensity", Arc::new(BooleanArray::from(vec![true]))),
        ("response_a", {
            list.append(true);
            Arc::new(list.finish())
        }),
        ("features_a", {
            list.append(true);
            Arc::new(list.finish())
        }),
    ];
    write_parquet(&folder.path("log.parquet"), columns, 10);
    let said = error(folder.open("log.parquet", Pairs::Logged));
    assert_says(&said, &["column `domain` holds List", "column `propensity` holds Boolean, where numbers are needed"]);
    assert_eq!(said.lines().count(), 2, "lists may be responses and features: {said}");
    folder.write("twice.csv", "domain,domain,label\nx,y,a\n");
    assert_says(&error(folder.open("twice.csv", Pairs::Logged)), &["two columns are called `domain`"]);
}

// ---- labels ----

#[test]
fn labels_without_declared_words() {
    let folder = Folder::new();
    let csv =
        "domain,label\nx,a\nx,b\nx,tie\nx,abstain\nx,true\nx,false\nx,1\nx,0\nx,0.25\nx,1.5\nx,A\nx,NaN\nx,\nx,inf\n";
    let blocks = folder.csv(csv, Pairs::Logged).unwrap();
    let expected = [
        Label::A,
        Label::B,
        Label::Tie,
        Label::Abstain,
        Label::A,
        Label::B,
        Label::A,
        Label::B,
        Label::Soft(0.25),
        Label::Invalid,
        Label::Invalid,
        Label::Invalid,
        Label::Invalid,
        Label::Invalid,
    ];
    assert_eq!(labels(&blocks), expected);
    let unknown = Outcome::Excluded(Exclusion::UnknownLabel);
    let missing = Outcome::Excluded(Exclusion::MissingLabel);
    assert_eq!(outcomes(&blocks)[9..], [unknown, unknown, missing, missing, unknown]);
}

#[test]
fn number_labels_in_parquet() {
    let folder = Folder::new();
    let label = Float64Array::from(vec![Some(1.0), Some(0.0), Some(0.75), Some(-0.1), Some(f64::NAN), None]);
    write_parquet(&folder.path("log.parquet"), vec![("domain", words(&["x"; 6])), ("label", Arc::new(label))], 10);
    let blocks = folder.scan("log.parquet", Pairs::Logged).unwrap();
    assert_eq!(labels(&blocks)[..3], [Label::A, Label::B, Label::Soft(0.75)]);
    let unknown = Outcome::Excluded(Exclusion::UnknownLabel);
    let missing = Outcome::Excluded(Exclusion::MissingLabel);
    assert_eq!(outcomes(&blocks)[3..], [unknown, missing, missing]);
}

#[test]
fn declared_words_are_the_only_labels() {
    let folder = Folder::new();
    let words_of = |a: &str, b: &str| LabelWords {
        a: vec![a.to_owned()],
        b: vec![b.to_owned()],
        tie: vec!["both".to_owned()],
        abstain: vec!["skip".to_owned()],
    };
    folder.write("log.csv", "domain,label\nx,left\nx,right\nx,both\nx,skip\nx,a\nx,0.5\nx,\n");
    let mut audit = folder.audit("log.csv");
    audit.logs.labels = Some(words_of("left", "right"));
    let log = logs::open(&audit, &regime(&["domain"], Pairs::Logged)).unwrap();
    let read = labels(&blocks(&log, &[]).unwrap());
    assert_eq!(read[..4], [Label::A, Label::B, Label::Tie, Label::Abstain]);
    assert_eq!(read[4..], [Label::Invalid; 3]);
    // A column of floats: 1.0 is the word `1`.
    write_parquet(
        &folder.path("log.parquet"),
        vec![("domain", words(&["x"; 3])), ("label", floats(&[1.0, 2.0, 0.5]))],
        10,
    );
    audit.logs.path = "log.parquet".to_owned();
    audit.logs.labels = Some(words_of("1", "2"));
    let log = logs::open(&audit, &regime(&["domain"], Pairs::Logged)).unwrap();
    assert_eq!(labels(&blocks(&log, &[]).unwrap()), [Label::A, Label::B, Label::Invalid]);
}

#[test]
fn without_a_label_column_every_label_is_missing() {
    let blocks = Folder::new().csv("domain\nx\ny\n", Pairs::Logged).unwrap();
    assert_eq!(outcomes(&blocks), [Outcome::Excluded(Exclusion::MissingLabel); 2]);
}

// ---- propensities ----

#[test]
fn propensity_states_and_what_they_exclude() {
    let folder = Folder::new();
    let g_o = [0.5, f64::NAN, f64::INFINITY, 0.0, -0.1, 1.000_000_1, 1.0, 5e-324, 0.5, 0.5, 0.5];
    let g_t = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 1.0, f64::NAN, 1.1, -0.1];
    let columns = vec![
        ("domain", words(&["x"; 11])),
        ("label", words(&["a"; 11])),
        ("propensity", floats(&g_o)),
        ("target_propensity", floats(&g_t)),
    ];
    write_parquet(&folder.path("log.parquet"), columns, 100);
    let nonfinite = Exclusion::NonfinitePropensity;
    let nonpositive = Exclusion::NonpositivePropensity;
    let above = Exclusion::PropensityAboveOne;
    let target = Exclusion::InvalidTargetPropensity;
    let needed = folder.scan("log.parquet", target_column()).unwrap();
    let expected = [None, Some(nonfinite), Some(nonfinite), Some(nonpositive), Some(nonpositive), Some(above), None]
        .into_iter()
        .chain([Some(nonfinite), Some(target), Some(target), Some(target)])
        .map(|reason| reason.map_or(Outcome::Audited, Outcome::Excluded))
        .collect::<Vec<_>>();
    assert_eq!(outcomes(&needed), expected);
    assert_eq!(needed[0].pair_ratios[0..1], [1.0]);
    assert_eq!(needed[0].pair_ratios[6..7], [0.0]);
    let logged = folder.scan("log.parquet", Pairs::Logged).unwrap();
    assert_eq!(outcomes(&logged), [Outcome::Audited; 11]);
    assert_eq!(logged[0].pair_ratios, [1.0; 11]);
    // Where the ratio is needed and overflows, the g_O that makes it so is not valid either.
    assert_eq!(needed[0].propensities[7], PropensityState::Invalid(nonfinite));
    assert_eq!(logged[0].propensities[..7], needed[0].propensities[..7]);
    assert_eq!(logged[0].propensities[3], PropensityState::Invalid(nonpositive));
    assert_eq!(logged[0].propensities[7], PropensityState::Valid);
}

#[test]
fn logarithms_and_parts() {
    let folder = Folder::new();
    let csv = "domain,label,log_propensity,log_target_propensity\nx,a,-1000,-1001\nx,a,-inf,-1\nx,a,inf,-1\nx,a,0.1,-1\n\
               x,a,0,-inf\nx,a,,-1\nx,a,-1,0.1\nx,a,-1,\nx,a,-2000,-1\n";
    let blocks = folder.csv(csv, target_column()).unwrap();
    let excluded = [
        None,
        Some(Exclusion::NonpositivePropensity),
        Some(Exclusion::NonfinitePropensity),
        Some(Exclusion::PropensityAboveOne),
        None,
        Some(Exclusion::MissingPropensity),
        Some(Exclusion::InvalidTargetPropensity),
        Some(Exclusion::InvalidTargetPropensity),
        Some(Exclusion::NonfinitePropensity),
    ];
    assert_eq!(outcomes(&blocks), excluded.map(|reason| reason.map_or(Outcome::Audited, Outcome::Excluded)));
    assert_eq!(blocks[0].pair_ratios[0..1], [(-1.0_f64).exp()], "no underflow: the logarithms are subtracted first");
    assert_eq!(blocks[0].pair_ratios[4..5], [0.0]);

    folder.write(
        "parts.csv",
        "domain,label,share,draw,target_propensity\nx,a,-1,-1,0.5\nx,a,-1,NA,0.5\nx,a,1,1,0.5\nx,a,-1,-1,0\n",
    );
    let mut audit = folder.audit("parts.csv");
    audit.logs.log_propensity_parts = vec!["share".to_owned(), "draw".to_owned()];
    let log = logs::open(&audit, &regime(&["domain"], target_column())).unwrap();
    let blocks = self::blocks(&log, &[]).unwrap();
    assert_eq!(blocks[0].pair_ratios[0..1], [(0.5_f64.ln() + 2.0).exp()]);
    assert_eq!(blocks[0].pair_ratios[3..4], [0.0]);
    assert_eq!(blocks[0].propensities[1], PropensityState::Invalid(Exclusion::MissingPropensity));
    assert_eq!(blocks[0].propensities[2], PropensityState::Invalid(Exclusion::PropensityAboveOne));
}

#[test]
fn without_a_propensity_column_rows_count_only_where_it_is_not_needed() {
    let folder = Folder::new();
    let csv = "domain,label,target_propensity\nx,a,0.5\n";
    let logged = folder.csv(csv, Pairs::Logged).unwrap();
    assert_eq!(outcomes(&logged), [Outcome::Audited]);
    assert!(logged[0].propensities.is_empty());
    let needed = folder.csv(csv, target_column()).unwrap();
    assert_eq!(outcomes(&needed), [Outcome::Excluded(Exclusion::MissingPropensity)]);
    assert!(!folder.open("log.csv", target_column()).unwrap().has_propensity());
}

#[test]
fn the_first_reason_that_holds_is_given() {
    let folder = Folder::new();
    // Each row cures the first fault of the one before.
    let csv = "event_id,domain,label,propensity,target_propensity\n1,x,a,0.5,0.5\n1,,?,2,2\n2,,?,2,2\n3,x,,2,2\n4,x,?,2,2\n\
               5,x,a,2,2\n6,x,a,0.5,2\n7,x,a,0.5,1\n";
    folder.write("log.csv", csv);
    let log = folder.open("log.csv", target_column()).unwrap();
    let duplicates = logs::duplicates(&log, &()).unwrap().unwrap();
    assert_eq!(duplicates, Duplicates { rows: vec![1], identical: 0, conflicting: 1, missing_ids: 0 });
    let expected = [
        Outcome::Audited,
        Outcome::Excluded(Exclusion::DuplicateId),
        Outcome::Excluded(Exclusion::MissingCovariate),
        Outcome::Excluded(Exclusion::MissingLabel),
        Outcome::Excluded(Exclusion::UnknownLabel),
        Outcome::Excluded(Exclusion::PropensityAboveOne),
        Outcome::Excluded(Exclusion::InvalidTargetPropensity),
        Outcome::Audited,
    ];
    assert_eq!(outcomes(&blocks(&log, &duplicates.rows).unwrap()), expected);
}

#[test]
fn uniform_pairs_count_the_responses_of_each_prompt() {
    let folder = Folder::new();
    folder
        .write("log.csv", "prompt_id,domain,label,propensity\n1,x,a,0.25\n2,x,a,0.5\n3,x,a,0.5\n,x,a,0.5\n9,x,a,0.5\n");
    // As integers here, as text in the log.
    let responses = vec![("response_id", integers(&[1, 2, 3, 4, 5, 6])), ("prompt_id", integers(&[1, 1, 2, 1, 3, 2]))];
    write_parquet(&folder.path("responses.parquet"), responses, 2);
    let mut audit = folder.audit("log.csv");
    let regime = regime(&["domain"], Pairs::UniformResponses);
    assert_says(&error(logs::open(&audit, &regime)), &["audit.yaml", "needs the responses file"]);
    audit.logs.responses = Some("responses.parquet".to_owned());
    let log = logs::open(&audit, &regime).unwrap();
    let file = log.responses_file().unwrap();
    assert_eq!((file.name.as_str(), file.rows), ("responses.parquet", Some(6)));
    let blocks = blocks(&log, &[]).unwrap();
    // K = 3, 2, 1: 1/6, 1/2, none.
    assert_eq!(blocks[0].pair_ratios[..2], [1.0 / 6.0 / 0.25, 1.0]);
    let invalid = Outcome::Excluded(Exclusion::InvalidTargetPropensity);
    assert_eq!(outcomes(&blocks), [Outcome::Audited, Outcome::Audited, invalid, invalid, invalid]);
    folder.write("responses.csv", "id,prompt_id\n1,1\n");
    audit.logs.responses = Some("responses.csv".to_owned());
    assert_says(&error(logs::open(&audit, &regime)), &["responses.csv", "no column `response_id`"]);
    folder.write("responses.csv", "response_id,prompt_id\n1,1\n2,\n");
    assert_says(&error(logs::open(&audit, &regime)), &["responses.csv", "row 2", "no prompt_id"]);
    folder.write("noprompt.csv", "domain,label,propensity\nx,a,0.25\n");
    audit.logs.path = "noprompt.csv".to_owned();
    audit.logs.responses = Some("responses.parquet".to_owned());
    assert_says(&error(logs::open(&audit, &regime)), &["no column is mapped to prompt"]);
}

// ---- malformed files ----

#[test]
fn text_where_a_number_belongs_names_row_and_column() {
    let folder = Folder::new();
    let csv = "domain,label,propensity,target_propensity\n\"a\nb\",a,0.5,0.5\nx,a,half,0.5\nx,a,0.5,1/3\n";
    let said = error(folder.csv(csv, target_column()));
    assert_says(&said, &["log.csv: row 2, column `propensity`: `half` is not a number"]);
    let said = error(folder.csv(&csv.replace("half", "0.5"), target_column()));
    assert_says(&said, &["row 3, column `target_propensity`: `1/3`"]);
    // In the second run of rows, after 65,536 rows; no more than 20 problems.
    let mut long = String::from("domain,label,propensity\n");
    long.push_str(&"x,a,0.5\n".repeat(70_000));
    long.push_str(&"x,a,nope\n".repeat(30));
    let Err(Problems(problems)) = folder.csv(&long, Pairs::Logged) else { unreachable!("an error is expected") };
    assert_eq!(problems.len(), 20);
    assert_says(&problems[0].message, &["row 70001, column `propensity`"]);
    folder.write(
        "log.jsonl",
        "{\"domain\":\"x\",\"label\":\"a\",\"propensity\":0.5}\n\n{\"domain\":\"x\",\"propensity\":true}\n",
    );
    assert_says(
        &error(folder.scan("log.jsonl", Pairs::Logged)),
        &["row 2, column `propensity`: `true` is not a number"],
    );
}

#[test]
fn byte_order_marks_and_carriage_returns_are_no_content() {
    let folder = Folder::new();
    let blocks = folder.csv("\u{feff}domain,label\r\nx,a\r\n\r\ny,b", Pairs::Logged).unwrap();
    assert_eq!(
        (blocks[0].cells.concat(), labels(&blocks)),
        (vec!["x".to_owned(), "y".to_owned()], vec![Label::A, Label::B])
    );
    let lines = "\u{feff}{\"domain\":\"x\",\"label\":\"a\"}\r\n\r\n{\"domain\":\"y\",\"label\":\"b\"}";
    folder.write("log.jsonl", lines);
    assert_eq!(rows(&folder.scan("log.jsonl", Pairs::Logged).unwrap()), rows(&blocks));
}

#[test]
fn malformed_csv_names_the_row() {
    let folder = Folder::new();
    let said = error(folder.csv("domain,label\nx,a\n\"y\n\",b\nz\n", Pairs::Logged));
    assert_says(&said, &["log.csv: row 3: incorrect number of fields: expected 2 got 1"]);
    let said = error(folder.csv("domain,label\nx\n", Pairs::Logged));
    assert_says(&said, &["row 1: incorrect number of fields: expected 2 got 1"]);
    let said = error(folder.csv("domain,label\nx,a\ny,b,c\n", Pairs::Logged));
    assert_says(&said, &["row 2: incorrect number of fields"]);
    folder.write("log.csv", b"domain,label\nx,a\n\xff,b\n");
    assert_says(&error(folder.scan("log.csv", Pairs::Logged)), &["row 2", "UTF-8"]);
    folder.write("log.csv", b"dom\xffain,label\nx,a\n");
    assert_says(&error(folder.scan("log.csv", Pairs::Logged)), &["log.csv", "UTF-8"]);
}

#[test]
fn malformed_ndjson_names_the_line() {
    let folder = Folder::new();
    let scan = |content: &str| {
        folder.write("log.jsonl", content);
        error(folder.scan("log.jsonl", Pairs::Logged))
    };
    let good = "{\"domain\":\"x\",\"label\":\"a\"}\n";
    assert_says(&scan(&format!("{good}\n{{\"domain\":\n")), &["log.jsonl: line 3, byte"]);
    assert_says(&scan(&format!("{good}[1]\n")), &["line 2", "JSON object"]);
    assert_says(&scan(&format!("{good}{good}").replace("}\n{", "} {")), &["line 1", "trailing"]);
    assert_says(&scan("{\"domain\":\"x\",\"label\":\"a\",\"label\":\"b\"}"), &["line 1", "`label` appears twice"]);
    assert_says(&scan(&format!("{good}{{\"domain\":[1],\"label\":\"a\"}}\n")), &["line 2", "`domain` holds a list"]);
    let deep = format!("{good}{{\"other\":{}1{},\"domain\":\"x\"}}\n", "[".repeat(100_000), "]".repeat(100_000));
    folder.write("log.jsonl", deep);
    // Read over or refused, never a crash.
    let _ = folder.scan("log.jsonl", Pairs::Logged);
    let deep = format!("{good}{{\"domain\":{}1{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert_says(&scan(&deep), &["line 2"]);
    let deep =
        format!("{{\"domain\":\"x\",\"label\":\"a\",\"response_a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_says(&scan(&deep), &["line 1"]);
}

#[test]
fn a_line_of_more_than_64_mib_is_refused() {
    let folder = Folder::new();
    let mut line = String::from("{\"domain\":\"");
    line.push_str(&"x".repeat(64 << 20));
    folder.write("log.jsonl", line);
    assert_says(&error(folder.scan("log.jsonl", Pairs::Logged)), &["line 1 is longer than 64 MiB"]);
}

#[test]
fn damaged_compressed_files_are_problems() {
    let folder = Folder::new();
    let mut content = String::from("domain,label\n");
    for row in 0..20_000 {
        content.push_str(&format!("d{},a\n", row * 7919 % 10_007));
    }
    for (name, bytes) in
        [("log.csv.gz", gzip(content.as_bytes())), ("log.csv.zst", zstd::encode_all(content.as_bytes(), 3).unwrap())]
    {
        folder.write(name, &bytes[..bytes.len() - 20]);
        assert_says(&error(folder.scan(name, Pairs::Logged)), &[name, "cannot be read"]);
        let mut flipped = bytes.clone();
        let middle = bytes.len() / 2;
        flipped[middle] ^= 0x55;
        folder.write(name, &flipped);
        let _ = folder.scan(name, Pairs::Logged);
        folder.write(name, content.as_bytes());
        assert_says(&error(folder.scan(name, Pairs::Logged)), &[name]);
    }
}

#[test]
fn damaged_parquet_is_a_problem_and_never_a_panic() {
    let folder = Folder::new();
    write_parquet(&folder.path("log.parquet"), example_columns(), 4);
    let good = std::fs::read(folder.path("log.parquet")).unwrap();
    let regime = regime(&["domain", "user_type"], target_column());
    let check = |bytes: &[u8]| {
        folder.write("bad.parquet", bytes);
        let log = logs::open(&folder.audit("bad.parquet"), &regime);
        let scanned = log.and_then(|log| blocks(&log, &[]).and_then(|_| logs::duplicates(&log, &())));
        if let Err(problems) = scanned {
            assert!(problems.0.iter().all(|problem| problem.file == "bad.parquet"), "{}", text(&problems));
            return true;
        }
        false
    };
    for length in (0..good.len()).step_by(37) {
        assert!(check(&good[..length]), "a file cut short to {length} bytes was read");
    }
    let mut damaged = good.clone();
    for at in (0..good.len()).step_by(3) {
        damaged[at] = good[at] ^ [0xff, 0x01, 0x80][at / 3 % 3];
        check(&damaged);
        damaged[at] = good[at];
    }
    for content in [b"PAR1".as_slice(), b"PAR1PAR1", &[0; 100], b"event_id,domain\n1,x\n"] {
        check(content);
    }
}

// ---- duplicates ----

#[test]
fn duplicates_are_told_apart_by_every_mapped_column() {
    let folder = Folder::new();
    let header = "event_id,domain,label,annotator_id,remark\n";
    let scan = |rows: &str| {
        folder.write("log.csv", format!("{header}{rows}"));
        logs::duplicates(&folder.open("log.csv", Pairs::Logged).unwrap(), &()).unwrap().unwrap()
    };
    assert_eq!(scan("1,x,a,ann,\n2,x,a,ann,\n"), Duplicates::default());
    // An unmapped column does not count, an unused role does, and so does where a text ends.
    let found = scan("1,x,a,ann,p\n2,y,b,bob,\n1,x,a,ann,q\n1,x,a,eve,p\n2,yb,,bob,\n1,x,a,ann,\n");
    assert_eq!(found, Duplicates { rows: vec![2, 3, 4, 5], identical: 2, conflicting: 2, missing_ids: 0 });
    // Rows without an id are no copies of each other.
    let found = scan(",x,a,ann,\n,x,a,ann,\nNA,x,a,ann,\n7,x,a,ann,\n7,x,a,ann,\n");
    assert_eq!(found, Duplicates { rows: vec![4], identical: 1, conflicting: 0, missing_ids: 3 });
    folder.write("log.csv", "domain,label\nx,a\n");
    assert_eq!(logs::duplicates(&folder.open("log.csv", Pairs::Logged).unwrap(), &()).unwrap(), None);
}

/// Ids that ascend are not kept; whatever breaks the order, within a file or between two, must be seen.
#[test]
fn ids_that_ascend_but_for_one_place_are_compared() {
    let folder = Folder::new();
    let write = |name: &str, ids: ArrayRef| {
        let n = ids.len();
        let columns = vec![("event_id", ids), ("domain", words(&vec!["x"; n])), ("label", words(&vec!["a"; n]))];
        write_parquet(&folder.path(name), columns, 2);
    };
    let found = |files: [ArrayRef; 2]| {
        let [a, b] = files;
        write("a.parquet", a);
        write("b.parquet", b);
        logs::duplicates(&folder.open("?.parquet", Pairs::Logged).unwrap(), &()).unwrap().unwrap()
    };
    let copies =
        |rows: &[u64]| Duplicates { rows: rows.to_vec(), identical: rows.len() as u64, ..Duplicates::default() };
    let unsigned = |ids: &[u64]| -> ArrayRef { Arc::new(UInt64Array::from(ids.to_vec())) };
    // Negative ones first; the second file may begin anywhere above the first one's end, and repeats it where it does not.
    assert_eq!(found([integers(&[-3, -1, 0, 7]), integers(&[8, 9])]), copies(&[]));
    assert_eq!(found([integers(&[-3, -1, 0, 7]), integers(&[7, 9])]), copies(&[4]));
    assert_eq!(found([integers(&[1, 2, 3]), integers(&[1, 2, 3])]), copies(&[3, 4, 5]));
    assert_eq!(found([integers(&[1, 2, 2]), integers(&[5])]), copies(&[2]));
    assert_eq!(found([integers(&[9, 1]), integers(&[5])]), copies(&[]));
    // The same 64 bits, read as signed and as unsigned, are two ids.
    assert_eq!(found([unsigned(&[7, u64::MAX]), unsigned(&[u64::MAX])]), copies(&[2]));
    assert_eq!(found([integers(&[-1, 4]), unsigned(&[5, u64::MAX])]), copies(&[]));
    assert_eq!(found([integers(&[-1, 4]), unsigned(&[4, u64::MAX])]), copies(&[2]));
    // As text, 10 is below 9: that is no order, and no copy either.
    assert_eq!(found([strings(&[Some("8"), Some("9")]), integers(&[10, 11])]), copies(&[]));
    assert_eq!(found([words(&["a", "b"]), words(&["b", "c"])]), copies(&[2]));
    let missing = found([strings(&[Some("a"), None, Some("NA")]), strings(&[Some("b"), None])]);
    assert_eq!(missing, Duplicates { missing_ids: 3, ..Duplicates::default() });
}

#[test]
fn copies_with_lists_and_instants_are_compared() {
    let folder = Folder::new();
    let mut list = ListBuilder::new(StringBuilder::new());
    for words in [["x", "y"], ["x", "y"], ["xy", ""], ["x", "y"]] {
        words.into_iter().for_each(|word| list.values().append_value(word));
        list.append(true);
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("event_id", integers(&[5, 5, 5, 5])),
        ("domain", words(&["x"; 4])),
        ("features_a", Arc::new(list.finish())),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from(vec![7, 7, 7, 8]).with_timezone("UTC"))),
    ];
    write_parquet(&folder.path("log.parquet"), columns, 3);
    let found = logs::duplicates(&folder.open("log.parquet", Pairs::Logged).unwrap(), &()).unwrap();
    assert_eq!(found, Some(Duplicates { rows: vec![1, 2, 3], identical: 1, conflicting: 2, missing_ids: 0 }));
}

#[test]
fn duplicates_are_found_across_row_groups_files_and_formats() {
    let folder = Folder::new();
    let n = 5000_i64;
    let mut ids: Vec<i64> = (0..n).collect();
    ids[4321] = 17;
    ids[4999] = 4000;
    let columns = |n: usize| vec![("domain", words(&vec!["x"; n])), ("label", words(&vec!["a"; n]))];
    let with_ids = |ids: &[i64]| {
        let mut all = columns(ids.len());
        all.push(("event_id", integers(ids)));
        all
    };
    write_parquet(&folder.path("a.parquet"), with_ids(&ids), 1000);
    write_parquet(&folder.path("b.parquet"), with_ids(&[3, -1, n]), 1000);
    let log = folder.open("?.parquet", Pairs::Logged).unwrap();
    assert_eq!(log.rows(), Some(5003));
    let found = logs::duplicates(&log, &()).unwrap().unwrap();
    assert_eq!(found, Duplicates { rows: vec![4321, 4999, 5000], identical: 3, conflicting: 0, missing_ids: 0 });
    // With a text file among them, ids are compared as text.
    folder.write("c.csv", "label,event_id,domain\na,-1,x\nb,-1,x\na,007,x\n");
    let found = logs::duplicates(&folder.open("?.*", Pairs::Logged).unwrap(), &()).unwrap().unwrap();
    assert_eq!(
        found,
        Duplicates { rows: vec![4321, 4999, 5000, 5003, 5004], identical: 4, conflicting: 1, missing_ids: 0 }
    );
}

// ---- order ----

#[test]
fn thread_count_changes_nothing() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("logs")).unwrap();
    for file in 0..3 {
        let n = 150_000;
        let domains: Vec<String> = (0..n).map(|row| format!("d{}", row * (file + 3) % 11)).collect();
        let propensity: Vec<f64> = (0..n).map(|row| 1.0 / f64::from(row % 97 + 1)).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("domain", Arc::new(StringArray::from(domains))),
            ("label", words(&vec!["a"; 150_000])),
            ("propensity", floats(&propensity)),
            ("target_propensity", floats(&vec![0.01; 150_000])),
        ];
        write_parquet(&folder.path(&format!("logs/{file}.parquet")), columns, 10_000);
    }
    let mut csv = String::from("domain,label,propensity,target_propensity\n");
    for row in 0..150_000 {
        csv.push_str(&format!("d{},a,0.{},0.5\n", row % 7, row % 89 + 1));
    }
    folder.write("logs/text.csv", csv);
    let log = folder.open("logs", target_column()).unwrap();
    // The log of merges: which block was added where, and which accumulators were joined.
    let trace = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let add = |lines: &mut Vec<String>, block: &Block| {
                let sum: f64 = block.pair_ratios.iter().sum();
                lines.push(format!("{} {} {sum:?} {:?}", block.first_row, block.outcomes.len(), block.cells));
            };
            let mut merge = |lines: &mut Vec<String>, more: Vec<String>| {
                lines.push(format!("merge of {} with {}", lines.len(), more.len()));
                lines.extend(more);
            };
            logs::scan(&log, &Request { what: "test", ..Request::default() }, &(), &Vec::new, &add, &mut merge).unwrap()
        })
    };
    let one = trace(1);
    // Three files of 15 row groups, 14 of which make a task and one the next, and 150,000 rows in runs of 65,536: 9
    // accumulators, 8 merges.
    assert_eq!(one.iter().filter(|line| line.starts_with("merge")).count(), 8);
    assert_eq!(one.len(), 3 * 15 + 3 + 8);
    assert_eq!(trace(2), one);
    assert_eq!(trace(5), one);
    let blocks = blocks(&log, &[]).unwrap();
    let starts: Vec<u64> = blocks.iter().map(|block| block.first_row).collect();
    assert!(starts.is_sorted());
    assert_eq!(rows(&blocks).len(), 600_000);
    assert_eq!(blocks.last().unwrap().first_row, 450_000 + 2 * 65_536);
}

#[test]
fn progress_hears_of_every_row() {
    #[derive(Default)]
    struct Count(std::sync::Mutex<(Option<u64>, u64, u64)>);
    impl logs::Progress for Count {
        fn start(&self, _what: &str, rows: Option<u64>) {
            self.0.lock().unwrap().0 = rows;
        }
        fn advance(&self, rows: u64) {
            self.0.lock().unwrap().1 += rows;
        }
        fn finish(&self) {
            self.0.lock().unwrap().2 += 1;
        }
    }
    let folder = Folder::new();
    write_parquet(&folder.path("log.parquet"), example_columns(), 2);
    let log = folder.open("log.parquet", Pairs::Logged).unwrap();
    let count = Count::default();
    logs::scan(&log, &Request { what: "test", ..Request::default() }, &count, &|| (), &|(), _| (), &mut |(), ()| ())
        .unwrap();
    assert_eq!(*count.0.lock().unwrap(), (Some(9), 9, 1));
}

#[test]
fn digests_are_sha_256() {
    let folder = Folder::new();
    folder.write("abc", "abc");
    // FIPS 180-2, appendix B.1.
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(logs::digest(&folder.path("abc")).unwrap(), expected);
    assert!(logs::digest(&folder.path("nothing")).is_err());
}

// ---- real logs ----

/// The folder of the development data, where it is there.
fn arena() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/arena");
    let found = [folder.clone(), Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/arena")];
    let found = found.into_iter().find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: {} is not there", folder.display());
    }
    found
}

#[test]
fn the_arena_log_is_audited_whole() {
    let Some(folder) = arena() else { return };
    let regime = regime(&["domain", "user_type"], target_column());
    let log = logs::open(&audit(&folder, "logs.parquet"), &regime).unwrap();
    assert_eq!(log.rows(), Some(60_000));
    let blocks = blocks(&log, &[]).unwrap();
    assert_eq!(counts(&blocks), BTreeMap::from([("audited", 60_000)]));
    assert_eq!(logs::duplicates(&log, &()).unwrap(), Some(Duplicates::default()));
    // g_T = 1/380 and g_T/g_O is bounded by the mixture's uniform share.
    let largest = blocks.iter().flat_map(|block| block.pair_ratios.iter().copied()).fold(0.0, f64::max);
    assert!(largest > 1.0 && largest <= 1.0 / 0.35 + 1e-9, "{largest}");
    // The same from the responses file: 20 responses a prompt.
    let mut audit = audit(&folder, "logs.parquet");
    audit.logs.responses = Some("responses.parquet".to_owned());
    let uniform = self::regime(&["domain", "user_type"], Pairs::UniformResponses);
    let again = self::blocks(&logs::open(&audit, &uniform).unwrap(), &[]).unwrap();
    for (block, again) in blocks.iter().zip(&again) {
        for (ratio, again) in block.pair_ratios.iter().zip(&again.pair_ratios) {
            // Both are 1/380 up to the rounding of one division, and one more division.
            assert!((ratio / again - 1.0).abs() <= 4.0 * f64::EPSILON, "{ratio} {again}");
        }
    }
}

#[test]
fn each_arena_variant_has_the_defect_that_its_name_says() {
    let Some(folder) = arena() else { return };
    let regime = regime(&["domain", "user_type"], target_column());
    let read = |name: &str| {
        let log = logs::open(&audit(&folder, &format!("variants/{name}.parquet")), &regime)?;
        let duplicates = logs::duplicates(&log, &())?.unwrap();
        assert_eq!((duplicates.conflicting, duplicates.missing_ids), (0, 0), "{name}");
        assert_eq!(duplicates.identical, duplicates.rows.len() as u64, "{name}");
        Ok(counts(&blocks(&log, &duplicates.rows)?))
    };
    for name in [
        "clean",
        "cell_outside_target",
        "mechanism_changed_silently",
        "one_annotator_always_a",
        "propensity_floored",
        "propensity_of_the_wrong_mechanism",
        "propensity_scaled_down_in_one_cell",
        "propensity_scaled_in_one_cell",
        "wrong_propensity_claimed_uniform",
    ] {
        assert_eq!(read(name).unwrap(), BTreeMap::from([("audited", 60_000)]), "{name}");
    }
    let impossible =
        [("audited", 59_993), ("nonfinite_propensity", 1), ("nonpositive_propensity", 4), ("propensity_above_one", 2)];
    let defects: [(&str, &[(&str, usize)]); 7] = [
        ("duplicate_events", &[("audited", 60_000), ("duplicate_id", 1500)]),
        ("impossible_propensity", &impossible),
        ("missing_propensity", &[("audited", 58_801), ("missing_propensity", 1199)]),
        ("no_propensity_column", &[("missing_propensity", 60_000)]),
        ("null_covariate", &[("audited", 59_999), ("missing_covariate", 1)]),
        ("unknown_label", &[("audited", 59_999), ("unknown_label", 1)]),
        ("unsupported_cell", &[("audited", 56_987)]),
    ];
    for (name, expected) in defects {
        assert_eq!(read(name).unwrap(), expected.iter().copied().collect(), "{name}");
    }
    assert_says(&error(read("empty")), &["the log holds no rows"]);
}
