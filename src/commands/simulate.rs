//! `counterweight simulate`.

use super::progress::Terminal;
use super::{Failure, print};
use counterweight::declare;
use counterweight::logs::{LogFormat, Progress};
use counterweight::simulate;
use std::path::PathBuf;

/// What `simulate` is told.
#[derive(Debug)]
pub(crate) struct SimulateOptions {
    /// The world document.
    pub(crate) world: PathBuf,
    /// The folder to write.
    pub(crate) out: PathBuf,
    /// How many comparisons; the document's when absent.
    pub(crate) rows: Option<u64>,
    /// The seed of the draws; the document's when absent.
    pub(crate) seed: Option<u64>,
    /// The log's format.
    pub(crate) format: LogFormat,
    /// Whether to say nothing.
    pub(crate) quiet: bool,
}

/// Draws the log and writes the folder.
pub(crate) fn simulate(options: &SimulateOptions) -> Result<u8, Failure> {
    let mut world = declare::load_world(&options.world)?;
    // Shares of the log's time are of the rows that are drawn.
    world.set_rows(options.rows.unwrap_or(world.rows));
    let scene = simulate::scene(&world)?;
    let progress: &dyn Progress = if options.quiet { &() } else { &Terminal::default() };
    let run = (world.rows, options.seed.unwrap_or(world.seed), options.format);
    let written =
        simulate::write(&scene, &options.out, run, progress).map_err(|error| Failure(format!("error: {error}")))?;
    if !options.quiet {
        let truth = &written.truth;
        let mut text = format!(
            "{} rows in {}\nI(C; X) {:.4} nats, unsupported target mass {:.4}, expected n_eff/n {:.4}\n",
            written.rows,
            options.out.join(&written.log).display(),
            truth.mutual_information,
            truth.unsupported_target_mass,
            truth.weights.mean * truth.weights.mean / truth.weights.mean_square,
        );
        for policy in truth.policies.iter().skip(1) {
            let (target, logged) = (policy.target_accuracy, policy.observational_accuracy);
            text.push_str(&format!("{}: accuracy {target:.4} under the target, {logged:.4} in the log\n", policy.name));
        }
        print(&format!("{text}\nAudit: counterweight audit {}\n", options.out.join("audit.yaml").display()))?;
    }
    Ok(0)
}
