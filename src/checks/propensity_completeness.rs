//! Does every row carry the probability with which its pair was shown?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Undetermined, at_least, rows, share};
use crate::declare::Pairs;
use crate::logs::Exclusion;

pub(super) static CHECK: Check = Check {
    id: "propensity-completeness",
    title: "Propensity completeness",
    source: "Lemma (2026), sections 3, 5 and 9",
    page: include_str!("../../docs/checks/propensity-completeness.md"),
    needs: &[],
    run,
};

const REMEDY: &str = "log the probability of the ordered pair, given prompt and user type, after every filter and at the \
                      moment of the draw; a row without it cannot be repaired by weighting";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let read = evidence.statistics.rows_read;
    let bound = at_least("min_share", limits.number("min_share")?);
    let Some(counts) = &evidence.statistics.propensities else {
        let measure = Measure::held("share with valid propensities", 0.0, bound, Crossed::Limit).of_rows(read);
        // Whatever share the policy asks for, nothing was logged at all.
        let measure = Measure { crossed: Crossed::Limit, ..measure };
        return Ok(Finding::from_measures(vec![measure], "the log carries no pair propensity".to_owned(), REMEDY));
    };
    let invalid_target = match evidence.regime.pairs {
        Pairs::Logged => 0,
        Pairs::Column(_) | Pairs::UniformResponses => {
            evidence.statistics.excluded_for(Exclusion::InvalidTargetPropensity)
        }
    };
    let valid = counts.valid.saturating_sub(invalid_target);
    let mut measures =
        vec![Measure::held("share with valid propensities", share(valid, read), bound, Crossed::Limit).of_rows(read)];
    let reasons = counts.invalid.iter().map(|(reason, n)| (reason.name(), *n));
    let reasons: Vec<(&str, u64)> =
        reasons.chain([(Exclusion::InvalidTargetPropensity.name(), invalid_target)]).collect();
    measures.extend(
        reasons
            .iter()
            .filter(|(_, n)| *n > 0)
            .map(|(reason, n)| Measure::fault(reason, *n, Crossed::Nothing).of_rows(read)),
    );
    let message = match read - valid {
        0 => format!("every one of {} carries a valid propensity", rows(read)),
        bad => {
            let named = reasons.iter().filter(|(_, n)| *n > 0).map(|(reason, n)| format!("{reason} {n}"));
            format!(
                "{} of {} lack a valid propensity ({})",
                super::thousands(bad),
                rows(read),
                named.collect::<Vec<_>>().join(", ")
            )
        }
    };
    Ok(Finding::from_measures(measures, message, REMEDY))
}
