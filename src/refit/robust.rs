//! What the doubly robust objective needs beyond the log: the target's own pairs, and an outcome model.
//!
//! Owns: why they are not there, the pairs, the outcome model fitted on the folds that it is not asked about.
//! Must never: stand in where the target is known by its cells alone: the model then cancels, and what is left is the weighted
//! objective.

use crate::declare::{Pairs as PairRule, Regime};
use crate::estimate::{Comparisons, Outcomes, TargetPairs, TargetSample, locate, sample_differences, sample_weights};
use crate::logs::Responses;
use crate::numeric::{Sum, sigmoid};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// Beyond so many pairs of responses the target is not listed.
const MAX_PAIRS: usize = 2_000_000;

/// Why the doubly robust objective is not identified, or cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRobust {
    /// The target's pairs are not listed.
    #[error(
        "the doubly robust objective is not identified: with cells as the only information about the target, the fitted outcome \
         model cancels, and what is left is the weighted objective with p_O counted by cell (post-stratification); it takes a \
         target whose pairs are listed (pairs: {{uniform: responses}}) or sampled (target_sample)"
    )]
    NotIdentified,
    /// Rows were selected for labelling.
    #[error(
        "the doubly robust objective is not identified: rows were selected for labelling, so that the logged prompts are not those of \
         all comparisons"
    )]
    Selected,
    /// No features.
    #[error(
        "the doubly robust objective needs the features of responses that were not shown: a column `features` of the responses file, and none of the log"
    )]
    NoFeatures,
    /// A logged response is not in the file.
    #[error("a logged response is not among its prompt's in the responses file")]
    UnknownResponse,
    /// Too many pairs.
    #[error(
        "more than {MAX_PAIRS} pairs of the target, listed in the responses file or sampled, are too many to fit on"
    )]
    TooMany,
    /// The sample of the target does not serve.
    #[error("the doubly robust objective has no use of the target sample: {0}")]
    Sample(#[from] crate::estimate::NotRobust),
    /// Too few folds.
    #[error("the doubly robust objective is cross-fitted within cross-validation and needs four folds or more")]
    Folds,
    /// The outcome model has no fit.
    #[error("the outcome model cannot be fitted: no weight, or features that are not finite")]
    NoFit,
}

/// The target's pairs and what the outcome model is fitted on.
#[derive(Debug)]
pub struct Robust {
    /// phi(a) - phi(b) of every pair of the target, in one order: the other has the same loss.
    pub(super) differences: Vec<f64>,
    target: Target,
    /// The cell of each comparison.
    cells: Vec<u32>,
    model: Model,
    width: usize,
}

/// Which pairs these are, and what they stand for.
#[derive(Debug)]
enum Target {
    /// All pairs of responses of each prompt that was logged.
    Listed {
        /// The pairs of each of these prompts.
        prompts: Vec<Range<usize>>,
        /// The prompt of each comparison.
        prompt_of_row: Vec<usize>,
        /// p_T/p_O of each comparison's cell.
        factors: Vec<f64>,
    },
    /// A sample of the target.
    Sampled {
        /// The cell of each pair.
        cells: Vec<u32>,
        /// What it weighs: p_T over the number of pairs in its cell.
        weights: Vec<f64>,
        /// A comparison of its prompt, where the log has one.
        rows: Vec<Option<usize>>,
    },
}

/// Where q comes from.
#[derive(Debug)]
enum Model {
    /// Fitted on the log.
    Fitted(Outcomes),
    /// Given by cell, whatever is left out.
    Given(Vec<Vec<f64>>),
}

impl Robust {
    /// Takes the target's pairs from its sample, or lists them.
    ///
    /// # Errors
    /// See [`NotRobust`].
    pub fn new(table: &Comparisons, regime: &Regime, given: &TargetPairs<'_>) -> Result<Robust, NotRobust> {
        if let Some(sample) = given.sample {
            return Robust::sampled(table, sample, given.responses);
        }
        if regime.pairs != PairRule::UniformResponses {
            return Err(NotRobust::NotIdentified);
        }
        if given.selected {
            return Err(NotRobust::Selected);
        }
        let responses = given.responses.filter(|_| table.features.is_none()).ok_or(NotRobust::NoFeatures)?;
        Robust::listed(table, responses)
    }

