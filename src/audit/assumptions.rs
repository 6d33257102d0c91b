//! Evidence about the assumptions into the frozen types of the record.

use super::candidates::{Writer, cell_key};
use crate::checks::Evidence;
use crate::estimate::Estimate;
use crate::labels::{AnnotatorShift, Drift, Modelled, PreferenceFit, Support};
use crate::logs::Month;
use crate::report::{
    AnnotatorShiftRecord, CellSupportRecord, CoarseCandidate, CoarseComparison, CoarseningRecord, CycleRecord,
    DriftRecord, FitRecord, GainRecord, InformationRecord, InformativenessRecord, LabelModelRecord, MonitorRecord,
    MonthRecord, PreferenceFitRecord, SupportRecord,
};
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

/// What the labels say; `None` where there is no label model, and why.
pub(super) fn label_model(evidence: &Evidence) -> (Option<LabelModelRecord>, Option<String>) {
    match evidence.labels.map(|labels| &labels.modelled) {
        None => (None, None),
        Some(Err(why)) => (None, Some(why.to_string())),
        Some(Ok(own)) => (Some(modelled(evidence, own)), None),
    }
}

fn modelled(evidence: &Evidence, own: &Modelled) -> LabelModelRecord {
    const ANNOTATORS: usize = 100;
    LabelModelRecord {
        covariates: own.covariates.clone(),
        rows: own.rows,
        prompts: own.prompts,
        every: own.every,
        informativeness: own.informativeness.as_ref().map(|own| InformativenessRecord {
            joint: gain(own.proxies.clone(), own.joint.as_ref()),
            within_prompts: own.within_prompts,
            each: own.each.iter().map(|each| gain(vec![each.covariate.clone()], each.gain.as_ref())).collect(),
            pair_share: own.pair_share,
        }),
        drift: own.drift.as_ref().map(drift),
        annotators: own.annotators.iter().take(ANNOTATORS).map(annotator).collect(),
        preference_fit: preference_fit(evidence, &own.fit),
    }
}

fn gain(covariates: Vec<String>, own: Option<&Estimate>) -> GainRecord {
    GainRecord {
        covariates,
        gain: own.map(|own| own.estimate),
        se: own.and_then(|own| own.se),
        p_value: own.and_then(|own| own.p_above(0.0)),
    }
}

fn month(own: Month) -> String {
    format!("{}-{:02}", own.year, own.month)
}

fn drift(own: &Drift) -> DriftRecord {
    let months = own.months.iter().map(|at| MonthRecord {
        month: month(at.month),
        n: at.n,
        expected: at.expected,
        observed: at.observed,
        se: at.standard_error,
    });
    let curve = own.monitor.iter().flat_map(|monitor| &monitor.curve).map(|at| MonitorRecord {
        month: month(at.month),
        n: at.n,
        log10_e: at.log_e / std::f64::consts::LN_10,
    });
    DriftRecord {
        late_from: month(own.late_from),
        early: own.early,
        late: own.late,
        gain: gain(Vec::new(), own.gain.as_ref()),
        mean_change: own.mean_change,
        months: months.collect(),
        monitor: curve.collect(),
    }
}

fn annotator(own: &AnnotatorShift) -> AnnotatorShiftRecord {
    AnnotatorShiftRecord {
        ordinal: own.ordinal,
        n: own.n,
        expected: own.expected,
        observed: own.observed,
        se: own.standard_error,
        shift: own.shift,
        p_value: own.p_value,
    }
}

fn preference_fit(evidence: &Evidence, own: &PreferenceFit) -> PreferenceFitRecord {
    let bins = own.bins.iter().map(|bin| FitRecord {
        cell: None,
        n: bin.n,
        implied: bin.implied,
        observed: bin.observed,
        se: bin.standard_error,
    });
    let cells = own.cells.iter().map(|cell| FitRecord {
        cell: Some(cell_key(evidence, cell.cell)),
        n: cell.n,
        implied: cell.implied,
        observed: cell.observed,
        se: cell.standard_error,
    });
    let cycles = own.cycles.iter().map(|cycle| CycleRecord {
        cell: cell_key(evidence, cycle.cell),
        generators: cycle.generators.clone(),
        wins: cycle.wins,
        n: cycle.n,
        p_value: cycle.p_value,
    });
    PreferenceFitRecord {
        error: own.error,
        p_value: own.p_value,
        bins: bins.collect(),
        cells: cells.collect(),
        triples: own.triples,
        circular: own.circular,
        cycles: cycles.collect(),
    }
}

/// What candidates' mass lies on, as far as the responses file says.
pub(super) fn support(evidence: &Evidence) -> Vec<SupportRecord> {
    let record = |own: &Support| SupportRecord {
        candidate: own.name.clone(),
        unseen: own.unseen,
        listed: own.listed,
        cells: own
            .cells
            .iter()
            .map(|cell| CellSupportRecord {
                cell: cell_key(evidence, cell.cell),
                prompts: cell.prompts,
                unseen: cell.unseen,
                unseen_anywhere: cell.unseen_anywhere,
            })
            .collect(),
    };
    evidence.labels.map_or(&[][..], |labels| &labels.support).iter().map(record).collect()
}
