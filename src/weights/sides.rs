//! Does the side on which a response is shown decide?

use crate::declare::{Pairs, Regime};
use crate::numeric::{ClusteredRatio, clustered_ratio};
use crate::statistics::Statistics;
use crate::statistics::groups::Members;

/// Whether, and by what, the pair is symmetric in expectation, so that without position bias a wins half of the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// Every mechanism that drew rows shows (a, b) as often as (b, a), as declared: rows weigh their cell's factor.
    SymmetricMechanisms,
    /// g_T is uniform over ordered pairs: rows weigh w, pair ratio included.
    UniformPairs,
    /// Neither: who is shown first may well be the better, and a share other than one half says nothing.
    NotIdentified,
}

/// Which of them holds.
pub fn sides(statistics: &Statistics, regime: &Regime) -> Sides {
    let symmetric = |id: &str| regime.mechanisms.iter().any(|mechanism| mechanism.id == id && mechanism.symmetric);
    let all_symmetric = match &statistics.mechanisms {
        Some(counts) => counts.missing == 0 && !counts.rows.is_empty() && counts.rows.keys().all(|id| symmetric(id)),
        None => !regime.mechanisms.is_empty() && regime.mechanisms.iter().all(|mechanism| mechanism.symmetric),
    };
    match regime.pairs {
        _ if all_symmetric => Sides::SymmetricMechanisms,
        Pairs::UniformResponses => Sides::UniformPairs,
        Pairs::Logged | Pairs::Column(_) => Sides::NotIdentified,
    }
}

/// The weighted share of answers that a wins (ties one half), with prompts as independent clusters; rows without a
/// prompt are one. `None` with fewer than two prompts that carry weight.
pub fn share_of_side_a(prompts: &Members) -> Option<ClusteredRatio> {
    let clusters: Vec<(f64, f64)> = prompts
        .values
        .iter()
        .chain([&prompts.missing])
        .map(|member| (member.answered_weight, member.won_weight))
        .collect();
    clustered_ratio(&clusters)
}
