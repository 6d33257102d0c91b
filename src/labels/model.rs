//! The label model: the probability that a is preferred, given what is known of the pair, cross-fitted by prompt.

use crate::estimate::{Clusters, Comparisons, Estimate, margins, mean_of_scores};
use crate::logs::{Codes, Responses};
use crate::numeric::{Logistic, fit_logistic, linear_scores, sigmoid, softplus};
use std::collections::{BTreeMap, BTreeSet};

/// Rows that are fitted on at most: more are thinned, whole prompts at a time.
const MAX_ROWS: usize = 50_000;
/// Differences of a pair that are taken at most, those of candidates' margins first.
const MAX_WIDTH: usize = 16;
/// Coefficients of a model at most.
const MAX_COEFFICIENTS: usize = 256;
/// Rows that a coefficient needs: ten in each half that is fitted on (Peduzzi et al. 1996, J. Clin. Epidemiol. 49:1373). With fewer,
/// what is predicted for other rows is too sure of itself, and differs from what is seen there for that reason alone.
const ROWS_PER_COEFFICIENT: usize = 20;
/// The ridge on coefficients of differences of unit spread: the weight of one row.
const RIDGE: f64 = 1.0;
/// Prompts below which nothing is fitted: a fit on half of them would know the others by chance alone.
const MIN_PROMPTS: usize = 10;

/// Why there is no label model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unmodelled {
    /// Nothing is known of a pair that could matter to its label.
    #[error(
        "nothing is known of a pair that its label could depend on: no candidate's log-probabilities for every row, no \
         features, no generators"
    )]
    NoCovariates,
    /// Too few prompts.
    #[error("fewer than 10 prompts: there is nothing to hold a fit against")]
    TooFew,
    /// Too many cells for a model of their own each.
    #[error("the covariates have too many levels for a model that knows them")]
    TooManyLevels,
    /// The regression has no solution.
    #[error("the regression of labels on pairs has no solution")]
    NoFit,
}

/// The rows of the label model, ready to be fitted.
#[derive(Debug, Clone)]
pub struct LabelModel {
    /// Indices of its rows in the table.
    pub rows: Vec<u32>,
    /// What it knows of a pair.
    pub names: Vec<String>,
    /// The rows' prompts, counted through (rows, where they are grouped by nothing).
    pub clusters: Clusters,
    /// Every so many-th prompt is taken.
    pub every: usize,
    /// Differences between response a and b, scaled to unit spread, row by row, and last a 1: what the side decides.
    differences: Vec<f64>,
    /// What was answered: 1 for a, 0 for b, one half for a tie.
    pub answers: Vec<f64>,
}

/// How much better one model predicts held-out labels than another, in nats a row.
pub type Gain = Option<Estimate>;

impl LabelModel {
    /// Takes what is known of every pair: candidates' margins, features, generators, as far as they are there for all rows.
    ///
    /// # Errors
    /// See [`Unmodelled`].
    pub fn new(table: &Comparisons, responses: Option<&Responses>) -> Result<LabelModel, Unmodelled> {
        let whole = whole_clusters(table);
        if whole.count < MIN_PROMPTS {
            return Err(Unmodelled::TooFew);
        }
        let every = table.rows.len().div_ceil(MAX_ROWS).max(1);
        let taken = |code: u32| (code as usize).is_multiple_of(every);
        let rows: Vec<u32> = (0..).zip(&whole.codes).filter(|(_, code)| taken(**code)).map(|(row, _)| row).collect();
        let stride = u32::try_from(every).unwrap_or(u32::MAX);
        let codes = rows.iter().filter_map(|row| whole.codes.get(*row as usize)).map(|code| code / stride);
        let clusters =
            Clusters { role: whole.role.clone(), codes: codes.collect(), count: whole.count.div_ceil(every) };
        let blocks = by_cell(&rows, table, |_| true).count;
        let most = (rows.len() / (ROWS_PER_COEFFICIENT * blocks)).saturating_sub(1).clamp(1, MAX_WIDTH);
        let (names, columns) = independent(known(table, responses, &rows), most);
        if names.is_empty() {
            return Err(Unmodelled::NoCovariates);
        }
        let mut differences = Vec::with_capacity(rows.len() * (columns.len() + 1));
        for row in 0..rows.len() {
            differences.extend(columns.iter().map(|column| column.get(row).copied().unwrap_or(0.0)));
            differences.push(1.0);
        }
        let answers = rows.iter().filter_map(|row| table.answers.get(*row as usize)).map(|own| own.value()).collect();
        let model = LabelModel { rows, names, clusters, every, differences, answers };
        if model.width() * blocks > MAX_COEFFICIENTS { Err(Unmodelled::TooManyLevels) } else { Ok(model) }
    }

