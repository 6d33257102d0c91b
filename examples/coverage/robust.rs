//! Coverage of the doubly robust estimate, from a log's files to the record.

use crate::{rate, verdict};
use counterweight::audit::{Input, audit};
use counterweight::declare::{self, World, parse_world};
use counterweight::logs::LogFormat;
use counterweight::report::EstimateRecord;
use counterweight::simulate::{scene, write};
use std::error::Error;
use std::path::Path;

const WORLD: &str = include_str!("../confounded/world.yaml");

/// The world that the parts on files simulate.
pub(crate) fn confounded() -> Result<World, Box<dyn Error>> {
    Ok(parse_world("world.yaml", WORLD, Path::new(".")).map_err(|problems| problems.to_string())?)
}

/// Prints how often the intervals of the record cover the enumerated truth.
pub(crate) fn print(logs: u64) -> Result<(), Box<dyn Error>> {
    let scene = scene(&confounded()?).map_err(|problems| problems.to_string())?;
    println!("\nThrough the whole program, every row its own cluster, {logs} logs a row:\n");
    println!("| rows | n_eff | estimator | longer | judge | 0.95 | mean error by row, longer |");
    println!("|---:|---:|---|---:|---:|---|---:|");
    for n in [300, 1_000, 4_000] {
        let mut counts = [[0_u64; 2]; 2];
        let (mut errors, mut n_eff) = ([0.0; 2], 0.0);
        for seed in 0..logs {
            let folder = tempfile::tempdir()?;
            let out = folder.path().join("log");
            let written = write(&scene, &out, (n, 40_000 + seed, LogFormat::Parquet), &())?;
            listed(&out)?;
            let declaration = declare::load(&out.join("audit.yaml"), &[])?;
            let report = audit(&declaration, Input::Rows, "2026-11-01".parse()?, &())?.report;
            n_eff += report.evaluation.as_ref().map_or(0.0, |own| own.n_eff) / logs as f64;
            for (which, name) in ["longer", "judge"].into_iter().enumerate() {
                let truth = written.truth.policy(name).map_or(f64::NAN, |own| own.target_accuracy);
                let Some(own) = report.candidates.iter().find(|own| own.name == name) else { continue };
                let robust = own.estimators.iter().find(|own| own.name == "doubly robust");
                let both = [own.target.preference_accuracy.as_ref(), robust.and_then(|own| own.estimate.as_ref())];
                for (kind, estimate) in both.into_iter().enumerate() {
                    let Some(estimate) = estimate else { continue };
                    counts[kind][which] += u64::from(covers(estimate, truth));
                    if which == 0 {
                        errors[kind] += estimate.se_by_row.unwrap_or(f64::NAN) / logs as f64;
                    }
                }
            }
        }
        for (name, (counts, error)) in ["self-normalised", "doubly robust"].iter().zip(counts.iter().zip(errors)) {
            let within = verdict(counts, logs);
            let [longer, judge] = counts.map(|held| rate(held, logs));
            println!("| {n} | {n_eff:.0} | {name} | {longer} | {judge} | {within} | {error:.4} |");
        }
    }
    Ok(())
}

/// The target's pairs are listed in the responses file, and so are log-probabilities; rows are independent.
fn listed(folder: &Path) -> Result<(), Box<dyn Error>> {
    let edit = |name: &str, edits: &[(&str, &str)]| -> Result<(), Box<dyn Error>> {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path)?;
        let edited = edits.iter().fold(text, |text, (from, to)| text.replace(from, to));
        Ok(std::fs::write(path, edited)?)
    };
    edit("regime.yaml", &[("pairs: {column: target_propensity}", "pairs: {uniform: responses}")])?;
    let logp = |name: &str| format!("logp_a: \"{name}_logp_a\", logp_b: \"{name}_logp_b\"");
    let listed = |name: &str| format!("logp: {name}_logp");
    let [reference, longer, judge] = ["ref", "longer", "judge"].map(|name| (logp(name), listed(name)));
    let pairs = [&reference, &longer, &judge].map(|(from, to)| (from.as_str(), to.as_str()));
    edit("audit.yaml", &[&pairs[..], &[("cluster: prompt", "cluster: event_id")]].concat())
}

fn covers(estimate: &EstimateRecord, truth: f64) -> bool {
    estimate.ci.is_some_and(|[low, high]| low <= truth && truth <= high)
}
