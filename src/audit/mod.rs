//! The library's front door: a declaration and its logs, or their statistics, in; the record of the audit out.
//!
//! Owns: the order of the steps and the translation of their results into the record.
//! Must never: compute, judge or render; each step does its own.

mod assumptions;
mod candidates;
mod diff;
pub mod draft;
mod people;
mod record;
mod refits;
mod robustness;
mod rules;
mod subgroups;
mod training;

pub use diff::diff;
pub use training::{RowWeights, row_weights};

use crate::change::{Frozen, State};
use crate::checks::{Basis, Evidence};
use crate::declare::{Declaration, Problem, Problems, Role};
use crate::estimate::{Comparisons, Evaluation};
use crate::labels::LabelEvidence;
use crate::logs::{self, Duplicates, Exclusion, Log, LogFile, Progress};
use crate::refit::{Artefact, Refit};
use crate::report::{self, Report};
use crate::sensitivity::{Coarsened, PolicyPair, Unfitting};
use crate::statistics::groups::{self, Groups};
use crate::statistics::{Collected, Conditions, SourceFile, SourceRole, Statistics};
use crate::verdict::Judgement;
use crate::{change, checks, estimate, labels, sensitivity, statistics, verdict, weights};
use chrono::NaiveDate;
use std::path::{Path, PathBuf};

/// What an audit works from.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The rows of the logs that the audit document names.
    Rows,
    /// Statistics files, merged in this order; the logs need not be there.
    Statistics(&'a [StatisticsFile]),
}

/// A file of statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatisticsFile {
    /// The name that reports show.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// What an audit leaves behind.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The record.
    pub report: Report,
    /// The statistics that it was made from: [`statistics::write`] keeps them.
    pub statistics: Collected,
    /// The fitted policies by candidate.
    pub policies: Vec<(String, Artefact)>,
}

/// The record of an earlier audit, to be held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// The name that reports show.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The record.
    pub report: Report,
}

/// What an audit is held against beside its policy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Against<'a> {
    /// An earlier audit.
    pub baseline: Option<&'a Baseline>,
    /// A protocol that was signed before labels were seen, its signature verified.
    pub protocol: Option<&'a Frozen>,
    /// The folder that keeps finished fits of candidates, so that a run that was cut off goes on; kept nowhere without.
    pub checkpoints: Option<&'a Path>,
}

/// Audits what a declaration declares, held against its policy alone. See [`audit_against`].
///
/// # Errors
/// Those of [`audit_against`].
pub fn audit(
    declaration: &Declaration,
    input: Input<'_>,
    as_of: NaiveDate,
    progress: &dyn Progress,
) -> Result<Audited, Problems> {
    audit_against(declaration, input, Against::default(), as_of, progress)
}

/// Audits what a declaration declares.
///
/// `as_of` is the date that waivers and ages refer to: an input, so that the same inputs give the same record.
///
/// # Errors
/// Everything that keeps the audit from running: unreadable or malformed logs or statistics, columns that are not there,
/// no rows, statistics that do not fit together or do not fit the declaration. A log that runs but does not support the
/// target is no error: its record says block.
pub fn audit_against(
    declaration: &Declaration,
    input: Input<'_>,
    against: Against<'_>,
    as_of: NaiveDate,
    progress: &dyn Progress,
) -> Result<Audited, Problems> {
    let (log, collected, files) = match input {
        Input::Rows => {
            let (log, collected) = scan(declaration, progress)?;
            (Some(log), collected, Vec::new())
        }
        Input::Statistics(files) => {
            let (collected, files) = read(declaration, files)?;
            (None, collected, files)
        }
    };
    let withheld = collected.statistics.excluded_for(Exclusion::Withheld);
    let basis = if log.is_some() { Basis::Rows } else { Basis::Statistics { scans: collected.scans, withheld } };
    let Declaration { audit, regime, policy, .. } = declaration;
    let weights = weights::weigh(&collected.statistics, regime);
    let calibration = weights::calibrate(&collected.statistics, regime);
    let groups = groups(declaration, log.as_ref(), &collected, &weights, progress)?;
    let candidates =
        judged_candidates(declaration, log.as_ref(), (&collected, &weights), against.checkpoints, progress)?;
    let departures = against.protocol.map(|frozen| {
        (frozen, change::departures(frozen, &regime.declared, &policy.declared(), &audit.evaluation(), as_of))
    });
    let targets = weights.cells.iter().map(|(levels, cell)| (levels.clone(), cell.p_target)).collect();
    let information = weights::information(&collected.statistics, &regime.cells, &targets);
    let mut evidence = Evidence {
        regime,
        audit,
        mapped: &collected.conditions.columns,
        basis,
        statistics: &collected.statistics,
        duplicates: collected.duplicates.as_ref(),
        weights: &weights,
        calibration: calibration.as_ref(),
        groups: groups.as_ref(),
        changes: None,
        protocol: departures.as_ref().map(|(frozen, departures)| (*frozen, departures.as_slice())),
        comparisons: candidates.comparisons.as_ref(),
        pairs: candidates.pairs.as_deref(),
        evaluation: candidates.evaluation.as_ref(),
        refits: &candidates.refits,
        coarsenings: candidates.coarsenings.as_ref().map(|own| own.as_deref()),
        labels: candidates.labels.as_ref(),
        information: &information,
        as_of,
    };
    let clipping = weights::clip_all(&collected.statistics, &weights, &policy.clip);
    let record = |evidence: &Evidence, judgement: &Judgement| {
        record::record(declaration, (&collected, &files), evidence, judgement, &clipping, against)
    };
    // Both sides of the comparison are records, translated alike; this one's checks have not run yet.
    let changes = against.baseline.map(|baseline| {
        let so_far = State { results: None, ..report::state(&record(&evidence, &verdict::unjudged(policy, as_of))) };
        change::compare(&report::state(&baseline.report), &so_far)
    });
    evidence.changes = changes.as_deref();
    let standing = rules::standing(policy, against);
    let judgement = verdict::judge(&evidence, &standing);
    let report = record(&evidence, &judgement);
    let policies = refits::artefacts(declaration, log.as_ref(), &candidates.refits);
    Ok(Audited { report, statistics: collected, policies })
}

