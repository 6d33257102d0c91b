//! Texts that the log holds more than once: comparisons that one annotator saw again, prompts under several identifiers.
//!
//! Owns: what is kept of them, and its bound. Must never: keep a text.

use super::keyed::{Keyed, mix};
use super::{Block, Contribution, MAX_VALUES};
use crate::declare::Role;
use std::collections::BTreeMap;

/// How much of the weight repeats.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Repeats {
    /// One different value in so many was looked at: 1, or a power of 2 where there are too many to keep.
    pub one_in: u64,
    /// Different values that were looked at.
    pub values: u64,
    /// Rows that hold them.
    pub rows: u64,
    /// Their weight.
    pub weight: f64,
    /// The weight of what repeats.
    pub repeated_weight: f64,
}

impl Repeats {
    /// The share of the weight that repeats; `None` where nothing carries weight.
    pub fn share(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.repeated_weight / self.weight)
    }
}

/// The columns of a block that say what a row's texts are, as far as they are mapped.
pub(super) struct Texts<'a> {
    prompts: Option<&'a [Option<u64>]>,
    prompt_texts: Option<&'a [Option<u64>]>,
    responses: Option<[&'a [Option<u64>]; 2]>,
    annotators: Option<&'a [Option<u64>]>,
}

impl<'a> Texts<'a> {
    pub(super) fn of(block: &'a Block) -> Texts<'a> {
        let keys = |role| block.identities.get(&role).map(Vec::as_slice);
        Texts {
            prompts: keys(Role::Prompt),
            prompt_texts: keys(Role::PromptText),
            responses: keys(Role::ResponseA).zip(keys(Role::ResponseB)).map(|(a, b)| [a, b]),
            annotators: keys(Role::Annotator),
        }
    }

    /// The key of a row's comparison: its prompt (the text, where it is mapped), its responses whichever side they are on,
    /// and its annotator where annotators are mapped. `None` where a part of it is missing.
    fn comparison(&self, row: usize) -> Option<u64> {
        let [a, b] = self.responses?;
        let (a, b) = (at(a, row)?, at(b, row)?);
        let prompt = at(self.prompt_texts.or(self.prompts)?, row)?;
        let annotator = self.annotators.map_or(Some(0), |keys| at(keys, row))?;
        Some([prompt, a.min(b), a.max(b), annotator].into_iter().fold(0, chained))
    }

    /// The identifier and the text of a row's prompt.
    fn prompt(&self, row: usize) -> Option<(u64, u64)> {
        at(self.prompts?, row).zip(at(self.prompt_texts?, row))
    }
}

fn at(keys: &[Option<u64>], row: usize) -> Option<u64> {
    keys.get(row).copied().flatten()
}

fn chained(key: u64, part: u64) -> u64 {
    mix(key.rotate_left(23) ^ mix(part))
}

/// Values by key, all of them or, once there are too many, a sample: those whose keys end in `level` zero bits (distinct
/// sampling, Gibbons 2001, VLDB 27:541). A value is in the sample with all its rows or with none, so that the sample's shares
/// estimate those of the log. The level depends on the keys alone, not on their order or on how the log is cut.
#[derive(Default)]
struct Sample<T> {
    level: u32,
    kept: Keyed<T>,
}

impl<T: Default> Sample<T> {
    /// The value of a key that is in the sample.
    #[inline]
    fn entry(&mut self, key: u64) -> Option<&mut T> {
        (key.trailing_zeros() >= self.level).then(|| self.kept.entry(key))
    }

    fn merge(&mut self, other: Sample<T>, merge: impl Fn(&mut T, T)) {
        self.raise(other.level);
        for (key, value) in other.kept.into_pairs() {
            if let Some(own) = self.entry(key) {
                merge(own, value);
            }
        }
        self.bound();
    }

    /// Halves the sample until it is small enough.
    fn bound(&mut self) {
        while self.kept.len() > MAX_VALUES && self.level < u64::BITS {
            self.raise(self.level + 1);
        }
    }

