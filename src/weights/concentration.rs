//! How much of the weight rests on few prompts, annotators or users.

use super::{CellWeight, Sides, Weights, labelled_factors, labelled_masses};
use crate::declare::{Levels, Regime};
use crate::numeric::{Sum, Tail};
use crate::statistics::Statistics;
use crate::statistics::groups::{Context, Factors, Member, Members};
use std::collections::BTreeMap;

/// How many prompts, annotators or users the top is.
pub const TOP: usize = 10;

/// What the second scan needs to weigh every row.
pub fn row_factors(statistics: &Statistics, regime: &Regime, weights: &Weights) -> Context {
    let by_cell = |mass: fn(&CellWeight) -> f64| -> BTreeMap<Levels, f64> {
        weights.cells.iter().map(|(levels, cell)| (levels.clone(), mass(cell))).collect()
    };
    let (target, observed) = (by_cell(|cell| cell.p_target), by_cell(|cell| cell.p_observed));
    let labelled = labelled_factors(statistics, regime, &target, &observed);
    let masses = labelled_masses(statistics, regime, &observed);
    let factors = weights.cells.iter().map(|(levels, cell)| {
        let of = |all: &BTreeMap<Levels, f64>| all.get(levels).copied().unwrap_or(0.0);
        (levels.clone(), Factors { audited: cell.factor(), labelled: of(&labelled), observed: of(&masses) })
    });
    Context { factors: factors.collect(), pair_weighted: super::sides(statistics, regime) == Sides::UniformPairs }
}

/// The weight of all audited rows.
pub fn total_weight(members: &Members) -> f64 {
    everyone(members).map(|member| member.weight).collect::<Sum>().value()
}

/// A member's share of the weight of all audited rows; `None` when that is nothing that can be divided by.
pub fn weight_share(member: &Member, total: f64) -> Option<f64> {
    let share = member.weight / total;
    (total > 0.0 && share.is_finite()).then_some(share)
}

/// The share of the total weight on the [`TOP`] values with most; `None` when the weights sum to nothing that can be
/// divided by. Rows without a value count as one: nothing shows that they are several.
pub fn top_share(members: &Members) -> Option<f64> {
    let mut top = Tail::new(TOP);
    everyone(members).for_each(|member| top.add(member.weight));
    let most = top.descending().into_iter().take(TOP).collect::<Sum>().value();
    let total = total_weight(members);
    let share = most / total;
    (total > 0.0 && share.is_finite()).then_some(share.min(1.0))
}

fn everyone(members: &Members) -> impl Iterator<Item = &Member> {
    members.values.iter().chain([&members.missing])
}
