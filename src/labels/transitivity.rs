//! Does one score a response explain the choices? Observed against implied win rates, and triples that go round in a circle.

use super::annotators::MIN_LABELS;
use super::model::{LabelModel, agreement, as_f64};
use crate::estimate::{Comparisons, Estimate};
use crate::logs::Codes;
use crate::numeric::{holm, sigmoid, t_tail};
use std::collections::BTreeMap;

/// Bins of implied win rates.
const BINS: usize = 10;
/// Prompts that a pair of generators needs in a cell for its win rate to be judged.
pub const MIN_EDGE_PROMPTS: u32 = 10;
/// Generators of which triples are formed, those with the most rows: 100 have 161,700.
const MAX_ITEMS: usize = 100;

/// How the choices fit one score a response.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PreferenceFit {
    /// Implied against observed win rates of a, ascending.
    pub bins: Vec<WinBin>,
    /// Weighted mean of |observed - implied| over the bins (expected calibration error; Naeini, Cooper & Hauskrecht 2015).
    pub error: f64,
    /// The same cell by cell: agreement with the side that the model favours.
    pub cells: Vec<CellFit>,
    /// The smallest p-value that a bin or a cell is as the model says, over all of them (Holm); `None` where none is known.
    pub p_value: Option<f64>,
    /// Triples of generators within a cell with win rates enough on all three sides; 0 where generators are not logged.
    pub triples: u64,
    /// Those whose win rates go round in a circle, chance left out of account.
    pub circular: u64,
    /// Those that do with the smallest p-values, over all triples and both directions (Holm): at most ten.
    pub cycles: Vec<Cycle>,
}

/// Rows with about the same implied win rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WinBin {
    /// Rows.
    pub n: u64,
    /// Mean implied win rate of a.
    pub implied: f64,
    /// Observed one, ties one half.
    pub observed: f64,
    /// Standard error of their difference, by prompt; `None` where it is not known.
    pub standard_error: Option<f64>,
}

/// One cell's agreement with the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellFit {
    /// Index of the cell in the table.
    pub cell: usize,
    /// Rows.
    pub n: u64,
    /// Share of the answers that should be on the side that the model favours.
    pub implied: f64,
    /// The share that is.
    pub observed: f64,
    /// Standard error of their difference, by prompt; `None` where it is not known.
    pub standard_error: Option<f64>,
    /// Two-sided p-value of no difference, over all bins and cells (Holm); `None` where it is not known.
    pub p_value: Option<f64>,
}

/// Three generators of which the first beats the second, the second the third, and the third the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Cycle {
    /// Index of the cell in the table.
    pub cell: usize,
    /// The three.
    pub generators: [String; 3],
    /// Their win rates in that order.
    pub wins: [f64; 3],
    /// Rows behind them.
    pub n: u64,
    /// p-value that they do not all exceed one half, over all triples and both directions (Holm).
    pub p_value: f64,
}

