//! Doubly robust evaluation, where the target's own pairs are there: listed (`pairs: {uniform: responses}` with features), or as a
//! sample of them (`sampled`).
//!
//! Owns: the cross-fitted outcome model, its mean over the target's pairs, the estimate and its influence values, and why
//! there is none. Must never: be taken where the target is known by its cells alone: the model then cancels.

use super::mean::{Estimate, Influence, Sample, with_errors};
use super::scores::{agreement, margins};
use super::{Clusters, Comparisons, Evaluation, PolicyColumns, TargetSample, sampled};
use crate::declare::{Audit, Levels, Pairs, Regime};
use crate::logs::{Codes, Responses};
use crate::numeric::{Logistic, Sum, fit_logistic};
use std::collections::{BTreeMap, BTreeSet};

/// Folds of the cross-fitting, by cluster.
pub(super) const FOLDS: usize = 5;
/// The ridge on coefficients of features of unit spread: the weight of one row.
const RIDGE: f64 = 1.0;
/// Beyond so many coefficients the model has no effects of its own for the levels of the covariates.
const MAX_COEFFICIENTS: usize = 512;

/// Numbers that a fit lays out at most, 8 bytes each: where rows times coefficients are more, only some rows are fitted on. The
/// estimate is right whatever the model, and the error of a model of so many rows is nothing beside that of the answers.
const MAX_NUMBERS: usize = 1 << 24;

/// Why there is no doubly robust estimate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRobust {
    /// Neither a list of the target's pairs nor a sample of it.
    #[error(
        "not applicable: the target's pairs are neither listed (pairs: {{uniform: responses}}) nor sampled (target_sample); with \
         cells as the only information about the target it is the cell form, and a fitted model cancels"
    )]
    NotIdentified,
    /// The candidate is fitted here.
    #[error("a fitted candidate has no log-probabilities on the pairs of the target sample")]
    Fitted,
    /// A cell of the target has no pair in the sample, or a single one, whose error is unknown.
    #[error(
        "the target sample has {pairs} in the cell {cell}, which the target names and the log holds; it takes two or more"
    )]
    SampleCell {
        /// Its levels.
        cell: String,
        /// `no pair` or `a single pair`.
        pairs: &'static str,
    },
    /// A response of the sample is not in the responses file.
    #[error("a response of the target sample is not among its prompt's in the responses file")]
    UnknownPair,
    /// A log-probability is missing on a pair of the sample.
    #[error("a log-probability is missing, or is none, on a pair of the target sample or a row of the log")]
    MissingLogProbability,
    /// Rows were selected for labelling.
    #[error("rows were selected for labelling: the logged prompts are not those of all comparisons")]
    Selected,
    /// No features.
    #[error("the responses file has no column features, and the log none of features, which an outcome model needs")]
    NoFeatures,
    /// The candidate's log-probabilities of responses that were not shown are not there.
    #[error("give the candidate's and the reference's logp, for every response of the responses file")]
    NoLogProbabilities,
    /// Logged responses are not in the responses file, or of another prompt than the other one.
    #[error("a logged response is not among its prompt's in the responses file")]
    UnknownResponse,
    /// Too few clusters to fit on some and predict the others, or nothing to fit.
    #[error("the outcome model cannot be fitted: too few clusters, no weight, or features that are not finite")]
    NoFit,
}

/// What is known of the target's pairs beyond their cells.
#[derive(Debug, Clone, Copy, Default)]
pub struct TargetPairs<'a> {
    /// A sample of them; what it says goes before what the responses file lists.
    pub sample: Option<&'a TargetSample>,
    /// The responses file.
    pub responses: Option<&'a Responses>,
    /// Whether rows of the log were selected for labelling.
    pub selected: bool,
}

