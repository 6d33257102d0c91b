//! What the logs say about candidate policies under the declared target.
//!
//! Owns: the table of comparisons that everything about candidates is computed from, the target-weighted estimators with
//! their standard errors and intervals, the comparisons of candidates with each other. Source: Lemma (2026), sections 5, 8
//! and 9.
//! Must never: do I/O beyond asking `logs` for a scan, compare a number with a policy's limit, or fill in what is missing.

mod bound;
mod bounded;
mod comparisons;
mod doubly_robust;
mod estimators;
mod evaluate;
mod mean;
mod sampled;
mod scores;
mod target_sample;

pub use bound::{FiniteSampleBound, finite_sample_bound};
pub use bounded::{
    Weighted, confidence_sequence, counting_interval, likelihood_mean, quadratic_interval, quadratic_mean,
};
pub use comparisons::{
    Answer, Clusters, Comparisons, FeatureColumns, FeaturePair, Generators, MAX_GENERATORS, PolicyColumns, collect,
    feature_columns,
};
pub use doubly_robust::{
    NotRobust, Outcomes, RobustTerm, TargetPairs, add_doubly_robust, locate, self_normalised_doubly_robust,
};
pub use estimators::{Held, cell_form, clipped, doubly_robust_scores, ips, mean_of_scores};
pub use evaluate::{CandidateEvaluation, ComparisonEvaluation, Evaluation, SampleSize, Scores, Shifts, evaluate};
pub use mean::{Estimate, Interval, IntervalMethod, LEVEL, Sample, mean};
pub use sampled::{sample_differences, sample_weights, sampled_doubly_robust};
pub use scores::{Calibration, CalibrationBin, agreement, brier_scores, calibration, log_losses, margins};
pub use target_sample::{TargetSample, collect_target_sample};
