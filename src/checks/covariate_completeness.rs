//! Does every row carry the covariates that place it in a cell?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Undetermined, at_most, list, rows, share};
use crate::logs::Exclusion;

pub(super) static CHECK: Check = Check {
    id: "covariate-completeness",
    title: "Covariate completeness",
    source: "Lemma (2026), sections 5 and 9",
    page: include_str!("../../docs/checks/covariate-completeness.md"),
    needs: &[],
    run,
};

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let read = evidence.statistics.rows_read;
    let missing = evidence.statistics.excluded_for(Exclusion::MissingCovariate);
    let limit = at_most("max_missing_share", limits.number("max_missing_share")?);
    let measure =
        Measure::held("share with a missing covariate", share(missing, read), limit, Crossed::Limit).of_rows(read);
    let covariates = list(&evidence.regime.cells);
    let message = match missing {
        0 => format!("every row carries {covariates}"),
        missing => format!("{} of {} lack one of {covariates}", super::thousands(missing), rows(read)),
    };
    let remedy = "log the covariates for every row; if they cannot be known for some, declare a level for that, such as unknown, \
                  and give it a target mass";
    Ok(Finding::from_measures(vec![measure], message, remedy))
}
