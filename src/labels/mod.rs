//! What the labels say about the assumptions behind weighting: how a choice depends on the pair, on who is asked, on when, and
//! on by whom, and whether one score a response explains it.
//!
//! Owns: the label model (a cross-fitted logistic regression on what is known of a pair), whether it differs across the cells,
//! over time and by annotator, observed against implied win rates, intransitive triples, what was never shown.
//! Must never: compare anything with a limit, or take what is not found for proof that it is not there.

mod annotators;
mod drift;
mod model;
mod monitor;
mod proxies;
mod support;
mod transitivity;

pub use annotators::{AnnotatorShift, SideShift, annotator_shifts};
pub use drift::{Drift, MonthlyAgreement, Part, PartChange, drift};
pub use model::{Gain, LabelModel, Side, Unmodelled};
pub use monitor::{Monitor, MonitorPoint};
pub use proxies::{CovariateGain, Informativeness, informativeness};
pub use support::{CellSupport, Support, candidate_support};
pub use transitivity::{CellFit, Cycle, MIN_EDGE_PROMPTS, PreferenceFit, WinBin, cycles, preference_fit};

use crate::declare::{Audit, Regime};
use crate::estimate::Comparisons;
use crate::logs::Responses;

/// All of it about one log.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelEvidence {
    /// The label model's part, or why there is none.
    pub modelled: Result<Modelled, Unmodelled>,
    /// What candidates' mass lies on, by candidate with log-probabilities in the responses file.
    pub support: Vec<Support>,
    /// Candidates whose log-probabilities of responses that were not shown are not there.
    pub unlisted: Vec<String>,
}

/// What the label model shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Modelled {
    /// What it knows of a pair, by name.
    pub covariates: Vec<String>,
    /// Rows that it was fitted on and held against.
    pub rows: u64,
    /// Prompts that hold them.
    pub prompts: u64,
    /// Every so many-th prompt is taken.
    pub every: u64,
    /// Whether it differs across the cells; `None` where every covariate has one level.
    pub informativeness: Option<Informativeness>,
    /// Early against late; `None` without timestamps, or where all rows are of one month.
    pub drift: Option<Drift>,
    /// By annotator; empty where they are not mapped.
    pub annotators: Vec<AnnotatorShift>,
    /// Observed against implied win rates, and intransitive triples.
    pub fit: PreferenceFit,
}

/// Collects the evidence. `alpha` is the level of the intervals' tests within: the largest p-value of a cycle.
pub fn evidence(table: &Comparisons, regime: &Regime, audit: &Audit, responses: Option<&Responses>) -> LabelEvidence {
    let (support, unlisted) = candidate_support(table, audit, responses);
    LabelEvidence { modelled: modelled(table, regime, responses), support, unlisted }
}

fn modelled(table: &Comparisons, regime: &Regime, responses: Option<&Responses>) -> Result<Modelled, Unmodelled> {
    let model = LabelModel::new(table, responses)?;
    let by_cell = model.by_cell(table, |_| true);
    let implied = model.held_out(&by_cell).ok_or(Unmodelled::NoFit)?;
    Ok(Modelled {
        covariates: model.names.clone(),
        rows: model.rows.len() as u64,
        prompts: model.clusters.count as u64,
        every: model.every as u64,
        informativeness: informativeness(&model, table, &regime.cells, &implied),
        drift: drift(&model, table, &by_cell, &implied),
        annotators: annotator_shifts(&model, table, &implied),
        fit: preference_fit(&model, table, &implied),
    })
}
