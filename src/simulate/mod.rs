//! Confounded preference logs with a known truth.
//!
//! Owns: a small world in which user types ask in different domains and disagree about responses, logs drawn from it
//! with exact propensities, defects planted into such logs, and the quantities that an audit should find, by
//! enumeration.
//! Must never: use `weights` or any estimator, or it would test them with themselves.
//!
//! Scores and rewards are whole numbers of quarter doublings (ln 2 / 4 nats), so that every probability comes from
//! additions, multiplications, divisions and tabled constants alone: no `exp` whose last digit depends on the machine.

mod defect;
mod random;
mod rows;
mod world;

pub use defect::{Defect, plant};
pub use random::Random;
pub use rows::{Row, columns, example, rows};
pub use world::{CellTruth, Prompt, Truth, UserType, World};
