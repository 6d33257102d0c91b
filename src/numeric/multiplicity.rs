//! p-values adjusted for the number of questions asked at once, each in the order given. R's `p.adjust`.

/// Holm's step-down (Holm 1979): the chance of any false alarm, under any dependence.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let mut adjusted = vec![0.0; m];
    let mut running = 0.0_f64;
    for (rank, index) in ascending(p_values).into_iter().enumerate() {
        running = running.max(as_f64(m - rank) * p_values[index]).min(1.0);
        adjusted[index] = running;
    }
    adjusted
}

/// Benjamini and Hochberg (1995): the expected share of false alarms among alarms, under independence or positive dependence.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    step_up(p_values, 1.0)
}

/// Benjamini and Yekutieli (2001): the same under any dependence.
pub fn benjamini_yekutieli(p_values: &[f64]) -> Vec<f64> {
    step_up(p_values, (1..=p_values.len()).map(|rank| 1.0 / as_f64(rank)).sum())
}

fn step_up(p_values: &[f64], penalty: f64) -> Vec<f64> {
    let m = p_values.len();
    let mut adjusted = vec![0.0; m];
    let mut running = 1.0_f64;
    for (rank, index) in ascending(p_values).into_iter().enumerate().rev() {
        running = running.min(penalty * as_f64(m) / as_f64(rank + 1) * p_values[index]);
        adjusted[index] = running;
    }
    adjusted
}

fn ascending(p_values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    order
}

#[expect(clippy::cast_precision_loss, reason = "numbers of hypotheses are far below 2^53")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
