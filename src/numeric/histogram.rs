//! A mergeable histogram of non-negative numbers with a relative error.

use super::Bin;

/// Counts of non-negative values in buckets of equal relative width, after DDSketch (Masson, Rim & Lee 2019, VLDB 12:2195).
///
/// Every value of a bucket lies within 0.05 % of the bucket's representative, for values in \[1e-30, 1e30\]; positive
/// values outside are counted in the outermost buckets. Zeros are counted apart. Merging adds counts: associative and
/// commutative, exactly.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RelativeHistogram {
    zeros: u64,
    /// Index of the first bucket in `counts`.
    first: i32,
    counts: Vec<u64>,
}

/// Natural logarithm of the ratio of a bucket's edges. Half of it is the relative error: 0.05 %.
const LOG_WIDTH: f64 = 0.001;
/// Natural logarithm of 1e30, the edge of the range with a guaranteed error.
const LOG_RANGE: f64 = 69.077_552_789_821_37;
/// The buckets of the clamped range.
const BUCKETS: std::ops::RangeInclusive<i32> = -69_078..=69_077;

impl RelativeHistogram {
    /// Counts a value; `ln_value` is its natural logarithm (negative infinity for zero), which callers have at hand.
    #[inline]
    pub fn add(&mut self, ln_value: f64) {
        match bucket_of(ln_value) {
            None => self.zeros += 1,
            Some(bucket) => *self.slot(bucket) += 1,
        }
    }

    /// Counts values by their natural logarithms: the same as one after the other, but room is made once for all.
    pub fn add_all(&mut self, ln_values: &[f64]) {
        let buckets: Vec<i32> = ln_values.iter().filter_map(|ln_value| bucket_of(*ln_value)).collect();
        self.zeros += (ln_values.len() - buckets.len()) as u64;
        let range = buckets.iter().fold((i32::MAX, i32::MIN), |(low, high), own| (low.min(*own), high.max(*own)));
        if buckets.is_empty() {
            return;
        }
        self.slot(range.0);
        self.slot(range.1);
        for bucket in buckets {
            if let Some(count) = usize::try_from(bucket - self.first).ok().and_then(|index| self.counts.get_mut(index))
            {
                *count += 1;
            }
        }
    }

    fn slot(&mut self, bucket: i32) -> &mut u64 {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let missing = usize::try_from(self.first - bucket).unwrap_or(0);
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = bucket;
        }
        let index = usize::try_from(bucket - self.first).unwrap_or(0);
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        &mut self.counts[index]
    }

    /// Adds another histogram's counts.
    pub fn merge(&mut self, other: &RelativeHistogram) {
        self.zeros += other.zeros;
        for (bucket, count) in other.occupied() {
            *self.slot(bucket) += count;
        }
    }

    /// The histogram with that many zeros and these occupied buckets, as [`RelativeHistogram::occupied`] gives them.
    /// `None` unless buckets ascend within the range, counts are positive and all of them together fit a `u64`.
    pub fn from_parts(zeros: u64, occupied: &[(i32, u64)]) -> Option<RelativeHistogram> {
        let ascending = occupied.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let in_range = occupied.iter().all(|(bucket, count)| BUCKETS.contains(bucket) && *count > 0);
        occupied.iter().try_fold(zeros, |sum, (_, count)| sum.checked_add(*count))?;
        let (Some((first, _)), Some((last, _))) = (occupied.first(), occupied.last()) else {
            return Some(RelativeHistogram { zeros, ..RelativeHistogram::default() });
        };
        if !(ascending && in_range) {
            return None;
        }
        let mut counts = vec![0; usize::try_from(last - first).ok()? + 1];
        for (bucket, count) in occupied {
            *counts.get_mut(usize::try_from(bucket - first).ok()?)? = *count;
        }
        Some(RelativeHistogram { zeros, first: *first, counts })
    }

    /// Values counted, zeros included.
    pub fn total(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Values counted as exactly zero.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The representative (geometric middle) and count of every occupied bucket, ascending, zeros left out.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.occupied().map(|(bucket, count)| (((f64::from(bucket) + 0.5) * LOG_WIDTH).exp(), count))
    }

    /// The edges and count of every occupied bucket, ascending, zeros as their own bin. The outermost buckets reach to
    /// zero and infinity. `min` and `max` of the values, where known, narrow the edges.
    pub fn bins(&self, min: f64, max: f64) -> Vec<Bin> {
        let zeros = (self.zeros > 0).then_some(Bin { from: 0.0, to: 0.0, count: self.zeros });
        let edges = self.occupied().map(|(bucket, count)| {
            let (low, high) = (f64::from(bucket) * LOG_WIDTH, f64::from(bucket + 1) * LOG_WIDTH);
            let from = if low <= -LOG_RANGE { 0.0 } else { low.exp() };
            let to = if high >= LOG_RANGE { f64::INFINITY } else { high.exp() };
            // Rounding of the logarithm can move a value across an edge by a few ulps.
            Bin { from: (from * (1.0 - 1e-12)).max(min), to: (to * (1.0 + 1e-12)).min(max), count }
        });
        zeros.into_iter().chain(edges).collect()
    }

    /// The index and count of every occupied bucket, ascending: bucket i holds the values whose natural logarithm is in
    /// \[i/1000, (i + 1)/1000), clamped to the range.
    pub fn occupied(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        (self.first..).zip(&self.counts).filter(|(_, count)| **count > 0).map(|(bucket, count)| (bucket, *count))
    }
}