    fn raise(&mut self, level: u32) {
        if level > self.level {
            self.level = level;
            self.kept.retain(|key| key.trailing_zeros() >= level);
        }
    }

    fn one_in(&self) -> u64 {
        1_u64.checked_shl(self.level).unwrap_or(u64::MAX)
    }
}

/// The rows of one comparison, or of one prompt under one identifier.
#[derive(Debug, Clone, Copy, Default)]
struct Rows {
    /// The prompt's text; 0 for a comparison.
    text: u64,
    rows: u64,
    weight: f64,
}

impl Rows {
    #[inline]
    fn merge(&mut self, other: Rows) {
        self.text = other.text;
        self.rows += other.rows;
        self.weight += other.weight;
    }
}

/// What repeats in the log.
#[derive(Default)]
pub(super) struct RepeatTable {
    /// By [`Texts::comparison`].
    comparisons: Sample<Rows>,
    /// By text and identifier; a text is in the sample with all its identifiers.
    prompts: Sample<Rows>,
}

/// The bits of a prompt's key that are its text's alone: they decide about the sample.
const OF_TEXT: u64 = 0xffff;

impl RepeatTable {
    /// Adds rows of a block with these texts.
    pub(super) fn add(&mut self, texts: &Texts<'_>, contributions: &[Contribution]) {
        for own in contributions {
            let (rows, weight) = (own.member.rows, own.member.weight);
            if let Some(kept) = texts.comparison(own.row).and_then(|key| self.comparisons.entry(key)) {
                kept.merge(Rows { text: 0, rows, weight });
            }
            if let Some((prompt, text)) = texts.prompt(own.row) {
                let key = (chained(mix(text), prompt) & !OF_TEXT) | (mix(text) & OF_TEXT);
                if let Some(kept) = self.prompts.entry(key) {
                    kept.merge(Rows { text, rows, weight });
                }
            }
        }
        self.comparisons.bound();
        self.prompts.bound();
    }

    pub(super) fn merge(&mut self, other: RepeatTable) {
        self.comparisons.merge(other.comparisons, Rows::merge);
        self.prompts.merge(other.prompts, Rows::merge);
    }

    /// Comparisons: of k rows with the same, (k - 1)/k of their weight repeats.
    pub(super) fn comparisons(&self) -> Option<Repeats> {
        let mut total = Repeats { one_in: self.comparisons.one_in(), ..Repeats::default() };
        for (_, own) in self.comparisons.kept.iter() {
            let share = as_f64(own.rows.saturating_sub(1)) / as_f64(own.rows.max(1));
            total.add(1, *own, own.weight * share);
        }
        (total.rows > 0).then_some(total)
    }

    /// Prompts: of a text with several identifiers, the weight that is not under the one with most.
    pub(super) fn prompts(&self) -> Option<Repeats> {
        let mut of_text: BTreeMap<u64, (Rows, f64)> = BTreeMap::new();
        for (_, own) in self.prompts.kept.iter() {
            let (all, most) = of_text.entry(own.text).or_default();
            all.merge(*own);
            *most = most.max(own.weight);
        }
        let mut total = Repeats { one_in: self.prompts.one_in(), ..Repeats::default() };
        of_text.into_values().for_each(|(all, most)| total.add(1, all, all.weight - most));
        (total.rows > 0).then_some(total)
    }
}

impl Repeats {
    fn add(&mut self, values: u64, own: Rows, repeated_weight: f64) {
        self.values += values;
        self.rows += own.rows;
        self.weight += own.weight;
        self.repeated_weight += repeated_weight;
    }
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::keyed::mix;
    use super::super::{Contribution, MAX_VALUES, Member};
    use super::{RepeatTable, Texts};

    fn row(row: usize, weight: f64) -> Contribution {
        Contribution { row, cell: 0, member: Member { rows: 1, weight, ..Member::default() }, decided: None }
    }

