//! Re-fits: what weighting does to the policy that the log would train.
//!
//! Owns: the objectives of weighted DPO, the linear tilt log pi = log pi_ref + r(x, y) / beta - log Z(x), its frontier over
//! caps on the weights, temperatures and objectives, and the file a fitted policy is kept in.
//! Must never: read logs, judge, or rank a temperature by its own welfare.

mod artefact;
mod candidate;
mod checkpoint;
mod folds;
mod frontier;
mod inputs;
mod models;
mod objective;
mod welfare;

pub use artefact::{Artefact, Provenance, Unreadable};
pub use candidate::{Evidence, Refit, columns, fit};
pub use checkpoint::Checkpoint;
pub use folds::assign;
pub use frontier::{
    Estimate, Frontier, Grid, Matched, Paired, Point, Problem, Select, Selected, explore, fits, problem_digest,
};
pub use inputs::{NoFeatures, menu, pairs};
pub use models::{Cap, Fitted, Pairs, Settings, Unfitted};
pub use objective::{DoublyRobust, MeanLoss, Objective, doubly_robust_loss, loss, loss_gradient, margin, mean_loss};
pub use welfare::{Menu, Tilted, tilt, welfare_of_draws};
