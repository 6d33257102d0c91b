//! False alarms on clean logs and power against planted defects, as the tables of `docs/checks`.
//!
//! `cargo run --release --example power` (about five minutes on two cores); `-- 200` runs 200 seeds instead of 2,000.

use counterweight::declare::{self, Declaration};
use counterweight::logs::write_parquet;
use counterweight::report::{Report, Status};
use counterweight::simulate::{Defect, World, columns, plant, rows};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

const REGIME: &str = include_str!("telemetry/regime.yaml");
const AUDIT: &str = include_str!("telemetry/audit.yaml");
const ROWS: usize = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(2_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("regime.yaml"), REGIME)?;
    std::fs::write(folder.path().join("audit.yaml"), AUDIT)?;
    false_alarms(folder.path(), seeds)?;
    scale_errors(folder.path(), seeds.min(200))?;
    Ok(())
}

/// Audits the log that a seed gives, with the defect planted.
fn audit(folder: &Path, n: usize, seed: u64, defect: Option<&Defect>) -> Result<Report, Box<dyn Error>> {
    let mut log = rows(&World::telemetry(), n, seed);
    if let Some(defect) = defect {
        plant(&mut log, defect, seed);
    }
    write_parquet(&folder.join("logs.parquet"), &columns(&log))?;
    let declaration: Declaration = declare::load(&folder.join("audit.yaml"), &[])?;
    let input = counterweight::audit::Input::Rows;
    Ok(counterweight::audit::audit(&declaration, input, "2026-11-01".parse()?, &())?.report)
}

/// Of clean logs of 2,000 rows, how many does each check not pass?
#[expect(clippy::print_stdout, reason = "the tables are its output")]
fn false_alarms(folder: &Path, seeds: u64) -> Result<(), Box<dyn Error>> {
    let mut alarms: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for seed in 0..seeds {
        for check in audit(folder, ROWS, seed, None)?.checks {
            let counts = alarms.entry(check.id).or_default();
            counts.0 += u64::from(check.status == Status::Warn);
            counts.1 += u64::from(matches!(check.status, Status::Fail | Status::Undetermined));
        }
    }
    println!("Clean telemetry logs of {ROWS} rows, {seeds} seeds:\n\n| check | warn | fail |\n|---|---:|---:|");
    for (check, (warn, fail)) in alarms {
        println!("| {check} | {warn} | {fail} |");
    }
    Ok(())
}

/// How often does propensity-calibration find a scale error in one cell?
#[expect(clippy::print_stdout, reason = "the tables are its output")]
fn scale_errors(folder: &Path, seeds: u64) -> Result<(), Box<dyn Error>> {
    println!(
        "\nShare of {seeds} logs in which propensity-calibration fails; g_O of one cell (coding, expert) times a factor:\n"
    );
    println!("| rows (of the cell) | 0.7 | 0.9 | 0.95 | 1.05 | 1.1 | 1.3 |\n|---|---:|---:|---:|---:|---:|---:|");
    for n in [2_000, 20_000, 100_000] {
        let mut line = String::new();
        let mut in_cell = 0;
        for factor in [0.7, 0.9, 0.95, 1.05, 1.1, 1.3] {
            let cell = vec!["coding".to_owned(), "expert".to_owned()];
            let defect = Defect::ScaledPropensity { cell, factor };
            let mut found = 0;
            for seed in 0..seeds {
                let report = audit(folder, n, 1_000_000 + seed, Some(&defect))?;
                let failed =
                    |id: &str| report.checks.iter().any(|check| check.id == id && check.status == Status::Fail);
                found += u64::from(failed("propensity-calibration"));
                let is_cell =
                    |key: &BTreeMap<String, String>| key["domain"] == "coding" && key["user_type"] == "expert";
                in_cell = report.cells.iter().find(|cell| is_cell(&cell.cell)).map_or(0, |cell| cell.n);
            }
            line.push_str(&format!(" {:.0} % |", 100.0 * found as f64 / seeds as f64));
        }
        println!("| {n} (about {in_cell}) |{line}");
    }
    Ok(())
}