    /// Coefficients of one block.
    pub fn width(&self) -> usize {
        self.names.len() + 1
    }

    /// A row's differences, the side's 1 last.
    pub fn of_row(&self, row: usize) -> &[f64] {
        self.differences.get(row * self.width()..(row + 1) * self.width()).unwrap_or_default()
    }

    /// A common block for every row, and one for each level beyond the first of each covariate that `takes`.
    pub fn by_cell(&self, table: &Comparisons, takes: impl Fn(usize) -> bool) -> Blocks {
        by_cell(&self.rows, table, takes)
    }

    /// Fits on the rows that `trains` takes. `None` where there is no fit.
    pub fn fit(&self, blocks: &Blocks, trains: impl Fn(usize) -> bool) -> Option<Vec<f64>> {
        let size = self.width() * blocks.count;
        let rows: Vec<usize> = (0..self.rows.len()).filter(|row| trains(*row)).collect();
        let mut features = vec![0.0; rows.len() * size];
        for (at, row) in rows.iter().enumerate() {
            self.lay_out(*row, blocks.of_row.get(*row)?, features.get_mut(at * size..(at + 1) * size)?)?;
        }
        let labels: Vec<f64> = rows.iter().filter_map(|row| self.answers.get(*row)).copied().collect();
        let ones = vec![1.0; labels.len()];
        let fit = fit_logistic(&Logistic::new(&features, size, &labels, &ones, RIDGE), None).ok()?;
        fit.converged.then_some(fit.coefficients)
    }

    fn lay_out(&self, row: usize, blocks: &[usize], into: &mut [f64]) -> Option<()> {
        let own = self.of_row(row);
        for block in blocks {
            into.get_mut(block * self.width()..(block + 1) * self.width())?.copy_from_slice(own);
        }
        Some(())
    }

    /// A row's log-odds of a under these coefficients.
    pub fn log_odds(&self, coefficients: &[f64], row: usize, blocks: &[usize]) -> f64 {
        let own = self.of_row(row);
        let of_block = |block: &usize| {
            let from = block * self.width();
            coefficients
                .get(from..from + self.width())
                .map_or(f64::NAN, |u| linear_scores(own, u.len(), u).iter().sum())
        };
        blocks.iter().map(of_block).sum()
    }

    /// Which half a row lies in: whole prompts, every other one.
    pub fn half(&self, row: usize) -> bool {
        self.clusters.codes.get(row).is_some_and(|code| code % 2 == 1)
    }

    /// The coefficients fitted without each half, the first half's first.
    pub fn fit_halves(&self, blocks: &Blocks) -> Option<[Vec<f64>; 2]> {
        Some([self.fit(blocks, |row| self.half(row))?, self.fit(blocks, |row| !self.half(row))?])
    }

    /// Each row's log-odds of a, from the fit on the other half of the prompts.
    pub fn held_out(&self, blocks: &Blocks) -> Option<Vec<f64>> {
        let fits = self.fit_halves(blocks)?;
        Some(self.predicted(&fits, blocks))
    }

    /// The same from fits that are there.
    pub fn predicted(&self, [first, second]: &[Vec<f64>; 2], blocks: &Blocks) -> Vec<f64> {
        let of_row = |(row, blocks): (usize, &Vec<usize>)| {
            self.log_odds(if self.half(row) { second } else { first }, row, blocks)
        };
        blocks.of_row.iter().enumerate().map(of_row).collect()
    }

    /// By how much `full` predicts labels better than `reduced` (log-odds both), errors clustered by prompt. Where the further
    /// coefficients are all zero, it is negative on average: they cost what they were fitted on (Vuong 1989; held out, no
    /// degrees of freedom need to be counted).
    pub fn gain(&self, full: &[f64], reduced: &[f64]) -> Gain {
        let each = full.iter().zip(reduced).zip(&self.answers);
        let scores: Vec<f64> =
            each.map(|((one, other), y)| log_likelihood(*one, *y) - log_likelihood(*other, *y)).collect();
        mean_of_scores(&scores, std::slice::from_ref(&self.clusters))
    }

    /// The mean over some rows, errors clustered by prompt.
    pub fn mean(&self, values: &[f64], takes: impl Fn(usize) -> bool) -> Option<Estimate> {
        let rows: Vec<usize> = (0..self.rows.len()).filter(|row| takes(*row)).collect();
        self.mean_of(values, &rows)
    }

    /// The mean over these rows.
    pub fn mean_of(&self, values: &[f64], rows: &[usize]) -> Option<Estimate> {
        let scores: Vec<f64> = rows.iter().filter_map(|row| values.get(*row)).copied().collect();
        self.mean_of_own(&scores, rows)
    }

