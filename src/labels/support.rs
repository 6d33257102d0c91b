//! How much of a candidate's mass lies on responses that were never shown.

use crate::declare::{Audit, LogProbabilities};
use crate::estimate::Comparisons;
use crate::logs::{Codes, Responses};
use std::collections::{BTreeMap, BTreeSet};

/// One candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Support {
    /// The candidate.
    pub name: String,
    /// Share of its mass on the listed responses that lies on those that no labelled comparison shows, over the prompts of the
    /// log, each with its target weight.
    pub unseen: f64,
    /// Its mass on all listed responses, over the same prompts: what is missing to 1 lies on responses that nobody listed.
    pub listed: f64,
    /// Its mass on responses that some labelled comparison shows, over the same prompts. Every logged response is listed, so that what
    /// is missing to 1 was never judged, listed or not.
    pub judged: f64,
    /// Prompts on which its probabilities of the listed responses sum to more than 1, which those of different responses cannot.
    pub above_one: u64,
    /// The same in each cell with weight; there, a response counts as shown where it was shown to somebody of the cell.
    pub cells: Vec<CellSupport>,
}

/// One candidate in one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellSupport {
    /// Index of the cell in the table.
    pub cell: usize,
    /// Prompts of the cell.
    pub prompts: u64,
    /// Share of the mass on responses that were not shown to anybody of the cell.
    pub unseen: f64,
    /// Share of the mass on responses that were not shown to anybody.
    pub unseen_anywhere: f64,
}

/// The support of every candidate whose log-probabilities the responses file gives, and the names of the others.
pub fn candidate_support(
    table: &Comparisons,
    audit: &Audit,
    responses: Option<&Responses>,
) -> (Vec<Support>, Vec<String>) {
    let (mut found, mut unlisted) = (Vec::new(), Vec::new());
    let shown = responses.and_then(|responses| Shown::new(table, responses));
    for candidate in &audit.candidates {
        let Some(source) = &candidate.log_probabilities else { continue };
        let column = |source: &LogProbabilities| responses?.log_probabilities.get(source.responses.as_ref()?);
        let own = shown.as_ref().zip(column(source)).and_then(|(shown, column)| shown.support(&candidate.name, column));
        match own {
            Some(own) => found.push(own),
            None => unlisted.push(candidate.name.clone()),
        }
    }
    (found, unlisted)
}

/// What the log shows of the responses file.
struct Shown {
    /// The responses of each prompt.
    of_prompt: Vec<Vec<usize>>,
    /// Whether anybody was shown a response.
    anywhere: Vec<bool>,
    /// By cell and prompt: the weight of the rows, and the responses shown there.
    cells: BTreeMap<(usize, usize), (f64, BTreeSet<usize>)>,
}

impl Shown {
    /// `None` where a logged response is not in the file: what was shown is then not known.
    fn new(table: &Comparisons, responses: &Responses) -> Option<Shown> {
        let (a, b) = (table.response_a.as_ref()?, table.response_b.as_ref()?);
        let mut of_prompt = vec![Vec::new(); responses.prompts.values.len()];
        for (response, prompt) in responses.prompts.codes.iter().enumerate() {
            of_prompt.get_mut(*prompt as usize)?.push(response);
        }
        let mut anywhere = vec![false; responses.prompts.codes.len()];
        let mut cells: BTreeMap<(usize, usize), (f64, BTreeSet<usize>)> = BTreeMap::new();
        for (row, (a, b)) in a.iter().zip(b).enumerate() {
            if *a == Codes::MISSING || *b == Codes::MISSING {
                return None;
            }
            let (cell, weight) = (*table.cell.get(row)? as usize, *table.weight.get(row)?);
            let prompt = *responses.prompts.codes.get(*a as usize)? as usize;
            let own = cells.entry((cell, prompt)).or_default();
            own.0 += weight;
            for response in [*a as usize, *b as usize] {
                *anywhere.get_mut(response)? = true;
                own.1.insert(response);
            }
        }
        Some(Shown { of_prompt, anywhere, cells })
    }

    /// `None` where a log-probability is missing, or no row has weight.
    fn support(&self, name: &str, log_probabilities: &[f64]) -> Option<Support> {
        let mut cells: BTreeMap<usize, Sums> = BTreeMap::new();
        let mut above_one: BTreeSet<usize> = BTreeSet::new();
        for ((cell, prompt), (weight, shown)) in self.cells.iter().filter(|(_, (weight, _))| *weight > 0.0) {
            let responses = self.of_prompt.get(*prompt)?;
            let logs: Vec<f64> =
                responses.iter().map(|own| log_probabilities.get(*own).copied()).collect::<Option<_>>()?;
            let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if logs.iter().any(|log| log.is_nan()) || !top.is_finite() {
                return None;
            }
            let share = |takes: &dyn Fn(usize) -> bool| -> f64 {
                let masses = responses.iter().zip(&logs).filter(|(own, _)| takes(**own));
                masses.map(|(_, log)| (log - top).exp()).sum()
            };
            let total = share(&|_| true);
            let listed = (total.ln() + top).exp();
            if listed > 1.0 + ROUNDING {
                above_one.insert(*prompt);
            }
            let unseen_anywhere = share(&|own| !self.anywhere.get(own).copied().unwrap_or(false)) / total;
            let own = cells.entry(*cell).or_default();
            own.prompts += 1;
            own.weight += weight;
            own.unseen += weight * share(&|own| !shown.contains(&own)) / total;
            own.unseen_anywhere += weight * unseen_anywhere;
            own.listed += weight * listed.min(1.0);
            own.judged += weight * listed.min(1.0) * (1.0 - unseen_anywhere);
        }
        let total: f64 = cells.values().map(|own| own.weight).sum();
        let mean = |of: fn(&Sums) -> f64| cells.values().map(of).sum::<f64>() / total;
        let of_cell = |(cell, own): (&usize, &Sums)| CellSupport {
            cell: *cell,
            prompts: own.prompts,
            unseen: own.unseen / own.weight,
            unseen_anywhere: own.unseen_anywhere / own.weight,
        };
        (total > 0.0).then(|| Support {
            name: name.to_owned(),
            unseen: mean(|own| own.unseen_anywhere),
            listed: mean(|own| own.listed),
            judged: mean(|own| own.judged),
            above_one: above_one.len() as u64,
            cells: cells.iter().map(of_cell).collect(),
        })
    }
}

/// By how much a prompt's probabilities may sum to more than 1: files hold them in single precision, and sums over tokens round.
const ROUNDING: f64 = 1e-3;

/// Sums over the prompts of a cell, each with the weight of its rows.
#[derive(Debug, Default)]
struct Sums {
    prompts: u64,
    weight: f64,
    unseen: f64,
    unseen_anywhere: f64,
    listed: f64,
    judged: f64,
}
