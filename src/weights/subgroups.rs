//! What the log holds for a part of the population: the cells that a slice covers, taken together.

use super::CellWeight;
use crate::declare::Levels;
use std::collections::BTreeMap;

/// The cells of a slice together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Subgroup {
    /// Audited rows.
    pub n: u64,
    /// Labelled rows among them.
    pub n_labelled: u64,
    /// Its share of the target.
    pub p_target: f64,
    /// Its share of the log.
    pub p_observed: f64,
    /// Kish's effective sample size within it; `None` without rows of positive weight.
    pub n_eff: Option<f64>,
    /// Share of the total weight.
    pub weight_share: f64,
}

/// The cells whose levels `covers`, taken together.
pub fn subgroup(cells: &BTreeMap<Levels, CellWeight>, covers: impl Fn(&Levels) -> bool) -> Subgroup {
    let mut group = Subgroup::default();
    let mut squares = 0.0;
    for (_, cell) in cells.iter().filter(|(levels, _)| covers(levels)) {
        group.n += cell.n;
        group.n_labelled += cell.n_labelled;
        group.p_target += cell.p_target;
        group.p_observed += cell.p_observed;
        group.weight_share += cell.weight_share;
        // A cell's n_eff is (sum w)^2 / sum w^2 (Kish 1965, section 11.7), so that its sum w^2 is (sum w)^2 / n_eff.
        squares += cell.n_eff.map_or(0.0, |n_eff| cell.weight_share * cell.weight_share / n_eff);
    }
    group.n_eff = (squares > 0.0).then(|| group.weight_share * group.weight_share / squares);
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(weights: &[f64], total: f64) -> CellWeight {
        let sum: f64 = weights.iter().sum();
        let squares: f64 = weights.iter().map(|w| w * w).sum();
        CellWeight {
            n: weights.len() as u64,
            n_labelled: weights.len() as u64,
            p_target: 0.25,
            p_observed: 0.25,
            ratio: Some(1.0),
            n_eff: (squares > 0.0).then(|| sum * sum / squares),
            mean_pair_ratio: Some(1.0),
            max_weight: weights.iter().copied().reduce(f64::max),
            weight_share: sum / total,
        }
    }

    /// Against the definition over the rows themselves.
    #[test]
    fn cells_together_are_worth_what_their_rows_are() {
        let (first, second) = ([1.0, 2.0, 0.5], [4.0, 0.25]);
        let total: f64 = first.iter().chain(&second).sum::<f64>() + 3.0;
        let level = |name: &str| vec![name.to_owned()];
        let cells = BTreeMap::from([
            (level("a"), cell(&first, total)),
            (level("b"), cell(&second, total)),
            (level("c"), cell(&[3.0], total)),
            (level("empty"), cell(&[], total)),
        ]);
        let group = subgroup(&cells, |levels| levels[0] != "c");
        let (sum, squares) =
            first.iter().chain(&second).fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
        assert_eq!((group.n, group.n_labelled), (5, 5));
        assert!((group.n_eff.unwrap_or(0.0) - sum * sum / squares).abs() < 1e-12);
        assert!((group.weight_share - sum / total).abs() < 1e-15);
        assert!((group.p_target - 0.75).abs() < 1e-15);
        assert_eq!(subgroup(&cells, |levels| levels[0] == "empty").n_eff, None);
        assert_eq!(subgroup(&cells, |_| false), Subgroup::default());
    }
}
