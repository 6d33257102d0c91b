//! The evaluation of candidates into the frozen types of the record.

use super::robustness;
use crate::checks::Evidence;
use crate::declare::Slice;
use crate::estimate::{
    Calibration, CandidateEvaluation, ComparisonEvaluation, Estimate, Evaluation, IntervalMethod, Scores,
};
use crate::report::{
    BoundRecord, CalibrationBinRecord, CalibrationRecord, CandidateRecord, CapRecord, CellKey, ClusterRecord,
    ComparisonRecord, EstimateRecord, EstimatorRecord, EvaluationRecord, ScoresRecord, SliceRecord, TargetSampleRecord,
};

const UNIT: Option<(f64, f64)> = Some((0.0, 1.0));
const DIFFERENCE: Option<(f64, f64)> = Some((-1.0, 1.0));

/// What all estimates share.
pub(super) fn evaluation(own: &Evaluation) -> EvaluationRecord {
    EvaluationRecord {
        n: own.n,
        n_eff: own.n_eff,
        unsupported_target_mass: own.unsupported,
        largest_weight: own.largest_weight,
        clusters: grouped(&own.clusters),
        finite_sample_bound: own.bound.map(|bound| BoundRecord {
            by_largest_weight: bound.by_largest_weight,
            by_second_moment: bound.by_second_moment,
            vacuous: bound.is_vacuous(),
            units: bound.units,
            class: bound.class,
            delta: bound.delta,
        }),
        target_sample: own.target_sample.as_ref().map(|sample| TargetSampleRecord {
            pairs: sample.pairs,
            clusters: grouped(&sample.clusters),
            of_logged_prompts: sample.of_logged_prompts,
            shares_p_value: sample.shares_p_value,
        }),
    }
}

fn grouped(clusters: &[(String, u64)]) -> Vec<ClusterRecord> {
    clusters.iter().map(|(role, count)| ClusterRecord { role: role.clone(), count: *count }).collect()
}

/// Every candidate.
pub(super) fn candidates(own: &Evaluation, evidence: &Evidence) -> Vec<CandidateRecord> {
    own.candidates.iter().map(|candidate| candidate_record(own, candidate, evidence)).collect()
}

fn candidate_record(own: &Evaluation, candidate: &CandidateEvaluation, evidence: &Evidence) -> CandidateRecord {
    let write = Writer { evaluation: own, weighting: "self-normalised" };
    let logged = Writer { evaluation: own, weighting: "unweighted" };
    let mut estimators: Vec<EstimatorRecord> =
        candidate.estimators.iter().map(|(name, estimate)| estimator(own, name, estimate.as_ref())).collect();
    let robust = candidate.doubly_robust.as_ref();
    let weighting = match &own.target_sample {
        Some(sample) => format!("doubly robust, the outcome model over a target sample of {} pairs", sample.pairs),
        None => "doubly robust".to_owned(),
    };
    estimators.push(EstimatorRecord {
        name: "doubly robust".to_owned(),
        estimate: Writer { evaluation: own, weighting: &weighting }.optional(robust.ok(), UNIT),
        note: robust.err().map(ToString::to_string),
    });
    CandidateRecord {
        name: candidate.name.clone(),
        role: if candidate.incumbent { "incumbent" } else { "challenger" }.to_owned(),
        beta: candidate.beta,
        missing: candidate.missing,
        undecided: candidate.zero_margins,
        target: write.scores(&candidate.target, true),
        observed: logged.scores(&candidate.observed, false),
        estimators,
        calibration: candidate.calibration.as_ref().map(calibration),
        chosen_shift: write.optional(candidate.shifts.chosen.as_ref(), None),
        rejected_shift: write.optional(candidate.shifts.rejected.as_ref(), None),
        slices: candidate
            .slices
            .iter()
            .map(|(slice, estimate)| write.slice(slice.clone(), estimate.as_ref()))
            .collect(),
        cells: candidate
            .cells
            .iter()
            .map(|(cell, estimate)| write.slice(cell_key(evidence, *cell), estimate.as_ref()))
            .collect(),
    }
}

pub(super) fn cell_key(evidence: &Evidence, cell: usize) -> Slice {
    let levels = evidence.comparisons.and_then(|table| table.cells.get(cell));
    let levels = levels.map_or(&[][..], Vec::as_slice);
    evidence.regime.cells.iter().cloned().zip(levels.iter().cloned()).collect()
}

/// Every comparison.
pub(super) fn comparisons(own: &Evaluation, evidence: &Evidence) -> Vec<ComparisonRecord> {
    own.comparisons.iter().map(|comparison| comparison_record(own, comparison, evidence)).collect()
}

