//! The record's part about assumptions: coarser proxies, how closely the log ties covariates, and what the labels say.

use super::record::EstimateRecord;
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