/// Puts the doubly robust estimates of target preference accuracy to an evaluation, or why there is none.
///
/// theta = sum(f m) / sum(f) + sum(w (v - q)) / sum(w), with f = p_T/p_O of the row's cell, m the outcome model's mean score
/// over the pairs of the row's prompt, v the row's score and q the model's (Robins, Rotnitzky & Zhao 1994; Dudík et al. 2014). With a
/// sample of the target, the first part is the mean of the model's scores over its pairs.
/// The model is fitted on the other folds of clusters (Chernozhukov et al. 2018). With the logged g_O it is consistent
/// whatever the model says.
pub fn add_doubly_robust(
    evaluation: &mut Evaluation,
    table: &Comparisons,
    regime: &Regime,
    audit: &Audit,
    given: &TargetPairs<'_>,
) {
    let candidates = evaluation.candidates.iter_mut().zip(&table.policies);
    if let Some(sample) = given.sample {
        let pool = sampled::Pool::new(table, sample, given.responses);
        evaluation.target_sample = Some(sampled::describe(table, sample));
        for (candidate, policy) in candidates {
            candidate.doubly_robust = pool.as_ref().map_err(Clone::clone).and_then(|pool| pool.estimate(policy));
        }
        return;
    }
    let pool = Pool::new(table, regime, given);
    for (candidate, policy) in candidates {
        candidate.doubly_robust = pool.as_ref().map_err(Clone::clone).and_then(|pool| pool.estimate(audit, policy));
    }
}

/// The pairs of the target and the outcome model, fold by fold.
struct Pool<'a> {
    table: &'a Comparisons,
    responses: &'a Responses,
    /// The responses of each prompt of the file.
    of_prompt: Vec<Vec<usize>>,
    /// Each row's prompt, by its code in the file, and both its responses.
    rows: Vec<(usize, usize, usize)>,
    /// Each row's fold.
    folds: Vec<usize>,
    /// By fold, then by cell: the coefficients of the cell's utility, one a feature.
    utilities: Vec<Vec<Vec<f64>>>,
}

