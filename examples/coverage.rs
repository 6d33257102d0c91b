//! How often 95 % intervals cover the truth, on simulated logs whose target quantities are known by enumeration.
//!
//! `cargo run --release --example coverage` (500 logs a row); `-- 100` runs 100. Two questions: rows that are independent
//! (a user asks one of the same prompts again and again), and prompts that are themselves drawn anew for every log, so that
//! rows of a prompt depend on each other and the truth is the mean over all prompts that could be drawn.
#![expect(clippy::print_stdout, reason = "the tables are its output")]

use counterweight::declare::{Levels, Regime, parse_regime};
use counterweight::estimate::{Answer, Clusters, Comparisons, Estimate, PolicyColumns, evaluate};
use counterweight::simulate::{Prompt, Row, World, rows};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;

/// Worlds over which the mean over all prompts is taken.
const WORLDS: u64 = 4_000;
/// Of the two candidates, one goes by quality and one by the attribute that the user types disagree about.
const CANDIDATES: [&str; 2] = ["quality", "attribute"];

fn main() -> Result<(), Box<dyn Error>> {
    let logs: u64 = std::env::args().nth(1).map_or(Ok(500), |text| text.parse())?;
    let regime =
        parse_regime("regime.yaml", include_str!("telemetry/regime.yaml")).map_err(|problems| problems.to_string())?;
    let target = regime.target_masses(&BTreeMap::new());
    println!("| prompts | errors | rows | n_eff | challenger | incumbent | difference | within 3 errors of 0.95 |");
    println!("|---|---|---:|---:|---:|---:|---:|---|");
    for n in [100, 300, 1_000, 4_000] {
        let truth = |_| accuracies(&World::telemetry(), &target);
        report(&run(logs, n, (&regime, false), |_| World::telemetry(), truth), ("the same", "by row"), n, logs);
    }
    for n in [50, 200, 2_000] {
        let truth = |_| accuracies(&steep(), &target);
        report(&run(logs, n, (&regime, false), |_| steep(), truth), ("the same, heavy tails", "by row"), n, logs);
    }
    let worlds: Vec<[f64; 2]> = (0..WORLDS).map(|seed| accuracies(&world(1_000_000 + seed), &target)).collect();
    let mean = |which: usize| worlds.iter().map(|own| own[which]).sum::<f64>() / WORLDS as f64;
    let all_prompts = [mean(0), mean(1)];
    for n in [300, 1_000, 4_000] {
        report(&run(logs, n, (&regime, true), world, |_| all_prompts), ("drawn anew", "by prompt"), n, logs);
    }
    Ok(())
}

/// A router that hardly explores: weights have a heavy tail.
fn steep() -> World {
    World { uniform_share: 0.02, ..World::telemetry() }
}

fn world(seed: u64) -> World {
    World { response_seed: seed, ..World::telemetry() }
}

/// How many intervals covered: of each candidate's accuracy, and of their difference; and the mean n_eff.
struct Covered {
    counts: [u64; 3],
    n_eff: f64,
}

fn run(
    logs: u64,
    n: usize,
    (regime, by_prompt): (&Regime, bool),
    world: impl Fn(u64) -> World,
    truth: impl Fn(u64) -> [f64; 2],
) -> Covered {
    let mut covered = Covered { counts: [0; 3], n_eff: 0.0 };
    for seed in 0..logs {
        let world = world(seed);
        let table = table(&world, &rows(&world, n, 7_000 + seed), regime, by_prompt);
        let found = evaluate(&table, regime, &[], None);
        let [quality, attribute] = truth(seed);
        let holds = |own: Option<&Estimate>, truth: f64| {
            u64::from(own.and_then(|own| own.interval).is_some_and(|i| i.low <= truth && truth <= i.high))
        };
        let accuracy = |which: usize| found.candidates.get(which).and_then(|own| own.target.accuracy.as_ref());
        covered.counts[0] += holds(accuracy(0), quality);
        covered.counts[1] += holds(accuracy(1), attribute);
        let difference = found.comparisons.first().and_then(|own| own.difference.as_ref());
        covered.counts[2] += holds(difference, quality - attribute);
        covered.n_eff += found.n_eff / logs as f64;
    }
    covered
}

fn report(covered: &Covered, (prompts, errors): (&str, &str), n: usize, logs: u64) {
    let rates = covered.counts.map(|count| count as f64 / logs as f64);
    let three = 3.0 * (0.95 * 0.05 / logs as f64).sqrt();
    let within = if rates.iter().all(|rate| (rate - 0.95).abs() <= three) { "yes" } else { "no" };
    let [first, second, third] = rates;
    println!(
        "| {prompts} | {errors} | {n} | {:.0} | {first:.3} | {second:.3} | {third:.3} | {within} |",
        covered.n_eff
    );
}

/// Whether each candidate prefers a: by the score that it goes by, ties to the response written first.
fn prefers_a(prompt: &Prompt, a: usize, b: usize) -> [bool; 2] {
    let above = |scores: &[i32]| {
        scores.get(a).copied().unwrap_or(0) * 2 + i32::from(a < b) > scores.get(b).copied().unwrap_or(0) * 2
    };
    [above(&prompt.base), above(&prompt.attribute)]
}

/// The candidates' target preference accuracies, by enumeration of prompts, user types and ordered pairs.
fn accuracies(world: &World, target: &BTreeMap<Levels, f64>) -> [f64; 2] {
    let prompts = world.prompts();
    let mut sums = [0.0; 2];
    for user_type in &world.user_types {
        for (domain, name) in world.domains.iter().enumerate() {
            let mass = target.get(&vec![name.clone(), user_type.name.clone()]).copied().unwrap_or(0.0);
            let of_domain: Vec<&Prompt> = prompts.iter().filter(|prompt| prompt.domain == domain).collect();
            for prompt in &of_domain {
                let pair = mass / of_domain.len() as f64 * world.target_propensity();
                let generators = 0..world.generators.len();
                for (a, b) in
                    generators.clone().flat_map(|a| generators.clone().map(move |b| (a, b))).filter(|(a, b)| a != b)
                {
                    let wins = World::preference(prompt, user_type, a, b).unwrap_or(0.5);
                    for (sum, prefers) in sums.iter_mut().zip(prefers_a(prompt, a, b)) {
                        *sum += pair * if prefers { wins } else { 1.0 - wins };
                    }
                }
            }
        }
    }
    sums.map(|accuracy| (1.0 - world.tie_share) * accuracy + 0.5 * world.tie_share)
}

/// The table of comparisons that the program would read from such a log.
fn table(world: &World, log: &[Row], regime: &Regime, by_prompt: bool) -> Comparisons {
    let prompts: HashMap<String, Prompt> =
        world.prompts().into_iter().map(|prompt| (prompt.id.clone(), prompt)).collect();
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
        let Some(prompt) = prompts.get(&id) else { continue };
        let cell = vec![row.domain.clone().unwrap_or_default(), row.user_type.clone().unwrap_or_default()];
        let Some(cell) = table.cells.iter().position(|own| *own == cell) else { continue };
        let generator =
            |name: &Option<String>| world.generators.iter().position(|own| Some(own) == name.as_ref()).unwrap_or(0);
        let preferred = prefers_a(prompt, generator(&row.generator_a), generator(&row.generator_b));
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
