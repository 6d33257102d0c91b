//! What the logs say about candidate policies under the declared target.
//!
//! Owns: the table of comparisons that everything about candidates is computed from, the target-weighted estimators with
//! their standard errors and intervals, the comparisons of candidates with each other. Source: Lemma (2026), sections 5, 8
//! and 9.
//! Must never: do I/O beyond asking `logs` for a scan, compare a number with a policy's limit, or fill in what is missing.

mod comparisons;

pub use comparisons::{Answer, Clusters, Comparisons, FeaturePair, PolicyColumns, collect};