impl<'a> Pool<'a> {
    fn new(table: &'a Comparisons, regime: &Regime, given: &TargetPairs<'a>) -> Result<Pool<'a>, NotRobust> {
        if regime.pairs != Pairs::UniformResponses {
            return Err(NotRobust::NotIdentified);
        }
        if given.selected {
            return Err(NotRobust::Selected);
        }
        let responses = given.responses.ok_or(NotRobust::NoFeatures)?;
        let features = responses.features.as_ref().ok_or(NotRobust::NoFeatures)?;
        let rows = locate(table, responses).ok_or(NotRobust::UnknownResponse)?;
        let mut of_prompt = vec![Vec::new(); responses.prompts.values.len()];
        for (response, prompt) in responses.prompts.codes.iter().enumerate() {
            of_prompt.get_mut(*prompt as usize).ok_or(NotRobust::UnknownResponse)?.push(response);
        }
        let folds = folds(table)?;
        let outcomes = Outcomes::new(table, responses.width, features, &rows);
        let utilities = cross_fitted(&outcomes, table, &folds)?;
        Ok(Pool { table, responses, of_prompt, rows, folds, utilities })
    }

    fn estimate(&self, audit: &Audit, policy: &PolicyColumns) -> Result<Estimate, NotRobust> {
        let shifts = self.shifts(audit, policy).ok_or(NotRobust::NoLogProbabilities)?;
        let values = agreement(&margins(policy), &self.table.answers);
        let mut direct: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        let mut terms = Vec::with_capacity(self.rows.len());
        for (row, (prompt, a, b)) in self.rows.iter().enumerate() {
            let at = |all: &[f64]| all.get(row).copied().unwrap_or(f64::NAN);
            let cell = self.table.cell.get(row).map_or(usize::MAX, |cell| *cell as usize);
            let fold = self.folds.get(row).copied().unwrap_or(0);
            let utility = self.utilities.get(fold).and_then(|cells| cells.get(cell)).ok_or(NotRobust::NoFit)?;
            let mean =
                *direct.entry((*prompt, cell)).or_insert_with(|| self.mean_over_pairs(*prompt, utility, &shifts));
            let fitted = self.expected((*a, *b), utility, &shifts);
            let factor = self.table.factors.get(cell).copied().unwrap_or(0.0);
            let (weight, value) = (at(&self.table.weight), at(&values));
            if mean.is_nan() || value.is_nan() {
                return Err(NotRobust::NoLogProbabilities);
            }
            terms.push(RobustTerm { factor, direct: mean, weight, residual: value - fitted });
        }
        self_normalised_doubly_robust(&terms, &self.table.clusters).ok_or(NotRobust::NoFit)
    }

    /// The candidate's shift of every response of the file, all of them known.
    fn shifts(&self, audit: &Audit, policy: &PolicyColumns) -> Option<Vec<f64>> {
        let candidate = audit.candidates.iter().find(|own| own.name == policy.name)?;
        let column = |source: &crate::declare::LogProbabilities| {
            self.responses.log_probabilities.get(source.responses.as_ref()?)
        };
        let own = column(candidate.log_probabilities.as_ref()?)?;
        let reference = column(audit.reference.as_ref()?)?;
        let shifts: Vec<f64> = own.iter().zip(reference).map(|(own, reference)| own - reference).collect();
        shifts.iter().all(|shift| shift.is_finite()).then_some(shifts)
    }

    /// The expected score of an ordered pair: the probability that the answer agrees with the candidate's preference.
    fn expected(&self, (a, b): (usize, usize), utility: &[f64], shifts: &[f64]) -> f64 {
        let of = |all: &[f64], at: usize| all.get(at).copied().unwrap_or(f64::NAN);
        let wins = sigmoid(self.utility(a, utility) - self.utility(b, utility));
        match of(shifts, a).partial_cmp(&of(shifts, b)) {
            None => f64::NAN,
            Some(std::cmp::Ordering::Greater) => wins,
            Some(std::cmp::Ordering::Less) => 1.0 - wins,
            Some(std::cmp::Ordering::Equal) => 0.5,
        }
    }

    /// The expected score of a pair drawn uniformly from a prompt's; both orders of a pair have the same.
    fn mean_over_pairs(&self, prompt: usize, utility: &[f64], shifts: &[f64]) -> f64 {
        let responses = self.of_prompt.get(prompt).map_or(&[][..], Vec::as_slice);
        let mut sum = Sum::default();
        let mut pairs = 0.0;
        for (index, a) in responses.iter().enumerate() {
            for b in responses.iter().skip(index + 1) {
                sum.add(self.expected((*a, *b), utility, shifts));
                pairs += 1.0;
            }
        }
        sum.value() / pairs
    }

    fn utility(&self, response: usize, coefficients: &[f64]) -> f64 {
        let width = self.responses.width;
        let own = self.responses.features.as_ref().and_then(|all| all.get(response * width..(response + 1) * width));
        own.map_or(f64::NAN, |own| own.iter().zip(coefficients).map(|(x, u)| x * u).sum())
    }
}

/// Each row's prompt and responses in the file; `None` where one is not there, or the two are of different prompts.
pub fn locate(table: &Comparisons, responses: &Responses) -> Option<Vec<(usize, usize, usize)>> {
    let (a, b) = (table.response_a.as_ref()?, table.response_b.as_ref()?);
    let prompt =
        |response: u32| responses.prompts.codes.get(response as usize).copied().filter(|_| response != Codes::MISSING);
    let of_row = |(a, b): (&u32, &u32)| {
        let (first, second) = (prompt(*a)?, prompt(*b)?);
        (first == second).then_some((first as usize, *a as usize, *b as usize))
    };
    a.iter().zip(b).map(of_row).collect()
}

/// By fold, the cells' coefficients from the rows of the others.
pub(super) fn cross_fitted(
    outcomes: &Outcomes,
    table: &Comparisons,
    folds: &[usize],
) -> Result<Vec<Vec<Vec<f64>>>, NotRobust> {
    let labels: Vec<f64> = table.answers.iter().map(|answer| answer.value()).collect();
    let without = |fold: usize| folds.iter().map(|own| *own == fold).collect::<Vec<bool>>();
    let fits = (0..FOLDS).map(|fold| outcomes.fit(&table.cell, &labels, &without(fold)));
    fits.collect::<Option<Vec<_>>>().ok_or(NotRobust::NoFit)
}

