//! The record's part about assumptions: coarser proxies, how closely the log ties covariates, and what the labels say.

use super::record::{CellKey, EstimateRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How closely the log ties one covariate of the cells to the others, in nats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InformationRecord {
    /// The covariate.
    pub covariate: String,
    /// Audited rows.
    pub n: u64,
    /// The mutual information with the other covariates together, less its bias.
    pub information: f64,
    /// The same before the correction.
    pub plug_in: f64,
    /// Its standard error; null where rows stand for different numbers of comparisons.
    pub se: Option<f64>,
    /// The p-value of independence; null as above.
    pub p_value: Option<f64>,
    /// The most that it could be: the smaller entropy.
    pub most: f64,
    /// The same information under the declared target.
    pub target: f64,
}

/// The evaluation with coarser cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CoarseningRecord {
    /// What was done to the cells: `without user_type`.
    pub cells: String,
    /// Coarser cells that the target names.
    pub cell_count: u64,
    /// Kish's effective sample size of the labelled rows.
    pub n_eff: f64,
    /// The largest weight over the mean weight; null without weight.
    pub largest_weight: Option<f64>,
    /// The candidates, best first.
    pub ranking: Vec<String>,
    /// Kendall's tau-b with the ranking under the declared cells; null where it is not defined.
    pub kendall_tau: Option<f64>,
    /// The largest change of a candidate's accuracy.
    pub largest_shift: Option<f64>,
    /// The largest odds ratio of a comparison being logged, between a cell and its coarser one.
    pub odds_ratio: Option<f64>,
    /// The largest such odds ratio between two cells that are taken together.
    pub odds_between: Option<f64>,
    /// Each candidate's target preference accuracy.
    pub candidates: Vec<CoarseCandidate>,
    /// Each comparison.
    pub comparisons: Vec<CoarseComparison>,
}

/// A candidate with coarser cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CoarseCandidate {
    /// The candidate.
    pub name: String,
    /// Its target preference accuracy; null without weight.
    pub preference_accuracy: Option<EstimateRecord>,
}

/// A comparison with coarser cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CoarseComparison {
    /// The challenger.
    pub challenger: String,
    /// The incumbent.
    pub incumbent: String,
    /// The difference of target preference accuracies; null without weight.
    pub difference: Option<EstimateRecord>,
    /// The largest odds ratio, between two cells that are taken together, of the challenger winning a disagreement; null where
    /// no two have rows enough.
    pub answers_odds_ratio: Option<f64>,
    /// Gamma of one hidden factor with `odds_between` and `answers_odds_ratio`; null where one of them is.
    pub gamma: Option<f64>,
}

/// What the labels say about the assumptions behind weighting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelModelRecord {
    /// What the label model knows of a pair.
    pub covariates: Vec<String>,
    /// Rows that it was fitted on and held against.
    pub rows: u64,
    /// Prompts that hold them.
    pub prompts: u64,
    /// Every so many-th prompt is taken.
    pub every: u64,
    /// Whether it differs across the cells; null where every covariate has a single level.
    pub informativeness: Option<InformativenessRecord>,
    /// Early against late; null without timestamps of two months.
    pub drift: Option<DriftRecord>,
    /// Annotators with most labels, at most 100; ordinals count annotators in the order of labelled rows.
    pub annotators: Vec<AnnotatorShiftRecord>,
    /// Observed against implied win rates, and intransitive triples.
    pub preference_fit: PreferenceFitRecord,
}

/// A gain in held-out log-likelihood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GainRecord {
    /// Covariates of the cells that one model knows and the other does not; empty where it is the time.
    pub covariates: Vec<String>,
    /// Nats a row; null where it has no error.
    pub gain: Option<f64>,
    /// Its standard error, by prompt.
    pub se: Option<f64>,
    /// One-sided p-value of no gain.
    pub p_value: Option<f64>,
}