/// The second scan, for the roles that are summed by: without any of them there is nothing to do. From statistics, what it
/// would find is unknown, which is said as if there were too many values to keep.
fn groups(
    declaration: &Declaration,
    log: Option<&Log>,
    collected: &Collected,
    weights: &weights::Weights,
    progress: &dyn Progress,
) -> Result<Option<Groups>, Problems> {
    let columns = &collected.conditions.columns;
    let mapped: Vec<Role> = groups::ROLES.into_iter().filter(|role| columns.contains_key(role)).collect();
    if mapped.is_empty() {
        return Ok(None);
    }
    let Some(log) = log else {
        return Ok(Some(Groups { roles: mapped.into_iter().map(|role| (role, None)).collect(), ..Groups::default() }));
    };
    let skip = collected.duplicates.as_ref().map_or(&[][..], |duplicates| &duplicates.rows);
    let context = weights::row_factors(&collected.statistics, &declaration.regime, weights);
    groups::collect(log, skip, &context, &declaration.audit.identify, progress).map(Some)
}

/// What is computed of the candidates: nothing without candidates, or without the rows.
#[derive(Default)]
struct Candidates {
    comparisons: Option<Comparisons>,
    refits: Vec<Refit>,
    evaluation: Option<Evaluation>,
    pairs: Option<Vec<PolicyPair>>,
    coarsenings: Option<Result<Vec<Coarsened>, Unfitting>>,
    labels: Option<LabelEvidence>,
}

/// Reads what the candidates are judged on, fits those that are to be fitted, and evaluates all of them. `checkpoints` is the
/// folder that keeps finished fits.
fn judged_candidates(
    declaration: &Declaration,
    log: Option<&Log>,
    (collected, weights): (&Collected, &weights::Weights),
    checkpoints: Option<&Path>,
    progress: &dyn Progress,
) -> Result<Candidates, Problems> {
    let Declaration { audit, regime, policy, .. } = declaration;
    let Some(log) = log.filter(|_| !audit.candidates.is_empty()) else { return Ok(Candidates::default()) };
    let mut table = read_comparisons(declaration, log, collected, weights, progress)?;
    let (responses, selected) = (log.responses(), collected.statistics.inclusions.is_some());
    let sample = estimate::collect_target_sample(log, audit, &table, progress)?;
    let given = estimate::TargetPairs { sample: sample.as_ref(), responses, selected };
    let refits = refits::fit(declaration, &given, &mut table, checkpoints, progress);
    let pair_bound = weights::largest_pair_ratio(&collected.statistics, regime);
    let mut evaluation = estimate::evaluate(&table, regime, &policy.clip, pair_bound);
    estimate::add_doubly_robust(&mut evaluation, &table, regime, audit, &given);
    let settings = checks::sensitivity_settings(&policy.checks);
    let pairs = settings.map(|(gamma, lambda)| sensitivity::compare_all(&table, &gamma, &lambda));
    let coarsenings = checks::coarsening_rows(&policy.checks)
        .map(|rows| sensitivity::coarsen_all(&table, &evaluation, &regime.cells, &policy.coarsenings, rows));
    let labels = labels::evidence(&table, regime, audit, responses);
    Ok(Candidates {
        comparisons: Some(table),
        refits,
        evaluation: Some(evaluation),
        pairs,
        coarsenings,
        labels: Some(labels),
    })
}

