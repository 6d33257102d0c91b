//! Does the label model differ across the cells at all?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_most, list, rows};
use crate::labels::{CovariateGain, Informativeness, Modelled};

pub(super) static CHECK: Check = Check {
    id: "proxy-informativeness",
    title: "Informative proxies",
    source: "Lemma (2026), sections 8 and 9; cross-fitted likelihood ratio (Vuong 1989; Chernozhukov et al. 2018)",
    page: include_str!("../../docs/checks/proxy-informativeness.md"),
    needs: &[Need::Candidates],
    run,
};

const REMEDY: &str = "treat weighting through these covariates as a diagnostic: log what drives preferences itself (what people asked \
                      for, who they are), check how the covariate is recorded, or label more";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let alpha = limits.level("alpha")?;
    let modelled = super::label_model(evidence)?;
    let Some(own) = &modelled.informativeness else {
        return Ok(Finding::not_applicable("every covariate of the cells has a single level in the log"));
    };
    let Some(p_value) = own.joint.as_ref().and_then(|joint| joint.p_above(0.0)) else {
        return Err(Undetermined {
            message: "the gain of knowing the cells has no error that could be computed".to_owned(),
            remedy: "label more comparisons, of more prompts".to_owned(),
            not_logged: false,
            measures: Vec::new(),
        });
    };
    let name = "p-value that knowing them does not help to predict held-out labels";
    let about = own.proxies.join(", ");
    let held = Measure::held(name, p_value, at_most("alpha", alpha), Crossed::Warning);
    let mut measures = vec![held.about(&about).of_rows(modelled.rows)];
    measures.push(gain(own.joint.as_ref().map(|joint| joint.estimate)).about(&about).of_rows(modelled.rows));
    for each in &own.each {
        measures.extend(own_gain(each, own, alpha).into_iter().map(|measure| measure.about(&each.covariate)));
    }
    measures.push(Measure::shown("share of the spread of ln w that is not the cells'", own.pair_share));
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let idle = own.each.iter().filter(|each| own_p_value(each, own).is_some_and(|p| p > alpha || p.is_nan()));
    let idle: Vec<String> = idle.map(|each| each.covariate.clone()).collect();
    let message = message(own, modelled, (p_value, alpha), &idle);
    Ok(Finding::from_measures(measures, message, REMEDY))
}

/// The p-value that one of several covariates in question helps neither alone nor beyond the others: twice the smaller of both
/// (Bonferroni), so that one that says what another one says is not taken for noise. NaN where neither is known; `None` where it is not
/// in question, or the only one that is.
fn own_p_value(each: &CovariateGain, own: &Informativeness) -> Option<f64> {
    let asked = own.proxies.len() > 1 && own.proxies.contains(&each.covariate);
    let p_values = [&each.gain, &each.alone].map(|gain| gain.as_ref().and_then(|own| own.p_above(0.0)));
    asked.then(|| p_values.into_iter().flatten().reduce(f64::min).map_or(f64::NAN, |p| (2.0 * p).min(1.0)))
}

fn own_gain(each: &CovariateGain, own: &Informativeness, alpha: f64) -> Vec<Measure> {
    let p_value = |gain: &Option<crate::estimate::Estimate>| gain.as_ref().and_then(|own| own.p_above(0.0));
    let name = "p-value that it helps neither alone nor beyond the others (Bonferroni)";
    let held = own_p_value(each, own).map(|p| Measure::held(name, p, at_most("alpha", alpha), Crossed::Warning));
    let shown = [gain(each.gain.as_ref().map(|own| own.estimate)), Measure::shown("its p-value", p_value(&each.gain))];
    held.into_iter().chain(shown).collect()
}

fn gain(value: Option<f64>) -> Measure {
    Measure::shown("gain in held-out log-likelihood, nats a row", value)
}

fn message(own: &Informativeness, modelled: &Modelled, (p_value, alpha): (f64, f64), idle: &[String]) -> String {
    let (names, of) = (list(&own.proxies), rows(modelled.rows));
    if p_value <= alpha {
        let helps =
            format!("knowing {names} helps to predict labels that were not fitted on (p = {p_value:.1e}, {of})");
        if idle.is_empty() {
            return helps;
        }
        return format!(
            "{helps}, and yet {} does not, neither alone nor beyond the others: as far as the log shows, weighting through it cannot \
             correct shifts that come from who is asked",
            list(idle)
        );
    }
    let only = if own.pair_share <= 0.0 { ", through which alone weights differ," } else { "" };
    format!(
        "over {of}, knowing {names} does not help to predict labels that were not fitted on (p = {p_value:.2}): as far as the log \
         shows, weighting through them{only} cannot correct shifts that come from who is asked"
    )
}