/// Whether labels depend on the covariates of the cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InformativenessRecord {
    /// Those that are about who is asked (or all, where none is), together.
    pub joint: GainRecord,
    /// Whether they differ between rows of one prompt.
    pub within_prompts: bool,
    /// Each covariate, beyond the others.
    pub each: Vec<GainRecord>,
    /// Share of the variance of ln w within cells.
    pub pair_share: f64,
}

/// Labels over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DriftRecord {
    /// The first month that counts as late, `YYYY-MM`.
    pub late_from: String,
    /// Rows that are early.
    pub early: u64,
    /// Rows that are late.
    pub late: u64,
    /// Of coefficients of their own for late rows.
    pub gain: GainRecord,
    /// The mean change of an answer's probability, from the early model to the late one.
    pub mean_change: f64,
    /// Agreement with the model that knows no time.
    pub months: Vec<MonthRecord>,
    /// The running test.
    pub monitor: Vec<MonitorRecord>,
}

/// One month's agreement with the label model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MonthRecord {
    /// `YYYY-MM`.
    pub month: String,
    /// Rows.
    pub n: u64,
    /// Share of the answers that should be on the side that the model favours.
    pub expected: f64,
    /// The share that is.
    pub observed: f64,
    /// Standard error of their difference.
    pub se: Option<f64>,
}

/// The running test after a stretch of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MonitorRecord {
    /// The month of its last row, `YYYY-MM`.
    pub month: String,
    /// Rows so far.
    pub n: u64,
    /// Decimal logarithm of the e-value against one unchanging model.
    pub log10_e: f64,
}

/// One annotator's agreement with the label model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnotatorShiftRecord {
    /// Its number, in the order in which labelled rows show annotators.
    pub ordinal: u64,
    /// Labels.
    pub n: u64,
    /// Share of them that should be on the side that the model favours.
    pub expected: f64,
    /// The share that is.
    pub observed: f64,
    /// Standard error of the difference.
    pub se: Option<f64>,
    /// The difference less that of everybody.
    pub shift: f64,
    /// Two-sided p-value, over all annotators (Holm); null with too few labels.
    pub p_value: Option<f64>,
}

/// How choices fit one score a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferenceFitRecord {
    /// Mean distance of observed and implied win rates.
    pub error: f64,
    /// The smallest p-value that a bin or cell is as implied, over all of them (Holm).
    pub p_value: Option<f64>,
    /// Implied against observed, ascending.
    pub bins: Vec<FitRecord>,
    /// By cell: agreement with the side that the model favours.
    pub cells: Vec<FitRecord>,
    /// Triples of generators with prompts enough on all sides.
    pub triples: u64,
    /// Those that go round in a circle, by chance or not.
    pub circular: u64,
    /// Those with the smallest p-values, at most ten.
    pub cycles: Vec<CycleRecord>,
}

/// An implied and an observed rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FitRecord {
    /// The cell; null for a bin.
    pub cell: Option<CellKey>,
    /// Rows.
    pub n: u64,
    /// The rate that the model implies.
    pub implied: f64,
    /// The rate seen.
    pub observed: f64,
    /// Standard error of their difference.
    pub se: Option<f64>,
}

/// Three generators of which each beats the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CycleRecord {
    /// The cell.
    pub cell: CellKey,
    /// The three.
    pub generators: [String; 3],
    /// Their win rates in that order.
    pub wins: [f64; 3],
    /// Rows behind them.
    pub n: u64,
    /// Over all triples and both directions (Holm).
    pub p_value: f64,
}

/// What a candidate's mass lies on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SupportRecord {
    /// The candidate.
    pub candidate: String,
    /// Share of its mass on listed responses that no labelled comparison shows.
    pub unseen: f64,
    /// Its mass on all listed responses.
    pub listed: f64,
    /// By cell.
    pub cells: Vec<CellSupportRecord>,
}

/// What a candidate's mass lies on, in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellSupportRecord {
    /// The cell.
    pub cell: CellKey,
    /// Its prompts.
    pub prompts: u64,
    /// Share of the mass that was not shown to anybody of the cell.
    pub unseen: f64,
    /// Share that was not shown to anybody.
    pub unseen_anywhere: f64,
}
