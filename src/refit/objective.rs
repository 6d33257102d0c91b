//! The losses of direct preference optimisation, weighted and not, on margins in f64.

use crate::numeric::{Sum, sigmoid, softplus};

/// What a fit minimises. Each is a sum over rows of weight x \[softplus(z) - y z\], where z = beta * Delta is the implicit
/// reward of a less that of b; they differ in the weight and in the y that stands for the label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// Every row weighs the same: DPO as it is usually run (Rafailov et al. 2023, equation 7).
    Naive,
    /// Each row weighs w, clipped where a cap is given, and normalised to mean 1 (Lemma 2026, section 6).
    Weighted,
    /// Weighted, with labels smoothed towards one half: (1 - e) y + e (1 - y) (Mitchell 2023, conservative DPO).
    Conservative(f64),
    /// Weighted, with labels that undo a share e of flipped ones: (y - e) / (1 - 2 e), which leaves \[0, 1\] (Chowdhury,
    /// Kini & Natarajan 2024, robust DPO).
    Robust(f64),
    /// The outcome model's loss over the target's pairs, corrected by weighted residuals; see [`DoublyRobust`].
    DoublyRobust,
    /// The largest weighted loss that weights within a factor Lambda of the computed ones allow (the open problem of Lemma 2026,
    /// section 10, for the marginal sensitivity model of Tan 2006).
    WorstCase(f64),
}

impl Objective {
    /// Its name in documents and reports.
    pub fn name(self) -> &'static str {
        match self {
            Objective::Naive => "naive",
            Objective::Weighted => "weighted",
            Objective::Conservative(_) => "conservative",
            Objective::Robust(_) => "robust",
            Objective::DoublyRobust => "doubly_robust",
            Objective::WorstCase(_) => "worst_case",
        }
    }

    /// Whether rows carry their weights.
    pub fn is_weighted(self) -> bool {
        self != Objective::Naive
    }

    /// What stands for the label y (the probability that a is preferred) in the loss.
    pub fn label(self, y: f64) -> f64 {
        match self {
            Objective::Naive | Objective::Weighted | Objective::DoublyRobust | Objective::WorstCase(_) => y,
            Objective::Conservative(e) => (1.0 - e) * y + e * (1.0 - y),
            Objective::Robust(e) => (y - e) / (1.0 - 2.0 * e),
        }
    }
}

/// z = beta * \[(log pi(a) - log ref(a)) - (log pi(b) - log ref(b))\], from sequence log-probabilities in nats.
///
/// The differences are taken in f64: at -800 nats, f32 keeps 6e-5.
pub fn margin(beta: f64, policy: [f64; 2], reference: [f64; 2]) -> f64 {
    beta * ((policy[0] - reference[0]) - (policy[1] - reference[1]))
}

/// The loss of one row with margin z and label y: softplus(z) - y z. For y = 1, -log sigmoid(z).
pub fn loss(z: f64, y: f64) -> f64 {
    // Written from the label's side, so that a large z of the right sign loses no digits: softplus(z) - z = softplus(-z).
    if y >= 0.5 { softplus(-z) + (1.0 - y) * z } else { softplus(z) - y * z }
}

/// The derivative of [`loss`] in z: sigmoid(z) - y.
pub fn loss_gradient(z: f64, y: f64) -> f64 {
    sigmoid(z) - y
}

/// A mean loss in both normalisations, which differ by the mean weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanLoss {
    /// sum(w loss) / sum(w).
    pub self_normalised: f64,
    /// sum(w loss) / n.
    pub per_row: f64,
}

/// The mean loss of rows (margin, label, weight); `None` where the weights do not sum to a positive finite number.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
pub fn mean_loss(objective: Objective, rows: &[(f64, f64, f64)]) -> Option<MeanLoss> {
    let weight = |w: f64| if objective.is_weighted() { w } else { 1.0 };
    let total = rows.iter().map(|(.., w)| weight(*w)).collect::<Sum>().value();
    let sum = rows.iter().map(|(z, y, w)| weight(*w) * loss(*z, objective.label(*y))).collect::<Sum>().value();
    (total > 0.0 && total.is_finite())
        .then(|| MeanLoss { self_normalised: sum / total, per_row: sum / rows.len() as f64 })
}

/// What the doubly robust loss is made of: labelled rows from the log, and unlabelled pairs from the target.
///
/// It is identified where there are such pairs: a target sample, or a target mechanism whose pairs can be listed. Where the
/// target is declared over cells alone and the pairs are those of the log, the target mean is the weighted mean over the
/// labelled rows, the outcome model cancels, and this is the weighted loss.
#[derive(Debug, Clone, Copy)]
pub struct DoublyRobust<'a> {
    /// Margin z and outcome model q of each pair from the target.
    pub target: &'a [(f64, f64)],
    /// Margin z, label y, outcome model q (fitted on other folds) and weight w of each labelled row.
    pub labelled: &'a [(f64, f64, f64, f64)],
}

/// mean over the target of \[softplus(z) - q z\] + mean over the log of w (q - y) z, and its derivative in each margin.
///
/// The correction is linear in z: nothing bounds the loss below where the target's pairs differ from the labelled ones, so
/// that a fit needs a ridge. `None` without rows of both kinds.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
pub fn doubly_robust_loss(rows: &DoublyRobust<'_>) -> Option<(f64, Vec<f64>, Vec<f64>)> {
    let (pairs, labelled) = (rows.target.len() as f64, rows.labelled.len() as f64);
    if rows.target.is_empty() || rows.labelled.is_empty() {
        return None;
    }
    let outcome = rows.target.iter().map(|(z, q)| loss(*z, *q)).collect::<Sum>().value() / pairs;
    let correction = rows.labelled.iter().map(|(z, y, q, w)| w * (q - y) * z).collect::<Sum>().value() / labelled;
    let of_target = rows.target.iter().map(|(z, q)| loss_gradient(*z, *q) / pairs).collect();
    let of_labelled = rows.labelled.iter().map(|(_, y, q, w)| w * (q - y) / labelled).collect();
    Some((outcome + correction, of_target, of_labelled))
}