    /// The mean of one score for each of these rows.
    pub fn mean_of_own(&self, scores: &[f64], rows: &[usize]) -> Option<Estimate> {
        let codes: Vec<u32> = rows.iter().filter_map(|row| self.clusters.codes.get(*row)).copied().collect();
        let clusters = Clusters { role: self.clusters.role.clone(), codes, count: self.clusters.count };
        mean_of_scores(scores, &[clusters])
    }

    /// The sides that answers are held against: the one that the label model favours, and, where people who want opposite things leave it
    /// without one, that of each of the first differences of a pair. `implied` are its log-odds.
    pub fn sides(&self, implied: &[f64]) -> Vec<Side> {
        /// Differences that are held against beside the model, those of candidates' margins first.
        const FURTHER: usize = 3;
        let favoured = implied.iter().zip(&self.answers).map(|(z, y)| agreement(*z, *y)).map(|(own, p)| own - p);
        let mut sides = vec![Side { name: "the label model".to_owned(), residuals: favoured.collect() }];
        for (at, name) in self.names.iter().enumerate().take(FURTHER) {
            let residual = |row: usize| {
                let difference = self.of_row(row).get(at).copied().filter(|own| own.abs() > 0.0)?;
                Some(difference.signum() * (self.answers.get(row)? - sigmoid(*implied.get(row)?)))
            };
            let residuals = (0..self.rows.len()).map(|row| residual(row).unwrap_or(f64::NAN)).collect();
            sides.push(Side { name: name.clone(), residuals });
        }
        sides
    }

    /// Each row's variance of an answer by the model, p (1 - p). Far out in the tail, where the largest of many shifts lies, the spread
    /// that is seen in a few answers is too small just where their mean is far off: an error is at least what this gives.
    pub fn variances(&self, implied: &[f64]) -> Vec<f64> {
        implied.iter().map(|z| sigmoid(*z) * sigmoid(-*z)).collect()
    }
}

/// A side of every pair.
#[derive(Debug, Clone)]
pub struct Side {
    /// What favours it.
    pub name: String,
    /// By row, how far the answer agrees with it (1, 0, 1/2) less what the label model expects; NaN where it is neither side.
    pub residuals: Vec<f64>,
}

impl Side {
    /// Whether a row's pair has such a side.
    pub fn has(&self, row: usize) -> bool {
        self.residuals.get(row).is_some_and(|own| !own.is_nan())
    }
}

/// Which blocks of coefficients apply to each row.
#[derive(Debug, Clone)]
pub struct Blocks {
    /// By row of the model.
    pub of_row: Vec<Vec<usize>>,
    /// How many there are.
    pub count: usize,
}

impl Blocks {
    /// With one block more, for the rows that `takes`.
    pub fn with(&self, takes: impl Fn(usize) -> bool) -> Blocks {
        let of_row = self.of_row.iter().enumerate().map(|(row, own)| {
            let mut own = own.clone();
            own.extend(takes(row).then_some(self.count));
            own
        });
        Blocks { of_row: of_row.collect(), count: self.count + 1 }
    }
}

/// See [`LabelModel::by_cell`]; `rows` are indices in the table.
fn by_cell(rows: &[u32], table: &Comparisons, takes: impl Fn(usize) -> bool) -> Blocks {
    let used: BTreeSet<u32> = rows.iter().filter_map(|row| table.cell.get(*row as usize)).copied().collect();
    let cells = || used.iter().filter_map(|cell| Some((*cell, table.cells.get(*cell as usize)?)));
    let width = cells().map(|(_, levels)| levels.len()).max().unwrap_or(0);
    let mut beyond: BTreeMap<(usize, &String), usize> = BTreeMap::new();
    for at in (0..width).filter(|at| takes(*at)) {
        let levels: BTreeSet<&String> = cells().filter_map(|(_, levels)| levels.get(at)).collect();
        for level in levels.into_iter().skip(1) {
            let next = beyond.len() + 1;
            beyond.insert((at, level), next);
        }
    }
    let of_cell: BTreeMap<u32, Vec<usize>> = cells()
        .map(|(cell, levels)| {
            let own = levels.iter().enumerate().filter_map(|key| beyond.get(&key).copied());
            (cell, std::iter::once(0).chain(own).collect())
        })
        .collect();
    let of_row = |row: &u32| table.cell.get(*row as usize).and_then(|cell| of_cell.get(cell)).cloned();
    Blocks { of_row: rows.iter().map(|row| of_row(row).unwrap_or_else(|| vec![0])).collect(), count: beyond.len() + 1 }
}

/// y z - softplus(z): the log-likelihood of an answer under log-odds z.
pub(super) fn log_likelihood(z: f64, y: f64) -> f64 {
    y * z - softplus(z)
}

