//! Evidence about the assumptions into the frozen types of the record.

use super::candidates::Writer;
use crate::checks::Evidence;
use crate::report::{CoarseCandidate, CoarseComparison, CoarseningRecord, InformationRecord};
use crate::sensitivity::{Coarsened, gamma_of};

/// How closely the log ties each covariate to the others.
pub(super) fn information(evidence: &Evidence) -> Vec<InformationRecord> {
    let record = |own: &crate::weights::Information| InformationRecord {
        covariate: own.covariate.clone(),
        n: own.n,
        information: own.corrected,
        plug_in: own.plug_in,
        se: own.standard_error.filter(|error| error.is_finite()),
        p_value: own.p_value,
        most: own.most,
        target: own.target,
    };
    evidence.information.iter().map(record).collect()
}

/// The evaluation with coarser cells; empty where there is none, or a coarsening does not fit.
pub(super) fn coarsenings(evidence: &Evidence) -> Vec<CoarseningRecord> {
    let coarsened = evidence.coarsenings.and_then(Result::ok).unwrap_or_default();
    coarsened.iter().filter_map(|own| coarsening(evidence, own)).collect()
}

fn coarsening(evidence: &Evidence, own: &Coarsened) -> Option<CoarseningRecord> {
    let evaluation = evidence.evaluation?;
    let weighted = Writer { evaluation, weighting: "self-normalised" };
    let paired = Writer { evaluation, weighting: "self-normalised, paired" };
    let name = |index: &usize| evaluation.candidates.get(*index).map(|candidate| candidate.name.clone());
    let candidates = evaluation.candidates.iter().zip(&own.candidates).map(|(candidate, estimate)| CoarseCandidate {
        name: candidate.name.clone(),
        preference_accuracy: weighted.optional(estimate.as_ref(), None),
    });
    let comparisons = evaluation.comparisons.iter().zip(own.differences.iter().zip(&own.answers));
    let comparisons = comparisons.map(|(comparison, (difference, answers))| CoarseComparison {
        challenger: comparison.challenger.clone(),
        incumbent: comparison.incumbent.clone(),
        difference: paired.optional(difference.as_ref(), None),
        answers_odds_ratio: *answers,
        gamma: own.odds_between.zip(*answers).and_then(|(lambda, delta)| gamma_of(lambda, delta)),
    });
    Some(CoarseningRecord {
        cells: own.name.clone(),
        cell_count: own.cells,
        n_eff: own.n_eff,
        largest_weight: own.largest_weight,
        ranking: own.ranking.iter().filter_map(name).collect(),
        kendall_tau: own.kendall_tau,
        largest_shift: own.largest_shift,
        odds_ratio: own.odds_ratio,
        odds_between: own.odds_between,
        candidates: candidates.collect(),
        comparisons: comparisons.collect(),
    })
}