    /// The pairs of a sample of the target, each cell by its p_T.
    ///
    /// # Errors
    /// See [`NotRobust`].
    pub fn sampled(
        table: &Comparisons,
        sample: &TargetSample,
        responses: Option<&Responses>,
    ) -> Result<Robust, NotRobust> {
        if sample.cell.len() > MAX_PAIRS {
            return Err(NotRobust::TooMany);
        }
        let weights = sample_weights(table, sample)?;
        let (width, of_log, differences) = sample_differences(table, sample, responses)?;
        if !of_log.iter().chain(&differences).all(|x| x.is_finite()) {
            return Err(NotRobust::NoFit);
        }
        let mut row_of: BTreeMap<u32, usize> = BTreeMap::new();
        for (row, prompt) in table.prompt.iter().flat_map(|own| &own.codes).enumerate() {
            row_of.entry(*prompt).or_insert(row);
        }
        let rows = sample.prompt.iter().map(|prompt| row_of.get(prompt).copied()).collect();
        let target = Target::Sampled { cells: sample.cell.clone(), weights, rows };
        let model = Model::Fitted(Outcomes::of_differences(table, width, of_log));
        Ok(Robust { differences, target, cells: table.cell.clone(), model, width })
    }

    /// The pairs of a responses file, each as likely as any other of its prompt.
    ///
    /// # Errors
    /// See [`NotRobust`].
    pub fn listed(table: &Comparisons, responses: &Responses) -> Result<Robust, NotRobust> {
        let (features, width) = (responses.features.as_ref().ok_or(NotRobust::NoFeatures)?, responses.width);
        if !features.iter().all(|x| x.is_finite()) {
            return Err(NotRobust::NoFit);
        }
        let located = locate(table, responses).ok_or(NotRobust::UnknownResponse)?;
        let mut of_prompt: BTreeMap<usize, Vec<usize>> =
            located.iter().map(|(prompt, ..)| (*prompt, Vec::new())).collect();
        for (response, prompt) in responses.prompts.codes.iter().enumerate() {
            if let Some(own) = of_prompt.get_mut(&(*prompt as usize)) {
                own.push(response);
            }
        }
        let count: usize = of_prompt.values().map(|own| own.len() * own.len().saturating_sub(1) / 2).sum();
        if count > MAX_PAIRS {
            return Err(NotRobust::TooMany);
        }
        let phi = |response: usize| &features[response * width..(response + 1) * width];
        let (mut differences, mut prompts, mut place) =
            (Vec::with_capacity(count * width), Vec::new(), BTreeMap::new());
        let mut pairs = 0;
        for (prompt, own) in of_prompt {
            let from = pairs;
            for (index, a) in own.iter().enumerate() {
                for b in &own[index + 1..] {
                    differences.extend(phi(*a).iter().zip(phi(*b)).map(|(a, b)| a - b));
                    pairs += 1;
                }
            }
            place.insert(prompt, prompts.len());
            prompts.push(from..pairs);
        }
        let prompt_of_row = located.iter().filter_map(|(prompt, ..)| place.get(prompt).copied()).collect();
        let factor = |cell: &u32| table.factors.get(*cell as usize).copied().unwrap_or(0.0);
        let model = Model::Fitted(Outcomes::new(table, width, features, &located));
        let target = Target::Listed { prompts, prompt_of_row, factors: table.cell.iter().map(factor).collect() };
        Ok(Robust { differences, target, cells: table.cell.clone(), model, width })
    }

    /// The same pairs with an outcome model that is given: the coefficients of the features by cell.
    pub fn with_outcomes(self, utilities: Vec<Vec<f64>>) -> Robust {
        Robust { model: Model::Given(utilities), ..self }
    }

