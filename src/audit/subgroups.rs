//! The subgroups that the record shows: critical slices, then every level of each covariate.

use crate::checks::Evidence;
use crate::declare::{Levels, Slice};
use crate::report::SubgroupRecord;
use crate::weights::subgroup;
use std::collections::BTreeSet;

/// Critical slices in the order declared, then levels in the order of the covariates. A single covariate's levels are the
/// cells already.
pub(super) fn records(evidence: &Evidence) -> Vec<SubgroupRecord> {
    let covariates = &evidence.regime.cells;
    let critical = evidence.regime.critical.iter().map(|slice| record(evidence, slice, true));
    let single = |covariate: &String, level: &str| Slice::from([(covariate.clone(), level.to_owned())]);
    let mut levels: Vec<Slice> = Vec::new();
    if covariates.len() > 1 {
        for (place, covariate) in covariates.iter().enumerate() {
            let named: BTreeSet<&str> =
                evidence.weights.cells.keys().filter_map(|cell| cell.get(place).map(String::as_str)).collect();
            levels.extend(named.into_iter().map(|level| single(covariate, level)));
        }
    }
    levels.retain(|slice| !evidence.regime.critical.contains(slice));
    critical.chain(levels.iter().map(|slice| record(evidence, slice, false))).collect()
}

fn record(evidence: &Evidence, slice: &Slice, critical: bool) -> SubgroupRecord {
    let covariates = &evidence.regime.cells;
    let covers = |levels: &Levels| {
        covariates.iter().zip(levels).all(|(name, level)| slice.get(name).is_none_or(|wanted| wanted == level))
    };
    let group = subgroup(&evidence.weights.cells, covers);
    SubgroupRecord {
        slice: slice.clone(),
        critical,
        n: group.n,
        n_labelled: group.n_labelled,
        p_target: group.p_target,
        p_observed: group.p_observed,
        n_eff: group.n_eff,
        weight_share: group.weight_share,
    }
}
