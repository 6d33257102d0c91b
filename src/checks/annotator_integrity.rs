//! Does an annotator answer unlike the rest, or carry too much of the weight?

use super::{
    Check, Crossed, Evidence, Finding, Limits, Measure, Need, Status, Undetermined, at_most, list, rows, share,
    side_is_known, side_not_kept, thousands,
};
use crate::declare::Role;
use crate::numeric::holm;
use crate::statistics::groups::{MAX_VALUES, Members};
use crate::statistics::{AnnotatorAnswers, Comparison, compare};
use crate::weights::{total_weight, weight_share};
use std::collections::BTreeSet;

pub(super) static CHECK: Check = Check {
    id: "annotator-integrity",
    title: "Integrity of the annotators",
    source: "Hoeffding (1963), JASA 58:13, theorems 1 and 4; Hoeffding (1956), Ann. Math. Statist. 27:713; Holm (1979)",
    page: include_str!("../../docs/checks/annotator-integrity.md"),
    needs: &[Need::Column(Role::Annotator), Need::Weights, Need::SecondScan],
    run,
};

const REMEDY: &str = "look at the answers of the annotators named before the log is used: withdraw those that were given without \
    looking, have their comparisons labelled again by others, and spread the comparisons over more people";

/// The question that is about sides.
const OF_A: &str = "share of a";

/// How many measures of the comparisons that cross nothing are shown.
const SHOWN: usize = 20;

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let alpha = limits.number("alpha")?;
    let (annotators, answers) = people(evidence)?;
    let compared = compare(answers);
    let sides = side_is_known(evidence);
    let mut tests = tests(&compared[..annotators.values.len()], limits)?;
    tests.retain(|test| sides || test.question != OF_A);
    let (heaviest, untested) = (heaviest(annotators, limits)?, untested(annotators, &tests, limits)?);
    if tests.is_empty() {
        return Err(nobody(vec![heaviest, untested]));
    }
    let adjusted = holm(&tests.iter().map(|test| test.own.p_value).collect::<Vec<_>>());
    let mut measures: Vec<Measure> =
        tests.iter().zip(adjusted).map(|(test, p)| measure(annotators, test, p, alpha)).collect();
    measures.sort_by(|a, b| b.crossed.cmp(&a.crossed).then(b.value.unwrap_or(0.0).total_cmp(&a.value.unwrap_or(0.0))));
    let crossing = measures.iter().filter(|measure| measure.crossed != Crossed::Nothing).count();
    measures.truncate(crossing.max(SHOWN));
    let message = message(&measures, &tests, &heaviest, &untested);
    measures.extend([heaviest, untested]);
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let finding = Finding::from_measures(measures, message, REMEDY);
    if !sides && finding.status != Status::Fail {
        return Err(side_not_kept("who always answers one side", finding.measures));
    }
    Ok(finding)
}

/// The annotators and their answers, as far as the scan could keep them.
fn people<'a>(
    evidence: &Evidence<'a>,
) -> Result<(&'a Members, &'a [Vec<crate::statistics::groups::CellAnswers>]), Undetermined> {
    let groups = evidence.groups;
    let members = groups.and_then(|groups| groups.roles.get(&Role::Annotator)).and_then(Option::as_ref);
    let answers = groups.and_then(|groups| groups.answers.as_deref());
    members.zip(answers).ok_or_else(|| Undetermined {
        message: format!(
            "the log holds more than {} annotators, or pairs of annotator and cell: they are not kept",
            thousands(MAX_VALUES as u64)
        ),
        remedy: "map the column of those who label, not of an event; or audit the log in parts".to_owned(),
        not_logged: false,
        measures: Vec::new(),
    })
}

/// One question put to one annotator's answers.
struct Test<'a> {
    annotator: usize,
    question: &'static str,
    own: &'a Comparison,
    key: &'static str,
    limit: f64,
}

/// Both questions of every annotator who has enough answers to be compared.
fn tests<'a>(compared: &'a [AnnotatorAnswers], limits: &Limits) -> Result<Vec<Test<'a>>, Undetermined> {
    let min_labels = limits.number("min_labels")?;
    let (of_a, of_undecided) = (limits.number("max_deviation")?, limits.number("max_undecided_deviation")?);
    let all = compared.iter().enumerate().flat_map(|(annotator, answers)| {
        let a = answers.a.as_ref().map(|own| (own, OF_A, "max_deviation", of_a));
        let undecided = answers
            .undecided
            .as_ref()
            .map(|own| (own, "share of ties and abstentions", "max_undecided_deviation", of_undecided));
        [a, undecided].into_iter().flatten().map(move |(own, question, key, limit)| Test {
            annotator,
            question,
            own,
            key,
            limit,
        })
    });
    Ok(all.filter(|test| as_f64(test.own.n) >= min_labels).collect())
}