    /// Everything that a fit takes from here, as numbers: what tells one problem's fits from another's.
    #[expect(clippy::cast_precision_loss, reason = "counts and places below 2^53 are exact")]
    pub(super) fn numbers(&self) -> Vec<Cow<'_, [f64]>> {
        let counts = |counts: &mut dyn Iterator<Item = usize>| Cow::Owned(counts.map(|count| count as f64).collect());
        let codes = |cells: &[u32]| Cow::Owned(cells.iter().map(|cell| f64::from(*cell)).collect());
        let mut all: Vec<Cow<'_, [f64]>> = vec![(&self.differences).into(), codes(&self.cells)];
        match &self.target {
            Target::Listed { prompts, prompt_of_row, factors } => all.extend([
                factors.into(),
                counts(&mut prompt_of_row.iter().copied()),
                counts(&mut prompts.iter().flat_map(|own| [own.start, own.end])),
            ]),
            Target::Sampled { cells, weights, rows } => all.extend([
                weights.into(),
                codes(cells),
                counts(&mut rows.iter().map(|row| row.map_or(0, |row| row + 1))),
            ]),
        }
        all.push(counts(&mut [self.width, usize::from(matches!(self.model, Model::Given(_)))].into_iter()));
        match &self.model {
            Model::Given(utilities) => all.extend(utilities.iter().map(Cow::from)),
            Model::Fitted(outcomes) => {
                let (numbers, shape) = outcomes.numbers();
                all.extend(numbers.map(Cow::from));
                all.push(counts(&mut shape.into_iter()));
            }
        }
        all
    }

    /// The cells' coefficients from the labels of the rows that are not `excluded`.
    pub(super) fn utilities(&self, table: &[f64], excluded: &[bool]) -> Result<Vec<Vec<f64>>, NotRobust> {
        match &self.model {
            Model::Given(utilities) => Ok(utilities.clone()),
            Model::Fitted(outcomes) => outcomes.fit(&self.cells, table, excluded).ok_or(NotRobust::NoFit),
        }
    }

    /// q of a comparison with these differences of features in this cell.
    pub(super) fn expected(&self, utilities: &[Vec<f64>], row: usize, differences: &[f64]) -> f64 {
        let utility = self.cells.get(row).and_then(|cell| utilities.get(*cell as usize));
        utility.map_or(0.5, |utility| sigmoid(inner(utility, differences)))
    }

    /// The weight and the pull (weight x q) of every pair of the target, where `used` rows stand for the prompts and cells of
    /// the target, or the sample's pairs do. Summed, the weights are the number of used rows. `utilities_of` a row are the fit that
    /// leaves out its fold; `all` are those of all folds that are used.
    pub(super) fn target<'a>(
        &self,
        used: &[bool],
        utilities_of: &dyn Fn(usize) -> &'a [Vec<f64>],
        all: &[&'a [Vec<f64>]],
    ) -> (Vec<f64>, Vec<f64>) {
        match &self.target {
            Target::Listed { prompts, prompt_of_row, factors } => {
                self.listed_target((prompts, prompt_of_row, factors), used, utilities_of)
            }
            Target::Sampled { cells, weights, rows } => {
                let scale = as_f64(used.iter().filter(|used| **used).count()) / weights.iter().sum::<f64>();
                let q = |pair: usize, cell: u32, utilities: &[Vec<f64>]| {
                    let own = &self.differences[pair * self.width..(pair + 1) * self.width];
                    utilities.get(cell as usize).map_or(0.5, |utility| sigmoid(inner(utility, own)))
                };
                let pull = |(pair, ((cell, weight), row)): (usize, ((&u32, &f64), &Option<usize>))| {
                    let q = match row.filter(|row| used[*row]) {
                        Some(row) => q(pair, *cell, utilities_of(row)),
                        None => all.iter().map(|own| q(pair, *cell, own)).sum::<f64>() / as_f64(all.len().max(1)),
                    };
                    scale * weight * q
                };
                let pulls = cells.iter().zip(weights).zip(rows).enumerate().map(pull).collect();
                (weights.iter().map(|weight| scale * weight).collect(), pulls)
            }
        }
    }

    /// The same where pairs are listed: those of a prompt share what its rows weigh.
    fn listed_target<'a>(
        &self,
        (prompts, prompt_of_row, factors): (&[Range<usize>], &[usize], &[f64]),
        used: &[bool],
        utilities_of: &dyn Fn(usize) -> &'a [Vec<f64>],
    ) -> (Vec<f64>, Vec<f64>) {
        let mut masses: BTreeMap<(usize, u32), (usize, Sum)> = BTreeMap::new();
        let mut total = Sum::default();
        for (row, prompt) in prompt_of_row.iter().enumerate().filter(|(row, _)| used[*row]) {
            masses.entry((*prompt, self.cells[row])).or_insert((row, Sum::default())).1.add(factors[row]);
            total.add(factors[row]);
        }
        let rows = as_f64(used.iter().filter(|used| **used).count());
        let scale = if total.value() > 0.0 { rows / total.value() } else { 0.0 };
        let pairs = self.differences.len() / self.width.max(1);
        let (mut weights, mut pulls) = (vec![0.0; pairs], vec![0.0; pairs]);
        for ((prompt, cell), (row, mass)) in masses {
            let own = prompts[prompt].clone();
            let share = scale * mass.value() / as_f64(own.len().max(1));
            let Some(utility) = utilities_of(row).get(cell as usize) else { continue };
            for pair in own {
                let q = sigmoid(inner(utility, &self.differences[pair * self.width..(pair + 1) * self.width]));
                weights[pair] += share;
                pulls[pair] += share * q;
            }
        }
        (weights, pulls)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

fn inner(utility: &[f64], differences: &[f64]) -> f64 {
    utility.iter().zip(differences).map(|(u, d)| u * d).sum()
}
