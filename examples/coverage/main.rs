//! How often 95 % intervals cover the truth, on simulated logs whose target quantities are known by enumeration.
//!
//! `cargo run --release --example coverage` (500 logs a row, about half an hour on two cores); `-- 100` runs 100 logs, and
//! `-- 500 hidden` one of the parts: `rows`, `prompts`, `robust`, `sampled`, `hidden`. The tables are those of
//! `docs/statistics-of-estimates.md`.
//!
//! `rows`: rows that are independent (a user asks one of the same prompts again and again). `prompts`: prompts that are
//! themselves drawn anew for every log, so that rows of a prompt depend on each other and the truth is the mean over all
//! prompts that could be drawn. `robust`: the doubly robust estimate, through the whole program. `sampled`: the same from a sample of the target. `hidden`: confounders that
//! nobody logged.
#![expect(clippy::print_stdout, reason = "the tables are its output")]

mod hidden;
mod robust;
mod sampled;

use counterweight::declare::{Levels, Regime, Responses, parse_regime};
use counterweight::estimate::{
    Answer, CandidateEvaluation, Clusters, Comparisons, Evaluation, PolicyColumns, Weighted, confidence_sequence,
    evaluate, quadratic_interval,
};
use counterweight::simulate::{Prompt, Row, Scene, World, scene};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;

/// Worlds over which the mean over all prompts is taken.
const WORLDS: u64 = 4_000;
/// Of the two candidates, one goes by quality and one by the attribute that the user types disagree about.
const CANDIDATES: [&str; 2] = ["quality", "attribute"];
/// The kinds of intervals, in the order of the tables.
const KINDS: [&str; 6] = [
    "self-normalised, t",
    "inverse propensity weighted, t",
    "cell form, t",
    "empirical Bernstein",
    "likelihood, quadratic",
    "confidence sequence",
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let logs: u64 = arguments.first().map_or(Ok(500), |text| text.parse())?;
    let wanted = |part: &str| arguments.get(1).is_none_or(|only| only == part);
    let regime = parse_regime("regime.yaml", include_str!("../telemetry/regime.yaml"))
        .map_err(|problems| problems.to_string())?;
    let target = regime.target_masses(&BTreeMap::new());
    if wanted("rows") {
        println!("Independent rows, {logs} logs a row:\n");
        header();
        let truth = |_| accuracies(&World::telemetry(), &target);
        for n in [100, 300, 1_000, 4_000] {
            report(&run(logs, n, (&regime, false, 2.0), |_| World::telemetry(), truth), ("half", n, logs));
        }
        let truth = |_| accuracies(&steep(), &target);
        for n in [50, 200, 2_000, 20_000] {
            report(&run(logs, n, (&regime, false, 50.0), |_| steep(), truth), ("2 %", n, logs));
        }
    }
    if wanted("prompts") {
        let worlds: Vec<[f64; 2]> = (0..WORLDS).map(|seed| accuracies(&world(1_000_000 + seed), &target)).collect();
        let mean = |which: usize| worlds.iter().map(|own| own[which]).sum::<f64>() / WORLDS as f64;
        let all_prompts = [mean(0), mean(1)];
        println!("\nPrompts drawn anew, errors by prompt, {logs} logs a row:\n");
        header();
        for n in [300, 1_000, 4_000] {
            report(&run(logs, n, (&regime, true, 2.0), world, |_| all_prompts), ("half", n, logs));
        }
    }
    if wanted("robust") {
        robust::print(logs)?;
    }
    if wanted("sampled") {
        sampled::print(logs, &regime, &target)?;
    }
    if wanted("hidden") {
        hidden::print(logs, &regime, &target)?;
    }
    Ok(())
}

fn header() {
    println!("| explored | rows | n_eff | interval | challenger | incumbent | difference | 0.95 |");
    println!("|---|---:|---:|---|---:|---:|---:|---|");
}

/// A router that hardly explores: weights have a heavy tail.
fn steep() -> World {
    let mut world = World::telemetry();
    for (component, share) in world.mechanisms.iter_mut().flat_map(|own| &mut own.mixture).zip([0.02, 0.98]) {
        component.share.fill(share);
    }
    world
}

fn world(seed: u64) -> World {
    let mut world = World::telemetry();
    if let Responses::Generated(generated) = &mut world.responses {
        generated.seed = seed;
    }
    world
}

/// How many intervals covered, by kind: of each candidate's accuracy, and of their difference; how many there were; and the
/// mean n_eff.
struct Covered {
    counts: [[(u64, u64); 3]; KINDS.len()],
    n_eff: f64,
}

