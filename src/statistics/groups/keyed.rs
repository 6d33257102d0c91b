//! Values by 64-bit key.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Values in the order in which their keys were first given.
///
/// Small keys (integers that a log counts from 0, places in a table) index a table; others are looked up. Memory a value: 8
/// bytes of key and the value, up to twice over while the vectors grow, and some 34 bytes of the look-up table at its
/// emptiest; besides, the table of small keys, of at most 8 MiB.
#[derive(Debug, Clone, Default)]
pub(super) struct Keyed<T> {
    keys: Vec<u64>,
    values: Vec<T>,
    /// The place of each small key, or [`UNSEEN`]; as long as the largest one seen needs.
    small: Vec<u32>,
    others: HashMap<u64, u32, BuildHasherDefault<Folded>>,
}

/// Keys below this are small.
const SMALL: u64 = 1 << 21;
const UNSEEN: u32 = u32::MAX;

impl<T: Default> Keyed<T> {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The place of a key among the values; a new one is given the next, with a default value.
    #[inline]
    pub(super) fn place(&mut self, key: u64) -> usize {
        let slot = if key < SMALL {
            let index = usize::try_from(key).unwrap_or(usize::MAX);
            if index >= self.small.len() {
                self.small.resize((index + 1).next_power_of_two(), UNSEEN);
            }
            &mut self.small[index]
        } else {
            self.others.entry(key).or_insert(UNSEEN)
        };
        if *slot == UNSEEN {
            *slot = u32::try_from(self.values.len()).unwrap_or(UNSEEN);
            self.keys.push(key);
            self.values.push(T::default());
        }
        usize::try_from(*slot).unwrap_or(usize::MAX)
    }

    /// The value of a key.
    #[inline]
    pub(super) fn entry(&mut self, key: u64) -> &mut T {
        let place = self.place(key);
        &mut self.values[place]
    }

    /// The value at a place.
    #[inline]
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.values.get_mut(place)
    }

    /// The keys, in order.
    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Keys and values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.keys.iter().copied().zip(&self.values)
    }

    /// Keys and values, in order.
    pub(super) fn into_pairs(self) -> impl Iterator<Item = (u64, T)> {
        self.keys.into_iter().zip(self.values)
    }

    /// Keeps the keys of which that holds, in their order.
    pub(super) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        for (key, value) in std::mem::take(self).into_pairs().filter(|(key, _)| keep(*key)) {
            *self.entry(key) = value;
        }
    }

    /// Fetches the slots of small keys. Whether a key is new cannot be foreseen, so that looking for its place waits for
    /// its slot; here many slots are waited for at once.
    pub(super) fn fetch(&self, keys: impl Iterator<Item = u64>) {
        let slot = |key: u64| usize::try_from(key).ok().and_then(|index| self.small.get(index)).copied();
        std::hint::black_box(keys.filter_map(slot).fold(0, u32::wrapping_add));
    }

    /// The values, in order.
    pub(super) fn into_values(self) -> Vec<T> {
        self.values
    }
}

/// Mixes 64 bits so that every bit of the key reaches every bit of the result: both halves of a product of 128 bits, as in
/// wyhash (Wang Yi 2019).
#[inline]
pub(super) fn mix(key: u64) -> u64 {
    let product = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f_u128;
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// Hashes a key of 64 bits by [`mix`].
#[derive(Default)]
pub(super) struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    #[inline]
    fn write_u64(&mut self, key: u64) {
        self.0 = mix(self.0 ^ key);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Keyed, SMALL, mix};

    #[test]
    fn keeps_keys_in_the_order_of_their_first_appearance() {
        let mut keyed: Keyed<u64> = Keyed::default();
        for key in [7, u64::MAX, 0, SMALL, SMALL - 1, 7, u64::MAX, 7] {
            *keyed.entry(key) += 1;
        }
        assert_eq!(keyed.keys(), [7, u64::MAX, 0, SMALL, SMALL - 1]);
        assert_eq!(keyed.clone().into_values(), [3, 2, 1, 1, 1]);
        assert_eq!(keyed.place(0), 2);
        keyed.retain(|key| key != 7 && key != SMALL);
        assert_eq!(keyed.iter().collect::<Vec<_>>(), [(u64::MAX, &2), (0, &1), (SMALL - 1, &1)]);
        assert_eq!(keyed.place(0), 1);
    }

    #[test]
    fn spreads_keys_that_differ_in_high_bits_alone() {
        let low: std::collections::HashSet<u64> = (0..4096_u64).map(|i| mix(i << 48) & 0xfff).collect();
        assert!(low.len() > 2000, "{}", low.len());
    }
}
