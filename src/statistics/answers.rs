//! Each annotator's answers against those of the others.

use super::groups::CellAnswers;
use crate::numeric::hoeffding_p_value;
use std::collections::BTreeMap;

/// How one annotator answers, beside the others in the same cells.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AnnotatorAnswers {
    /// The share of a among the answers that decide.
    pub a: Option<Comparison>,
    /// The share of ties and abstentions among all answers.
    pub undecided: Option<Comparison>,
}

/// A share against what the others' answers give for the same cells. Only cells in which others answer as well count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The annotator's answers in these cells.
    pub n: u64,
    /// The annotator's share.
    pub observed: f64,
    /// What the others' shares give, cell by cell, the annotator's own answers left out.
    pub others: f64,
    /// The probability bound on a share that lies as far off by chance, not yet adjusted for the number of questions.
    pub p_value: f64,
}

/// One group of answers in one cell: how many, and the sum of what they say, each in \[0, 1\].
#[derive(Debug, Clone, Copy, Default)]
struct Answered {
    n: u64,
    sum: f64,
}

/// Compares each list of answers (of one annotator, each cell once) with all the others. The last may stand for rows
/// whose annotator is not known: they count among the others.
pub fn compare(answers: &[Vec<CellAnswers>]) -> Vec<AnnotatorAnswers> {
    let decided = |own: &CellAnswers| Answered { n: own.decided, sum: own.a };
    let undecided = |own: &CellAnswers| Answered { n: own.rows, sum: as_f64(own.rows - own.decided) };
    let (of_decided, of_undecided) = (totals(answers, &decided), totals(answers, &undecided));
    answers
        .iter()
        .map(|own| AnnotatorAnswers {
            a: comparison(own, &of_decided, &decided),
            undecided: comparison(own, &of_undecided, &undecided),
        })
        .collect()
}

/// The answers that are in a list of cells: all of them, and the sum of what they say.
fn totals(answers: &[Vec<CellAnswers>], question: &dyn Fn(&CellAnswers) -> Answered) -> BTreeMap<u32, Answered> {
    let mut totals: BTreeMap<u32, Answered> = BTreeMap::new();
    for own in answers.iter().flatten() {
        let (total, own) = (totals.entry(own.cell).or_default(), question(own));
        total.n += own.n;
        total.sum += own.sum;
    }
    totals
}

/// Given every cell's answers, and with annotators drawn within a cell without regard to what is answered, the sum of an
/// annotator's answers there is that of a sample without replacement. Hoeffding (1963, JASA 58:13), theorem 4: its
/// exponential moments are at most those of draws with replacement of the cell's mean; Hoeffding (1956): those of several
/// cells together at most those of the binomial of the mean over all answers; theorem 1 of 1963 bounds that tail. So the
/// expectation of the test is over all answers of the cell, the annotator's own included: with the others' alone, which
/// are a sample themselves, the bound would not hold.
fn comparison(
    own: &[CellAnswers],
    totals: &BTreeMap<u32, Answered>,
    question: &dyn Fn(&CellAnswers) -> Answered,
) -> Option<Comparison> {
    let (mut n, mut observed, mut expected, mut others) = (0, 0.0, 0.0, 0.0);
    for (cell, own) in own.iter().map(|own| (own.cell, question(own))) {
        let Some(total) = totals.get(&cell).filter(|total| total.n > own.n) else { continue };
        n += own.n;
        observed += own.sum;
        expected += as_f64(own.n) * total.sum / as_f64(total.n);
        others += as_f64(own.n) * (total.sum - own.sum) / as_f64(total.n - own.n);
    }
    if n == 0 {
        return None;
    }
    let share = |sum: f64| sum / as_f64(n);
    let p_value = hoeffding_p_value(as_f64(n), share(observed), share(expected))?;
    Some(Comparison { n, observed: share(observed), others: share(others), p_value })
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
