//! Plain numerical methods: f64 in, f64 out.
//!
//! Owns: compensated sums, quantiles, the relative-error histogram, the largest values of a stream, the generalised
//! Pareto fit, evidence against a mean of one, Pearson's chi-squared, multiplicity, intervals for a proportion and by betting,
//! weighted means, rank correlation, ridge logistic regression and its worst case over weights in a box, seeded draws. Must never:
//! do I/O or know what its numbers mean.

mod betting;
mod chi_squared;
mod evidence;
mod histogram;
mod intervals;
mod multiplicity;
mod newton;
mod pareto;
mod proportion;
mod quantile;
mod random;
mod rank;
mod student;
mod sum;
mod tail;
mod weighted_mean;
mod worst_case;

pub use betting::betting_interval;
pub use chi_squared::{ChiSquared, chi_squared};
pub use evidence::{Bin, log_e_value_above_one, log_e_value_below_one, p_value_of_log_e, t_test_of_mean_one};
pub use histogram::RelativeHistogram;
pub use intervals::{clopper_pearson, clopper_pearson_of_mass, wilson, wilson_continuity_corrected};
pub use multiplicity::{benjamini_hochberg, benjamini_yekutieli, holm};
pub use newton::{Logistic, LogisticFit, Unfit, fit_logistic, linear_scores, sigmoid, softplus};
pub use pareto::{
    GeneralizedPareto, NotAssessable, ParetoK, fit_generalized_pareto, pareto_k, pareto_k_limit, tail_length,
};
pub use proportion::{ClusteredRatio, clustered_ratio, hoeffding_p_value};
pub use quantile::{quantile_inverted_cdf, quantile_linear, quantile_linear_of_counts, weighted_quantile};
pub use random::Random;
pub use rank::kendall_tau;
pub use student::{empirical_bernstein, t_quantile, t_tail};
pub use sum::Sum;
pub use tail::Tail;
pub use weighted_mean::{WeightedMean, weighted_mean};
pub use worst_case::{WorstCase, WorstCaseFit, collapse, fit_worst_case, worst_mean};
