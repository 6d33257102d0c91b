//! `counterweight score`.

use super::audit::replace;
use super::{Failure, print};
use counterweight::declare;
use counterweight::logs::{self, ColumnData, FeatureRows, write_parquet};
use counterweight::numeric::sigmoid;
use counterweight::refit::Artefact;
use std::path::PathBuf;

/// What `score` is told.
#[derive(Debug)]
pub(crate) struct ScoreOptions {
    /// The fitted policy.
    pub(crate) policy: PathBuf,
    /// The log.
    pub(crate) logs: PathBuf,
    /// The audit document whose columns and preset the log is read by.
    pub(crate) audit: Option<PathBuf>,
    /// The responses file, where features are looked up there.
    pub(crate) responses: Option<PathBuf>,
    /// The file to write.
    pub(crate) out: PathBuf,
}

/// Applies a fitted policy to a log. `margin` is (log pi - log pi_ref)(a) - (log pi - log pi_ref)(b), in nats; `p_a` is
/// sigmoid(beta margin), the probability of an answer for a under the implicit reward. A row without features has neither.
pub(crate) fn score(options: &ScoreOptions) -> Result<u8, Failure> {
    let name = options.policy.display();
    let bytes = std::fs::read(&options.policy).map_err(|error| Failure(format!("error: {name}: {error}")))?;
    let policy = Artefact::from_bytes(&bytes).map_err(|error| Failure(format!("error: {name}: {error}")))?;
    if options.out == options.logs || options.out == options.policy || Some(&options.out) == options.responses.as_ref()
    {
        return Err(Failure(format!("error: {}: is read, and would be written over", options.out.display())));
    }
    let declaration = options.audit.as_ref().map(|audit| declare::load(audit, &[])).transpose()?;
    let spec = declaration.as_ref().map(|declaration| &declaration.audit.logs);
    let reading = policy.provenance.features.as_ref();
    let reading = reading.ok_or_else(|| Failure(format!("error: {name}: it does not say what it was fitted on")))?;
    let FeatureRows { ids, width, a, b } =
        logs::read_features(&options.logs, options.responses.as_deref(), reading, spec)?;
    if width != policy.provenance.scale.len() {
        let (wanted, log) = (policy.provenance.scale.len(), options.logs.display());
        return Err(Failure(format!(
            "error: {log}: a response has {width} features, and {name} was fitted on {wanted}"
        )));
    }
    let rows = a.chunks_exact(width).zip(b.chunks_exact(width));
    let rewards: Vec<f64> = rows.map(|(a, b)| policy.reward(a) - policy.reward(b)).collect();
    let without = rewards.iter().filter(|reward| !reward.is_finite()).count();
    let finite = |value: f64| value.is_finite().then_some(value);
    let beta = policy.provenance.beta;
    let columns = [
        ("row_id", ColumnData::Text(ids.into_iter().map(Some).collect())),
        ("margin", ColumnData::Number(rewards.iter().map(|reward| finite(reward / beta)).collect())),
        ("p_a", ColumnData::Number(rewards.iter().map(|reward| finite(sigmoid(*reward))).collect())),
    ];
    replace(&options.out, |path| write_parquet(path, &columns).map_err(Failure::from))?;
    let unscored = if without > 0 { format!(", {without} of them without features") } else { String::new() };
    print(&format!("Scores: {} ({} rows{unscored})\n", options.out.display(), rewards.len()))?;
    Ok(0)
}
