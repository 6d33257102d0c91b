//! Quantiles under a stated rule.

/// The type-7 quantile (Hyndman & Fan 1996; R's default, numpy's `linear`) of values in ascending order.
///
/// `None` when there are no values or `q` is outside \[0, 1\].
pub fn quantile_linear(ascending: &[f64], q: f64) -> Option<f64> {
    let n = u64::try_from(ascending.len()).ok()?;
    interpolate(n, q, |rank| usize::try_from(rank).ok().and_then(|rank| ascending.get(rank)).copied())
}

/// The type-7 quantile of a multiset given as (value, count) in ascending order of value.
pub fn quantile_linear_of_counts(ascending: &[(f64, u64)], q: f64) -> Option<f64> {
    let n = ascending.iter().map(|(_, count)| count).sum();
    interpolate(n, q, |rank| {
        let mut before = 0;
        ascending.iter().find_map(|(value, count)| {
            before += count;
            (rank < before).then_some(*value)
        })
    })
}

/// Interpolates between the order statistics around h = (n - 1) q.
#[expect(clippy::cast_precision_loss, reason = "ranks below 2^53 are exact")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "h is finite and at least 0")]
fn interpolate(n: u64, q: f64, at: impl Fn(u64) -> Option<f64>) -> Option<f64> {
    if n == 0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let h = (n - 1) as f64 * q;
    let low = at(h.floor() as u64)?;
    let high = at((h.floor() as u64 + 1).min(n - 1))?;
    Some(low + (h - h.floor()) * (high - low))
}

/// The type-1 quantile (numpy's `inverted_cdf`) of values in ascending order: the smallest value whose cumulative
/// share reaches `q`.
#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the product is finite and at least 0")]
pub fn quantile_inverted_cdf(ascending: &[f64], q: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let rank = (ascending.len() as f64 * q).ceil().max(1.0) as usize;
    ascending.get(rank - 1).copied()
}

/// The weighted quantile: the smallest value whose cumulative share of the weight reaches `q`.
///
/// `None` when the weights do not sum to a positive finite number or the lengths differ.
pub fn weighted_quantile(values: &[f64], weights: &[f64], q: f64) -> Option<f64> {
    let total: f64 = weights.iter().sum();
    if values.len() != weights.len() || !(total > 0.0 && total.is_finite()) || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let mut pairs: Vec<(f64, f64)> = values.iter().copied().zip(weights.iter().copied()).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut cumulative = 0.0;
    let reached = pairs.iter().find(|(_, weight)| {
        cumulative += weight;
        *weight > 0.0 && cumulative / total >= q
    });
    reached.or(pairs.last()).map(|(value, _)| *value)
}