/// Holds the model's held-out log-odds against the answers, and looks for cycles in all rows of the table.
pub fn preference_fit(model: &LabelModel, table: &Comparisons, implied: &[f64]) -> PreferenceFit {
    let p: Vec<f64> = implied.iter().map(|z| sigmoid(*z)).collect();
    let residuals: Vec<f64> = model.answers.iter().zip(&p).map(|(y, p)| y - p).collect();
    let mut rows_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    p.iter().enumerate().for_each(|(row, p)| rows_of.entry(bin(*p)).or_default().push(row));
    let mut p_values = Vec::new();
    let mut bins = Vec::new();
    for rows in rows_of.values() {
        let (Some(mean), Some(implied)) = (model.mean_of(&residuals, rows), model.mean_of(&p, rows)) else { continue };
        p_values.extend(p_of(&mean));
        let (implied, observed) = (implied.estimate, implied.estimate + mean.estimate);
        bins.push(WinBin { n: mean.n, implied, observed, standard_error: mean.se });
    }
    let both: Vec<(f64, f64)> = implied.iter().zip(&model.answers).map(|(z, y)| agreement(*z, *y)).collect();
    let (differences, expected): (Vec<f64>, Vec<f64>) = both.iter().map(|(own, p)| (own - p, *p)).unzip();
    let mut by_cell: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, at) in model.rows.iter().enumerate() {
        let cell = table.cell.get(*at as usize).map_or(usize::MAX, |cell| *cell as usize);
        by_cell.entry(cell).or_default().push(row);
    }
    let mut cells = Vec::new();
    let mut place = Vec::new();
    for (cell, rows) in &by_cell {
        let (Some(mean), Some(own)) = (model.mean_of(&differences, rows), model.mean_of(&expected, rows)) else {
            continue;
        };
        let p_value = p_of(&mean);
        place.push(p_value.map(|_| p_values.len()));
        p_values.extend(p_value);
        let (implied, observed) = (own.estimate, own.estimate + mean.estimate);
        cells.push(CellFit { cell: *cell, n: mean.n, implied, observed, standard_error: mean.se, p_value });
    }
    let adjusted = holm(&p_values);
    for (cell, at) in cells.iter_mut().zip(place) {
        cell.p_value = at.and_then(|at| adjusted.get(at).copied());
    }
    let total = as_f64(model.rows.len());
    #[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
    let error = bins.iter().map(|own| own.n as f64 / total * (own.observed - own.implied).abs()).sum();
    let (triples, circular, cycles) = cycles(table);
    PreferenceFit { bins, error, cells, p_value: adjusted.into_iter().reduce(f64::min), triples, circular, cycles }
}