fn run(
    logs: u64,
    n: usize,
    (regime, by_prompt, pair_bound): (&Regime, bool, f64),
    world: impl Fn(u64) -> World,
    truth: impl Fn(u64) -> [f64; 2],
) -> Covered {
    let mut covered = Covered { counts: [[(0, 0); 3]; KINDS.len()], n_eff: 0.0 };
    for seed in 0..logs {
        let world = world(seed);
        let Ok(scene) = scene(&world) else { continue };
        let table = table(&scene, &scene.rows(n, 7_000 + seed), regime, by_prompt);
        let found = evaluate(&table, regime, &[], Some(pair_bound));
        let [quality, attribute] = truth(seed);
        let truths = [quality, attribute, quality - attribute];
        for (of_kind, intervals) in covered.counts.iter_mut().zip(intervals(&table, &found)) {
            for ((count, truth), interval) in of_kind.iter_mut().zip(truths).zip(intervals) {
                let Some((low, high)) = interval else { continue };
                count.1 += 1;
                count.0 += u64::from(low <= truth && truth <= high);
            }
        }
        covered.n_eff += found.n_eff / logs as f64;
    }
    covered
}

type Ends = Option<(f64, f64)>;

/// The intervals of both candidates' accuracies and of their difference, by kind.
fn intervals(table: &Comparisons, found: &Evaluation) -> [[Ends; 3]; KINDS.len()] {
    let accuracy = |which: usize| found.candidates.get(which).and_then(|own| own.target.accuracy.as_ref());
    let difference = found.comparisons.first().and_then(|own| own.difference.as_ref());
    let headline = [accuracy(0), accuracy(1), difference];
    let other = |which: usize, name: &str| {
        let own: &CandidateEvaluation = found.candidates.get(which)?;
        let (_, estimate) = own.estimators.iter().find(|(known, _)| known == name)?;
        estimate.as_ref()?.interval.map(|own| (own.low, own.high))
    };
    let mut kinds = [[None; 3]; KINDS.len()];
    kinds[0] = headline.map(|own| own?.interval.map(|own| (own.low, own.high)));
    kinds[1] = [other(0, "inverse propensity weighted"), other(1, "inverse propensity weighted"), None];
    kinds[2] = [other(0, "cell form"), other(1, "cell form"), None];
    kinds[3] = headline.map(|own| own?.outer);
    if let (true, Some(largest)) = (table.clusters.is_empty(), found.largest_weight) {
        let rows = [0, 1].map(|which| weighted(table, which));
        let all = |interval: &dyn Fn(&[Weighted]) -> Ends| [interval(&rows[0]), interval(&rows[1]), None];
        kinds[4] = all(&|rows| quadratic_interval(rows, largest, 0.95));
        kinds[5] = all(&|rows| confidence_sequence(rows, 0.95));
    }
    kinds
}

/// What the intervals that rest on a mean weight of 1 are made from; they hold for independent rows.
fn weighted(table: &Comparisons, candidate: usize) -> Vec<Weighted> {
    let Some(policy) = table.policies.get(candidate) else { return Vec::new() };
    let rows = table.weight.iter().zip(&table.answers).zip(&policy.shift_a);
    let score = |answer: Answer, prefers: f64| if prefers > 0.0 { answer.value() } else { 1.0 - answer.value() };
    rows.map(|((weight, answer), prefers)| Weighted { weight: *weight, score: score(*answer, *prefers) }).collect()
}

fn report(covered: &Covered, (explored, n, logs): (&str, usize, u64)) {
    for (kind, counts) in KINDS.iter().zip(&covered.counts) {
        if counts.iter().all(|(_, made)| *made == 0) {
            continue;
        }
        let rates = counts.map(|(held, made)| if made == 0 { "-".to_owned() } else { rate(held, logs) });
        let [first, second, third] = rates;
        let made: Vec<u64> = counts.iter().filter(|(_, made)| *made > 0).map(|(held, _)| *held).collect();
        let verdict = verdict(&made, logs);
        println!("| {explored} | {n} | {:.0} | {kind} | {first} | {second} | {third} | {verdict} |", covered.n_eff);
    }
}

/// A share of the logs; a log without an interval is one that did not cover.
fn rate(held: u64, logs: u64) -> String {
    format!("{:.3}", held as f64 / logs as f64)
}

/// Whether rates are within three Monte Carlo standard errors of 0.95: a rate below is too little, one above is more than asked for.
fn verdict(held: &[u64], logs: u64) -> &'static str {
    let three = 3.0 * (0.95 * 0.05 / logs as f64).sqrt();
    let off = || held.iter().map(|held| *held as f64 / logs as f64 - 0.95);
    if off().any(|off| off < -three) {
        "**below**"
    } else if off().any(|off| off > three) {
        "above"
    } else {
        "within"
    }
}

/// Whether each candidate prefers a: by the score that it goes by, ties to the response written first.
fn prefers_a(prompt: &Prompt, a: usize, b: usize) -> [bool; 2] {
    let above = |a: usize, b: usize| {
        let (first, second) = (&prompt.responses[a], &prompt.responses[b]);
        [first.base > second.base, first.attribute > second.attribute]
    };
    let (better, worse) = (above(a, b), above(b, a));
    [0, 1].map(|score| better[score] || (!worse[score] && a < b))
}

