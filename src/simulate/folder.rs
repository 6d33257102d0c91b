//! A world's log and all that belongs to it, as a folder.

use super::rows::BLOCK_ROWS;
use super::scene::Scene;
use super::truth::Truth;
use crate::logs::{ColumnData, LogFormat, LogWriter, Progress};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The log's file name.
    pub log: String,
    /// The rows in the log, defects included.
    pub rows: u64,
    /// What is true of the world.
    pub truth: Truth,
}

/// Writes a log of `rows` comparisons, block by block, the responses, the documents to audit the log with, and truth.json
/// into a folder that does not exist yet or is empty.
///
/// Memory: some hundred bytes a row for the blocks in work (two for each thread) and for one row group, whatever the
/// log's length; and the world's own tables.
///
/// # Errors
/// The folder is not empty, or something cannot be written.
pub fn write(
    scene: &Scene,
    out: &Path,
    (rows, seed, format): (u64, u64, LogFormat),
    progress: &dyn Progress,
) -> Result<Written> {
    claim(out)?;
    let truth = scene.truth();
    let log = format!("logs.{}", format.extension());
    let json = serde_json::to_string_pretty(&scene.truth_json(&truth, rows, seed)).map_err(Error::other)?;
    std::fs::write(out.join("truth.json"), json + "\n")?;
    std::fs::write(out.join("world.yaml"), &scene.world.source.text)?;
    std::fs::write(out.join("regime.yaml"), scene.regime_yaml(&truth))?;
    std::fs::write(out.join("policy.yaml"), scene.policy_yaml())?;
    std::fs::write(out.join("audit.yaml"), scene.audit_yaml(&log))?;
    let mut responses_file = LogWriter::create(&out.join("responses.parquet"), LogFormat::Parquet)?;
    responses_file.write(&scene.responses())?;
    responses_file.finish()?;
    let rows = write_log(scene, &out.join(&log), (rows, seed, format), progress)?;
    Ok(Written { log, rows, truth })
}

/// Makes the folder, or takes an empty one: nothing that is there is ever overwritten.
fn claim(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out)?;
    if std::fs::read_dir(out)?.next().is_some() {
        let message = format!("{} is not empty; name a new folder, or empty it", out.display());
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    Ok(())
}

/// Draws and writes the log: one run of blocks is drawn while the one before is written.
fn write_log(
    scene: &Scene,
    path: &Path,
    (rows, seed, format): (u64, u64, LogFormat),
    progress: &dyn Progress,
) -> Result<u64> {
    progress.start("simulating", Some(rows));
    let mut writer = LogWriter::create(path, format)?;
    let blocks = rows.div_ceil(BLOCK_ROWS);
    let run_length = 2 * rayon::current_num_threads() as u64;
    let draw = |first: u64| -> Vec<Vec<(String, ColumnData)>> {
        let run = first..blocks.min(first + run_length);
        run.into_par_iter().map(|block| scene.block_columns(rows, seed, block)).collect()
    };
    let mut next = 0;
    let mut run = draw(next);
    while !run.is_empty() {
        next += run_length;
        let (written, drawn) = rayon::join(
            || -> Result<()> {
                for columns in &run {
                    writer.write(columns)?;
                    progress.advance(columns.first().map_or(0, |(_, column)| column.len() as u64));
                }
                Ok(())
            },
            || draw(next),
        );
        written?;
        run = drawn;
    }
    progress.finish();
    writer.finish()
}

impl Scene {
    /// The responses: identifiers, the features that a tilt can be fitted on, scores, and log pi of every policy in nats.
    pub fn responses(&self) -> Vec<(String, ColumnData)> {
        let all: Vec<_> =
            self.prompts.iter().flat_map(|prompt| prompt.responses.iter().map(move |r| (prompt, r))).collect();
        let text = |value: &dyn Fn(usize) -> Option<String>| ColumnData::Text((0..all.len()).map(value).collect());
        let number = |value: &dyn Fn(usize) -> Option<f64>| ColumnData::Number((0..all.len()).map(value).collect());
        let mut columns = vec![
            ("response_id".to_owned(), text(&|at| all.get(at).map(|(_, r)| r.id.clone()))),
            ("prompt_id".to_owned(), text(&|at| all.get(at).map(|(prompt, _)| prompt.id.clone()))),
            (
                "domain".to_owned(),
                text(&|at| all.get(at).and_then(|(prompt, _)| self.domains.get(prompt.domain)).cloned()),
            ),
            ("generator".to_owned(), text(&|at| all.get(at).and_then(|(_, r)| r.generator.clone()))),
            ("base".to_owned(), number(&|at| all.get(at).map(|(_, r)| r.base))),
            ("attribute".to_owned(), number(&|at| all.get(at).map(|(_, r)| r.attribute))),
            ("features".to_owned(), ColumnData::Numbers(all.iter().map(|(_, r)| vec![r.base, r.attribute]).collect())),
        ];
        for policy in &self.policies {
            let logp: Vec<Option<f64>> = policy.logp.iter().flatten().copied().map(Some).collect();
            columns.push((format!("{}_logp", policy.name), ColumnData::Number(logp)));
        }
        columns
    }
}
