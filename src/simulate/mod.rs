//! Confounded preference logs with a known truth.
//!
//! Owns: drawing logs from a [`World`] with exact propensities, defects planted into them, the documents to audit them
//! with, and the quantities that an audit should find, by enumeration.
//! Must never: use `weights` or any estimator, or it would test them with themselves.
//!
//! The way of a world: [`scene`] makes its document ready (responses and scores, what is shown, what is liked);
//! [`Scene::block`] draws a block of rows from a stream of its own; [`Scene::truth`] enumerates; [`write()`] puts a log and
//! all that belongs to it into a folder, block by block.
//!
//! Probabilities come from additions, multiplications, divisions and `libm`'s `exp` and `log`, which are the same on
//! every machine.

mod defect;
mod documents;
mod folder;
mod rows;
mod scene;
mod truth;

pub use crate::declare::{Defect, World};
pub use defect::plant;
pub use folder::{Written, write};
pub use rows::{BLOCK_ROWS, Row, columns, example, rows};
pub use scene::{Prompt, Response, Scene, Shown, scene};
pub use truth::{CellTruth, PolicyTruth, Truth, WeightTruth};

use std::path::Path;

impl World {
    /// Product telemetry, `examples/telemetry/world.yaml`: three quarters of the traffic is casual, experts ask mostly about
    /// coding, the two disagree about long answers, and the router shows them what it takes them to like.
    pub fn telemetry() -> World {
        let text = include_str!("../../examples/telemetry/world.yaml");
        // A test holds that the shipped document reads.
        crate::declare::parse_world("telemetry", text, Path::new("")).unwrap_or_default()
    }

    /// What is true of this world's logs: see [`Scene::truth`]. Empty where the world cannot be made ready.
    pub fn truth(&self) -> Truth {
        scene(self).map_or(Truth::default(), |scene| scene.truth())
    }
}
