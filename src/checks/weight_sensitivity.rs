//! By what factor would the weights have to be wrong for a challenger's lead to vanish?

use super::candidates::{evaluation, settle, unjudged};
use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_least, rows};
use crate::estimate::IntervalMethod;
use crate::sensitivity::{Box, LambdaCurve, LambdaSettings, PolicyPair};

pub(super) static CHECK: Check = Check {
    id: "weight-sensitivity",
    title: "Sensitivity to wrong weights (Lambda)",
    source: "Tan (2006), JASA 101:1619; Zhao, Small & Bhattacharya (2019), JRSSB 81:735; Dorn & Guo (2023), JASA 118:2645",
    page: include_str!("../../docs/checks/weight-sensitivity.md"),
    needs: &[Need::Candidates],
    run,
};

const REMEDY: &str = "log exact propensities and the covariates that drive them; bring the logged shares closer to the target's, so that \
                      less rests on weights; where the challenger is not ahead even with these weights, label more";

/// What the policy asks of the model.
///
/// # Errors
/// A limit that cannot be used.
pub(super) fn settings(limits: &Limits) -> Result<LambdaSettings, Undetermined> {
    let shape = match limits.text("box")? {
        "ratio" => Box::Ratio,
        "tan" => Box::Tan,
        _ => return Err(Undetermined::unusable_limit("box", "`ratio` or `tan`")),
    };
    Ok(LambdaSettings {
        lambdas: limits.factors("lambdas")?,
        alpha: limits.level("alpha")?,
        shape,
        replicates: limits.count("replicates", 100)?,
        min_cell_rows: limits.count("min_cell_rows", 2)? as usize,
    })
}

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let min_lambda = limits.number("min_lambda")?;
    settings(limits)?;
    let pairs = super::policy_pairs(evidence)?;
    let found: Option<Vec<(&PolicyPair, &LambdaCurve)>> =
        pairs.iter().map(|pair| pair.lambda.as_ref().map(|curve| (pair, curve))).collect();
    let mut found = found.ok_or_else(not_computable)?;
    // The smallest tipping point first; those that have no lead last.
    found.sort_by(|a, b| a.1.tipping.unwrap_or(f64::INFINITY).total_cmp(&b.1.tipping.unwrap_or(f64::INFINITY)));
    let first = found.first().map_or_else(String::new, |(pair, curve)| message(pair, curve));
    let others = found.iter().skip(1).filter(|(_, curve)| curve.tipping.is_none());
    let message = super::with_others(first, &others.map(|(pair, _)| super::pair_name(pair)).collect::<Vec<_>>());
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (pair, curve) in found {
        match unresampled(evidence, limits, (pair, curve))? {
            Some(measure) => unknown.push(measure),
            None => known.extend(measures(pair, curve, min_lambda)),
        }
    }
    settle(known, unknown, message, REMEDY)
}

/// Why the bootstrap says nothing about sampling error: rows or clusters are effectively too few, or every row says the same, so that
/// every sample does. One cluster drawn again and again has no spread at all. `None` where it does.
fn unresampled(
    evidence: &Evidence,
    limits: &Limits,
    (pair, curve): (&PolicyPair, &LambdaCurve),
) -> Result<Option<Measure>, Undetermined> {
    let name = super::pair_name(pair);
    let of_pair =
        |(challenger, incumbent): (&String, &String)| *challenger == pair.challenger && *incumbent == pair.incumbent;
    let mut comparisons = evaluation(evidence)?.comparisons.iter();
    let Some(own) = comparisons.find(|own| of_pair((&own.challenger, &own.incumbent))) else { return Ok(None) };
    let estimate = own.difference.as_ref();
    if let Some(measure) = unjudged(own, estimate, limits, &name)? {
        return Ok(Some(measure));
    }
    let method = estimate.and_then(|own| own.interval).map(|own| own.method);
    let without_spread = curve.tipping.is_some() && method != Some(IntervalMethod::Student);
    let measure = || Measure::shown("standard error of the difference", estimate.and_then(|own| own.se));
    Ok(without_spread.then(|| measure().about(&name).of_rows(curve.rows)))
}

/// Where the interval holds 0 even at Lambda = 1 (NaN) there is no conclusion to overturn: a warning, so that one weak
/// challenger does not fail what is said of the others.
fn measures(pair: &PolicyPair, curve: &LambdaCurve, min_lambda: f64) -> Vec<Measure> {
    let name = super::pair_name(pair);
    let bound = at_least("min_lambda", min_lambda);
    let otherwise = if curve.tipping.is_some() { Crossed::Limit } else { Crossed::Warning };
    let mut measures = vec![
        Measure::held("tipping Lambda", curve.tipping.unwrap_or(f64::NAN), bound, otherwise),
        Measure::shown("tipping Lambda without sampling error", curve.tipping_point),
    ];
    if curve.unsupported > 0.0 {
        measures.push(Measure::shown("target mass without labels, taken at its worst", curve.unsupported));
    }
    measures.into_iter().map(|measure| measure.about(&name).of_rows(curve.rows)).collect()
}

fn message(pair: &PolicyPair, curve: &LambdaCurve) -> String {
    let (name, of) = (super::pair_name(pair), rows(curve.rows));
    match (curve.tipping, curve.tipping_point) {
        (Some(lambda), _) => format!(
            "{name}: the lead over {of} holds, sampling error included, as long as no weight is off by more than a factor of {lambda:.3}"
        ),
        (None, Some(point)) => format!(
            "{name}: the lead over {of} does not outlast sampling error even with these weights; without that it holds up to a factor \
             of {point:.3}"
        ),
        (None, None) => format!("{name}: there is no lead over {of} to begin with"),
    }
}

fn not_computable() -> Undetermined {
    Undetermined {
        message: "no labelled row carries weight, or the box `tan` is asked for and g_O is not logged for every row"
            .to_owned(),
        remedy:
            "see cell-support and propensity-completeness first; without propensities, let the policy say `box: ratio`"
                .to_owned(),
        not_logged: false,
        measures: Vec::new(),
    }
}