/// Whole clusters in one fold, in the order of their first rows. A cluster is what is declared first, else the prompt.
pub(super) fn folds(table: &Comparisons) -> Result<Vec<usize>, NotRobust> {
    let clusters = table.prompt.as_ref().or(table.clusters.first()).ok_or(NotRobust::NoFit)?;
    if clusters.count < FOLDS {
        return Err(NotRobust::NoFit);
    }
    Ok(clusters.codes.iter().map(|code| *code as usize % FOLDS).collect())
}

/// The outcome model's regression: P(a preferred) = sigma(d u_cell), d the difference of features, u_cell a common part and
/// one for each level of each covariate beyond the first.
#[derive(Debug)]
pub struct Outcomes {
    width: usize,
    /// 1 over the spread of each feature's differences.
    scales: Vec<f64>,
    /// By cell, which blocks of coefficients apply.
    blocks: Vec<Vec<usize>>,
    block_count: usize,
    /// Scaled differences of features, row by row.
    differences: Vec<f64>,
}

impl Outcomes {
    /// The regression over the rows of a table, each with its prompt and both its responses ([`locate`]).
    pub fn new(table: &Comparisons, width: usize, features: &[f64], rows: &[(usize, usize, usize)]) -> Outcomes {
        let of = |response: usize| features.get(response * width..(response + 1) * width).unwrap_or_default();
        let differences = rows.iter().flat_map(|(_, a, b)| of(*a).iter().zip(of(*b)).map(|(x, y)| x - y)).collect();
        Outcomes::of_differences(table, width, differences)
    }

    /// The regression over the rows of a table, from phi(a) - phi(b) row by row.
    pub fn of_differences(table: &Comparisons, width: usize, mut differences: Vec<f64>) -> Outcomes {
        let mut squares = vec![0.0; width];
        for row in differences.chunks_exact(width) {
            squares.iter_mut().zip(row).for_each(|(sum, d)| *sum += d * d);
        }
        let n = as_f64(table.cell.len());
        let scales: Vec<f64> = squares.iter().map(|sum| if *sum > 0.0 { (n / sum).sqrt() } else { 0.0 }).collect();
        for row in differences.chunks_exact_mut(width) {
            row.iter_mut().zip(&scales).for_each(|(d, scale)| *d *= scale);
        }
        let (blocks, block_count) = blocks(&table.cells, width);
        Outcomes { width, scales, blocks, block_count, differences }
    }

    /// All that a fit takes from here besides its arguments: numbers, and the shape, each list after its length.
    pub fn numbers(&self) -> ([&[f64]; 2], Vec<usize>) {
        let lists = self.blocks.iter().flat_map(|own| std::iter::once(own.len()).chain(own.iter().copied()));
        let shape = [self.width, self.block_count].into_iter().chain(lists).collect();
        ([&self.scales, &self.differences], shape)
    }

    /// By cell (`cell_of_row` is the table's), the coefficients of the features as they are, from the labels of the rows that are
    /// not `excluded`. `None` where there is no fit.
    pub fn fit(&self, cell_of_row: &[u32], labels_of_rows: &[f64], excluded: &[bool]) -> Option<Vec<Vec<f64>>> {
        let size = self.width * self.block_count;
        let every = (excluded.iter().filter(|excluded| !**excluded).count() * size).div_ceil(MAX_NUMBERS).max(1);
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        let rows = self.differences.chunks_exact(self.width).zip(cell_of_row).zip(labels_of_rows.iter().zip(excluded));
        let taken = rows.zip(0..).filter(|((_, (_, excluded)), row)| !**excluded && is_taken(*row, every));
        for (((row, cell), (label, _)), _) in taken {
            let from = features.len();
            features.resize(from + size, 0.0);
            for block in self.blocks.get(*cell as usize)? {
                let start = from + block * self.width;
                features.get_mut(start..start + self.width)?.copy_from_slice(row);
            }
            labels.push(*label);
        }
        let ones = vec![1.0; labels.len()];
        let fit = fit_logistic(&Logistic::new(&features, size, &labels, &ones, RIDGE), None)
            .ok()
            .filter(|fit| fit.converged)?;
        let of_cell = |blocks: &Vec<usize>| {
            let sum = |at: usize| {
                blocks.iter().filter_map(|block| fit.coefficients.get(block * self.width + at)).sum::<f64>()
            };
            self.scales.iter().enumerate().map(|(at, scale)| sum(at) * scale).collect()
        };
        Some(self.blocks.iter().map(of_cell).collect())
    }
}

