//! Rank correlation.

/// Kendall's tau-b (Kendall 1945, Biometrika 33:239) of pairs of values: agreeing less disagreeing pairs, over the geometric
/// mean of the pairs that are not tied on either side. `None` where all are tied on one side.
pub fn kendall_tau(values: &[(f64, f64)]) -> Option<f64> {
    let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
    for (index, (a, b)) in values.iter().enumerate() {
        for (c, d) in values.iter().skip(index + 1) {
            let (x, y) = (sign(a - c), sign(b - d));
            sum += x * y;
            first += x * x;
            second += y * y;
        }
    }
    (first > 0.0 && second > 0.0).then(|| sum / (first * second).sqrt())
}

/// Differences that are nothing but rounding are ties: mirror images of one policy are off by that.
fn sign(difference: f64) -> f64 {
    const ROUNDING: f64 = 1e-12;
    if difference.abs() <= ROUNDING { 0.0 } else { difference.signum() }
}
