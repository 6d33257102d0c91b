//! Student's t: quantiles and tails, on any positive number of degrees of freedom.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// P(T > t) on so many degrees of freedom. `None` where the distribution does not exist.
pub fn t_tail(t: f64, freedom: f64) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, freedom).ok()?;
    (!t.is_nan()).then(|| distribution.cdf(-t))
}

/// The t with P(|T| <= t) = level, by bisection of the distribution function to the last bit that it resolves. `None` where
/// the distribution does not exist, or for a level outside (0, 1).
pub fn t_quantile(level: f64, freedom: f64) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, freedom).ok()?;
    if !(level > 0.0 && level < 1.0) {
        return None;
    }
    let tail = (1.0 - level) / 2.0;
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    while distribution.cdf(-high) > tail {
        high *= 2.0;
        if !high.is_finite() {
            return None;
        }
    }
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if distribution.cdf(-middle) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(low + (high - low) / 2.0)
}

/// How far the mean of independent values in an interval of length `range` may lie from its expectation, two-sided with
/// probability at least `level`: sqrt(2 V ln(4/d) / n) + 7 range ln(4/d) / (3 (n - 1)), with V the sample variance
/// (Maurer & Pontil 2009, theorem 4, at d/2 on each side). Needs no distribution and no order. `None` below two values.
pub fn empirical_bernstein(n: f64, variance: f64, range: f64, level: f64) -> Option<f64> {
    let usable = n >= 2.0 && variance >= 0.0 && range > 0.0 && range.is_finite() && level > 0.0 && level < 1.0;
    let log = (4.0 / (1.0 - level)).ln();
    usable.then(|| (2.0 * variance * log / n).sqrt() + 7.0 * range * log / (3.0 * (n - 1.0)))
}

#[cfg(test)]
mod tests {
    use super::{empirical_bernstein, t_quantile, t_tail};

    #[test]
    fn quantiles_and_tails_are_those_of_the_tables() {
        // R 4: qt(0.975, c(1, 7, 29.5)), pt(-2, 7).
        for (freedom, expected) in [(1.0, 12.706_204_736_174_7), (7.0, 2.364_624_251_592_78)] {
            let quantile = t_quantile(0.95, freedom).unwrap_or(f64::NAN);
            assert!((quantile / expected - 1.0).abs() < 1e-11, "{freedom}: {quantile}");
            assert!((t_tail(quantile, freedom).unwrap_or(f64::NAN) - 0.025).abs() < 1e-12);
        }
        assert!(t_quantile(0.95, 0.0).is_none() && t_quantile(1.0, 5.0).is_none() && t_tail(f64::NAN, 5.0).is_none());
    }

    #[test]
    fn a_mean_without_spread_still_has_a_margin() {
        assert!(empirical_bernstein(100.0, 0.0, 1.0, 0.95).is_some_and(|margin| margin > 0.05));
        assert!(empirical_bernstein(1.0, 0.0, 1.0, 0.95).is_none());
    }
}
