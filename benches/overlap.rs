//! What an audit of a Parquet log costs, step by step, beside decoding alone.
//!
//! `cargo bench --bench overlap -- FOLDER` audits FOLDER/log.parquet with the columns of the performance table in
//! docs/performance.md (20 million rows); without FOLDER it makes a telemetry log of 1,000,000 rows. Every step is timed
//! three times and the median printed: figures to read, not a test.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench program: its output is the point")]

use counterweight::audit::Input;
use counterweight::declare::{self, Declaration};
use counterweight::logs::{self, write_parquet};
use counterweight::simulate::{World, columns, rows};
use counterweight::{audit, report, statistics, weights};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use rayon::prelude::*;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

const REPEATS: usize = 3;

fn main() {
    let sandbox = tempfile::tempdir().unwrap();
    // `cargo bench` passes `--bench` along.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let (log, regime) = match &folder {
        Some(folder) => (folder.join("log.parquet"), SPEED_REGIME),
        None => (telemetry(sandbox.path()), include_str!("../examples/telemetry/regime.yaml")),
    };
    let declaration = declaration(sandbox.path(), &log, regime);
    let Declaration { audit: document, regime, .. } = &declaration;
    let opened = logs::open(document, regime).unwrap();
    println!("{} rows, {} threads, median of {REPEATS}", opened.rows().unwrap_or(0), rayon::current_num_threads());

    let decode = time("decode every column, parquet crate alone", || decode_all(&log));
    let collected = statistics::collect(&opened, &[], &()).unwrap();
    let scan = time("scan: statistics of every cell", || statistics::collect(&opened, &[], &()).unwrap());
    let factors = weights::row_factors(&collected, regime, &weights::weigh(&collected, regime));
    let groups = || statistics::groups::collect(&opened, &[], &factors, &[], &()).unwrap();
    let second = time("scan: sums by prompt, annotator and user", groups);
    let duplicates = time("scan: duplicate ids", || logs::duplicates(&opened, &()).unwrap());
    time("SHA-256 of the log", || logs::digest(&log).unwrap());
    time("another target on the same statistics", || weights::weigh(&collected, regime));
    time("whole audit, to the record", || {
        audit::audit(&declaration, Input::Rows, "2026-11-01".parse().unwrap(), &()).unwrap()
    });
    let record = audit::audit(&declaration, Input::Rows, "2026-11-01".parse().unwrap(), &()).unwrap().report;
    time("record to HTML", || report::html(&record).unwrap());
    println!(
        "of decoding: scan {:.2}, second scan {:.2}, duplicates {:.2}",
        scan / decode,
        second / decode,
        duplicates / decode
    );
}

fn time<T>(what: &str, mut step: impl FnMut() -> T) -> f64 {
    let mut seconds: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(step());
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[REPEATS / 2];
    println!("{what:<44} {median:>9.4} s");
    median
}

/// Row groups in parallel, every column to arrow arrays as the file describes them, results dropped.
fn decode_all(path: &Path) -> usize {
    let metadata = ArrowReaderMetadata::load(&File::open(path).unwrap(), ArrowReaderOptions::new()).unwrap();
    (0..metadata.metadata().num_row_groups())
        .into_par_iter()
        .map(|group| {
            let file = File::open(path).unwrap();
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
            let reader = builder.with_row_groups(vec![group]).with_batch_size(65_536).build().unwrap();
            reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
        })
        .sum()
}

fn telemetry(folder: &Path) -> PathBuf {
    let path = folder.join("log.parquet");
    write_parquet(&path, &columns(&rows(&World::telemetry(), 1_000_000, 1))).unwrap();
    path
}

fn declaration(folder: &Path, log: &Path, regime: &str) -> Declaration {
    std::fs::write(folder.join("regime.yaml"), regime).unwrap();
    let audit = format!("schema: counterweight/audit/v1\nregime: regime.yaml\nlogs:\n  path: {}\n", log.display());
    std::fs::write(folder.join("audit.yaml"), audit).unwrap();
    declare::load(&folder.join("audit.yaml"), &[]).unwrap()
}

const SPEED_REGIME: &str = "\
schema: counterweight/regime/v1
name: speed
version: 1.0.0
effective: 2026-10-01
owner: benchmark
motivation: every cell alike
cells: [domain, user_type]
target:
  uniform:
    domain: [coding, math, writing, chat, law, medicine, science, history, finance, travel, games, other]
    user_type: [new, casual, power, api]
pairs: {column: target_propensity}
";
