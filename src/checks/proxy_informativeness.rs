//! Does the label model differ across the cells at all?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_most, list, rows};
use crate::labels::{Informativeness, Modelled};

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
        measures.push(gain(each.gain.as_ref().map(|own| own.estimate)).about(&each.covariate));
        let p_value = each.gain.as_ref().and_then(|own| own.p_above(0.0));
        measures.push(Measure::shown("its p-value", p_value).about(&each.covariate));
    }
    measures.push(Measure::shown("share of the spread of ln w that is not the cells'", own.pair_share));
    let message = message(own, modelled, p_value, alpha);
    Ok(Finding::from_measures(measures, message, REMEDY))
}

fn gain(value: Option<f64>) -> Measure {
    Measure::shown("gain in held-out log-likelihood, nats a row", value)
}

fn message(own: &Informativeness, modelled: &Modelled, p_value: f64, alpha: f64) -> String {
    let (names, of) = (list(&own.proxies), rows(modelled.rows));
    if p_value <= alpha {
        return format!("knowing {names} helps to predict labels that were not fitted on (p = {p_value:.1e}, {of})");
    }
    let only = if own.pair_share <= 0.0 { ", through which alone weights differ," } else { "" };
    format!(
        "over {of}, knowing {names} does not help to predict labels that were not fitted on (p = {p_value:.2}): as far as the log \
         shows, weighting through them{only} cannot correct shifts that come from who is asked"
    )
}
