//! A small seeded generator whose draws are the same on every machine.

/// SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA).
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator whose draws follow from the seed alone.
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// The generator of one block of a log's rows: each block has a stream of its own, which follows from the seed and the
    /// block's number alone, so that blocks can be drawn in any order.
    pub(crate) fn of_block(seed: u64, block: u64) -> Random {
        match block {
            0 => Random::new(seed),
            _ => Random::new(Random::new(seed ^ Random::new(block).next()).next()),
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform on the multiples of 2^-53 in [0, 1).
    pub fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next() >> 11) as f64 * STEP
    }

    /// Uniform on 0..n up to a bias of n / 2^64; 0 for n = 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// An index with probability in proportion to its step of `cumulative`, which ascends; `None` where none is positive.
    pub(crate) fn pick(&mut self, cumulative: &[f64]) -> Option<usize> {
        let total = cumulative.last().copied().filter(|total| *total > 0.0)?;
        let point = self.unit() * total;
        // A product that rounds up to the total is of the last positive step.
        let reached = cumulative.partition_point(|sum| *sum <= point);
        let last = cumulative.partition_point(|sum| *sum < total);
        Some(reached.min(last))
    }

    /// `count` distinct indices below `n` (all of them where `count` exceeds `n`), ascending: a partial Fisher-Yates shuffle.
    pub(crate) fn distinct(&mut self, count: usize, n: usize) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..n).collect();
        let count = count.min(n);
        for position in 0..count {
            let other = position + self.below(n - position);
            indices.swap(position, other);
        }
        indices.truncate(count);
        indices.sort_unstable();
        indices
    }
}
