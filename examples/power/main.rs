//! False alarms on clean logs and power against planted defects, as the tables of `docs/checks`.
//!
//! ```text
//! cargo run --release --example power                       every check, half an hour on two cores
//! cargo run --release --example power -- CHECK...           these checks
//! cargo run --release --example power -- --write [CHECK...] puts the tables into docs/checks
//! cargo run --release --example power -- --logs 200 --power-logs 20   fewer logs
//! ```
//!
//! Every log follows from its seed: the tables are the same on every machine. Ends with 1 where false alarms exceed what a
//! check's page claims.
#![expect(clippy::print_stdout, reason = "the tables are its output")]

mod cases;

use cases::{Case, Claim, Plant, Study};
use counterweight::audit::{Input, audit};
use counterweight::checks::CHECKS;
use counterweight::declare;
use counterweight::logs::{LogFormat, LogWriter};
use counterweight::numeric::clopper_pearson;
use counterweight::report::Status;
use counterweight::simulate::{columns, plant};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

/// Logs for a rate of false alarms, and for a point of a power table.
const LOGS: u64 = 2_000;
const POWER_LOGS: u64 = 200;
/// Seeds of the two do not overlap.
const POWER_SEED: u64 = 1_000_000;
/// Of the intervals for a rate.
const LEVEL: f64 = 0.95;
const AS_OF: &str = "2026-11-01";
/// The paragraph that a page's table stands under; it ends where the next section begins.
const LEAD: &str = "**False alarms and power.**";
const NEXT: &str = "## Remedy";

/// How often a check came out how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pass: u64,
    warn: u64,
    fail: u64,
    other: u64,
}

struct Options {
    write: bool,
    logs: u64,
    power_logs: u64,
    checks: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options(std::env::args().skip(1))?;
    let mut studies = cases::studies()?;
    studies.retain(|study| study.without.is_some() || CHECKS.iter().any(|check| check.id == study.check));
    // A check without a study of its own is shown on clean logs alone.
    for check in CHECKS {
        if !studies.iter().any(|study| study.check == check.id) {
            studies.push(Study::of(check.id)?);
        }
    }
    if let Some(unknown) = options.checks.iter().find(|id| !studies.iter().any(|study| study.check == **id)) {
        return Err(format!("there is no check {unknown}; `counterweight checks` lists them").into());
    }
    studies.retain(|study| options.checks.is_empty() || options.checks.iter().any(|id| study.check == *id));
    let mut runs = Runs::default();
    let mut exceeded = Vec::new();
    for study in &studies {
        let text = match study.without {
            Some(reason) => format!("{LEAD} {reason}\n"),
            None => table(study, &options, &mut runs, &mut exceeded)?,
        };
        println!("### {}\n\n{text}", study.check);
        if options.write {
            put(study.check, &text)?;
        }
    }
    if exceeded.is_empty() { Ok(()) } else { Err(exceeded.join("\n").into()) }
}

fn options(arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options { write: false, logs: LOGS, power_logs: POWER_LOGS, checks: Vec::new() };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().ok_or("a number is missing")?.parse::<u64>().map_err(|e| e.to_string());
        match argument.as_str() {
            "--write" => options.write = true,
            "--logs" => options.logs = number()?,
            "--power-logs" => options.power_logs = number()?,
            _ => options.checks.push(argument),
        }
    }
    Ok(options)
}

/// The paragraph of one check.
fn table(
    study: &Study,
    options: &Options,
    runs: &mut Runs,
    exceeded: &mut Vec<String>,
) -> Result<String, Box<dyn Error>> {
    let command = format!("`cargo run --release --example power -- {}`", study.check);
    let mut text = format!("{LEAD} {}\n{command} makes this table.\n\n", study.about);
    text.push_str("| log | rows | logs | pass | warn | fail | undetermined |\n|---|---:|---:|---:|---:|---:|---:|\n");
    // A rate that is claimed asks for many logs.
    let logs = if study.claim.is_some() { options.logs } else { options.power_logs };
    let counts = runs.count(&study.clean, study.check, logs, 0)?;
    text.push_str(&line(&study.clean, &counts));
    for case in &study.points {
        text.push_str(&line(case, &runs.count(case, study.check, options.power_logs, POWER_SEED)?));
    }
    if let Some(claim) = &study.claim {
        let (hits, logs) = (claim.hits(&counts), counts.total());
        let (low, high) = clopper_pearson(hits, logs, LEVEL).unwrap_or((0.0, 1.0));
        text.push_str(&format!(
            "\nClaimed of the first line: {}. Seen: {hits} of {logs}, so that the rate lies between {} and {} (95 %, Clopper and \
             Pearson).\n",
            claim.words,
            percent(low),
            percent(high)
        ));
        if low > claim.most {
            exceeded.push(format!("{}: {hits} of {logs} are more than claimed", study.check));
        }
    }
    Ok(text)
}

impl Claim {
    fn hits(&self, counts: &Counts) -> u64 {
        self.of.iter().map(|status| counts.of(*status)).sum()
    }
}

impl Counts {
    fn of(&self, status: Status) -> u64 {
        match status {
            Status::Pass => self.pass,
            Status::Warn => self.warn,
            Status::Fail => self.fail,
            _ => self.other,
        }
    }

