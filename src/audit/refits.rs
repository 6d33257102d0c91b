//! The candidates that are to be fitted: fitted, put beside the others, and put on record.

use crate::declare::{Audit, Declaration, Role};
use crate::estimate::{self, Comparisons, TargetPairs};
use crate::logs::{FeatureKind, FeatureReading, Log, Progress};
use crate::refit::{self, Artefact, Estimate, Evidence, Frontier, Model, Provenance, Refit};
use crate::report;
use std::path::Path;

/// Fits every candidate that asks for it, and adds its out-of-fold margins to the others', in the order declared. `folder`
/// keeps finished fits, so that a run that was cut off goes on.
pub(super) fn fit(
    declaration: &Declaration,
    given: &TargetPairs<'_>,
    comparisons: &mut Comparisons,
    folder: Option<&Path>,
    progress: &dyn Progress,
) -> Vec<Refit> {
    let policy = &declaration.policy;
    let lambdas = crate::checks::sensitivity_settings(&policy.checks).map(|(_, lambda)| lambda.lambdas);
    let lambdas = lambdas.unwrap_or_default();
    let mut refits = Vec::new();
    for (place, candidate) in declaration.audit.candidates.iter().enumerate() {
        let checkpoint = folder.map(|folder| folder.join(format!("{place}.checkpoint")));
        let evidence = Evidence {
            comparisons,
            regime: &declaration.regime,
            selected: given.selected,
            lambdas: &lambdas,
            sample: given.sample,
            responses: given.responses,
            reference: declaration.audit.reference.as_ref().and_then(|reference| reference.responses.as_deref()),
            caps: &policy.clip,
            grid: &policy.fits,
            checkpoint: checkpoint.as_deref(),
        };
        refits.extend(refit::fit(candidate, &evidence, progress));
    }
    let declared = &declaration.audit.candidates;
    for refit in &refits {
        let candidate = declared.iter().find(|candidate| candidate.name == refit.candidate);
        let rows = comparisons.rows.len();
        comparisons.policies.extend(candidate.map(|candidate| refit::columns(refit, candidate, rows)));
    }
    let place = |name: &str| declared.iter().position(|candidate| candidate.name == name);
    comparisons.policies.sort_by_key(|policy| place(&policy.name));
    refits
}

/// The fitted policies as files.
pub(super) fn artefacts(declaration: &Declaration, log: Option<&Log>, refits: &[Refit]) -> Vec<(String, Artefact)> {
    let inputs: Vec<(String, String)> = log
        .into_iter()
        .flat_map(|log| &log.files)
        .filter_map(|file| Some((file.name.clone(), crate::logs::digest(&file.path).ok()?)))
        .collect();
    let features = log.map(|log| reading(log, &declaration.audit));
    let artefact = |refit: &Refit| {
        let selected = &refit.result.as_ref().ok()?.selected;
        let provenance = Provenance {
            clip: selected.clip.clone(),
            ridge: selected.ridge,
            beta: selected.beta,
            regime: declaration.regime.source.sha256.clone(),
            policy: declaration.policy.source.sha256.clone(),
            logs: inputs.iter().cloned().collect(),
            features: features.clone(),
            ..Provenance::new(&refit.candidate, refit.objective, selected.model, selected.scale.clone())
        };
        Some((refit.candidate.clone(), Artefact { parameters: selected.coefficients.clone(), provenance }))
    };
    refits.iter().filter_map(artefact).collect()
}

/// The points of every frontier.
pub(super) fn points(refits: &[Refit]) -> Vec<report::FrontierPoint> {
    let of = |refit: &Refit, frontier: &Frontier| -> Vec<report::FrontierPoint> {
        let point = |point: &refit::Point| report::FrontierPoint {
            candidate: refit.candidate.clone(),
            objective: point.objective.name().to_owned(),
            clip: point.clip.clone(),
            beta: point.beta,
            kl: point.kl.map(rounded),
            kl_se: point.kl_error.map(rounded),
            reward: point.reward.map(rounded),
            reward_se: point.reward_error.map(rounded),
            welfare: point.welfare.map(rounded),
            preference_accuracy: estimated(&point.preference_accuracy),
            log_loss: estimated(&point.log_loss),
            n_eff: point.n_eff,
            converged: point.converged,
            separated: point.separated,
            selected: point.selected,
        };
        frontier.points.iter().map(point).collect()
    };
    refits.iter().filter_map(|refit| Some(of(refit, refit.result.as_ref().ok()?))).flatten().collect()
}

