//! What is kept of one cell's audited rows.

use crate::logs::Label;
use crate::numeric::{RelativeHistogram, Sum, Tail};

/// How many of a cell's largest pair ratios are kept exactly. Enough for the Pareto fit of 7 million rows in one cell.
pub const TAIL_CAPACITY: usize = 8192;

/// Statistics of one cell's audited rows. `ratio` is g_T/g_O of a row, over its inclusion probability where one is logged.
#[derive(Debug, Clone, PartialEq)]
pub struct CellStatistics {
    /// Labels.
    pub labels: LabelCounts,
    /// Moments of the ratio over the audited rows.
    pub audited: RatioMoments,
    /// Moments of the ratio over those of them that are labelled: a, b, tie or soft.
    pub labelled: RatioMoments,
    /// Sum over labelled rows of ratio times the label's value: 1 for a, 1/2 for a tie, 0 for b, p where soft.
    pub ratio_times_label: Sum,
    /// The ratio's distribution over the audited rows.
    pub histogram: RelativeHistogram,
    /// The largest ratios among the audited rows.
    pub tail: Tail,
    /// How many shown comparisons the rows stand for; `None` where no inclusion probability is mapped.
    pub shown: Option<Shown>,
}

/// The shown comparisons that rows stand for: each 1/inclusion of them (Horvitz & Thompson 1952).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shown {
    /// By the audited rows.
    pub audited: InverseInclusions,
    /// By those of them that are labelled.
    pub labelled: InverseInclusions,
}

/// Sums of 1/inclusion over a set of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InverseInclusions {
    /// Their sum.
    pub sum: Sum,
    /// The sum of their squares.
    pub sum_of_squares: Sum,
    /// Smallest; positive infinity without rows.
    pub min: f64,
    /// Largest; negative infinity without rows.
    pub max: f64,
}

impl Default for InverseInclusions {
    fn default() -> InverseInclusions {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        InverseInclusions { sum: Sum::default(), sum_of_squares: Sum::default(), min, max }
    }
}

impl InverseInclusions {
    fn add(&mut self, inverse: f64) {
        self.sum.add(inverse);
        self.sum_of_squares.add(inverse * inverse);
        self.min = self.min.min(inverse);
        self.max = self.max.max(inverse);
    }

