//! What a Gamma means for a single hidden factor.

/// The strength `delta` with which one hidden binary factor must move the odds of the label, if it moves the odds of which
/// of the two disagreeing policies' choices is favoured by `lambda`, to do what `gamma` allows:
/// gamma = (lambda delta + 1) / (lambda + delta) (Rosenbaum & Silber 2009, JASA 104:1398).
///
/// `None` where no finite strength does: lambda at most gamma, or gamma below 1.
pub fn amplify(gamma: f64, lambda: f64) -> Option<f64> {
    (gamma >= 1.0 && lambda > gamma).then(|| (gamma * lambda - 1.0) / (lambda - gamma))
}

/// The strength at which both odds are moved alike: lambda = delta = gamma + sqrt(gamma^2 - 1). `None` below 1.
pub fn even_amplification(gamma: f64) -> Option<f64> {
    (gamma >= 1.0).then(|| gamma + (gamma * gamma - 1.0).sqrt())
}

/// The Gamma of one hidden binary factor that multiplies both odds by at most these (Rosenbaum & Silber 2009). `None` where one
/// of them is below 1.
pub fn gamma_of(lambda: f64, delta: f64) -> Option<f64> {
    (lambda >= 1.0 && delta >= 1.0 && lambda.is_finite() && delta.is_finite())
        .then(|| (lambda * delta + 1.0) / (lambda + delta))
}