/// How far an answer agrees with the side that the model favours, and how far it should: 1/2 where it favours none.
pub(super) fn agreement(z: f64, y: f64) -> (f64, f64) {
    let p = sigmoid(z);
    if p >= 0.5 { (y, p) } else { (1.0 - y, 1.0 - p) }
}

fn whole_clusters(table: &Comparisons) -> Clusters {
    table.prompt.clone().or_else(|| table.clusters.first().cloned()).unwrap_or_else(|| Clusters {
        role: "row".to_owned(),
        codes: (0..u32::try_from(table.rows.len()).unwrap_or(u32::MAX)).collect(),
        count: table.rows.len(),
    })
}

/// What is known of every pair, as differences between a and b, with a name each.
fn known(table: &Comparisons, responses: Option<&Responses>, rows: &[u32]) -> Vec<(String, Vec<f64>)> {
    let pick = |values: &[f64]| -> Vec<f64> {
        rows.iter().map(|row| values.get(*row as usize).copied().unwrap_or(f64::NAN)).collect()
    };
    let mut all: Vec<(String, Vec<f64>)> =
        table.policies.iter().map(|policy| (format!("margin of {}", policy.name), pick(&margins(policy)))).collect();
    all.extend(features(table, responses, rows));
    all.extend(generators(table, rows));
    all.retain(|(_, values)| values.iter().all(|value| value.is_finite()));
    all
}

fn features(table: &Comparisons, responses: Option<&Responses>, rows: &[u32]) -> Vec<(String, Vec<f64>)> {
    let name = |at: usize| format!("feature {}", at + 1);
    if let Some(own) = table.features.as_ref().filter(|own| own.width > 0) {
        let difference = |row: &u32, at: usize| {
            let of = |all: &[f64]| all.get(*row as usize * own.width + at).copied().unwrap_or(f64::NAN);
            of(&own.a) - of(&own.b)
        };
        let column = |at: usize| (name(at), rows.iter().map(|row| difference(row, at)).collect());
        return (0..own.width).map(column).collect();
    }
    let found = responses.and_then(|own| Some((own, own.features.as_ref()?)));
    let (Some((own, values)), Some(a), Some(b)) = (found, &table.response_a, &table.response_b) else {
        return Vec::new();
    };
    let of = |codes: &[u32], row: u32, at: usize| {
        let code = codes.get(row as usize).copied().filter(|code| *code != Codes::MISSING);
        code.and_then(|code| values.get(code as usize * own.width + at)).copied().unwrap_or(f64::NAN)
    };
    let column = |at: usize| (name(at), rows.iter().map(|row| of(a, *row, at) - of(b, *row, at)).collect());
    (0..own.width).map(column).collect()
}

/// 1 where a is of the generator, -1 where b is.
fn generators(table: &Comparisons, rows: &[u32]) -> Vec<(String, Vec<f64>)> {
    let Some(own) = &table.generators else { return Vec::new() };
    let is = |codes: &[u32], row: u32, wanted: u32| match codes.get(row as usize) {
        None | Some(&Codes::MISSING) => f64::NAN,
        Some(code) => f64::from(u8::from(*code == wanted)),
    };
    let column = |(code, name): (u32, &String)| {
        let values = rows.iter().map(|row| is(&own.a, *row, code) - is(&own.b, *row, code));
        (format!("generator {name}"), values.collect())
    };
    (0..).zip(&own.names).take(MAX_WIDTH).map(column).collect()
}

/// Those that are no linear combination of earlier ones, scaled to unit spread; at most so many.
fn independent(all: Vec<(String, Vec<f64>)>, most: usize) -> (Vec<String>, Vec<Vec<f64>>) {
    /// Share of the spread that has to be left: below, the column is another one again.
    const NEW: f64 = 1e-6;
    let (mut names, mut columns) = (Vec::new(), Vec::new());
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for (name, column) in all {
        if names.len() >= most {
            break;
        }
        let size = dot(&column, &column);
        let spread = (size / as_f64(column.len())).sqrt();
        if !(spread > 0.0 && spread.is_finite()) {
            continue;
        }
        // Modified Gram-Schmidt (Golub & Van Loan 2013, section 5.2.8).
        let mut rest = column.clone();
        for own in &basis {
            let along = dot(&rest, own);
            rest.iter_mut().zip(own).for_each(|(value, unit)| *value -= along * unit);
        }
        let left = dot(&rest, &rest);
        if left <= NEW * size {
            continue;
        }
        let length = left.sqrt();
        basis.push(rest.iter().map(|value| value / length).collect());
        columns.push(column.iter().map(|value| value / spread).collect());
        names.push(name);
    }
    (names, columns)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
pub(super) fn as_f64(count: usize) -> f64 {
    count as f64
}
