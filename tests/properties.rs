//! Laws that hold for any input.

use counterweight::estimate::{Clusters, Sample, mean};
use counterweight::logs::Label;
use counterweight::numeric::quantile_linear;
use counterweight::statistics::{CellStatistics, Statistics};
use counterweight::weights::{QUANTILES, summarize_values};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Weights over six decades, with zeros.
fn weights() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![1 => Just(0.0), 9 => (-3.0..3.0_f64).prop_map(|x| 10.0_f64.powf(x))], 1..400)
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs())
}

fn statistics(rows: &[(u8, f64)]) -> Statistics {
    let mut cells: BTreeMap<Vec<String>, CellStatistics> = BTreeMap::new();
    for (cell, ratio) in rows {
        let label = [Label::A, Label::B, Label::Tie, Label::Abstain, Label::Soft(0.3)][usize::from(cell % 5)];
        cells.entry(vec![format!("cell {}", cell % 3)]).or_default().add(label, *ratio);
    }
    Statistics { rows_read: u64::try_from(rows.len()).unwrap(), cells, ..Statistics::default() }
}

/// Equal counts, and sums within rounding.
fn agree(a: &Statistics, b: &Statistics) -> Result<(), TestCaseError> {
    prop_assert_eq!(a.rows_read, b.rows_read);
    prop_assert_eq!(a.cells.keys().collect::<Vec<_>>(), b.cells.keys().collect::<Vec<_>>());
    for (a, b) in a.cells.values().zip(b.cells.values()) {
        prop_assert_eq!(a.labels, b.labels);
        prop_assert_eq!(a.audited.n, b.audited.n);
        prop_assert!(
            a.audited.max.to_bits() == b.audited.max.to_bits() && a.audited.min.to_bits() == b.audited.min.to_bits()
        );
        prop_assert_eq!(a.histogram.buckets().collect::<Vec<_>>(), b.histogram.buckets().collect::<Vec<_>>());
        prop_assert_eq!(a.tail.descending(), b.tail.descending());
        prop_assert!(close(a.audited.sum.value(), b.audited.sum.value(), 1e-14));
        prop_assert!(close(a.audited.sum_of_squares.value(), b.audited.sum_of_squares.value(), 1e-14));
        prop_assert!(close(a.ratio_times_label.value(), b.ratio_times_label.value(), 1e-14));
    }
    Ok(())
}

proptest! {
    #[test]
    fn sizes_are_ordered_as_hill_numbers(weights in weights()) {
        let Some(summary) = summarize_values(&weights) else {
            prop_assert!(weights.iter().all(|weight| *weight <= 0.0));
            return Ok(());
        };
        let positive = weights.iter().filter(|weight| **weight > 0.0).count();
        let rounding = 1.0 + 1e-12;
        prop_assert!(1.0 <= summary.max_share_ess() * rounding);
        prop_assert!(summary.max_share_ess() <= summary.n_eff * rounding);
        prop_assert!(summary.n_eff <= summary.perplexity * rounding);
        prop_assert!(summary.perplexity <= f64::from(u32::try_from(positive).unwrap()) * rounding);
        prop_assert!(summary.top_share > 0.0 && summary.top_share <= rounding);
    }

    #[test]
    fn scaling_all_weights_changes_no_ratio(weights in weights(), scale in prop_oneof![Just(1e-120), Just(7.0), Just(1e120)]) {
        let scaled: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        if let (Some(plain), Some(scaled)) = (summarize_values(&weights), summarize_values(&scaled)) {
            prop_assert!(close(plain.n_eff, scaled.n_eff, 1e-11));
            prop_assert!(close(plain.perplexity, scaled.perplexity, 1e-9));
            prop_assert!(close(plain.max_share(), scaled.max_share(), 1e-12));
            prop_assert_eq!(plain.tail.k.is_ok(), scaled.tail.k.is_ok());
        } else {
            prop_assert!(weights.iter().all(|weight| *weight <= 0.0));
        }
    }

    #[test]
    fn quantiles_agree_with_the_exact_rule(weights in weights()) {
        let Some(summary) = summarize_values(&weights) else { return Ok(()) };
        let mut ascending = weights;
        ascending.sort_by(f64::total_cmp);
        for (name, q) in QUANTILES {
            let exact = quantile_linear(&ascending, q).unwrap();
            prop_assert!((summary.quantiles[name] - exact).abs() <= 0.001 * exact, "{}: {} is not {}", name, summary.quantiles[name], exact);
        }
    }

    #[test]
    fn row_order_moves_no_number_beyond_rounding(weights in weights()) {
        let mut reversed = weights.clone();
        reversed.reverse();
        if let (Some(forward), Some(backward)) = (summarize_values(&weights), summarize_values(&reversed)) {
            prop_assert!(close(forward.n_eff, backward.n_eff, 1e-12));
            prop_assert!(close(forward.mean, backward.mean, 1e-12));
            prop_assert_eq!(forward.quantiles, backward.quantiles);
            prop_assert_eq!(forward.tail, backward.tail);
        }
    }

    #[test]
    fn statistics_merge_in_any_grouping_and_order(
        rows in prop::collection::vec((0_u8..20, prop_oneof![1 => Just(0.0), 9 => 1e-6..1e6_f64]), 0..200),
        cuts in (0_usize..200, 0_usize..200),
    ) {
        let (first, second) = (cuts.0.min(cuts.1).min(rows.len()), cuts.0.max(cuts.1).min(rows.len()));
        let shard = |range: std::ops::Range<usize>| statistics(&rows[range]);
        let merged = |parts: [Statistics; 2]| { let [mut a, b] = parts; a.merge(b); a };
        let (a, b, c) = (|| shard(0..first), || shard(first..second), || shard(second..rows.len()));
        let whole = statistics(&rows);
        agree(&merged([merged([a(), b()]), c()]), &whole)?;
        agree(&merged([a(), merged([b(), c()])]), &whole)?;
        agree(&merged([c(), merged([b(), a()])]), &whole)?;
        agree(&merged([Statistics::default(), whole.clone()]), &whole)?;
    }

    #[test]
    fn replicating_rows_within_their_clusters_leaves_the_clustered_error(
        rows in prop::collection::vec((0.01..10.0_f64, 0.0..=1.0_f64, 0..12_u32), 2..120),
        times in 2..6_usize,
    ) {
        let estimate = |times: usize| {
            let all: Vec<(f64, f64, u32)> = rows.iter().flat_map(|row| std::iter::repeat_n(*row, times)).collect();
            let (weights, values): (Vec<f64>, Vec<f64>) = all.iter().map(|row| (row.0, row.1)).unzip();
            let clusters = [Clusters { role: "prompt".to_owned(), codes: all.iter().map(|row| row.2).collect(), count: 12 }];
            let indices: Vec<u32> = (0..u32::try_from(all.len()).unwrap()).collect();
            let sample = Sample { rows: &indices, weights: &weights, factors: &weights, clusters: &clusters, largest_weight: None };
            mean(&sample, &values, (0.0, 1.0)).unwrap()
        };
        let (once, replicated) = (estimate(1), estimate(times));
        prop_assert!(close(once.estimate, replicated.estimate, 1e-12));
        prop_assert_eq!(once.se.is_some(), replicated.se.is_some());
        if let (Some(once), Some(replicated)) = (once.se, replicated.se) {
            prop_assert!((once - replicated).abs() <= 1e-12, "{} {}", once, replicated);
        }
        // Nor does it buy degrees of freedom beyond the clusters'.
        prop_assert!(replicated.freedom <= 11.0);
    }
}
