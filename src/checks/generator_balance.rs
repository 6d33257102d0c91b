//! Were the responses drawn as often as the logged propensities say?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Status, Undetermined, at_least, list};
use crate::declare::Role;
use crate::numeric::{Bin, holm, log_e_value_above_one, p_value_of_log_e};
use crate::statistics::{GeneratorCounts, InversePropensities};
use std::collections::{BTreeMap, BTreeSet};

pub(super) static CHECK: Check = Check {
    id: "generator-balance",
    title: "Balance of the generators",
    source: "Lemma (2026), sections 3 and 5; inverse-propensity frequencies (Horvitz & Thompson 1952, JASA 47:663)",
    page: include_str!("../../docs/checks/generator-balance.md"),
    needs: &[Need::Column(Role::GeneratorA), Need::Column(Role::GeneratorB)],
    run,
};

const REMEDY: &str = "compare the logged propensity with the sampler for the generators named: they are shown more often than it \
    says; if some prompts have no response of every generator, declare the pools as mechanisms of their own";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let alpha = limits.number("alpha")?;
    if !super::side_is_known(evidence) {
        return Err(super::side_not_kept("which generator filled which slot", Vec::new()));
    }
    let Some(counts) = evidence.statistics.generators.as_ref().filter(|counts| counts.rows > 0) else {
        return Err(undetermined("no audited row carries both generators and a valid propensity"));
    };
    if evidence.statistics.selected_within_cells() {
        return Err(super::selected_within_cells(evidence));
    }
    let pool = Pool::of(evidence, counts);
    if pool.size < 2 {
        return Err(undetermined("the pool holds fewer than two generators, so that there is nothing to balance"));
    }
    // What is only inferred from the log cannot convict it: a pool that was larger than what was shown looks unbalanced.
    let crossed = if pool.declared { Crossed::Limit } else { Crossed::Warning };
    let tests = tests(counts, &pool);
    let adjusted = holm(&tests.iter().map(|test| test.p_value).collect::<Vec<_>>());
    let mut measures: Vec<Measure> = tests
        .iter()
        .zip(adjusted)
        .map(|(test, p_value)| {
            let name = format!("p-value, too often in slot {} ({:.3} of expected)", test.slot, test.mean);
            let measure = Measure::held(&name, p_value, at_least("alpha", alpha), crossed);
            let crossed = if p_value <= alpha { crossed } else { Crossed::Nothing };
            Measure { crossed, ..measure }.about(test.generator).of_rows(test.rows)
        })
        .collect();
    measures.push(Measure::fault("generators outside the declared pool", count(pool.strangers.len()), Crossed::Limit));
    measures.push(
        Measure::fault("rows without a generator", counts.missing, Crossed::Warning)
            .of_rows(evidence.statistics.audited()),
    );
    measures.sort_by(|a, b| b.crossed.cmp(&a.crossed).then(order(a).total_cmp(&order(b))));
    let message = message(&measures, &pool);
    Ok(Finding::from_measures(measures, message, REMEDY))
}

/// The pool of generators that every prompt's pair is drawn from.
struct Pool {
    size: usize,
    declared: bool,
    /// Generators that rows name and the declared pool does not.
    strangers: Vec<String>,
}

impl Pool {
    /// The declared pool if every mechanism that drew rows declares the same one; else the generators that were seen.
    fn of(evidence: &Evidence, counts: &GeneratorCounts) -> Pool {
        let seen: BTreeSet<&String> = counts.a.keys().chain(counts.b.keys()).collect();
        let carried =
            |id: &str| evidence.statistics.mechanisms.as_ref().is_none_or(|counts| counts.rows.contains_key(id));
        let pools: Option<BTreeSet<BTreeSet<&String>>> = evidence
            .regime
            .mechanisms
            .iter()
            .filter(|mechanism| carried(&mechanism.id))
            .map(|mechanism| Some(mechanism.generators.as_ref()?.iter().collect()))
            .collect();
        match pools.as_ref().and_then(|pools| pools.first().filter(|_| pools.len() == 1)) {
            Some(pool) => Pool {
                size: pool.len(),
                declared: true,
                strangers: seen.difference(pool).map(|name| (*name).clone()).collect(),
            },
            None => Pool { size: seen.len(), declared: false, strangers: Vec::new() },
        }
    }
}

/// One generator in one slot.
struct Test<'a> {
    generator: &'a str,
    slot: &'static str,
    rows: u64,
    mean: f64,
    p_value: f64,
}

fn tests<'a>(counts: &'a GeneratorCounts, pool: &Pool) -> Vec<Test<'a>> {
    // Ordered pairs in which a given generator takes a given slot: drawn with replacement if it ever met itself.
    let partners = if counts.same > 0 { pool.size } else { pool.size - 1 };
    let slots: [(&BTreeMap<String, InversePropensities>, _); 2] = [(&counts.a, "a"), (&counts.b, "b")];
    slots
        .into_iter()
        .flat_map(|(slot, name)| slot.iter().map(move |(generator, own)| (generator, name, own)))
        .map(|(generator, slot, own)| {
            let (mean, log_e) = balance(own, counts.rows, partners);
            Test { generator, slot, rows: own.rows, mean, p_value: p_value_of_log_e(log_e) }
        })
        .collect()
}

/// Over all rows, x = 1{the slot holds this generator} / (g_O partners) has mean 1 under correct propensities, for
/// sum over the pairs with it of g_O / g_O is the number of partners. The mean of x, and the evidence that it is above 1.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn balance(own: &InversePropensities, rows: u64, partners: usize) -> (f64, f64) {
    let partners = partners as f64;
    let others = Bin { from: 0.0, to: 0.0, count: rows - own.rows };
    let own_bins = own.histogram.bins(own.min, own.max).into_iter();
    let bins: Vec<Bin> =
        own_bins.map(|bin| Bin { from: bin.from / partners, to: bin.to / partners, ..bin }).chain([others]).collect();
    (own.sum.value() / partners / rows as f64, log_e_value_above_one(&bins))
}

fn message(measures: &[Measure], pool: &Pool) -> String {
    let of = if pool.declared { "declared" } else { "observed" };
    let over: Vec<String> = measures
        .iter()
        .filter(|measure| measure.crossed != Crossed::Nothing)
        .filter_map(|measure| measure.subject.clone())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    match (super::status_of(measures), over.is_empty(), pool.strangers.is_empty()) {
        (_, _, false) => format!("rows name generators outside the declared pool: {}", list(&pool.strangers)),
        (_, false, _) => format!("shown more often than their propensities say: {}", list(&over)),
        (Status::Pass, ..) => format!("all {} {of} generators are shown as often as their propensities say", pool.size),
        _ => format!("the {} {of} generators are balanced where they are known", pool.size),
    }
}

fn order(measure: &Measure) -> f64 {
    measure.value.filter(|_| measure.subject.is_some()).unwrap_or(f64::INFINITY)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn undetermined(message: &str) -> Undetermined {
    Undetermined {
        message: message.to_owned(),
        remedy: "log the generator of both slots and the propensity of the pair".to_owned(),
        not_logged: true,
        measures: Vec::new(),
    }
}
