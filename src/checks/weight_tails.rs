//! Do a few rows carry the target?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Status, Undetermined, at_most, status_of};
use crate::declare::Pairs;
use crate::numeric::NotAssessable;
use crate::weights::Summary;

pub(super) static CHECK: Check = Check {
    id: "weight-tails",
    title: "Tail of the weights",
    source: "Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25:72; Lemma (2026), section 9",
    page: include_str!("../../docs/checks/weight-tails.md"),
    needs: &[Need::Weights],
    run,
};

const REMEDY: &str = "raise the exploration floor of the pair mechanism and the traffic of under-represented cells; read the clipped \
                      estimates beside the unclipped";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let Some(summary) = &evidence.weights.summary else { return Err(Undetermined::missing_limit("weights")) };
    let mut measures = concentration(summary, limits)?;
    let k = match (&summary.tail.k, &evidence.regime.pairs) {
        (Ok(k), _) => {
            measures.splice(0..0, pareto(*k, summary, limits)?);
            format!("Pareto k {k:.2} of the {} largest", summary.tail.length)
        }
        // Every weight of the tail is the maximum: nothing lies beyond it that the sample has not shown many times.
        (Err(NotAssessable::Constant), _) => "Pareto k not assessable (the largest weights are all equal)".to_owned(),
        // One value a cell, bounded by the declared masses: the cells are the distribution.
        (Err(_), Pairs::Logged) => {
            "Pareto k not assessable (one weight a cell, bounded by the declared masses)".to_owned()
        }
        // What fails without k fails.
        (Err(_), _) if status_of(&measures) == Status::Fail => "Pareto k not assessable".to_owned(),
        (Err(reason), _) => return Err(not_assessable(*reason, measures)),
    };
    let message = format!(
        "{k}; the heaviest 1 % of rows carry {:.1} % of the weight, the heaviest row {:.2} %",
        100.0 * summary.top_share,
        100.0 * summary.max_share()
    );
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    Ok(Finding::from_measures(measures, message, REMEDY))
}

fn concentration(summary: &Summary, limits: &Limits) -> Result<Vec<Measure>, Undetermined> {
    Ok(vec![
        Measure::held(
            "weight share of the heaviest 1 %",
            summary.top_share,
            at_most("warn_top_share", limits.number("warn_top_share")?),
            Crossed::Warning,
        )
        .of_rows(summary.n),
        Measure::held(
            "weight share of the heaviest row",
            summary.max_share(),
            at_most("max_row_share", limits.number("max_row_share")?),
            Crossed::Limit,
        )
        .of_rows(summary.n),
    ])
}

fn pareto(k: f64, summary: &Summary, limits: &Limits) -> Result<[Measure; 2], Undetermined> {
    // The sample's own limit for this n is lower than the policy's while n is below 2,155.
    let warn = limits.number("warn_pareto_k")?.min(summary.tail.limit.unwrap_or(0.0));
    let n = summary.tail.length.try_into().unwrap_or(u64::MAX);
    Ok([
        Measure::held("Pareto k", k, at_most("warn_pareto_k", warn), Crossed::Warning).of_rows(n),
        Measure::held("Pareto k", k, at_most("max_pareto_k", limits.number("max_pareto_k")?), Crossed::Limit)
            .of_rows(n),
    ])
}

fn not_assessable(reason: NotAssessable, measures: Vec<Measure>) -> Undetermined {
    let why = match reason {
        NotAssessable::TooFew => "there are too few rows (it takes more than 20)",
        NotAssessable::FewDistinct | NotAssessable::Constant => "the largest weights take fewer than 5 distinct values",
        NotAssessable::NotFinite => "the generalised Pareto fit is not finite",
    };
    Undetermined {
        message: format!("the tail of the weights cannot be assessed: {why}"),
        remedy: "audit more rows, or read the weight quantiles and the largest weight against the bound that holds by design".to_owned(),
        not_logged: false,
        measures,
    }
}
