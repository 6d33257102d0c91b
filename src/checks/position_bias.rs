//! Does the side on which a response is shown decide?

use super::{
    Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_least, at_most, side_is_known,
    side_not_kept, thousands,
};
use crate::declare::Role;
use crate::numeric::ClusteredRatio;
use crate::statistics::groups::{MAX_VALUES, Members};
use crate::weights::{Sides, share_of_side_a, sides};

pub(super) static CHECK: Check = Check {
    id: "position-bias",
    title: "Position bias",
    source: "Lemma (2026), sections 3 and 9; ratio estimator with clustered errors (Särndal, Swensson & Wretman 1992, section 5.7)",
    page: include_str!("../../docs/checks/position-bias.md"),
    needs: &[Need::Column(Role::Prompt), Need::Weights, Need::SecondScan],
    run,
};

const REMEDY: &str = "find out whether the interface, the annotators or the pipeline favour a side; show every pair in both orders, and \
    do not train on the order";

/// Without a preference for a side, a wins half of a symmetric pair's weight.
const NO_BIAS: f64 = 0.5;

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    if !side_is_known(evidence) {
        return Err(side_not_kept("what the side decides", Vec::new()));
    }
    let (alpha, max_deviation) = (limits.number("alpha")?, limits.number("warn_deviation")?);
    let enough = at_least("min_prompts", limits.number("min_prompts")?);
    let how = match sides(evidence.statistics, evidence.regime) {
        Sides::SymmetricMechanisms => "every mechanism is declared symmetric",
        Sides::UniformPairs => "pairs are weighted to uniform",
        Sides::NotIdentified => return Err(not_identified(evidence)),
    };
    let prompts = prompts(evidence)?;
    let Some(share) = share_of_side_a(prompts) else { return Err(too_few(Vec::new())) };
    let clusters = Measure::held("effective number of prompts", share.effective_clusters, enough, Crossed::Limit);
    let shown = Measure::shown("weighted share that a wins, ties one half", share.estimate);
    let error = Measure::shown("its standard error, clustered by prompt", share.standard_error).of_rows(share.clusters);
    let Some(p_value) = share.p_value(NO_BIAS).filter(|_| clusters.crossed == Crossed::Nothing) else {
        return Err(too_few(vec![Measure { crossed: Crossed::Nothing, ..clusters }, shown, error]));
    };
    let deviation = deviation(&share, p_value, alpha, max_deviation);
    let message = format!(
        "a wins {:.1} % of the weight (standard error {:.1} points, p = {p_value:.1e} for one half) where {how}",
        100.0 * share.estimate,
        100.0 * share.standard_error
    );
    Ok(Finding::from_measures(vec![deviation, shown, error, clusters], message, REMEDY))
}

/// Held against the limit only where chance is ruled out.
fn deviation(share: &ClusteredRatio, p_value: f64, alpha: f64, limit: f64) -> Measure {
    let deviation = (share.estimate - NO_BIAS).abs();
    let name = "deviation of a's weighted share from one half";
    if p_value <= alpha {
        Measure::held(name, deviation, at_most("warn_deviation", limit), Crossed::Warning)
    } else {
        Measure::shown(name, deviation)
    }
    .of_rows(share.clusters)
}

fn prompts<'a>(evidence: &Evidence<'a>) -> Result<&'a Members, Undetermined> {
    let members = evidence.groups.and_then(|groups| groups.roles.get(&Role::Prompt)).and_then(Option::as_ref);
    members.ok_or_else(|| Undetermined {
        message: format!("the log holds more than {} prompts: they are not kept", thousands(MAX_VALUES as u64)),
        remedy: "audit the log in parts".to_owned(),
        not_logged: false,
        measures: Vec::new(),
    })
}

/// The share is shown, and says nothing by itself.
fn not_identified(evidence: &Evidence) -> Undetermined {
    Undetermined {
        message: "position bias cannot be told from better responses being shown first: a mechanism that drew rows is not declared \
                  symmetric, and the target's pairs are not declared uniform"
            .to_owned(),
        remedy: "draw the order of every pair by a fair coin and declare the mechanism `symmetric: true`, or audit with \
                 `pairs: {uniform: responses}`"
            .to_owned(),
        not_logged: true,
        measures: vec![Measure::shown("weighted share that a wins, ties one half", evidence.weights.share_won_by_a)],
    }
}

fn too_few(measures: Vec<Measure>) -> Undetermined {
    Undetermined {
        message: "too few prompts carry weight for the error of a's share to be known".to_owned(),
        remedy: "audit more prompts".to_owned(),
        not_logged: true,
        measures,
    }
}
