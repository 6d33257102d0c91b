//! How closely the log ties a covariate of the cells to the others: the strength of confounding that the paper varies.

use crate::declare::Levels;
use crate::numeric::{ChiSquared, Sum};
use crate::statistics::Statistics;
use std::collections::BTreeMap;

/// A p-value is never given as less: a zero would claim certainty.
const LEAST: f64 = 1e-300;

/// The mutual information of one covariate and the others together, over the cells of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Information {
    /// The covariate.
    pub covariate: String,
    /// Audited rows.
    pub n: u64,
    /// I = sum of p ln(p / (p_1 p_2)), of the logged shares, in nats.
    pub plug_in: f64,
    /// The same less its bias (Miller 1955), at least 0, and never more than it was.
    pub corrected: f64,
    /// Its standard error: that of the delta method, and that of 2 n I under independence, whichever matters. `None` where
    /// rows stand for different numbers of comparisons.
    pub standard_error: Option<f64>,
    /// The p-value of the likelihood-ratio test of independence (G = 2 n I). `None` as above, and where one side has a
    /// single level.
    pub p_value: Option<f64>,
    /// The most that it could be: the smaller of the two entropies, in nats.
    pub most: f64,
    /// The same information under the declared target.
    pub target: f64,
}

/// One for each covariate, in the order of the regime; empty with fewer than two, or without rows. `target` is p_T of the cells.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
pub fn information(statistics: &Statistics, covariates: &[String], target: &BTreeMap<Levels, f64>) -> Vec<Information> {
    let shown = |(levels, cell): (&Levels, &crate::statistics::CellStatistics)| (levels.clone(), cell.shown_audited());
    let logged: BTreeMap<Levels, f64> = statistics.cells.iter().map(shown).filter(|(_, n)| *n > 0.0).collect();
    let rows = statistics.audited();
    if covariates.len() < 2 || rows == 0 {
        return Vec::new();
    }
    // Rows that stand for one comparison each, or all for the same number, are independent draws of a cell.
    let inverses = || statistics.cells.values().filter(|cell| cell.audited.n > 0).map(|c| c.common_inverse_inclusion());
    let first = inverses().next().flatten();
    let alike = first.is_some_and(|first| inverses().all(|own| own.is_some_and(|own| (own - first).abs() <= 0.0)));
    covariates
        .iter()
        .enumerate()
        .map(|(at, covariate)| {
            let table = Table::new(&logged, at);
            let n = rows as f64;
            let plug_in = table.information();
            let degrees = (table.own.len() - 1) * (table.others.len() - 1);
            let test = u32::try_from(degrees).ok().filter(|degrees| alike && *degrees > 0);
            let test = test.map(|degrees| ChiSquared { statistic: 2.0 * n * plug_in, degrees });
            let error = (table.variance(plug_in) / n + degrees as f64 / (2.0 * n * n)).sqrt();
            Information {
                covariate: covariate.clone(),
                n: rows,
                plug_in,
                corrected: (plug_in - table.bias(n)).max(0.0),
                standard_error: alike.then_some(error),
                p_value: test.and_then(|test| test.p_value(1.0)).map(|p| p.max(LEAST)),
                most: entropy(table.own.values()).min(entropy(table.others.values())),
                target: Table::new(target, at).information(),
            }
        })
        .collect()
}

/// Shares of the cells, and of both their sides.
struct Table<'a> {
    cells: Vec<(&'a String, Vec<&'a String>, f64)>,
    own: BTreeMap<&'a String, f64>,
    others: BTreeMap<Vec<&'a String>, f64>,
}

impl<'a> Table<'a> {
    fn new(masses: &'a BTreeMap<Levels, f64>, at: usize) -> Table<'a> {
        let total = masses.values().copied().collect::<Sum>().value();
        let mut table = Table { cells: Vec::new(), own: BTreeMap::new(), others: BTreeMap::new() };
        for (levels, mass) in masses.iter().filter(|(_, mass)| **mass > 0.0) {
            let Some(own) = levels.get(at) else { continue };
            let others: Vec<&String> =
                levels.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, level)| level).collect();
            *table.own.entry(own).or_default() += mass / total;
            *table.others.entry(others.clone()).or_default() += mass / total;
            table.cells.push((own, others, mass / total));
        }
        table
    }

    /// ln(p / (p_1 p_2)) of each cell, with p.
    fn terms(&self) -> impl Iterator<Item = (f64, f64)> {
        self.cells.iter().map(|(own, others, p)| {
            let of = self.own.get(own).copied().unwrap_or(*p) * self.others.get(others).copied().unwrap_or(1.0);
            (*p, (p / of).ln())
        })
    }

    /// sum of p ln(p / (p_1 p_2)) (Cover & Thomas 2006, equation 2.28); rounding can leave independence below 0.
    fn information(&self) -> f64 {
        self.terms().map(|(p, log)| p * log).collect::<Sum>().value().max(0.0)
    }

    /// The variance of ln(p / (p_1 p_2)) over rows: n times that of I (delta method).
    fn variance(&self, information: f64) -> f64 {
        self.terms().map(|(p, log)| p * (log - information).powi(2)).collect::<Sum>().value()
    }

    /// (K - K_1 - K_2 + 1) / 2n, with K the cells that are there and K_1, K_2 those of the sides (Miller 1955; Roulston 1999). Where so few
    /// cells are there that this is negative, the expansion that it comes from does not hold, and nothing is added.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn bias(&self, n: f64) -> f64 {
        let bias = (self.cells.len() as f64 - self.own.len() as f64 - self.others.len() as f64 + 1.0) / (2.0 * n);
        bias.max(0.0)
    }
}

fn entropy<'a>(shares: impl Iterator<Item = &'a f64>) -> f64 {
    -shares.filter(|share| **share > 0.0).map(|share| share * share.ln()).collect::<Sum>().value()
}