/// The candidates' target preference accuracies, by enumeration of prompts, user types and ordered pairs.
fn accuracies(world: &World, target: &BTreeMap<Levels, f64>) -> [f64; 2] {
    let Ok(scene) = scene(world) else { return [f64::NAN; 2] };
    let mut sums = [0.0; 2];
    for_each_pair(&scene, target, |mass, preferred, wins| {
        for (sum, prefers) in sums.iter_mut().zip(preferred) {
            *sum += mass * if prefers { wins } else { 1.0 - wins };
        }
    });
    sums.map(|accuracy| (1.0 - world.labels.tie) * accuracy + 0.5 * world.labels.tie)
}

/// Calls with every ordered pair of the target: its mass, whether each candidate prefers a, and how likely a wins.
fn for_each_pair(scene: &Scene, target: &BTreeMap<Levels, f64>, mut call: impl FnMut(f64, [bool; 2], f64)) {
    for (index, user_type) in scene.world.user_types.iter().enumerate() {
        for (domain, name) in scene.domains.iter().enumerate() {
            let mass = target.get(&vec![name.clone(), user_type.name.clone()]).copied().unwrap_or(0.0);
            let of_domain: Vec<&Prompt> = scene.prompts.iter().filter(|prompt| prompt.domain == domain).collect();
            for prompt in &of_domain {
                let k = prompt.responses.len();
                let pair = mass / of_domain.len() as f64 / (k * (k - 1)) as f64;
                for (a, b) in (0..k).flat_map(|a| (0..k).map(move |b| (a, b))).filter(|(a, b)| a != b) {
                    let wins = scene.preference(index, prompt, (a, b)).unwrap_or(0.5);
                    call(pair, prefers_a(prompt, a, b), wins);
                }
            }
        }
    }
}

/// The table of comparisons that the program would read from such a log.
fn table(scene: &Scene, log: &[Row], regime: &Regime, by_prompt: bool) -> Comparisons {
    let prompts: HashMap<&str, &Prompt> = scene.prompts.iter().map(|prompt| (prompt.id.as_str(), prompt)).collect();
    let target = regime.target_masses(&BTreeMap::new());
    let cells: Vec<Levels> = target.keys().cloned().collect();
    let mut table = Comparisons { p_target: target.values().copied().collect(), cells, ..Comparisons::default() };
    table.policies = CANDIDATES
        .map(|name| PolicyColumns { name: name.to_owned(), incumbent: name == "attribute", ..PolicyColumns::default() })
        .into();
    let mut clusters = Clusters { role: "prompt".to_owned(), ..Clusters::default() };
    let mut codes: HashMap<String, u32> = HashMap::new();
    for row in log {
        let answer = match row.label.as_deref() {
            Some("a") => Answer::A,
            Some("b") => Answer::B,
            Some("tie") => Answer::Tie,
            _ => continue,
        };
        let id = row.prompt_id.clone().unwrap_or_default();
        let Some(prompt) = prompts.get(id.as_str()) else { continue };
        let cell = vec![row.domain.clone().unwrap_or_default(), row.user_type.clone().unwrap_or_default()];
        let Some(cell) = table.cells.iter().position(|own| *own == cell) else { continue };
        let place = |id: &Option<String>| {
            prompt.responses.iter().position(|own| Some(&own.id) == id.as_ref()).unwrap_or_default()
        };
        let preferred = prefers_a(prompt, place(&row.response_a), place(&row.response_b));
        for (policy, prefers) in table.policies.iter_mut().zip(preferred) {
            policy.shift_a.push(if prefers { 1.0 } else { -1.0 });
            policy.shift_b.push(0.0);
        }
        table.rows.push(table.rows.len() as u64);
        table.cell.push(cell as u32);
        table.pair_ratio.push(row.target_propensity.unwrap_or(f64::NAN) / row.propensity.unwrap_or(f64::NAN));
        table.ln_propensity.push(row.propensity.unwrap_or(f64::NAN).ln());
        table.answers.push(answer);
        let next = codes.len() as u32;
        clusters.codes.push(*codes.entry(id).or_insert(next));
    }
    clusters.count = codes.len();
    let mut counts = vec![0.0; table.cells.len()];
    table.cell.iter().for_each(|cell| counts[*cell as usize] += 1.0);
    let n = table.rows.len() as f64;
    table.factors = table
        .p_target
        .iter()
        .zip(&counts)
        .map(|(mass, count)| if *count > 0.0 { mass * n / count } else { 0.0 })
        .collect();
    table.weight =
        table.cell.iter().zip(&table.pair_ratio).map(|(cell, ratio)| table.factors[*cell as usize] * ratio).collect();
    table.clusters = if by_prompt { vec![clusters] } else { Vec::new() };
    table
}
