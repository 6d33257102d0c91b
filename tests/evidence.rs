//! The e-values against a mean of 1: never too many false alarms, and power where something is wrong.

use counterweight::numeric::Random;
use counterweight::numeric::{Bin, RelativeHistogram, log_e_value_above_one, log_e_value_below_one};
use proptest::prelude::*;

/// A ratio of mean 1 in (0, 20]: 20 with probability 1/39, else 1/2 (with `scale` 1). Heavily skewed, so that a t-test
/// of 100 of them rejects on the low side far too often.
fn skewed(random: &mut Random, scale: f64) -> f64 {
    let ratio = if random.below(39) == 0 { 20.0 } else { 0.5 };
    scale * ratio
}

fn bins(values: impl Iterator<Item = f64>) -> Vec<Bin> {
    let mut histogram = RelativeHistogram::default();
    let (mut min, mut max) = (f64::INFINITY, 0.0_f64);
    for value in values {
        histogram.add(value.ln());
        (min, max) = (min.min(value), max.max(value));
    }
    histogram.bins(min, max)
}

#[test]
fn false_alarms_stay_below_the_level_for_skewed_ratios() {
    // At level 0.05 the chance of a false alarm is at most 0.05 a side. Among 2,000 logs, 140 alarms or more would have
    // probability below 4e-5 even if it were exactly 0.05 (normal approximation, 4 standard deviations).
    let level = (1.0_f64 / 0.05).ln();
    let random = &mut Random::new(12);
    let (mut above, mut below) = (0, 0);
    for _ in 0..2000 {
        let bins = bins((0..100).map(|_| skewed(random, 1.0)));
        above += u32::from(log_e_value_above_one(&bins) >= level);
        below += u32::from(log_e_value_below_one(&bins, 20.0) >= level);
    }
    assert!(above < 140 && below < 140, "{above} and {below} false alarms in 2,000");
}

#[test]
fn a_scale_error_is_found_given_rows() {
    // 20,000 rows of standard deviation 3.1: the standard error of the mean is 0.022, an error of 30 % is 13 of them.
    let random = &mut Random::new(13);
    let too_large = bins((0..20_000).map(|_| skewed(random, 1.3)));
    let too_small = bins((0..20_000).map(|_| skewed(random, 1.0 / 1.3)));
    let level = (1.0_f64 / 0.001).ln();
    assert!(log_e_value_above_one(&too_large) > level);
    assert!(log_e_value_below_one(&too_large, 26.0) < 0.0);
    assert!(log_e_value_below_one(&too_small, 20.0) > level);
    assert!(log_e_value_above_one(&too_small) < 0.0);
}

#[test]
fn constants_are_judged_exactly() {
    let constant = |value: f64| bins(std::iter::repeat_n(value, 1000));
    assert!(log_e_value_above_one(&constant(1.0)).abs() < 1e-12, "the ratio 1 is no evidence");
    assert!(log_e_value_below_one(&constant(1.0), 2.0).abs() < 1e-12);
    assert!(log_e_value_below_one(&constant(1.0), 1.0).abs() < 1e-12);
    // The largest lambda of the grid, 0.707, alone gives 1000 ln(1.00707) = 7.05, less ln 28 = 3.33 for the mixture.
    assert!(log_e_value_above_one(&constant(1.01)) > 7.04 - 3.34, "1,000 rows of 1.01 are");
    assert!(log_e_value_below_one(&constant(0.99), 2.0) > 7.04 - 3.34);
    assert!(log_e_value_below_one(&constant(0.99), 1.0).is_infinite(), "below a bound of 1 nothing has mean 1");
    assert!(log_e_value_above_one(&[]).abs() < 1e-12, "no rows, no evidence");
}

proptest! {
    #[test]
    fn binning_only_weakens(values in prop::collection::vec(prop_oneof![1 => Just(0.0), 9 => 1e-3..9.9_f64], 1..300)) {
        let exact: Vec<Bin> = values.iter().map(|value| Bin { from: *value, to: *value, count: 1 }).collect();
        let binned = bins(values.iter().copied());
        let slack = 1e-9 * f64::from(u32::try_from(values.len()).unwrap());
        prop_assert!(log_e_value_above_one(&binned) <= log_e_value_above_one(&exact) + slack);
        prop_assert!(log_e_value_below_one(&binned, 10.0) <= log_e_value_below_one(&exact, 10.0) + slack);
    }
}
