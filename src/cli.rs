//! The command line: clap's types, and which command they stand for. clap is used nowhere else.

use crate::commands::{self, AuditOptions, DiffFormat, Failure, Format, Schema, StatisticsOptions};
use chrono::NaiveDate;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Audit whether preference logs support the claim that a model was aligned for a declared population.
#[derive(Debug, Parser)]
#[command(
    name = "counterweight",
    version,
    after_help = "Exit codes: 0 nothing blocks, 1 the verdict blocks, 2 it could not be audited.\n\nExamples:\n  \
                  counterweight audit examples/telemetry/audit.yaml\n  counterweight explain effective-sample-size"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Audit a preference log against its declared target regime
    #[command(after_help = "Writes report.json, report.md, report.html and SHA256SUMS.\n\
                            Exit codes: 0 nothing blocks, 1 the verdict blocks, 2 it could not be audited.\n\n\
                            Examples:\n  counterweight audit examples/telemetry/audit.yaml\n  \
                            counterweight audit audit.yaml --out report --fail-on diagnostic --format json\n  \
                            counterweight audit audit.yaml --set checks.cell-support.min_rows=50 --as-of 2026-10-01\n  \
                            counterweight audit audit.yaml --statistics logs.statistics.parquet\n  \
                            counterweight audit audit.yaml --from-statistics monday.parquet tuesday.parquet")]
    Audit(AuditArgs),
    /// Keep the statistics of a log, so that shards merge and other targets need no second scan
    #[command(
        after_help = "No text and no identifier of a row enters the file. Exit codes: 0 written, 2 it could not be.\n\n\
                            Examples:\n  counterweight statistics audit.yaml --out logs.statistics.parquet\n  \
                            counterweight statistics audit.yaml --logs shards/2026-10-01.parquet --out 2026-10-01.statistics.parquet"
    )]
    Statistics {
        /// The audit document
        #[arg(value_name = "AUDIT.yaml")]
        audit: PathBuf,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The shard's file, folder or glob, instead of the audit document's `logs.path`
        #[arg(long, value_name = "PATH")]
        logs: Option<PathBuf>,
        /// No progress, no summary
        #[arg(long, short)]
        quiet: bool,
    },
    /// Compare two audits: what changed in the declarations, the log and the results
    #[command(
        after_help = "Exit codes: 0 nothing blocks, 1 a blocking regression, 2 a record cannot be read. The rules are those of \
                      change-management in the older record's policy.\n\nExamples:\n  \
                      counterweight diff accepted/report.json counterweight-report/report.json\n  \
                      counterweight diff old.json new.json --format markdown > change.md"
    )]
    Diff {
        /// The older record, or the report folder that holds it
        #[arg(value_name = "OLD.json")]
        old: PathBuf,
        /// The newer record, or the report folder that holds it
        #[arg(value_name = "NEW.json")]
        new: PathBuf,
        /// How to print it
        #[arg(long, value_enum, default_value_t = DiffFormatArg::Text)]
        format: DiffFormatArg,
    },
    /// Make report.md and report.html again from report.json, byte for byte, without the logs
    #[command(after_help = "Examples:\n  counterweight render counterweight-report/report.json --out again\n  \
                            counterweight render report.json --out /tmp/for-the-committee")]
    Render {
        /// The record of an audit
        report: PathBuf,
        /// The folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// List the checks
    #[command(after_help = "Examples:\n  counterweight checks\n  counterweight checks --format json")]
    Checks {
        /// How to print them
        #[arg(long, value_enum, default_value_t = FormatArg::Text)]
        format: FormatArg,
    },
    /// Show a check's manual page: what it measures, why it matters, how it is computed, what to do
    #[command(
        after_help = "Examples:\n  counterweight explain cell-support\n  counterweight explain weight-tails | less"
    )]
    Explain {
        /// The check's id, as `counterweight checks` lists them
        check: String,
    },
    /// Print the JSON Schema of a document
    #[command(
        after_help = "Examples:\n  counterweight schema regime > regime.schema.json\n  counterweight schema policy"
    )]
    Schema {
        /// Which document
        #[arg(value_enum)]
        kind: SchemaKind,
    },
    /// Print a shell's completions
    #[command(after_help = "Examples:\n  counterweight completions bash > /etc/bash_completion.d/counterweight\n  \
                            counterweight completions zsh")]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct AuditArgs {
    /// The audit document
    #[arg(value_name = "AUDIT.yaml")]
    audit: PathBuf,
    /// The report's folder [default: counterweight-report beside the audit file]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// From which verdict on the exit code is 1 (the policy's gate otherwise)
    #[arg(long, value_enum)]
    fail_on: Option<FailOnArg>,
    /// What to print on standard output
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    format: FormatArg,
    /// The record of an earlier audit: what changed since is shown, and judged by the check change-management
    #[arg(long, value_name = "REPORT.json")]
    baseline: Option<PathBuf>,
    /// Keep finished fits of candidates in this folder, and take those that are there: an audit that was cut off goes on.
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// The date that waivers and ages refer to, YYYY-MM-DD [default: today, UTC]
    #[arg(long, value_name = "DATE")]
    as_of: Option<NaiveDate>,
    /// Override a limit of the policy, such as checks.cell-support.min_rows=50; shown in the report
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Keep the statistics in this file too: see `counterweight statistics`
    #[arg(long, value_name = "FILE")]
    statistics: Option<PathBuf>,
    /// Audit these statistics, merged in this order, instead of the rows; the logs need not be there
    #[arg(long, value_name = "FILE", num_args = 1..)]
    from_statistics: Vec<PathBuf>,
    /// No progress, no summary: the exit code and the report only
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOnArg {
    /// Only a block verdict
    Block,
    /// A diagnostic verdict too
    Diagnostic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// A one-screen summary
    Text,
    /// The record, as in report.json
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiffFormatArg {
    /// For a terminal
    Text,
    /// For a pull request or a ticket
    Markdown,
    /// For programs
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemaKind {
    /// The target regime
    Regime,
    /// The audit policy
    Policy,
    /// The audit document
    Audit,
    /// The record of an audit
    Report,
}

/// Parses the arguments and runs the command: its own exit code, or 2 with the error on standard error.
pub(crate) fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Audit(args) => commands::audit(&args.into()),
        Command::Statistics { audit, out, logs, quiet } => {
            commands::statistics(&StatisticsOptions { audit, out, logs, quiet })
        }
        Command::Diff { old, new, format } => commands::diff(&old, &new, format.into()),
        Command::Render { report, out } => commands::render(&report, &out),
        Command::Checks { format } => commands::list_checks(format.into()),
        Command::Explain { check } => commands::explain(&check),
        Command::Schema { kind } => commands::schema(kind.into()),
        Command::Completions { shell } => completions(shell),
    };
    commands::exit(result)
}

fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "counterweight", &mut script);
    commands::print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

impl From<AuditArgs> for AuditOptions {
    /// `--fail-on` is one more override of the policy, and shown as such.
    fn from(args: AuditArgs) -> AuditOptions {
        let gate = args.fail_on.map(|gate| match gate {
            FailOnArg::Block => "gate.fail_on=block".to_owned(),
            FailOnArg::Diagnostic => "gate.fail_on=diagnostic".to_owned(),
        });
        AuditOptions {
            audit: args.audit,
            out: args.out,
            format: args.format.into(),
            as_of: args.as_of,
            settings: args.settings.into_iter().chain(gate).collect(),
            statistics: args.statistics,
            from_statistics: args.from_statistics,
            baseline: args.baseline,
            resume: args.resume,
            quiet: args.quiet,
        }
    }
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Format {
        match format {
            FormatArg::Text => Format::Text,
            FormatArg::Json => Format::Json,
        }
    }
}

impl From<DiffFormatArg> for DiffFormat {
    fn from(format: DiffFormatArg) -> DiffFormat {
        match format {
            DiffFormatArg::Text => DiffFormat::Text,
            DiffFormatArg::Markdown => DiffFormat::Markdown,
            DiffFormatArg::Json => DiffFormat::Json,
        }
    }
}

impl From<SchemaKind> for Schema {
    fn from(kind: SchemaKind) -> Schema {
        match kind {
            SchemaKind::Regime => Schema::Document(counterweight::declare::DocumentKind::Regime),
            SchemaKind::Policy => Schema::Document(counterweight::declare::DocumentKind::Policy),
            SchemaKind::Audit => Schema::Document(counterweight::declare::DocumentKind::Audit),
            SchemaKind::Report => Schema::Report,
        }
    }
}