/// Two-sided. `None` with few rows: answers are 0 or 1, and a few that happen to be alike show next to no spread.
fn p_of(mean: &Estimate) -> Option<f64> {
    let se = mean.se.filter(|se| *se > 0.0 && mean.n >= MIN_LABELS)?;
    t_tail(mean.estimate.abs() / se, mean.freedom).map(|tail| (2.0 * tail).min(1.0))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability times ten, rounded down")]
fn bin(p: f64) -> usize {
    ((p * as_f64(BINS)) as usize).min(BINS - 1)
}

/// One pair of generators in one cell: rows, the share that the first wins, and the p-value of at most and at least one half.
#[derive(Debug, Clone, Copy)]
struct Edge {
    n: u64,
    wins: f64,
    p_above: f64,
    p_below: f64,
}

impl Edge {
    fn reversed(self) -> Edge {
        Edge { wins: 1.0 - self.wins, p_above: self.p_below, p_below: self.p_above, ..self }
    }
}

/// How many triples there are, how many go round in a circle, and those with the smallest p-values.
///
/// That all three win rates exceed one half is shown where each is: the largest of the three p-values (Berger 1982).
pub fn cycles(table: &Comparisons) -> (u64, u64, Vec<Cycle>) {
    const KEPT: usize = 10;
    let Some(generators) = &table.generators else { return (0, 0, Vec::new()) };
    let (edges, items) = edges(table);
    let names = |code: u32| generators.names.get(code as usize).cloned().unwrap_or_default();
    let (mut p_values, mut found, mut triples, mut circular) = (Vec::new(), Vec::new(), 0, 0);
    for (cell, edges) in &edges {
        for (at, i) in items.iter().enumerate() {
            for (further, j) in items.iter().enumerate().skip(at + 1) {
                let Some(ij) = edge(edges, *i, *j) else { continue };
                for k in items.iter().skip(further + 1) {
                    let (Some(jk), Some(ki)) = (edge(edges, *j, *k), edge(edges, *k, *i)) else { continue };
                    triples += 1;
                    for (codes, sides) in
                        [([*i, *j, *k], [ij, jk, ki]), ([*i, *k, *j], [ki.reversed(), jk.reversed(), ij.reversed()])]
                    {
                        p_values.push(sides.iter().map(|own| own.p_above).fold(0.0, f64::max));
                        let round = sides.iter().all(|own| own.wins > 0.5);
                        circular += u64::from(round);
                        if round {
                            found.push((p_values.len() - 1, *cell, codes, sides));
                        }
                    }
                }
            }
        }
    }
    let adjusted = holm(&p_values);
    let mut cycles: Vec<Cycle> = found
        .into_iter()
        .map(|(at, cell, codes, sides)| Cycle {
            cell,
            generators: codes.map(names),
            wins: sides.map(|own| own.wins),
            n: sides.iter().map(|own| own.n).sum(),
            p_value: adjusted.get(at).copied().unwrap_or(1.0),
        })
        .collect();
    cycles.sort_by(|a, b| a.p_value.total_cmp(&b.p_value).then_with(|| a.generators.cmp(&b.generators)));
    cycles.truncate(KEPT);
    (triples, circular, cycles)
}

/// Rows and what the first of two wins of them, by prompt.
type ByPrompt = BTreeMap<u32, (f64, f64)>;

type Edges = BTreeMap<(u32, u32), Edge>;

fn edge(edges: &Edges, a: u32, b: u32) -> Option<Edge> {
    if a < b { edges.get(&(a, b)).copied() } else { edges.get(&(b, a)).map(|own| own.reversed()) }
}

/// By cell, the pairs of generators with prompts enough; and the generators in question.
fn edges(table: &Comparisons) -> (BTreeMap<usize, Edges>, Vec<u32>) {
    let Some(generators) = &table.generators else { return (BTreeMap::new(), Vec::new()) };
    let mut rows: BTreeMap<u32, u64> = BTreeMap::new();
    let both = || generators.a.iter().zip(&generators.b).enumerate();
    let usable = |a: u32, b: u32| a != b && a != Codes::MISSING && b != Codes::MISSING;
    for (_, (a, b)) in both().filter(|(_, (a, b))| usable(**a, **b)) {
        *rows.entry(*a).or_default() += 1;
        *rows.entry(*b).or_default() += 1;
    }
    let mut items: Vec<u32> = rows.keys().copied().collect();
    items.sort_by_key(|code| (std::cmp::Reverse(rows.get(code).copied()), *code));
    items.truncate(MAX_ITEMS);
    items.sort_unstable();
    // Sums by prompt: rows of one prompt depend on each other.
    let mut sums: BTreeMap<(usize, u32, u32), ByPrompt> = BTreeMap::new();
    for (row, (a, b)) in both().filter(|(_, (a, b))| usable(**a, **b)) {
        let (Some(cell), Some(answer)) = (table.cell.get(row), table.answers.get(row)) else { continue };
        let value = answer.value();
        let (key, value) = if a < b { ((*a, *b), value) } else { ((*b, *a), 1.0 - value) };
        let prompt = table.prompt.as_ref().and_then(|own| own.codes.get(row)).copied();
        let prompt = prompt.unwrap_or(u32::try_from(row).unwrap_or(u32::MAX));
        let own = sums.entry((*cell as usize, key.0, key.1)).or_default().entry(prompt).or_default();
        *own = (own.0 + 1.0, own.1 + value);
    }
    let mut edges: BTreeMap<usize, Edges> = BTreeMap::new();
    for ((cell, a, b), prompts) in sums {
        if let Some(own) = judged(&prompts) {
            edges.entry(cell).or_default().insert((a, b), own);
        }
    }
    (edges, items)
}

/// The share won and its p-values against one half, errors by prompt. `None` with too few prompts.
fn judged(prompts: &ByPrompt) -> Option<Edge> {
    let count = as_f64(prompts.len());
    if count < f64::from(MIN_EDGE_PROMPTS) {
        return None;
    }
    let (n, won) = prompts.values().fold((0.0, 0.0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
    let wins = won / n;
    // Under the null the share is one half: the larger of the two variances, so that a pair that always goes one way is not
    // taken for certain.
    let about = |centre: f64| prompts.values().map(|(n, won)| (won - centre * n).powi(2)).sum::<f64>();
    let variance = about(wins).max(about(0.5)) * count / (count - 1.0) / (n * n);
    let t = (wins - 0.5) / variance.sqrt();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let n = n as u64;
    Some(Edge {
        n,
        wins,
        p_above: t_tail(t, count - 1.0).unwrap_or(1.0),
        p_below: t_tail(-t, count - 1.0).unwrap_or(1.0),
    })
}