/// The bucket of a value with that natural logarithm; `None` for zero.
#[inline]
fn bucket_of(ln_value: f64) -> Option<i32> {
    // The clamp keeps the cast exact and the buckets at most 138,156.
    (ln_value != f64::NEG_INFINITY).then(|| floor(ln_value.clamp(-LOG_RANGE, LOG_RANGE) / LOG_WIDTH))
}

/// The largest integer that is not above a value within the range of `i32`. `f64::floor` is a call into the C library on
/// processors without a promise of SSE 4.1.
#[inline]
fn floor(value: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "callers clamp to about 69,078 either way")]
    let towards_zero = value as i32;
    towards_zero - i32::from(f64::from(towards_zero) > value)
}

#[cfg(test)]
mod tests {
    use super::{RelativeHistogram, floor};

    #[test]
    fn floors_as_the_standard_library_does() {
        for value in [-69_077.55, -3.0, -2.999, -0.5, -0.0, 0.0, 0.999, 1.0, 7.25, 69_077.55_f64] {
            assert_eq!(f64::from(floor(value)).total_cmp(&(value.floor() + 0.0)), std::cmp::Ordering::Equal, "{value}");
        }
    }

    fn of(values: &[f64]) -> RelativeHistogram {
        let mut histogram = RelativeHistogram::default();
        values.iter().for_each(|value| histogram.add(value.ln()));
        histogram
    }

    #[test]
    fn representatives_lie_within_a_twentieth_of_a_percent() {
        for value in [1e-30_f64, 1e-9, 0.123, 1.0, 2.857, 123_456.789, 1e30] {
            let histogram = of(&[value]);
            let (representative, count) = histogram.buckets().next().unwrap_or((0.0, 0));
            assert_eq!(count, 1);
            assert!((representative / value - 1.0).abs() < 0.000_501, "{value} became {representative}");
        }
    }

    #[test]
    fn merging_equals_counting_at_once_in_any_order() {
        let (low, high) = ([0.0, 0.5, 0.001], [7.0, 1e5, 0.0]);
        let mut forward = of(&low);
        forward.merge(&of(&high));
        let mut backward = of(&high);
        backward.merge(&of(&low));
        let whole = of(&[0.0, 0.5, 0.001, 7.0, 1e5, 0.0]);
        for merged in [&forward, &backward] {
            assert_eq!(merged.zeros(), 2);
            assert_eq!(merged.buckets().collect::<Vec<_>>(), whole.buckets().collect::<Vec<_>>());
        }
    }

    #[test]
    fn counting_many_equals_counting_each() {
        let values: Vec<f64> = [0.0, 0.5, 7.0, 1e5, 0.0, 1e-40, 0.5].iter().map(|value: &f64| value.ln()).collect();
        let (mut at_once, mut one_by_one) = (of(&[3.0]), of(&[3.0]));
        at_once.add_all(&values);
        values.iter().for_each(|value| one_by_one.add(*value));
        assert_eq!(at_once, one_by_one);
        at_once.add_all(&[]);
        assert_eq!(at_once, one_by_one);
    }

    #[test]
    fn extreme_values_stay_bounded() {
        let histogram = of(&[f64::MIN_POSITIVE, f64::MAX, 1.0]);
        assert_eq!(histogram.buckets().map(|(_, count)| count).sum::<u64>(), 3);
        assert!(histogram.counts.len() < 140_000);
    }
}