    fn merge(&mut self, other: &InverseInclusions) {
        self.sum.merge(other.sum);
        self.sum_of_squares.merge(other.sum_of_squares);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Default for CellStatistics {
    fn default() -> CellStatistics {
        CellStatistics {
            labels: LabelCounts::default(),
            audited: RatioMoments::default(),
            labelled: RatioMoments::default(),
            ratio_times_label: Sum::default(),
            histogram: RelativeHistogram::default(),
            tail: Tail::new(TAIL_CAPACITY),
            shown: None,
        }
    }
}

impl CellStatistics {
    /// Adds an audited row.
    pub fn add(&mut self, label: Label, ratio: f64) {
        self.add_rows(&[label], &[ratio]);
    }

    /// Adds an audited row that was selected for labelling with this probability, in (0, 1]; `ratio` is g_T/g_O.
    pub fn add_selected(&mut self, label: Label, ratio: f64, inclusion: f64) {
        self.add_selected_rows(&[label], &[ratio], &[inclusion]);
    }

    /// Adds audited rows, each with its label and ratio.
    pub(super) fn add_rows(&mut self, labels: &[Label], ratios: &[f64]) {
        let logarithms: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
        self.histogram.add_all(&logarithms);
        ratios.iter().for_each(|ratio| self.tail.add(*ratio));
        self.labels.count(labels);
        // Sums of their own, which stay in registers; the labelled rows' are added once and counted twice.
        let (mut answered, mut unanswered) = (RatioMoments::default(), RatioMoments::default());
        let mut times_label = Sum::default();
        for (label, (ratio, ln_ratio)) in labels.iter().zip(ratios.iter().zip(&logarithms)) {
            match value_of(*label) {
                Some(value) => {
                    answered.add(*ratio, *ln_ratio);
                    times_label.add(ratio * value);
                }
                None => unanswered.add(*ratio, *ln_ratio),
            }
        }
        self.audited.merge(&answered);
        self.audited.merge(&unanswered);
        self.labelled.merge(&answered);
        self.ratio_times_label.merge(times_label);
    }

    /// Adds audited rows that were selected for labelling with these probabilities.
    pub(super) fn add_selected_rows(&mut self, labels: &[Label], pair_ratios: &[f64], inclusions: &[f64]) {
        let ratios: Vec<f64> = pair_ratios.iter().zip(inclusions).map(|(ratio, inclusion)| ratio / inclusion).collect();
        self.add_rows(labels, &ratios);
        let shown = self.shown.get_or_insert_default();
        for (label, inclusion) in labels.iter().zip(inclusions) {
            shown.audited.add(1.0 / inclusion);
            if value_of(*label).is_some() {
                shown.labelled.add(1.0 / inclusion);
            }
        }
    }

    /// The shown comparisons that the audited rows stand for: themselves, where no inclusion probability is logged.
    pub fn shown_audited(&self) -> f64 {
        self.shown.map_or(as_f64(self.audited.n), |shown| shown.audited.sum.value())
    }

    /// The shown comparisons that the labelled rows stand for.
    pub fn shown_labelled(&self) -> f64 {
        self.shown.map_or(as_f64(self.labelled.n), |shown| shown.labelled.sum.value())
    }

    /// The one 1/inclusion of all audited rows (1 where none is logged); `None` where rows differ in it, so that which
    /// pair was shown may have mattered for its selection.
    pub fn common_inverse_inclusion(&self) -> Option<f64> {
        match self.shown {
            None => Some(1.0),
            Some(shown) if shown.audited.max > shown.audited.min => None,
            Some(shown) => Some(shown.audited.max),
        }
    }

    /// Adds the statistics of other rows of the same cell.
    pub fn merge(&mut self, other: &CellStatistics) {
        self.labels.merge(&other.labels);
        self.audited.merge(&other.audited);
        self.labelled.merge(&other.labelled);
        self.ratio_times_label.merge(other.ratio_times_label);
        self.histogram.merge(&other.histogram);
        self.tail.merge(&other.tail);
        if let Some(shown) = &other.shown {
            let own = self.shown.get_or_insert_default();
            own.audited.merge(&shown.audited);
            own.labelled.merge(&shown.labelled);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// The label's value: 1 for a, 1/2 for a tie, 0 for b, p where soft; `None` without an answer.
///
/// Looked up: which label a row has cannot be foreseen, and a processor that guesses wrong starts over.
#[inline]
pub(super) fn value_of(label: Label) -> Option<f64> {
    const VALUES: [f64; Label::KINDS] = [1.0, 0.0, 0.5, f64::NAN, f64::NAN, f64::NAN];
    let value = if let Label::Soft(probability) = label { probability } else { VALUES[label.kind()] };
    (!value.is_nan()).then_some(value)
}

/// Audited rows by label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelCounts {
    /// a preferred.
    pub a: u64,
    /// b preferred.
    pub b: u64,
    /// Neither.
    pub tie: u64,
    /// No answer.
    pub abstain: u64,
    /// A probability strictly between 0 and 1.
    pub soft: u64,
}

impl LabelCounts {
    fn count(&mut self, labels: &[Label]) {
        let mut counts = [0_u64; Label::KINDS];
        labels.iter().for_each(|label| counts[label.kind()] += 1);
        let [a, b, tie, abstain, soft, _] = counts;
        self.merge(&LabelCounts { a, b, tie, abstain, soft });
    }

    /// Adds other counts.
    pub fn merge(&mut self, other: &LabelCounts) {
        self.a += other.a;
        self.b += other.b;
        self.tie += other.tie;
        self.abstain += other.abstain;
        self.soft += other.soft;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.a + self.b + self.tie + self.abstain + self.soft
    }
}

/// Moments of the pair ratio g_T/g_O over a set of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatioMoments {
    /// Rows.
    pub n: u64,
    /// Sum of the ratio.
    pub sum: Sum,
    /// Sum of its square.
    pub sum_of_squares: Sum,
    /// Sum of ratio times its natural logarithm (0 ln 0 = 0), for the entropy of the weights.
    pub sum_of_ratio_ln_ratio: Sum,
    /// Smallest; positive infinity without rows.
    pub min: f64,
    /// Largest; negative infinity without rows.
    pub max: f64,
}

impl Default for RatioMoments {
    fn default() -> RatioMoments {
        RatioMoments {
            n: 0,
            sum: Sum::default(),
            sum_of_squares: Sum::default(),
            sum_of_ratio_ln_ratio: Sum::default(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl RatioMoments {
    #[inline]
    fn add(&mut self, ratio: f64, ln_ratio: f64) {
        self.n += 1;
        self.sum.add(ratio);
        self.sum_of_squares.add(ratio * ratio);
        if ratio > 0.0 {
            self.sum_of_ratio_ln_ratio.add(ratio * ln_ratio);
        }
        self.min = self.min.min(ratio);
        self.max = self.max.max(ratio);
    }

    fn merge(&mut self, other: &RatioMoments) {
        self.n += other.n;
        self.sum.merge(other.sum);
        self.sum_of_squares.merge(other.sum_of_squares);
        self.sum_of_ratio_ln_ratio.merge(other.sum_of_ratio_ln_ratio);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}
