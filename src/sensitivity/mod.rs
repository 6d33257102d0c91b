//! How fragile a conclusion is: hidden confounding, coarser proxies, and evidence about the assumptions behind both.
//!
//! Two parameters, never to be mixed up. **Gamma** bounds the odds that a row on which two policies disagree goes one policy's
//! way for reasons that are not logged (Rosenbaum): a p-value bound. **Lambda** bounds the factor by which the true weight of a
//! row differs from the one computed (the marginal sensitivity model): bounds on an estimate. Neither converts to the other
//! except where this is said.
//!
//! Owns: the sign-score bound and its amplification, marginal and sharp bounds with their sampling error, coarsenings.
//! Must never: do I/O, or compare anything with a limit.

mod amplification;
mod coarsen;
mod excess;
mod marginal;
mod pair;
mod resample;
mod rosenbaum;
mod sharp;
mod tail;

pub use amplification::{amplify, even_amplification, gamma_of};
pub use coarsen::{Coarsened, Unfitting, coarsen_all};
pub use excess::clustered_tail;
pub use marginal::{Bounds, Box, Row, marginal_bounds, tipping_lambda};
pub use pair::{
    GammaCurve, GammaSettings, LambdaCurve, LambdaPoint, LambdaSettings, PolicyPair, SEED, SoftLabels, agreement,
    compare_all,
};
pub use resample::{Resampled, resample};
pub use rosenbaum::{Disagreement, GammaPoint, SignScore};
pub use sharp::sharp_bounds;
pub use tail::{Tail, TailMethod, tail_bound};