/// About one row in so many, scattered: every so many-th one would be of some prompts alone where prompts come round in turns.
/// The finaliser of `SplitMix64` (Steele, Lea & Flood 2014).
fn is_taken(row: u64, every: usize) -> bool {
    let mixed = (row ^ (row >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    every <= 1 || (mixed ^ (mixed >> 31)).is_multiple_of(every as u64)
}

/// Block 0 for every cell, and one for each level of each covariate beyond the first, as far as that leaves the model small.
fn blocks(cells: &[Levels], width: usize) -> (Vec<Vec<usize>>, usize) {
    let covariates = cells.iter().map(Vec::len).max().unwrap_or(0);
    let levels = |at: usize| cells.iter().filter_map(move |cell| cell.get(at)).collect::<BTreeSet<_>>();
    let beyond: BTreeMap<(usize, &String), usize> = (1..)
        .zip((0..covariates).flat_map(|at| levels(at).into_iter().skip(1).map(move |level| (at, level))))
        .map(|(block, key)| (key, block))
        .collect();
    let count = beyond.len() + 1;
    if count * width > MAX_COEFFICIENTS {
        return (vec![vec![0]; cells.len()], 1);
    }
    let of = |cell: &Levels| {
        let own = cell.iter().enumerate().filter_map(|key| beyond.get(&key).copied());
        std::iter::once(0).chain(own).collect()
    };
    (cells.iter().map(of).collect(), count)
}

/// One row of a doubly robust estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RobustTerm {
    /// p_T/p_O of its cell.
    pub factor: f64,
    /// m: the outcome model's mean score over the target's pairs of its prompt.
    pub direct: f64,
    /// w.
    pub weight: f64,
    /// v - q: its score less the model's for the logged pair.
    pub residual: f64,
}

/// sum(f m) / sum(f) + sum(w (v - q)) / sum(w), both parts self-normalised (Thomas & Brunskill 2016; `SNDR` of the Open Bandit
/// Pipeline where all factors are 1), with each row's influence on the sum. `None` without weight.
pub fn self_normalised_doubly_robust(terms: &[RobustTerm], clusters: &[Clusters]) -> Option<Estimate> {
    let total = |of: fn(&RobustTerm) -> f64| terms.iter().map(of).collect::<Sum>().value();
    let (factors, weights) = (total(|term| term.factor), total(|term| term.weight));
    let direct = total(|term| term.factor * term.direct) / factors;
    let correction = total(|term| term.weight * term.residual) / weights;
    let squares = total(|term| term.weight * term.weight);
    let estimate = direct + correction;
    if !(factors > 0.0 && weights > 0.0 && estimate.is_finite()) {
        return None;
    }
    let influence = |(row, term): (u32, &RobustTerm)| {
        let of_model = term.factor * (term.direct - direct) / factors;
        (row, of_model + term.weight * (term.residual - correction) / weights)
    };
    let values: Vec<(u32, f64)> = (0..).zip(terms).map(influence).collect();
    let sample = Sample { rows: &[], weights: &[], factors: &[], clusters, largest_weight: None };
    Some(with_errors(&sample, Influence { estimate, values }, weights * weights / squares, (0.0, 1.0), None))
}

pub(super) fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