/// The deviation is held against the limit only where chance is ruled out.
fn measure(annotators: &Members, test: &Test, p_value: f64, alpha: f64) -> Measure {
    let Comparison { n, observed, others, .. } = *test.own;
    let deviation = (observed - others).abs();
    let name = format!("{} {observed:.3}, {others:.3} among the others, p {}", test.question, p_text(p_value));
    let measure = if p_value <= alpha {
        Measure::held(&name, deviation, at_most(test.key, test.limit), Crossed::Limit)
    } else {
        Measure::shown(&name, deviation)
    };
    measure.about(&name_of(annotators, test.annotator)).of_rows(n)
}

/// The annotator with most of the weight.
fn heaviest(annotators: &Members, limits: &Limits) -> Result<Measure, Undetermined> {
    let bound = at_most("warn_weight_share", limits.number("warn_weight_share")?);
    let total = total_weight(annotators);
    let most = annotators.values.iter().enumerate().max_by(|a, b| a.1.weight.total_cmp(&b.1.weight));
    let name = "largest share of the weight with one annotator";
    let Some((index, member)) = most else { return Ok(Measure::shown(name, None)) };
    Ok(match weight_share(member, total) {
        Some(share) => Measure::held(name, share, bound, Crossed::Warning),
        None => Measure::shown(name, None),
    }
    .about(&name_of(annotators, index))
    .of_rows(member.rows))
}

/// The rows of those who could not be compared, and of nobody.
fn untested(annotators: &Members, tests: &[Test], limits: &Limits) -> Result<Measure, Undetermined> {
    let bound = at_most("warn_untested_share", limits.number("warn_untested_share")?);
    let tested: BTreeSet<usize> = tests.iter().map(|test| test.annotator).collect();
    let rows_of = |index: &usize| annotators.values.get(*index).map_or(0, |member| member.rows);
    let all = annotators.values.iter().map(|member| member.rows).sum::<u64>() + annotators.missing.rows;
    let untested = all - tested.iter().map(rows_of).sum::<u64>();
    let name = "share of rows whose annotator is unknown or has too few answers to be compared";
    Ok(Measure::held(name, share(untested, all), bound, Crossed::Warning).of_rows(all))
}

fn message(measures: &[Measure], tests: &[Test], heaviest: &Measure, untested: &Measure) -> String {
    let off: Vec<&Measure> = measures.iter().filter(|measure| measure.crossed == Crossed::Limit).collect();
    let names: BTreeSet<&String> = off.iter().filter_map(|measure| measure.subject.as_ref()).collect();
    let tested: BTreeSet<usize> = tests.iter().map(|test| test.annotator).collect();
    let percent = |measure: &Measure| 100.0 * measure.value.unwrap_or(f64::NAN);
    if let Some(worst) = off.first() {
        return format!(
            "{} of {} annotators {} unlike the others in the same cells: {}; furthest off is {} ({}, of {})",
            names.len(),
            tested.len(),
            if names.len() == 1 { "answers" } else { "answer" },
            list(&names.iter().map(|name| (*name).clone()).collect::<Vec<_>>()),
            worst.subject.as_deref().unwrap_or("one"),
            worst.name,
            rows(worst.n.unwrap_or(0))
        );
    }
    match super::status_of([heaviest, untested]) {
        Status::Pass => format!(
            "none of {} annotators answers unlike the others in the same cells; the heaviest carries {:.1} % of the weight",
            tested.len(),
            percent(heaviest)
        ),
        _ if heaviest.crossed != Crossed::Nothing => {
            let name = heaviest.subject.as_deref().unwrap_or("one annotator");
            format!("{name} alone carries {:.1} % of the weight", percent(heaviest))
        }
        _ => format!(
            "none of {} annotators answers unlike the others, but {:.1} % of the rows are of people who could not be compared",
            tested.len(),
            percent(untested)
        ),
    }
}

fn nobody(measures: Vec<Measure>) -> Undetermined {
    Undetermined {
        message: "no annotator has enough answers in cells that others answer as well".to_owned(),
        remedy: "have every cell labelled by several annotators, each with at least `min_labels` comparisons"
            .to_owned(),
        not_logged: true,
        measures,
    }
}

/// The ordinal by first appearance in the log; the identifier itself only if the audit document asks for it.
fn name_of(annotators: &Members, index: usize) -> String {
    match annotators.names.get(index) {
        Some(name) => name.clone(),
        None => format!("annotator {}", index + 1),
    }
}

/// A p-value, which may be too small for a double.
fn p_text(p_value: f64) -> String {
    if p_value < f64::MIN_POSITIVE { "< 1e-300".to_owned() } else { format!("= {p_value:.1e}") }
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
