//! An interval for a mean by betting against it.

/// The interval of all means that a bettor could not refute, for independent values in \[0, 1\], or values of which each has
/// the same conditional mean given those before it: it holds at any sample size, and may be looked at after every value. The hedged
/// capital process with predictable bets sqrt(2 ln(1/d) / (t ln(1 + t) V)), at most 1, V the regularised variance of the values
/// before (Waudby-Smith & Ramdas 2024, JRSSB 86:1, theorem 3 and equation 26, as `betting_ci` of confseq bets). A mean once refuted
/// stays refuted.
///
/// **The order of the values changes it**: fix the order by something that does not depend on the values. `None` without values,
/// for one outside \[0, 1\], a level outside (0, 1), or where every mean is refuted, which happens with probability at most 1 - level.
pub fn betting_interval(values: &[f64], level: f64) -> Option<(f64, f64)> {
    let sound = values.iter().all(|value| (0.0..=1.0).contains(value)) && level > 0.0 && level < 1.0;
    if values.is_empty() || !sound {
        return None;
    }
    let bets = bets(values, level);
    // Either capital holds half of the stake. It falls (or grows) with the mean bet against, for the bets do not depend on it.
    let limit = 2.0 / (1.0 - level);
    let above = |mean: f64| richest(values, &bets, |value| value - mean) > limit;
    let below = |mean: f64| richest(values, &bets, |value| mean - value) > limit;
    let low = if above(0.0) { boundary(above, (0.0, 1.0)) } else { 0.0 };
    let high = if below(1.0) { boundary(below, (1.0, 0.0)) } else { 1.0 };
    (low <= high).then_some((low, high))
}

/// The bet on each value, from the values before it.
fn bets(values: &[f64], level: f64) -> Vec<f64> {
    // One value of one half and one squared deviation of a quarter are there from the start.
    let (mut sum, mut squares, mut seen) = (0.5, 0.25, 1.0_f64);
    let log = -(1.0 - level).ln();
    let bet = |value: &f64| {
        let own = (2.0 * log / (seen.ln_1p() * squares)).sqrt().min(1.0);
        seen += 1.0;
        sum += value;
        squares += (value - sum / seen).powi(2);
        own
    };
    values.iter().map(bet).collect()
}

/// The most that the capital ever is, starting from 1.
fn richest(values: &[f64], bets: &[f64], gain: impl Fn(f64) -> f64) -> f64 {
    let (mut capital, mut most) = (1.0_f64, 1.0_f64);
    for (value, bet) in values.iter().zip(bets) {
        capital *= 1.0 + bet * gain(*value);
        most = most.max(capital);
    }
    most
}

/// Where a claim that holds at `from` and not at `to` stops holding: the side where it holds no more.
fn boundary(holds: impl Fn(f64) -> bool, (mut from, mut to): (f64, f64)) -> f64 {
    if holds(to) {
        return to;
    }
    for _ in 0..60 {
        let middle = 0.5 * (from + to);
        if holds(middle) {
            from = middle;
        } else {
            to = middle;
        }
    }
    // The refuted side, so that the interval is never too narrow.
    from
}
