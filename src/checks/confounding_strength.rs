//! How closely does the log tie who asks to what is asked?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_most, thousands};
use crate::weights::Information;

pub(super) static CHECK: Check = Check {
    id: "confounding-strength",
    title: "Strength of confounding in the log",
    source: "Lemma (2026), section 8 (I(C; X)); Miller (1955); likelihood-ratio test of independence (Wilks 1938)",
    page: include_str!("../../docs/checks/confounding-strength.md"),
    needs: &[Need::Weights],
    run,
};

const REMEDY: &str = "read no number that weighs rows alike as one about the declared population; where it can be changed, let the kinds \
                      of people be asked, or ask, alike";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let bound = limits.number("warn_information")?;
    if evidence.regime.cells.len() < 2 {
        return Ok(Finding::not_applicable("the regime's cells have one covariate: there is no other to be tied to"));
    }
    let mut all: Vec<&Information> = evidence.information.iter().collect();
    all.sort_by(|a, b| b.corrected.total_cmp(&a.corrected));
    let Some(most) = all.first() else {
        return Err(Undetermined {
            message: "no row is audited".to_owned(),
            remedy: "see the row accounting".to_owned(),
            not_logged: false,
            measures: Vec::new(),
        });
    };
    let message = message(most);
    let measures = all.iter().flat_map(|own| measures(own, bound)).collect();
    Ok(Finding::from_measures(measures, message, REMEDY))
}

fn measures(own: &Information, bound: f64) -> Vec<Measure> {
    let held = Measure::held(
        "mutual information with the other covariates, in nats, less its bias",
        own.corrected,
        at_most("warn_information", bound),
        Crossed::Warning,
    );
    let shown = [
        held,
        Measure::shown("its standard error", own.standard_error),
        Measure::shown("the same before the correction", own.plug_in),
        Measure::shown("p-value of no tie at all", own.p_value),
        Measure::shown("the same under the declared target", own.target),
    ];
    shown.map(|measure| measure.of_rows(own.n).about(&own.covariate)).into()
}

fn message(own: &Information) -> String {
    let error = own.standard_error.map_or(String::new(), |error| format!(", standard error {error:.4}"));
    let share = if own.most > 0.0 { 100.0 * own.corrected / own.most } else { 0.0 };
    format!(
        "over {} rows, the log ties {} to the other covariates by {:.3} nats{error}, {share:.0} % of the most there could be; the \
         target by {:.3}",
        thousands(own.n),
        own.covariate,
        own.corrected,
        own.target
    )
}
