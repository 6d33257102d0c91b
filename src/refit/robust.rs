//! What the doubly robust objective needs beyond the log: the target's own pairs, and an outcome model.
//!
//! Owns: why they are not there, the pairs, the outcome model fitted on the folds that it is not asked about.
//! Must never: stand in where the target is known by its cells alone: the model then cancels, and what is left is the weighted
//! objective.

use crate::declare::{Pairs as PairRule, Regime};
use crate::estimate::{Comparisons, Outcomes, locate};
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
         target whose pairs are listed (pairs: {{uniform: responses}})"
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
    #[error("the responses file lists more than {MAX_PAIRS} pairs of one prompt's responses")]
    TooMany,
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
    /// phi(a) - phi(b) of every pair of responses of each prompt that was logged, in one order: the other has the same loss.
    pub(super) differences: Vec<f64>,
    /// The pairs of each of these prompts.
    pub(super) prompts: Vec<Range<usize>>,
    /// The prompt of each comparison.
    pub(super) prompt_of_row: Vec<usize>,
    /// p_T/p_O of each comparison's cell.
    factors: Vec<f64>,
    /// The cell of each comparison.
    cells: Vec<u32>,
    model: Model,
    width: usize,
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
    /// Lists the target's pairs.
    ///
    /// # Errors
    /// See [`NotRobust`].
    pub fn new(
        table: &Comparisons,
        regime: &Regime,
        responses: Option<&Responses>,
        selected: bool,
    ) -> Result<Robust, NotRobust> {
        if regime.pairs != PairRule::UniformResponses {
            return Err(NotRobust::NotIdentified);
        }
        if selected {
            return Err(NotRobust::Selected);
        }
        let responses = responses.filter(|_| table.features.is_none()).ok_or(NotRobust::NoFeatures)?;
        Robust::listed(table, responses)
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
        let (factors, cells) = (table.cell.iter().map(factor).collect(), table.cell.clone());
        Ok(Robust { differences, prompts, prompt_of_row, factors, cells, model, width })
    }

    /// The same pairs with an outcome model that is given: the coefficients of the features by cell.
    pub fn with_outcomes(self, utilities: Vec<Vec<f64>>) -> Robust {
        Robust { model: Model::Given(utilities), ..self }
    }

    /// Everything that a fit takes from here, as numbers: what tells one problem's fits from another's.
    #[expect(clippy::cast_precision_loss, reason = "counts and places below 2^53 are exact")]
    pub(super) fn numbers(&self) -> Vec<Cow<'_, [f64]>> {
        let counts = |counts: &mut dyn Iterator<Item = usize>| Cow::Owned(counts.map(|count| count as f64).collect());
        let mut all: Vec<Cow<'_, [f64]>> = vec![
            (&self.differences).into(),
            (&self.factors).into(),
            Cow::Owned(self.cells.iter().map(|cell| f64::from(*cell)).collect()),
            counts(&mut self.prompt_of_row.iter().copied()),
            counts(&mut self.prompts.iter().flat_map(|own| [own.start, own.end])),
            counts(&mut [self.width, usize::from(matches!(self.model, Model::Given(_)))].into_iter()),
        ];
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
    /// the target. Pairs of a prompt share what its rows weigh. Summed, the weights are the number of used rows.
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
    pub(super) fn target<'a>(
        &self,
        used: &[bool],
        utilities_of: &dyn Fn(usize) -> &'a [Vec<f64>],
    ) -> (Vec<f64>, Vec<f64>) {
        let mut masses: BTreeMap<(usize, u32), (usize, Sum)> = BTreeMap::new();
        let mut total = Sum::default();
        for (row, prompt) in self.prompt_of_row.iter().enumerate().filter(|(row, _)| used[*row]) {
            masses.entry((*prompt, self.cells[row])).or_insert((row, Sum::default())).1.add(self.factors[row]);
            total.add(self.factors[row]);
        }
        let rows = used.iter().filter(|used| **used).count() as f64;
        let scale = if total.value() > 0.0 { rows / total.value() } else { 0.0 };
        let pairs = self.differences.len() / self.width.max(1);
        let (mut weights, mut pulls) = (vec![0.0; pairs], vec![0.0; pairs]);
        for ((prompt, cell), (row, mass)) in masses {
            let own = self.prompts[prompt].clone();
            let share = scale * mass.value() / own.len().max(1) as f64;
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

fn inner(utility: &[f64], differences: &[f64]) -> f64 {
    utility.iter().zip(differences).map(|(u, d)| u * d).sum()
}