    /// Three million prompts with the same two responses, every fourth of them shown twice; each fifth text has two
    /// identifiers. Each row has weight 1.
    fn table(range: std::ops::Range<u64>) -> RepeatTable {
        let mut table = RepeatTable::default();
        let numbers: Vec<u64> = range.flat_map(|own| vec![own; if own % 4 == 0 { 2 } else { 1 }]).collect();
        for part in numbers.chunks(4096) {
            let prompts: Vec<Option<u64>> = part.iter().map(|own| Some(mix(*own))).collect();
            let texts: Vec<Option<u64>> =
                part.iter().map(|own| Some(mix(if own % 5 == 1 { own - 1 } else { *own }) ^ 7)).collect();
            let responses = vec![Some(3); part.len()];
            let texts = Texts {
                prompts: Some(&prompts),
                prompt_texts: Some(&texts),
                responses: Some([&responses, &responses]),
                annotators: Some(&prompts),
            };
            let rows: Vec<Contribution> = (0..part.len()).map(|index| row(index, 1.0)).collect();
            table.add(&texts, &rows);
        }
        table
    }

    #[test]
    fn a_sample_of_too_many_values_keeps_their_shares_whatever_the_split() {
        let whole = table(0..3_000_000);
        let (comparisons, prompts) = (whole.comparisons().unwrap_or_default(), whole.prompts().unwrap_or_default());
        assert_eq!((comparisons.one_in, prompts.one_in), (2, 2));
        assert!(comparisons.values <= MAX_VALUES as u64 && prompts.rows > 0);
        // Of each four prompts five rows, one of which repeats. The share of values that repeat is that of a sample of
        // 1.5 million: its standard error is 0.00035; six of them.
        let share = comparisons.share().unwrap_or(f64::NAN);
        assert!((share - 0.2).abs() < 6.0 * 0.000_35, "{share}");
        // Of 20 prompts 25 rows; the texts of 0, 5, 10 and 15 are those of 1, 6, 11 and 16 too: the weights are 2 and 1, 1
        // and 1, 1 and 1, 1 and 2; the smaller of each repeats: 4 of 25. As exact as above.
        let share = prompts.share().unwrap_or(f64::NAN);
        assert!((share - 0.16).abs() < 6.0 * 0.000_35, "{share}");
        let mut parts = table(0..1_000_000);
        parts.merge(table(1_000_000..3_000_000));
        assert_eq!((parts.comparisons(), parts.prompts()), (Some(comparisons), Some(prompts)));
    }

    #[test]
    fn what_is_missing_or_not_mapped_is_no_copy() {
        let (none, some) = (vec![None, None], vec![Some(1), Some(1)]);
        let rows = [row(0, 1.0), row(1, 3.0)];
        let repeated = |prompts, prompt_texts, responses, annotators| {
            let mut table = RepeatTable::default();
            table.add(&Texts { prompts, prompt_texts, responses, annotators }, &rows);
            (table.comparisons().map(|own| own.repeated_weight), table.prompts().map(|own| own.repeated_weight))
        };
        let (none, some, other) = (none.as_slice(), some.as_slice(), [Some(1), Some(2)]);
        assert_eq!(repeated(Some(some), None, Some([some, some]), None), (Some(2.0), None));
        assert_eq!(repeated(Some(some), Some(none), Some([some, some]), None), (None, None));
        assert_eq!(repeated(Some(some), None, Some([some, none]), None), (None, None));
        assert_eq!(repeated(Some(some), None, Some([some, some]), Some(none)), (None, None));
        assert_eq!(repeated(None, Some(some), None, None), (None, None));
        // Two annotators saw it once each; whichever side the responses are on.
        assert_eq!(repeated(Some(some), None, Some([some, some]), Some(&other)), (Some(0.0), None));
        assert_eq!(repeated(Some(some), None, Some([&other, &[Some(2), Some(1)]]), None), (Some(2.0), None));
        // One text under two identifiers: the lighter one repeats.
        assert_eq!(repeated(Some(&other), Some(some), None, None), (None, Some(1.0)));
    }
}
