//! Does the ranking of policies survive coarser proxies?

use super::candidates::{evaluation, nothing_to_compare, settle, unjudged, versus};
use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_most, list};
use crate::declare::CheckPolicy;
use crate::estimate::{ComparisonEvaluation, Estimate, Evaluation};
use crate::sensitivity::{Coarsened, gamma_of};
use std::collections::BTreeMap;

pub(super) static CHECK: Check = Check {
    id: "proxy-coarsening",
    title: "Stability under coarser proxies",
    source: "Lemma (2026), section 9 (proxy stress tests); Kendall (1945); Rosenbaum & Silber (2009)",
    page: include_str!("../../docs/checks/proxy-coarsening.md"),
    needs: &[Need::Candidates, Need::Weights],
    run,
};

const REMEDY: &str = "the conclusion rests on the covariate that was left out: make sure that it records what it stands for, and log what \
                      may do the same beside it";

/// How many disagreements a cell needs for its odds to be compared; `None` where the policy's limit cannot be used.
pub(super) fn min_cell_rows(checks: &BTreeMap<String, CheckPolicy>) -> Option<u32> {
    Limits(&checks.get(CHECK.id)?.limits).count("min_cell_rows", 2).ok()
}

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let evaluation = evaluation(evidence)?;
    if let Some(finding) = nothing_to_compare(evaluation) {
        return Ok(finding);
    }
    let most = limits.number("warn_flips")?;
    limits.count("min_cell_rows", 2)?;
    let coarsened = match evidence.coarsenings {
        Some(Ok(coarsened)) => coarsened,
        Some(Err(unfitting)) => {
            return Err(Undetermined {
                message: format!("a coarsening of the policy does not fit the regime: {unfitting}"),
                remedy:
                    "name covariates and levels of the regime under coarsening in the policy, as they are written there"
                        .to_owned(),
                not_logged: false,
                measures: Vec::new(),
            });
        }
        None => return Err(super::needs_rows(Vec::new())),
    };
    let (mut measures, mut unknown, mut flips) = (Vec::new(), Vec::new(), Vec::new());
    for (index, comparison) in evaluation.comparisons.iter().enumerate() {
        let about = versus(comparison);
        if let Some(measure) = unjudged(comparison, comparison.difference.as_ref(), limits, &about)? {
            unknown.push(measure);
        } else if let Some(fine) = &comparison.difference {
            let flipped = flipped(fine, coarsened, index);
            measures.push(held(&flipped, coarsened.len(), most).about(&about).of_rows(fine.n));
            flips.extend(flipped.iter().map(|(own, estimate)| sentence(comparison, own, fine, *estimate)));
        }
    }
    measures.extend(coarsened.iter().flat_map(|own| shown(evaluation, own)));
    let message = message(&flips, coarsened, evaluation);
    settle(measures, unknown, message, REMEDY)
}

/// The coarsenings under which a difference that is told from none has the other sign, or is not known.
fn flipped<'a>(fine: &Estimate, coarsened: &'a [Coarsened], index: usize) -> Vec<(&'a Coarsened, Option<f64>)> {
    let conclusive = fine.interval.is_some_and(|own| own.low > 0.0 || own.high < 0.0);
    let coarse = |own: &'a Coarsened| {
        let difference = own.differences.get(index).and_then(Option::as_ref).map(|own| own.estimate);
        (own, difference)
    };
    // No difference at all, and none that is a number, is not the same sign.
    let same = |own: f64| own.partial_cmp(&0.0) == fine.estimate.partial_cmp(&0.0) && own.abs() > 0.0;
    let other = |difference: Option<f64>| !difference.is_some_and(same);
    coarsened.iter().map(coarse).filter(|(_, difference)| conclusive && other(*difference)).collect()
}

fn held(flipped: &[(&Coarsened, Option<f64>)], all: usize, most: f64) -> Measure {
    let name = format!("coarsenings of {all} under which the two change places");
    Measure::held(&name, as_f64(flipped.len()), at_most("warn_flips", most), Crossed::Warning)
}

fn shown(evaluation: &Evaluation, own: &Coarsened) -> Vec<Measure> {
    let mut measures = vec![
        Measure::shown("largest change of a candidate's accuracy", own.largest_shift),
        Measure::shown("Kendall's tau with the declared ranking", own.kendall_tau),
        Measure::shown("effective sample size", own.n_eff),
        Measure::shown("largest odds ratio of being logged, the covariate left out", own.odds_ratio),
    ];
    let gammas = own.answers.iter().zip(&evaluation.comparisons).filter_map(|(delta, comparison)| {
        let gamma = gamma_of(own.odds_between?, (*delta)?)?;
        Some((gamma, versus(comparison)))
    });
    measures.extend(gammas.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(gamma, pair)| {
        Measure::shown(&format!("Gamma of a hidden factor as strong as what was left out, for {pair}"), gamma)
    }));
    measures.into_iter().map(|measure| measure.about(&own.name).of_rows(evaluation.n)).collect()
}

fn sentence(comparison: &ComparisonEvaluation, own: &Coarsened, fine: &Estimate, coarse: Option<f64>) -> String {
    match coarse {
        Some(coarse) => {
            format!(
                "{} is {:+.3} with the declared cells and {coarse:+.3} {}",
                versus(comparison),
                fine.estimate,
                own.name
            )
        }
        None => format!("{} cannot be computed {}", versus(comparison), own.name),
    }
}

fn message(flips: &[String], coarsened: &[Coarsened], evaluation: &Evaluation) -> String {
    if !flips.is_empty() {
        return list(flips);
    }
    let names: Vec<String> = coarsened.iter().map(|own| own.name.clone()).collect();
    let shift = coarsened.iter().filter_map(|own| own.largest_shift).reduce(f64::max);
    let shift = shift.map_or(String::new(), |shift| format!("; the largest change of an accuracy is {shift:.3}"));
    let differences = evaluation.comparisons.iter().filter_map(|own| own.difference.as_ref());
    let told = differences.filter(|own| own.interval.is_some_and(|own| own.low > 0.0 || own.high < 0.0)).count();
    let (all, names) = (evaluation.comparisons.len(), list(&names));
    match told {
        0 => format!("none of {all} comparisons is told from no difference, so that none could change {names}{shift}"),
        _ => format!("of {all} comparisons {told} are told from no difference, and none changes {names}{shift}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