fn comparison_record(own: &Evaluation, comparison: &ComparisonEvaluation, evidence: &Evidence) -> ComparisonRecord {
    let (gamma, lambda) = robustness::envelopes(evidence, &comparison.challenger, &comparison.incumbent);
    let write = Writer { evaluation: own, weighting: "self-normalised, paired" };
    let logged = Writer { evaluation: own, weighting: "unweighted, paired" };
    let caps = own.caps.iter().zip(&comparison.by_cap);
    ComparisonRecord {
        challenger: comparison.challenger.clone(),
        incumbent: comparison.incumbent.clone(),
        difference: write.optional(comparison.difference.as_ref(), DIFFERENCE),
        observed_difference: logged.optional(comparison.observed_difference.as_ref(), None),
        disagreements: comparison.disagreements,
        by_cap: caps.map(|((clip, _), difference)| CapRecord { clip: clip.clone(), difference: *difference }).collect(),
        slices: comparison
            .slices
            .iter()
            .map(|(slice, estimate)| write.slice(slice.clone(), estimate.as_ref()))
            .collect(),
        gamma,
        lambda,
    }
}

fn estimator(own: &Evaluation, name: &str, estimate: Option<&Estimate>) -> EstimatorRecord {
    let range = if name == "inverse propensity weighted" { None } else { UNIT };
    let written = Writer { evaluation: own, weighting: name }.optional(estimate, range);
    let note = written.is_none().then(|| match name {
        "cell form" => "a cell of the target has a single row, whose error is unknown, or none has rows".to_owned(),
        _ => "no row carries weight".to_owned(),
    });
    EstimatorRecord { name: name.to_owned(), estimate: written, note }
}

fn calibration(own: &Calibration) -> CalibrationRecord {
    let bins = own.bins.iter().map(|bin| CalibrationBinRecord {
        n: bin.n,
        weight_share: bin.weight_share,
        predicted: bin.predicted,
        observed: bin.observed,
    });
    CalibrationRecord { error: own.error, bins: bins.collect() }
}

/// How estimates are written down.
pub(super) struct Writer<'a> {
    pub(super) evaluation: &'a Evaluation,
    pub(super) weighting: &'a str,
}

impl Writer<'_> {
    fn scores(&self, own: &Scores, target: bool) -> ScoresRecord {
        let range = if target { UNIT } else { None };
        ScoresRecord {
            preference_accuracy: self.optional(own.accuracy.as_ref(), range),
            log_loss: self.optional(own.log_loss.as_ref(), None),
            brier: self.optional(own.brier.as_ref(), range),
        }
    }

    fn slice(&self, slice: CellKey, estimate: Option<&Estimate>) -> SliceRecord {
        SliceRecord { slice, estimate: self.optional(estimate, None) }
    }

    /// `range` is that of the scores, where the estimate is one of the whole target.
    pub(super) fn optional(&self, estimate: Option<&Estimate>, range: Option<(f64, f64)>) -> Option<EstimateRecord> {
        let own = estimate.filter(|own| own.estimate.is_finite())?;
        let ci = own.interval.map(|interval| (interval.low, interval.high));
        let finite = |(low, high): (f64, f64)| (low.is_finite() && high.is_finite()).then_some([low, high]);
        let whole = ci.zip(range).filter(|_| self.evaluation.unsupported > 0.0);
        let informative = |ends: &(f64, f64)| range.is_none_or(|(low, high)| ends.0 > low || ends.1 < high);
        Some(EstimateRecord {
            estimate: own.estimate,
            se: own.se.filter(|se| se.is_finite()),
            ci: ci.and_then(finite),
            method: self.method(own),
            se_by_row: own.se_by_row.filter(|se| se.is_finite()),
            se_by_cluster: own.se_by_cluster.iter().map(|se| se.filter(|se| se.is_finite())).collect(),
            ci_any_n: own.outer.filter(informative).and_then(finite),
            ci_whole_target: whole.and_then(|(ci, range)| finite(self.evaluation.with_unsupported(ci, range))),
            n: own.n,
            n_eff: own.n_eff,
        })
    }

    fn method(&self, own: &Estimate) -> String {
        let roles: Vec<&str> = self.evaluation.clusters.iter().map(|(role, _)| role.as_str()).collect();
        let errors = match roles.as_slice() {
            [] => "errors by row".to_owned(),
            roles => format!("errors clustered by {}", roles.join(" and ")),
        };
        let interval = match own.interval.map(|interval| interval.method) {
            Some(IntervalMethod::Student) => format!("Student's t on {:.1} degrees of freedom", own.freedom),
            Some(IntervalMethod::EmpiricalBernstein) => "empirical Bernstein bound, for there is no spread".to_owned(),
            None => "no interval".to_owned(),
        };
        format!("{}; {errors}; {interval}", self.weighting)
    }
}
