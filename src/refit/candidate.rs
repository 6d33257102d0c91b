//! A declared candidate, fitted.

use super::frontier::{self, Frontier, Grid, Problem, Select, Selected};
use super::models::{Cap, Settings};
use super::{Checkpoint, Model, Network, Objective, Robust, inputs};
use crate::declare::{Candidate, CapAt, Fit, FitGrid, Regime};
use crate::estimate::{Comparisons, PolicyColumns, TargetPairs, TargetSample};
use crate::logs::{Progress, Responses};
use crate::numeric::{Sum, quantile_linear};
use std::path::Path;

/// What became of a candidate that was to be fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Refit {
    /// Its name.
    pub candidate: String,
    /// The family of its reward.
    pub model: Model,
    /// Its objective.
    pub objective: Objective,
    /// Folds declared.
    pub folds: usize,
    /// Seed declared.
    pub seed: u64,
    /// The frontier, or why there is none.
    pub result: Result<Frontier, String>,
}

/// What fits read, besides the declaration.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The comparisons.
    pub comparisons: &'a Comparisons,
    /// The declared target.
    pub regime: &'a Regime,
    /// Whether rows were selected for labelling.
    pub selected: bool,
    /// The values of Lambda that worst cases are shown for.
    pub lambdas: &'a [f64],
    /// The sample of the target.
    pub sample: Option<&'a TargetSample>,
    /// The responses file.
    pub responses: Option<&'a Responses>,
    /// The responses file's column of the reference's log-probabilities.
    pub reference: Option<&'a str>,
    /// The caps and the grid of the policy.
    pub caps: &'a [crate::declare::Cap],
    /// The rest of the grid.
    pub grid: &'a FitGrid,
    /// Where finished fits are kept, if anywhere.
    pub checkpoint: Option<&'a Path>,
}

/// Fits a candidate that asks for it. `None` for one that does not.
///
/// A declared temperature is the only one of its grid.
pub fn fit(candidate: &Candidate, evidence: &Evidence<'_>, progress: &dyn Progress) -> Option<Refit> {
    let fit = candidate.fit.as_ref()?;
    let objective = objective(fit);
    let folds = usize::try_from(fit.folds).unwrap_or(usize::MAX);
    let result = explore(candidate, fit, evidence, progress);
    let model = model(fit);
    Some(Refit { candidate: candidate.name.clone(), model, objective, folds, seed: fit.seed, result })
}

fn objective(fit: &Fit) -> Objective {
    match fit.objective.as_str() {
        "naive" => Objective::Naive,
        "conservative" => Objective::Conservative(fit.smoothing),
        "robust" => Objective::Robust(fit.smoothing),
        "doubly_robust" => Objective::DoublyRobust,
        "worst_case" => Objective::WorstCase(fit.lambda),
        _ => Objective::Weighted,
    }
}

fn model(fit: &Fit) -> Model {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match fit.model.as_str() {
        "mlp" => Model::Mlp(Network { hidden: size(fit.hidden), steps: size(fit.steps) }),
        _ => Model::Tilt,
    }
}

fn explore(
    candidate: &Candidate,
    fit: &Fit,
    evidence: &Evidence<'_>,
    progress: &dyn Progress,
) -> Result<Frontier, String> {
    let pairs = inputs::pairs(evidence.comparisons, evidence.responses, model(fit) != Model::Tilt)
        .map_err(|error| error.to_string())?;
    let robust = match objective(fit) {
        Objective::DoublyRobust => {
            let given =
                TargetPairs { sample: evidence.sample, responses: evidence.responses, selected: evidence.selected };
            let robust = Robust::new(evidence.comparisons, evidence.regime, &given);
            Some(robust.map_err(|error| error.to_string())?)
        }
        _ => None,
    };
    let lambdas = match objective(fit) {
        Objective::WorstCase(_) => evidence.lambdas.to_vec(),
        _ => Vec::new(),
    };
    let menu = inputs::menu(evidence.comparisons, evidence.responses, evidence.reference);
    let grid = Grid {
        settings: Settings {
            caps: caps(evidence.caps, &pairs.weights),
            ridges: evidence.grid.ridges.clone(),
            folds: usize::try_from(fit.folds).unwrap_or(usize::MAX),
            seed: fit.seed,
            model: model(fit),
        },
        betas: candidate.beta.map_or_else(|| evidence.grid.betas.clone(), |beta| vec![beta]),
        objective: objective(fit),
        lambdas,
        select: Select { max_kl: evidence.grid.max_kl },
    };
    let incumbent = incumbent(&evidence.comparisons.policies);
    let problem =
        Problem { pairs: &pairs, menu: menu.as_ref(), incumbent: incumbent.as_deref(), robust: robust.as_ref() };
    let mut checkpoint = match evidence.checkpoint {
        Some(path) => Some(
            Checkpoint::open(path, &frontier::problem_digest(&problem, &grid))
                .map_err(|error| format!("the checkpoint {}: {error}", path.display()))?,
        ),
        None => None,
    };
    let total = frontier::fits(&grid) as u64;
    progress.start_fits(&format!("fitting {}", candidate.name), total);
    progress.advance(checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.len() as u64));
    let frontier = frontier::explore(&problem, &grid, checkpoint.as_mut(), &|| progress.advance(1));
    progress.finish();
    frontier.map_err(|error| error.to_string())
}

/// The caps in the units of the weights.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn caps(declared: &[crate::declare::Cap], weights: &[f64]) -> Vec<Cap> {
    let mean = weights.iter().copied().collect::<Sum>().value() / weights.len().max(1) as f64;
    let mut ascending = weights.to_vec();
    ascending.sort_by(f64::total_cmp);
    let limit = |at: CapAt| match at {
        CapAt::None => Some(f64::INFINITY),
        CapAt::Times(times) => Some(times * mean),
        CapAt::Quantile(q) => quantile_linear(&ascending, q),
    };
    let cap = |cap: &crate::declare::Cap| Some(Cap { text: cap.text.clone(), limit: limit(cap.at)? });
    declared.iter().filter_map(cap).filter(|cap| cap.limit > 0.0).collect()
}

/// The margins of the first incumbent with a log-probability for every row.
fn incumbent(policies: &[PolicyColumns]) -> Option<Vec<f64>> {
    let margins = |policy: &PolicyColumns| -> Vec<f64> {
        policy.shift_a.iter().zip(&policy.shift_b).map(|(a, b)| a - b).collect()
    };
    let all = policies.iter().filter(|policy| policy.incumbent).map(margins);
    all.into_iter().find(|margins| margins.iter().all(|margin| margin.is_finite()))
}

/// The fitted candidate as the estimators take it: its margin of each of `rows` rows, out of fold, in nats. What a response's own
/// log-probability shifts by is known up to log Z of its prompt, which cancels in the margin: b's is put to 0. A candidate that
/// could not be fitted has no number in any row.
pub fn columns(refit: &Refit, candidate: &Candidate, rows: usize) -> PolicyColumns {
    let selected = refit.result.as_ref().ok().map(|frontier| &frontier.selected);
    let shifts = |selected: &Selected| selected.margins.iter().map(|z| z / selected.beta).collect();
    PolicyColumns {
        name: refit.candidate.clone(),
        incumbent: candidate.incumbent,
        beta: selected.map_or(candidate.beta, |selected| Some(selected.beta)),
        shift_a: selected.map_or_else(|| vec![f64::NAN; rows], shifts),
        shift_b: selected.map_or_else(|| vec![f64::NAN; rows], |_| vec![0.0; rows]),
        unusable: 0,
        equal: 0,
    }
}