/// What became of each candidate that was to be fitted.
pub(super) fn records(refits: &[Refit]) -> Vec<report::RefitRecord> {
    let record = |refit: &Refit| report::RefitRecord {
        candidate: refit.candidate.clone(),
        model: refit.model.name().to_owned(),
        objective: refit.objective.name().to_owned(),
        folds: refit.folds as u64,
        seed: refit.seed,
        problem: refit.result.as_ref().err().cloned(),
        frontier: refit.result.as_ref().ok().map(summary),
    };
    refits.iter().map(record).collect()
}

fn summary(frontier: &Frontier) -> report::RefitSummary {
    let selected = &frontier.selected;
    let over = |paired: &refit::Paired| report::FrontierDifference {
        clip: paired.clip.clone(),
        difference: estimated(&paired.difference),
    };
    let matched = |matched: &refit::Matched| report::MatchedPoint {
        objective: matched.objective.name().to_owned(),
        clip: matched.clip.clone(),
        kl: matched.kl,
        beta: rounded(matched.beta),
        reward: rounded(matched.reward),
    };
    report::RefitSummary {
        clip: selected.clip.clone(),
        ridge: selected.ridge,
        beta: selected.beta,
        coefficients: match selected.model {
            Model::Tilt => selected.coefficients.iter().copied().map(rounded).collect(),
            Model::Mlp(_) => Vec::new(),
        },
        scale: selected.scale.iter().copied().map(rounded).collect(),
        separated: selected.separated,
        preference_accuracy: estimated(&selected.preference_accuracy),
        log_loss: estimated(&selected.log_loss),
        in_sample_accuracy: rounded(selected.in_sample_accuracy),
        in_sample_log_loss: rounded(selected.in_sample_loss),
        over_naive: estimated(&selected.over_naive),
        disagreement_with_naive: rounded(selected.disagreement),
        over_incumbent: frontier.over_incumbent.iter().map(over).collect(),
        matched: frontier.matched.iter().map(matched).collect(),
        unidentified: frontier.unidentified.clone(),
        worst_case: frontier.worst_case.as_ref().map(worst_case),
    }
}

fn worst_case(curve: &refit::WorstCaseCurve) -> report::WorstCaseRecord {
    let point = |point: &refit::WorstCasePoint| report::WorstCasePointRecord {
        lambda: point.lambda,
        loss_bound: rounded(point.loss_bound),
        weighted_loss_bound: rounded(point.weighted_loss_bound),
        accuracy_bound: rounded(point.accuracy_bound),
        weighted_accuracy_bound: rounded(point.weighted_accuracy_bound),
        preference_accuracy: estimated(&point.accuracy),
        size: rounded(point.size),
        is_reference: point.is_reference,
        converged: point.converged,
    };
    report::WorstCaseRecord {
        declared: curve.declared,
        // Found by smoothing: three digits are what it is good for.
        collapse: curve.collapse.filter(|lambda| lambda.is_finite()).map(|lambda| (lambda * 1000.0).round() / 1000.0),
        never: curve.collapse.is_some_and(f64::is_infinite),
        points: curve.points.iter().map(point).collect(),
    }
}

/// Where the features were read.
fn reading(log: &Log, audit: &Audit) -> FeatureReading {
    let mapped = |role: Role| log.mapped.get(&role).cloned();
    let columns = estimate::feature_columns(log, audit).ok().flatten();
    let (a, b, kind) = match columns {
        Some(columns) => (columns.a, columns.b, columns.encoded.map_or(FeatureKind::Numbers, FeatureKind::Ngrams)),
        None => {
            let of = |role: Role| mapped(role).into_iter().collect();
            (of(Role::ResponseA), of(Role::ResponseB), FeatureKind::Responses)
        }
    };
    FeatureReading { id: mapped(Role::Id), prompt: mapped(Role::Prompt), a, b, kind }
}

fn estimated(estimate: &Estimate) -> report::FrontierEstimate {
    report::FrontierEstimate {
        estimate: rounded(estimate.estimate),
        se: estimate.standard_error.map(rounded),
        ci: estimate.interval.map(|interval| interval.map(rounded)),
        method: "self-normalised, out of fold, errors by cluster".to_owned(),
    }
}

/// To ten significant digits: processors multiply matrices with and without fused rounding, and the last digits of an optimum
/// differ by it.
fn rounded(value: f64) -> f64 {
    format!("{value:.9e}").parse().unwrap_or(value)
}