/// The third scan, for what candidates are judged on.
fn read_comparisons(
    declaration: &Declaration,
    log: &Log,
    collected: &Collected,
    weights: &weights::Weights,
    progress: &dyn Progress,
) -> Result<Comparisons, Problems> {
    let Declaration { audit, regime, .. } = declaration;
    let skip = collected.duplicates.as_ref().map_or(&[][..], |duplicates| &duplicates.rows);
    let context = weights::row_factors(&collected.statistics, regime, weights);
    estimate::collect(log, audit, skip, (weights, &context), progress)
}

/// What the candidates of a declaration are judged on, without the audit around it. `None` without candidates.
///
/// # Errors
/// Those of [`audit`], from its scans.
pub fn comparisons(declaration: &Declaration, progress: &dyn Progress) -> Result<Option<Comparisons>, Problems> {
    let (log, collected) = scan(declaration, progress)?;
    let weights = weights::weigh(&collected.statistics, &declaration.regime);
    if declaration.audit.candidates.is_empty() {
        return Ok(None);
    }
    read_comparisons(declaration, &log, &collected, &weights, progress).map(Some)
}

/// Scans the logs that a declaration names, and keeps where the statistics come from.
///
/// # Errors
/// Unreadable or malformed logs, columns that are not there, no rows.
pub fn collect(declaration: &Declaration, progress: &dyn Progress) -> Result<Collected, Problems> {
    scan(declaration, progress).map(|(_, collected)| collected)
}

/// The log, and what the first scan leaves behind.
fn scan(declaration: &Declaration, progress: &dyn Progress) -> Result<(Log, Collected), Problems> {
    let Declaration { audit, regime, .. } = declaration;
    let log = logs::open(audit, regime)?;
    // Hashing a file is work for one thread.
    let (counted, sources) = rayon::join(|| count(&log, progress), || sources(&log));
    let ((duplicates, statistics), mut sources) = (counted?, sources?);
    if let [file] = log.files.as_slice() {
        sources.iter_mut().take(1).for_each(|source| source.rows = file.rows.or(Some(statistics.rows_read)));
    }
    let conditions = Conditions::new(audit, regime, log.mapped.clone());
    Ok((log, Collected { conditions, scans: 1, sources, duplicates, statistics }))
}

/// Copies of rows, and the first scan.
fn count(log: &Log, progress: &dyn Progress) -> Result<(Option<Duplicates>, Statistics), Problems> {
    let duplicates = logs::duplicates(log, progress)?;
    let skip = duplicates.as_ref().map_or(&[][..], |duplicates| &duplicates.rows);
    let statistics = statistics::collect(log, skip, progress)?;
    Ok((duplicates, statistics))
}

/// The log's files, in order, the responses file, and those of the sample of the target.
fn sources(log: &Log) -> Result<Vec<SourceFile>, Problems> {
    let logs = log.files.iter().map(|file| source(SourceRole::Log, file, file.rows));
    let responses = log.responses_file().map(|file| source(SourceRole::Responses, file, file.rows));
    let sample = log.target_sample().into_iter().flat_map(|sample| &sample.files);
    logs.chain(responses).chain(sample.map(|file| source(SourceRole::TargetSample, file, file.rows))).collect()
}

fn source(role: SourceRole, file: &LogFile, rows: Option<u64>) -> Result<SourceFile, Problems> {
    let sha256 = digest(&file.path, &file.name)?;
    Ok(SourceFile { role, name: file.name.clone(), sha256, bytes: file.bytes, rows })
}

/// Reads statistics files, merges them and holds them against the declaration. Also gives the files as inputs.
fn read(declaration: &Declaration, files: &[StatisticsFile]) -> Result<(Collected, Vec<report::Input>), Problems> {
    let mut all = Vec::with_capacity(files.len());
    let mut inputs = Vec::with_capacity(files.len());
    let mut problems = Vec::new();
    for file in files {
        match read_one(declaration, file) {
            Ok((collected, input)) => {
                all.push((file.name.clone(), collected));
                inputs.push(input);
            }
            Err(Problems(more)) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok((Collected::merge_all(all)?, inputs)) } else { Err(Problems(problems)) }
}

fn read_one(declaration: &Declaration, file: &StatisticsFile) -> Result<(Collected, report::Input), Problems> {
    let StatisticsFile { name, path } = file;
    let collected = statistics::read(path, name)?;
    collected.fits(name, &declaration.audit, &declaration.regime)?;
    let input = report::Input {
        role: "statistics".to_owned(),
        name: name.clone(),
        sha256: digest(path, name)?,
        bytes: std::fs::metadata(path).map_err(|error| unreadable(name, &error))?.len(),
        rows: Some(collected.statistics.rows_read),
    };
    Ok((collected, input))
}

fn digest(path: &Path, name: &str) -> Result<String, Problems> {
    logs::digest(path).map_err(|error| unreadable(name, &error))
}

fn unreadable(name: &str, error: &std::io::Error) -> Problems {
    Problems(vec![Problem {
        file: name.to_owned(),
        position: None,
        width: 1,
        line: None,
        message: format!("cannot be read for its digest: {error}"),
        help: None,
    }])
}
