//! Folds by cluster.

use crate::numeric::Random;

/// A fold for each of `clusters` clusters: shuffled by the seed, then dealt out in turns, so that folds hold equally many
/// clusters to within one. Rows of one cluster always share a fold.
pub fn assign(clusters: usize, folds: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut order: Vec<usize> = (0..clusters).collect();
    // Fisher-Yates.
    for position in (1..clusters).rev() {
        order.swap(position, random.below(position + 1));
    }
    let mut of_cluster = vec![0; clusters];
    for (position, cluster) in order.into_iter().enumerate() {
        of_cluster[cluster] = u8::try_from(position % folds.max(1)).unwrap_or(0);
    }
    of_cluster
}
