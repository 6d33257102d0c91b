//! What evaluating candidates costs: 1,000,000 rows, 4 candidates, 20 critical slices, one clustering by prompt; the estimates,
//! and both analyses of hidden confounding with the settings of the policy `standard`, of three challengers against one incumbent.
//!
//! `cargo bench --bench evaluate`; `-- ROWS` for another size. A table in memory, as the scan leaves it behind. The peak of the
//! memory is the whole process's, the table's included. Figures to read, not a test.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench program: its output is the point")]

use counterweight::declare::{CapAt, parse_policy, parse_regime, shipped_policies};
use counterweight::estimate::{Answer, Clusters, Comparisons, PolicyColumns, evaluate};
use counterweight::numeric::Random;
use counterweight::sensitivity::{Box, GammaSettings, LambdaSettings, compare_all};
use std::path::Path;
use std::time::Instant;

const CELLS: usize = 20;
const PROMPTS: usize = 50_000;

fn main() {
    let rows = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let levels: Vec<String> = (0..CELLS).map(|cell| format!("c{cell:02}")).collect();
    let slices: Vec<String> = levels.iter().map(|level| format!("{{kind: {level}}}")).collect();
    let regime = format!(
        "schema: counterweight/regime/v1\nname: bench\nversion: 1.0.0\neffective: 2026-10-01\nowner: Bench\nmotivation: a bench\n\
         cells: [kind]\ntarget: {{uniform: {{kind: [{}]}}}}\npairs: {{column: g}}\ncritical: [{}]\n",
        levels.join(", "),
        slices.join(", ")
    );
    let regime = parse_regime("regime.yaml", &regime).unwrap();
    let (name, policy) = shipped_policies()[0];
    let caps = parse_policy(name, policy, Path::new(".")).unwrap().clip;
    assert!(caps.iter().any(|cap| cap.at == CapAt::None));
    let table = table(rows, levels);
    println!("table: {}", peak());
    let start = Instant::now();
    let found = evaluate(&table, &regime, &caps, Some(3.0));
    println!(
        "estimates of {rows} rows, {} candidates, {CELLS} slices, {} caps, {PROMPTS} prompts: {:.2} s; {}",
        found.candidates.len(),
        found.caps.len(),
        start.elapsed().as_secs_f64(),
        peak()
    );
    let start = Instant::now();
    let gamma = GammaSettings { gammas: vec![1.0, 1.1, 1.25, 1.5, 2.0, 3.0], alpha: 0.05, threshold_soft: false };
    let lambda = LambdaSettings {
        lambdas: vec![1.0, 1.05, 1.1, 1.25, 1.5, 2.0],
        alpha: 0.05,
        shape: Box::Ratio,
        replicates: 2000,
        min_cell_rows: 30,
    };
    let pairs = compare_all(&table, &gamma, &lambda);
    println!(
        "Gamma and Lambda of {} comparisons, {} replicates: {:.2} s; {}",
        pairs.len(),
        lambda.replicates,
        start.elapsed().as_secs_f64(),
        peak()
    );
}

/// The largest size that the process has had, where the system says.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("peak memory not known".to_owned(), |size| format!("peak memory {}", size.trim()))
}

fn table(rows: usize, levels: Vec<String>) -> Comparisons {
    let mut random = Random::new(1);
    let mut draw = |below: usize| random.below(below);
    let mut table = Comparisons {
        p_target: vec![1.0 / CELLS as f64; CELLS],
        cells: levels.into_iter().map(|level| vec![level]).collect(),
        rows: (0..rows as u64).collect(),
        cell: (0..rows).map(|_| draw(CELLS) as u32).collect(),
        pair_ratio: (0..rows).map(|_| 0.5 + draw(1000) as f64 / 1000.0).collect(),
        answers: (0..rows).map(|_| if draw(2) == 0 { Answer::A } else { Answer::B }).collect(),
        ln_propensity: vec![-1.0; rows],
        ..Comparisons::default()
    };
    let prompts = Clusters {
        role: "prompt".to_owned(),
        codes: (0..rows).map(|_| draw(PROMPTS) as u32).collect(),
        count: PROMPTS,
    };
    table.prompt = Some(prompts.clone());
    table.clusters = vec![prompts];
    table.policies = (0..4)
        .map(|index| PolicyColumns {
            name: format!("candidate-{index}"),
            incumbent: index == 0,
            beta: Some(0.1),
            shift_a: (0..rows).map(|_| draw(100) as f64 / 10.0 - 5.0).collect(),
            shift_b: (0..rows).map(|_| draw(100) as f64 / 10.0 - 5.0).collect(),
            ..PolicyColumns::default()
        })
        .collect();
    let mut counts = [0.0; CELLS];
    table.cell.iter().for_each(|cell| counts[*cell as usize] += 1.0);
    table.factors = counts.iter().map(|count| rows as f64 / (CELLS as f64 * count)).collect();
    table.weight =
        table.cell.iter().zip(&table.pair_ratio).map(|(cell, ratio)| table.factors[*cell as usize] * ratio).collect();
    table
}
