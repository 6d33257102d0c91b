//! The finite-sample bound: how far a target loss can lie from its weighted estimate, for all of a finite class at once.

/// Both forms of the bound, and what went into them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FiniteSampleBound {
    /// 2 W sqrt(2 ln |H| / n) + W sqrt(ln(2/d) / (2 n)): uniform deviation by Rademacher complexity (Massart's lemma for a
    /// finite class; paper, section 5).
    pub by_largest_weight: f64,
    /// 2 W (ln |H| + ln(1/d)) / (3 n) + sqrt(2 E\[w^2\] (ln |H| + ln(1/d)) / n) (Cortes, Mansour & Mohri 2010, theorem 2).
    pub by_second_moment: f64,
    /// W, by design.
    pub largest_weight: f64,
    /// E\[w^2\], as seen in the sample.
    pub second_moment: f64,
    /// Independent units n: rows, or clusters.
    pub units: f64,
    /// |H|, the candidates.
    pub class: u64,
    /// d: the bound fails with at most this probability.
    pub delta: f64,
}

impl FiniteSampleBound {
    /// The smaller of the two.
    pub fn value(&self) -> f64 {
        self.by_largest_weight.min(self.by_second_moment)
    }

    /// Whether it says nothing about losses in \[0, 1\].
    pub fn is_vacuous(&self) -> bool {
        self.value().is_nan() || self.value() >= 1.0
    }
}

/// The bound for losses in \[0, 1\], unit weights at most `largest_weight`, a class of so many hypotheses. `None` where one of
/// these is not positive.
#[expect(clippy::cast_precision_loss, reason = "numbers of candidates are small")]
pub fn finite_sample_bound(
    (largest_weight, second_moment): (f64, f64),
    units: f64,
    class: u64,
    delta: f64,
) -> Option<FiniteSampleBound> {
    let positive =
        largest_weight > 0.0 && second_moment > 0.0 && units > 0.0 && class > 0 && delta > 0.0 && delta < 1.0;
    if !positive || !largest_weight.is_finite() || !second_moment.is_finite() {
        return None;
    }
    let size = (class as f64).ln();
    let complexity = (2.0 * size / units).sqrt();
    let both = size + (1.0 / delta).ln();
    Some(FiniteSampleBound {
        by_largest_weight: largest_weight * (2.0 * complexity + ((2.0 / delta).ln() / (2.0 * units)).sqrt()),
        by_second_moment: 2.0 * largest_weight * both / (3.0 * units) + (2.0 * second_moment * both / units).sqrt(),
        largest_weight,
        second_moment,
        units,
        class,
        delta,
    })
}
