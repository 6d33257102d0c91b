//! The largest values of a stream.

/// Keeps the `capacity` largest values it is given, exactly, in bounded memory (twice the capacity), and knows below
/// which value it may have forgotten some. Merging keeps the largest of both: associative and commutative, exactly.
#[derive(Debug, Clone)]
pub struct Tail {
    capacity: usize,
    values: Vec<f64>,
    /// The smallest value that was kept when others were last dropped; values at or below it may be missing.
    floor: Option<f64>,
}

/// Equal are tails that keep the same values; the order in which they were given is forgotten.
impl PartialEq for Tail {
    fn eq(&self, other: &Tail) -> bool {
        self.capacity == other.capacity && self.floor == other.floor && self.descending() == other.descending()
    }
}

impl Tail {
    /// Keeps that many values.
    pub fn new(capacity: usize) -> Tail {
        Tail { capacity: capacity.max(1), values: Vec::new(), floor: None }
    }

    /// The tail that keeps these values and is complete above `floor` ([`Tail::complete_above`]); `None` when they are
    /// more than a tail of this capacity ever keeps.
    pub fn from_parts(capacity: usize, values: Vec<f64>, floor: Option<f64>) -> Option<Tail> {
        let capacity = capacity.max(1);
        (values.len() < capacity.saturating_mul(2)).then_some(Tail { capacity, values, floor })
    }

    /// Offers a value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        if self.floor.is_some_and(|floor| value <= floor) {
            return;
        }
        self.values.push(value);
        if self.values.len() >= 2 * self.capacity {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.values.len() > self.capacity {
            self.values.select_nth_unstable_by(self.capacity - 1, |a, b| b.total_cmp(a));
            self.values.truncate(self.capacity);
            self.floor = self.values.last().copied();
        }
    }

    /// Offers another tail's values.
    pub fn merge(&mut self, other: &Tail) {
        if let Some(floor) = other.floor.filter(|floor| self.floor.is_none_or(|own| own < *floor)) {
            self.floor = Some(floor);
            self.values.retain(|value| *value >= floor);
        }
        other.values.iter().for_each(|value| self.add(*value));
        self.shrink();
    }

    /// The values kept, in no particular order: all of those above [`Tail::complete_above`].
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The values kept, descending.
    pub fn descending(&self) -> Vec<f64> {
        let mut values = self.values.clone();
        values.sort_unstable_by(|a, b| b.total_cmp(a));
        values
    }

    /// Every value given that is strictly above this is kept; `None` when nothing was dropped at all.
    pub fn complete_above(&self) -> Option<f64> {
        self.floor
    }
}

#[cfg(test)]
mod tests {
    use super::Tail;

    fn scrambled(n: u32) -> Vec<f64> {
        (0..n).map(|i| f64::from(i * 7919 % n)).collect()
    }

    #[test]
    fn keeps_the_largest() {
        let mut tail = Tail::new(10);
        scrambled(1000).into_iter().for_each(|value| tail.add(value));
        let kept = tail.descending();
        let floor = tail.complete_above().unwrap_or(f64::NAN);
        let complete: Vec<f64> = kept.into_iter().filter(|value| *value > floor).collect();
        let expected: Vec<f64> = (0..1000).rev().map(f64::from).take_while(|value| *value > floor).collect();
        assert_eq!(complete, expected);
        assert!(complete.len() >= 9);
    }

    #[test]
    fn says_when_nothing_was_dropped() {
        let mut tail = Tail::new(1000);
        scrambled(1000).into_iter().for_each(|value| tail.add(value));
        assert_eq!(tail.complete_above(), None);
        assert_eq!(tail.descending().len(), 1000);
    }

    #[test]
    fn merged_shards_keep_the_largest_of_all() {
        let values = scrambled(5000);
        let mut merged = Tail::new(50);
        for shard in values.chunks(333) {
            let mut part = Tail::new(50);
            shard.iter().for_each(|value| part.add(*value));
            merged.merge(&part);
        }
        let floor = merged.complete_above().unwrap_or(f64::NAN);
        let complete: Vec<f64> = merged.descending().into_iter().filter(|value| *value > floor).collect();
        let expected: Vec<f64> = (0..5000).rev().map(f64::from).take_while(|value| *value > floor).collect();
        assert_eq!(complete, expected);
        assert!(complete.len() >= 49);
    }
}
