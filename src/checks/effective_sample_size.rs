//! How many independent comparisons is the weighted log worth?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_least, thousands};
use crate::weights::EffectiveSize;

pub(super) static CHECK: Check = Check {
    id: "effective-sample-size",
    title: "Effective sample size",
    source: "Kish (1965), Survey Sampling, section 11.7; Lemma (2026), sections 7 and 9",
    page: include_str!("../../docs/checks/effective-sample-size.md"),
    needs: &[Need::Weights],
    run,
};

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let (size, n_eff) = smaller(evidence)?;
    let ratio = n_eff / as_f64(size.n);
    let key = |key| Ok::<_, Undetermined>(at_least(key, limits.number(key)?));
    let mut measures = vec![
        Measure::held("effective sample size", n_eff, key("min_n_eff")?, Crossed::Limit).of_rows(size.n),
        Measure::held("effective share of rows", ratio, key("min_ratio")?, Crossed::Limit).of_rows(size.n),
        Measure::held("effective share of rows", ratio, key("warn_ratio")?, Crossed::Warning).of_rows(size.n),
        Measure::shown("design effect", as_f64(size.n) / n_eff).of_rows(size.n),
    ];
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let message = format!(
        "worth {} independent comparisons of {} ({:.1} %)",
        thousands(rounded(n_eff)),
        thousands(size.n),
        100.0 * ratio
    );
    Ok(Finding::from_measures(
        measures,
        message,
        "collect comparisons where the target outweighs the log (see the support table), or raise the exploration share of the pair \
         mechanism; more rows of the same traffic help only in proportion",
    ))
}

/// The audited or the labelled rows, whichever are worth less.
fn smaller(evidence: &Evidence) -> Result<(EffectiveSize, f64), Undetermined> {
    let audited =
        evidence.weights.summary.as_ref().map(|summary| EffectiveSize { n: summary.n, n_eff: Some(summary.n_eff) });
    let sizes = [audited, Some(evidence.weights.labelled)];
    let worth = sizes.into_iter().flatten().map(|size| (size, size.n_eff.unwrap_or(f64::NAN)));
    let least = worth.min_by(|a, b| a.1.is_nan().cmp(&b.1.is_nan()).reverse().then(a.1.total_cmp(&b.1)));
    least.filter(|(_, n_eff)| n_eff.is_finite()).ok_or_else(|| Undetermined {
        message: "no labelled row carries weight under the declared target".to_owned(),
        remedy: "see label-integrity and cell-support first".to_owned(),
        not_logged: false,
        measures: Vec::new(),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and the number of rows")]
fn rounded(n_eff: f64) -> u64 {
    n_eff.round() as u64
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
