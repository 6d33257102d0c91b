//! Re-fits: what weighting does to the policy that the log would train.
//!
//! Owns: the objectives of weighted DPO, the tilt log pi = log pi_ref + r(x, y) / beta - log Z(x) with a reward that is linear in
//! features or a small network of them, its frontier over caps on the weights, temperatures and objectives, and the file a
//! fitted policy is kept in.
//! Must never: read logs, judge, or rank a temperature by its own welfare.

mod artefact;
mod candidate;
mod checkpoint;
mod folds;
mod frontier;
mod inputs;
mod mlp;
mod models;
mod objective;
mod robust;
mod welfare;
mod worst_case;

pub use artefact::{Artefact, Provenance, Unreadable};
pub use candidate::{Evidence, Refit, columns, fit};
pub use checkpoint::Checkpoint;
pub use folds::assign;
pub use frontier::{
    Estimate, Frontier, Grid, Matched, Paired, Point, Problem, Select, Selected, explore, fits, problem_digest,
};
pub use inputs::{NoFeatures, menu, pairs};
pub use mlp::{Network, Trained, Training, Untrained, loss_and_gradient, train, value};
pub use models::{Cap, Fitted, Model, Pairs, Settings, Unfitted};
pub use objective::{DoublyRobust, MeanLoss, Objective, doubly_robust_loss, loss, loss_gradient, margin, mean_loss};
pub use robust::{NotRobust, Robust};
pub use welfare::{Menu, Tilted, tilt, welfare_of_draws};
pub use worst_case::{WorstCaseCurve, WorstCasePoint};