    fn total(&self) -> u64 {
        self.pass + self.warn + self.fail + self.other
    }

    fn add(&mut self, other: &Counts) {
        self.pass += other.pass;
        self.warn += other.warn;
        self.fail += other.fail;
        self.other += other.other;
    }
}

fn line(case: &Case, counts: &Counts) -> String {
    let share = |count: u64| percent(count as f64 / counts.total().max(1) as f64);
    let Counts { pass, warn, fail, other } = *counts;
    let cells = [pass, warn, fail, other].map(share).join(" | ");
    format!("| {} | {} | {} | {cells} |\n", case.name, thousands(case.rows as u64), thousands(counts.total()))
}

/// Two digits below 1 %, else one; no zeros at the end.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let digits = if percent < 1.0 { 2 } else { 1 };
    let text = format!("{percent:.digits$}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn thousands(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

/// What has been counted: several checks look at the same logs.
#[derive(Default)]
struct Runs(Vec<(Case, u64, BTreeMap<String, Counts>)>);

impl Runs {
    fn count(&mut self, case: &Case, check: &str, logs: u64, first: u64) -> Result<Counts, String> {
        let same = |run: &&(Case, u64, BTreeMap<String, Counts>)| run.0 == *case && run.1 == logs;
        let counts = match self.0.iter().find(same) {
            Some((_, _, counts)) => counts.clone(),
            None => {
                let counts = run(case, logs, first)?;
                self.0.push((case.clone(), logs, counts.clone()));
                counts
            }
        };
        counts.get(check).copied().ok_or_else(|| format!("there is no check {check} in the report"))
    }
}

/// Audits so many logs of a case, and counts how every check came out.
fn run(case: &Case, logs: u64, first: u64) -> Result<BTreeMap<String, Counts>, String> {
    let failed = |error: Box<dyn Error>| format!("{}: {error}", case.name);
    let workers = rayon::current_num_threads() as u64;
    let of_worker = |worker: u64| -> Result<BTreeMap<String, Counts>, String> {
        let folder = tempfile::tempdir().map_err(|error| failed(error.into()))?;
        prepare(case, folder.path()).map_err(failed)?;
        let mut all: BTreeMap<String, Counts> = BTreeMap::new();
        for seed in (worker..logs).step_by(usize::try_from(workers).unwrap_or(1)) {
            for (check, status) in statuses(case, folder.path(), first + seed).map_err(failed)? {
                let own = all.entry(check).or_default();
                match status {
                    Status::Pass => own.pass += 1,
                    Status::Warn => own.warn += 1,
                    Status::Fail => own.fail += 1,
                    _ => own.other += 1,
                }
            }
        }
        Ok(all)
    };
    let parts: Vec<BTreeMap<String, Counts>> = (0..workers).into_par_iter().map(of_worker).collect::<Result<_, _>>()?;
    let mut all: BTreeMap<String, Counts> = BTreeMap::new();
    for (check, counts) in parts.into_iter().flatten() {
        all.entry(check).or_default().add(&counts);
    }
    Ok(all)
}

fn prepare(case: &Case, folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::write(folder.join("regime.yaml"), &case.regime)?;
    std::fs::write(folder.join("policy.yaml"), &case.policy)?;
    std::fs::write(folder.join("audit.yaml"), &case.audit)?;
    let mut responses = LogWriter::create(&folder.join("responses.parquet"), LogFormat::Parquet)?;
    responses.write(&case.scene.responses())?;
    responses.finish()?;
    Ok(())
}

/// How every check comes out on the log of one seed.
fn statuses(case: &Case, folder: &Path, seed: u64) -> Result<Vec<(String, Status)>, Box<dyn Error>> {
    let mut log = case.scene.rows(case.rows, seed);
    for planted in &case.plants {
        match planted {
            Plant::Defect(defect) => plant(&mut log, defect, seed),
            Plant::NoLogProbabilities(rows) => {
                log.iter_mut().take(*rows).for_each(|row| row.log_probabilities.clear());
            }
        }
    }
    let mut writer = LogWriter::create(&folder.join("logs.parquet"), LogFormat::Parquet)?;
    if case.candidates {
        writer.write(&case.scene.columns(log))?;
    } else {
        writer.write(&columns(&log))?;
    }
    writer.finish()?;
    let declaration = declare::load(&folder.join("audit.yaml"), &[])?;
    let report = audit(&declaration, Input::Rows, AS_OF.parse()?, &())?.report;
    Ok(report.checks.into_iter().map(|check| (check.id, check.status)).collect())
}

/// Puts a paragraph into a check's page, in place of the one that is there.
fn put(check: &str, paragraph: &str) -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks").join(format!("{check}.md"));
    let page = std::fs::read_to_string(&path)?;
    let (before, after) = page.split_once(NEXT).ok_or(format!("{check}: the page has no {NEXT}"))?;
    let before = before.split(LEAD).next().unwrap_or_default().trim_end();
    std::fs::write(&path, format!("{before}\n\n{paragraph}\n{NEXT}{after}"))?;
    Ok(())
}
