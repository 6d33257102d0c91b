//! How much would hidden reasons have to tilt the odds to explain that a challenger wins?

use super::candidates::evaluation;
use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Status, Undetermined};
use super::{at_least, at_most, list, rows, status_of};
use crate::sensitivity::{GammaCurve, GammaSettings, PolicyPair, even_amplification};

pub(super) static CHECK: Check = Check {
    id: "hidden-confounding",
    title: "Hidden confounding (Gamma)",
    source: "Lemma (2026), section 9 (latent-confounding bounds); Rosenbaum (2002), Observational Studies, sections 4.3 and 4.4",
    page: include_str!("../../docs/checks/hidden-confounding.md"),
    needs: &[Need::Candidates],
    run,
};

const REMEDY: &str = "log what may drive both which comparisons are made and how they are answered, and add it to the cells; randomise \
                      which pairs are shown and who is asked; where the challenger is not ahead even without hidden reasons, label more";

/// What the policy asks of the test.
///
/// # Errors
/// A limit that cannot be used.
pub(super) fn settings(limits: &Limits) -> Result<GammaSettings, Undetermined> {
    let threshold_soft = match limits.text("soft_labels")? {
        "undetermined" => false,
        "threshold" => true,
        _ => return Err(Undetermined::unusable_limit("soft_labels", "`undetermined` or `threshold`")),
    };
    Ok(GammaSettings { gammas: limits.factors("gammas")?, alpha: limits.level("alpha")?, threshold_soft })
}

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let min_gamma = limits.number("min_gamma")?;
    settings(limits)?;
    let pairs = super::policy_pairs(evidence)?;
    let mut found: Vec<(&PolicyPair, &GammaCurve)> = Vec::with_capacity(pairs.len());
    for pair in pairs {
        match &pair.gamma {
            Ok(curve) => found.push((pair, curve)),
            Err(soft) => return Err(soft_labels(soft.0)),
        }
    }
    // The smallest tipping point first; those that have no lead last.
    found.sort_by(|a, b| a.1.tipping.unwrap_or(f64::INFINITY).total_cmp(&b.1.tipping.unwrap_or(f64::INFINITY)));
    let first = found.first().map_or_else(String::new, |(pair, curve)| message(pair, curve));
    let others = found.iter().skip(1).filter(|(_, curve)| curve.tipping.is_none());
    let message = super::with_others(first, &others.map(|(pair, _)| super::pair_name(pair)).collect::<Vec<_>>());
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (pair, curve) in &found {
        let missing = unbounded(evidence, limits, pair)?;
        if missing.is_empty() { known.extend(measures(pair, curve, min_gamma)) } else { unknown.extend(missing) }
    }
    known.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    if unknown.is_empty() || status_of(&known) == Status::Fail {
        return Ok(Finding::from_measures(known.into_iter().chain(unknown).collect(), message, REMEDY));
    }
    let mut names: Vec<String> = unknown.iter().filter_map(|measure| measure.subject.clone()).collect();
    names.dedup();
    Err(Undetermined {
        message: format!(
            "in what is asked about {}, rows lack log-probabilities or target mass lacks rows: what they would say is bounded by no Gamma",
            list(&names)
        ),
        remedy:
            "log the candidates' log-probabilities for every comparison, and comparisons of every cell of the target"
                .to_owned(),
        not_logged: false,
        measures: unknown.into_iter().chain(known).collect(),
    })
}

/// What no Gamma bounds: comparisons that drop out because a policy's log-probabilities are missing, for whatever reason, and target
/// mass without comparisons. Empty where nothing is missing.
fn unbounded(evidence: &Evidence, limits: &Limits, pair: &PolicyPair) -> Result<Vec<Measure>, Undetermined> {
    let evaluation = evaluation(evidence)?;
    let most = limits.number("max_missing_share")?;
    let is_pair =
        |challenger: &String, incumbent: &String| *challenger == pair.challenger && *incumbent == pair.incumbent;
    let own = evaluation.comparisons.iter().find(|own| is_pair(&own.challenger, &own.incumbent));
    let held = [
        ("share of the weight without log-probabilities", own.map_or(1.0, |own| own.missing_weight_share)),
        ("target mass without labelled rows", evaluation.unsupported),
    ];
    let name = super::pair_name(pair);
    let outside = held.into_iter().filter(|(_, share)| *share > most || share.is_nan());
    let bound = || at_most("max_missing_share", most);
    Ok(outside.map(|(what, share)| Measure::held(what, share, bound(), Crossed::Nothing).about(&name)).collect())
}

/// Where the challenger is not ahead even at Gamma = 1 (NaN) there is no conclusion to overturn: a warning, so that one weak
/// challenger does not fail what is said of the others.
fn measures(pair: &PolicyPair, curve: &GammaCurve, min_gamma: f64) -> Vec<Measure> {
    let name = super::pair_name(pair);
    let bound = at_least("min_gamma", min_gamma);
    let tipping = curve.tipping.unwrap_or(f64::NAN);
    let otherwise = if curve.tipping.is_some() { Crossed::Limit } else { Crossed::Warning };
    let mut measures = vec![
        Measure::held("tipping Gamma, rows of a cluster dependent", tipping, bound, otherwise),
        Measure::shown("tipping Gamma, rows independent", curve.tipping_by_row),
        Measure::shown("tipping Gamma without sampling error", curve.tipping_point.filter(|gamma| gamma.is_finite())),
        Measure::shown("target-weighted share of disagreements won", curve.share_won),
    ];
    for (what, count) in [
        ("disagreements dropped for a tied label", curve.ties),
        ("rows dropped because a policy has no preference", curve.undecided),
        ("soft labels taken for the side that they favour", curve.thresholded),
        ("rows left out for a missing log-probability", pair.missing),
    ] {
        if count > 0 {
            measures.push(Measure::fault(what, count, Crossed::Nothing));
        }
    }
    measures.into_iter().map(|measure| measure.about(&name).of_rows(curve.rows)).collect()
}

fn message(pair: &PolicyPair, curve: &GammaCurve) -> String {
    let (name, of) = (super::pair_name(pair), rows(curve.rows));
    match (curve.tipping, curve.share_won) {
        (Some(gamma), Some(won)) => {
            let even = even_amplification(gamma).unwrap_or(1.0);
            format!(
                "{name}: wins {:.1} % of {of} on which they disagree; that stays beyond chance (p <= {}) up to Gamma = {gamma:.3}, \
                 as from one hidden yes/no factor that multiplies both the odds of the comparison being made and those of its \
                 answer by {even:.2}",
                100.0 * won,
                curve.alpha
            )
        }
        (None, Some(won)) => format!(
            "{name}: wins {:.1} % of {of} on which they disagree, which is not beyond chance (p > {}) even without hidden \
             confounding",
            100.0 * won,
            curve.alpha
        ),
        (_, None) => format!("{name}: there is no labelled row of weight on which they disagree"),
    }
}

fn soft_labels(count: u64) -> Undetermined {
    Undetermined {
        message: format!(
            "{} on which the policies disagree carry a probability instead of a choice: a probability is no draw, and the test is \
             of draws",
            rows(count)
        ),
        remedy:
            "log choices, or let the policy say `soft_labels: threshold`, which takes each for the side that it favours"
                .to_owned(),
        not_logged: false,
        measures: Vec::new(),
    }
}
