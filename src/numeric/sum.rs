//! Compensated summation, so that the order of shards does not reach the printed digits.

/// A running sum with Neumaier's compensation (Neumaier 1974, ZAMM 54:39): error of a few ulps of the sum of magnitudes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sum {
    total: f64,
    compensation: f64,
}

impl Sum {
    /// Adds one term.
    #[inline]
    pub fn add(&mut self, term: f64) {
        let total = self.total + term;
        self.compensation +=
            if self.total.abs() >= term.abs() { (self.total - total) + term } else { (term - total) + self.total };
        self.total = total;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: Sum) {
        self.add(other.total);
        self.compensation += other.compensation;
    }

    /// The running total and its compensation, from which [`Sum::from_parts`] makes the same sum.
    pub fn parts(self) -> (f64, f64) {
        (self.total, self.compensation)
    }

    /// The sum with these parts.
    pub fn from_parts(total: f64, compensation: f64) -> Sum {
        Sum { total, compensation }
    }

    /// The sum.
    pub fn value(self) -> f64 {
        self.total + self.compensation
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Sum {
        let mut sum = Sum::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn keeps_what_a_plain_sum_loses() {
        let sum: Sum = [1.0, 1e100, 1.0, -1e100].into_iter().collect();
        assert!((sum.value() - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn merging_shards_agrees_with_one_pass() {
        let terms: Vec<f64> = (1..=10_000).map(|i| 1.0 / f64::from(i)).collect();
        let whole: Sum = terms.iter().copied().collect();
        let mut merged = Sum::default();
        for shard in terms.chunks(97) {
            merged.merge(shard.iter().copied().collect());
        }
        assert!((whole.value() - merged.value()).abs() <= 2.0 * f64::EPSILON * whole.value());
    }
}
