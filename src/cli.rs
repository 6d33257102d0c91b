//! The command line: clap's types, and which command they stand for. clap is used nowhere else.

use crate::commands::{
    self, AuditFormat, AuditOptions, DiffFormat, Failure, Format, FreezeOptions, InspectOptions, LintOptions,
    Requirement, Schema, ScoreOptions, SignOptions, SimulateOptions, StatisticsOptions, VerifyOptions,
};
use chrono::NaiveDate;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use counterweight::declare::{FailOn, Preset};
use counterweight::report::Form;
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
                            counterweight audit audit.yaml --summary --baseline accepted/report.json\n  \
                            counterweight audit audit.yaml --set checks.cell-support.min_rows=50 --as-of 2026-10-01\n  \
                            counterweight audit audit.yaml --statistics logs.statistics.parquet\n  \
                            counterweight audit audit.yaml --from-statistics monday.parquet tuesday.parquet")]
    Audit(AuditArgs),
    /// Keep the statistics of a log, so that shards merge and other targets need no second scan
    #[command(
        after_help = "No text and no identifier of a row enters the file. Exit codes: 0 written, 2 it could not be.\n\n\
                            Examples:\n  counterweight statistics audit.yaml --out logs.statistics.parquet\n  \
                            counterweight statistics audit.yaml --logs shards/monday.parquet --out monday.parquet"
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
    /// Draft the three documents from a log's own columns, and say what to do next
    #[command(
        after_help = "Writes regime.yaml, policy.yaml and audit.yaml, and their JSON Schemas for editors; asks nothing and overwrites \
                            nothing.\n\nExamples:\n  counterweight init preferences.jsonl.gz\n  \
                            counterweight init 'shards/*.parquet' --out audits/first"
    )]
    Init {
        #[command(flatten)]
        log: LogArgs,
        /// The folder to write
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Show what a log's columns hold and were taken for, and what the log does not say
    #[command(after_help = "Examples:\n  counterweight inspect preferences.jsonl.gz\n  \
                            counterweight inspect logs.parquet --preset arena")]
    Inspect {
        #[command(flatten)]
        log: LogArgs,
    },
    /// Draw a log from a world whose truth is known, with the documents to audit it and what is true of it
    #[command(after_help = "Writes the log, responses.parquet, regime.yaml, policy.yaml, audit.yaml, world.yaml and \
                            truth.json into a new or empty folder.\nExit codes: 0 written, 2 it could not be.\n\n\
                            Examples:\n  counterweight simulate examples/telemetry/world.yaml --out /tmp/telemetry\n  \
                            counterweight simulate examples/confounded/world.yaml --out /tmp/large --rows 1000000\n  \
                            counterweight audit /tmp/telemetry/audit.yaml")]
    Simulate {
        /// The world document
        #[arg(value_name = "WORLD.yaml")]
        world: PathBuf,
        /// The folder to write, new or empty
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// How many comparisons [default: the document's rows]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 36))]
        rows: Option<u64>,
        /// The seed of the draws [default: the document's seed]
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// The log's format
        #[arg(long, value_enum, default_value_t = LogFormatArg::Parquet)]
        format: LogFormatArg,
        /// No progress, no summary
        #[arg(long, short)]
        quiet: bool,
    },
    /// Verify a signed report: signature, files, inputs, declarations, age, endorsements
    #[command(after_help = "Keys are only ever those given with --key, never any in the folder.\n\
                            Exit codes: 0 everything that was checked holds, 1 something does not, 2 it could not be verified.\n\n\
                            Examples:\n  counterweight verify counterweight-report --key team.pub.pem\n  \
                            counterweight verify report --key team.pub.pem --key risk.pub.pem --regime regime.yaml \\\n    \
                            --policy standard --inputs data --require pass --require inputs --require role=approver\n  \
                            counterweight verify report --key team.pub.pem --emit-pae pae.bin --max-age 30")]
    Verify(VerifyArgs),
    /// Endorse a signed report in a role of your own, with your own key
    #[command(
        after_help = "The report's files must agree with what was signed; nothing that was signed before changes.\n\
                            Exit codes: 0 endorsed, 1 the report does not verify, 2 it could not be.\n\n\
                            Examples:\n  counterweight sign report --key risk.pem --role approver --report-key team.pub.pem\n  \
                            counterweight sign report --key risk.pub.pem --role validator \\\n    \
                            --signer-cmd 'kms-sign risk-key'"
    )]
    Sign {
        /// The report folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Your private key (PKCS#8 PEM); with --signer-cmd, its public key
        #[arg(long, value_name = "KEY.pem")]
        key: PathBuf,
        /// The role, such as validator or approver
        #[arg(long, value_name = "NAME")]
        role: String,
        /// The public key of the report's signature, which is then verified before you sign
        #[arg(long, value_name = "PUB.pem")]
        report_key: Option<PathBuf>,
        /// A shell command that signs: what is signed on standard input, the signature on standard output
        #[arg(long, value_name = "CMD")]
        signer_cmd: Option<String>,
    },
    /// Look at a declared target regime, and freeze it with an evaluation protocol
    #[command(
        after_help = "Examples:\n  counterweight regime lint regime.yaml\n  counterweight regime show regime.yaml"
    )]
    Regime {
        /// What to do
        #[command(subcommand)]
        command: RegimeCommand,
    },
    /// Make a pair of keys: NAME.pem (mode 0600) and NAME.pub.pem
    #[command(after_help = "A file that is there is never written over.\n\n\
                            Examples:\n  counterweight keygen --out team.pem\n  \
                            counterweight keygen --out team.pem --algorithm ed25519")]
    Keygen {
        /// The private key's file; the public key is put beside it
        #[arg(long, value_name = "NAME.pem")]
        out: PathBuf,
        /// Which algorithm
        #[arg(long, value_enum, default_value_t = AlgorithmArg::P256)]
        algorithm: AlgorithmArg,
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
                            counterweight render counterweight-report/report.json --out comment --summary")]
    Render {
        /// The record of an audit
        report: PathBuf,
        /// The folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Make report.md short, under 60,000 characters: a comment for a pull request
        #[arg(long)]
        summary: bool,
    },
    /// Apply a fitted policy to a log: for each row its margin and the probability that it prefers a
    #[command(
        after_help = "Examples:\n  counterweight score counterweight-report/refit-1.safetensors logs.parquet --out scores.parquet\n  \
                            counterweight score refit-1.safetensors logs.parquet --responses responses.parquet \\\n    --out scores.parquet"
    )]
    Score {
        /// A fitted policy, as `audit` writes it
        #[arg(value_name = "POLICY.safetensors")]
        policy: PathBuf,
        /// The log, with the columns that the policy was fitted on
        #[arg(value_name = "LOGS")]
        logs: PathBuf,
        /// Read the log by the columns and the preset of this audit document
        #[arg(long, value_name = "AUDIT.yaml")]
        audit: Option<PathBuf>,
        /// The file with the responses' features
        #[arg(long, value_name = "FILE")]
        responses: Option<PathBuf>,
        /// The Parquet file to write: row_id, margin, p_a
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// List the checks
    #[command(after_help = "Examples:\n  counterweight checks\n  counterweight checks --format json")]
    Checks {
        /// How to print them
        #[arg(long, value_enum, default_value_t = FormatArg::Text)]
        format: FormatArg,
    },
    /// Show checks' manual pages: what each measures, why it matters, how it is computed, what to do
    #[command(after_help = "Examples:\n  counterweight explain cell-support\n  \
                            counterweight explain weight-tails effective-sample-size | less")]
    Explain {
        /// The checks' ids, as `counterweight checks` lists them
        #[arg(value_name = "CHECK", required = true)]
        checks: Vec<String>,
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

#[derive(Debug, Subcommand)]
enum RegimeCommand {
    /// Every problem and warning of a regime document, each with its line
    #[command(
        after_help = "Other regimes in the same folder are read for the history. Exit codes: 0 valid, 1 every audit against it fails, \
                      2 invalid or unreadable.\n\nExamples:\n  counterweight regime lint regime.yaml\n  \
                      counterweight regime lint regime.yaml --fail-on diagnostic --as-of 2026-10-01"
    )]
    Lint {
        /// The regime document
        #[arg(value_name = "REGIME.yaml")]
        regime: PathBuf,
        /// The date that its age refers to, YYYY-MM-DD [default: today, UTC]
        #[arg(long, value_name = "DATE")]
        as_of: Option<NaiveDate>,
        /// From what on the exit code is 1: what makes audits fail, or warnings too
        #[arg(long, value_enum, default_value_t = FailOnArg::Block)]
        fail_on: FailOnArg,
        /// How to print it
        #[arg(long, value_enum, default_value_t = FormatArg::Text)]
        format: FormatArg,
    },
    /// The declared target as a table, and what it supersedes
    #[command(after_help = "Versions that it supersedes are looked for among the regimes in the same folder.\n\n\
                            Examples:\n  counterweight regime show regime.yaml\n  \
                            counterweight regime show regime.yaml --format json")]
    Show {
        /// The regime document
        #[arg(value_name = "REGIME.yaml")]
        regime: PathBuf,
        /// How to print it
        #[arg(long, value_enum, default_value_t = FormatArg::Text)]
        format: FormatArg,
    },
    /// The SHA-256 of the declaration's content: comments and the order of keys do not matter
    #[command(after_help = "Examples:\n  counterweight regime fingerprint regime.yaml\n  \
                            test \"$(counterweight regime fingerprint regime.yaml | cut -c -64)\" = \"$ACCEPTED\"")]
    Fingerprint {
        /// The regime document
        #[arg(value_name = "REGIME.yaml")]
        regime: PathBuf,
    },
    /// Sign the declaration and the evaluation protocol, before labels are seen
    #[command(after_help = "An audit that is given the file with --protocol says whether it was followed.\n\n\
                            Examples:\n  counterweight regime freeze regime.yaml standard audit.yaml --sign team.pem\n  \
                            counterweight audit audit.yaml --protocol protocol.dsse.json --protocol-key team.pub.pem")]
    Freeze {
        /// The regime document
        #[arg(value_name = "REGIME.yaml")]
        regime: PathBuf,
        /// The policy: a file, or a shipped name
        #[arg(value_name = "POLICY.yaml")]
        policy: PathBuf,
        /// The audit document, which names both
        #[arg(value_name = "AUDIT.yaml")]
        audit: PathBuf,
        /// Your private key (PKCS#8 PEM); with --signer-cmd, its public key
        #[arg(long, value_name = "KEY.pem")]
        sign: PathBuf,
        /// A shell command that signs: what is signed on standard input, the signature on standard output
        #[arg(long, value_name = "CMD")]
        signer_cmd: Option<String>,
        /// The file to write [default: protocol.dsse.json beside the audit document]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct LogArgs {
    /// A file, a folder or a glob: Parquet, NDJSON, a JSON list or CSV, the text formats also with .gz or .zst
    #[arg(value_name = "LOGS")]
    logs: String,
    /// Whose column names these are [default: told by the columns]
    #[arg(long, value_parser = preset)]
    preset: Option<Preset>,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

/// The preset of that name.
fn preset(name: &str) -> Result<Preset, String> {
    Preset::from_name(name).ok_or_else(|| format!("the presets are {}", Preset::ALL.map(Preset::name).join(", ")))
}

impl From<LogArgs> for InspectOptions {
    fn from(args: LogArgs) -> InspectOptions {
        InspectOptions { logs: args.logs, preset: args.preset, quiet: args.quiet }
    }
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
    #[arg(long, value_enum, default_value_t = AuditFormatArg::Text)]
    format: AuditFormatArg,
    /// The record of an earlier audit: what changed since is shown, and judged by the check change-management
    #[arg(long, value_name = "REPORT.json")]
    baseline: Option<PathBuf>,
    /// A protocol signed by `counterweight regime freeze`: whether it was followed is judged by the check protocol-deviation
    #[arg(long, value_name = "FILE", requires = "protocol_keys")]
    protocol: Option<PathBuf>,
    /// A public key of which you know that it signs protocols; again for each
    #[arg(long = "protocol-key", value_name = "PUB.pem", requires = "protocol")]
    protocol_keys: Vec<PathBuf>,
    /// Keep finished fits of candidates in this folder, and take those that are there: an audit that was cut off goes on.
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Write weights.parquet into the report's folder: the weight of every labelled row, for training
    #[arg(long)]
    weights: bool,
    /// Make report.md short, under 60,000 characters: a comment for a pull request
    #[arg(long)]
    summary: bool,
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
    /// Sign the report with this private key (PKCS#8 PEM); with --signer-cmd, its public key
    #[arg(long, value_name = "KEY.pem")]
    sign: Option<PathBuf>,
    /// A shell command that signs: what is signed on standard input, the signature on standard output
    #[arg(long, value_name = "CMD", requires = "sign")]
    signer_cmd: Option<String>,
    /// No progress, no summary: the exit code and the report only
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// The report folder, or one attestation file
    #[arg(value_name = "DIR|ATTESTATION")]
    target: PathBuf,
    /// A public key that you trust (SubjectPublicKeyInfo PEM); again for each
    #[arg(long = "key", value_name = "PUB.pem", required = true)]
    keys: Vec<PathBuf>,
    /// The regime that the report must be about
    #[arg(long, value_name = "R.yaml")]
    regime: Option<PathBuf>,
    /// The policy that it must have been judged by: a file, or a shipped name
    #[arg(long, value_name = "P.yaml")]
    policy: Option<PathBuf>,
    /// The folder with the logs and artifacts; they are looked for by name, then by digest
    #[arg(long, value_name = "DIR")]
    inputs: Option<PathBuf>,
    /// Audit again from the same inputs, and compare the records
    #[arg(long)]
    recompute: bool,
    /// What must hold: pass, inputs, protocol, or role=NAME; again for each
    #[arg(long, value_name = "pass|inputs|protocol|role=NAME", value_parser = requirement)]
    require: Vec<Requirement>,
    /// How many days ago it may have been signed at most
    #[arg(long, value_name = "DAYS")]
    max_age: Option<u64>,
    /// Write the signed bytes to a file, so that openssl can settle it
    #[arg(long, value_name = "FILE")]
    emit_pae: Option<PathBuf>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    format: FormatArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AlgorithmArg {
    /// ECDSA on P-256 with SHA-256
    P256,
    /// Ed25519
    Ed25519,
}

fn requirement(text: &str) -> Result<Requirement, String> {
    match text.split_once('=') {
        None if text == "pass" => Ok(Requirement::Pass),
        None if text == "inputs" => Ok(Requirement::Inputs),
        None if text == "protocol" => Ok(Requirement::Protocol),
        Some(("role", role)) if !role.is_empty() => Ok(Requirement::Role(role.to_owned())),
        _ => Err("give pass, inputs, protocol or role=NAME".to_owned()),
    }
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
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AuditFormatArg {
    /// A one-screen summary
    Text,
    /// The record, as in report.json
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// JUnit XML, a test case a check
    Junit,
    /// Annotations for GitHub Actions
    Github,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormatArg {
    /// Apache Parquet
    Parquet,
    /// One JSON object a line
    Ndjson,
    /// Comma-separated values
    Csv,
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
    /// The world document
    World,
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
        Command::Init { log, out } => commands::init(&log.into(), &out),
        Command::Inspect { log } => commands::inspect(&log.into()),
        Command::Simulate { world, out, rows, seed, format, quiet } => {
            commands::simulate(&SimulateOptions { world, out, rows, seed, format: format.into(), quiet })
        }
        Command::Verify(args) => commands::verify(&args.into()),
        Command::Sign { folder, key, role, report_key, signer_cmd } => {
            commands::sign(&SignOptions { folder, key, signer_cmd, role, report_key })
        }
        Command::Regime { command } => regime(command),
        Command::Keygen { out, algorithm } => commands::keygen(&out, algorithm.into()),
        Command::Diff { old, new, format } => commands::diff(&old, &new, format.into()),
        Command::Render { report, out, summary } => commands::render(&report, &out, form(summary)),
        Command::Score { policy, logs, audit, responses, out } => {
            commands::score(&ScoreOptions { policy, logs, audit, responses, out })
        }
        Command::Checks { format } => commands::list_checks(format.into()),
        Command::Explain { checks } => commands::explain(&checks),
        Command::Schema { kind } => commands::schema(kind.into()),
        Command::Completions { shell } => completions(shell),
    };
    commands::exit(result)
}

fn regime(command: RegimeCommand) -> Result<u8, Failure> {
    match command {
        RegimeCommand::Lint { regime, as_of, fail_on, format } => {
            let fail_on = match fail_on {
                FailOnArg::Block => FailOn::Block,
                FailOnArg::Diagnostic => FailOn::Diagnostic,
            };
            commands::lint(&LintOptions { regime, as_of, fail_on, format: format.into() })
        }
        RegimeCommand::Show { regime, format } => commands::show(&regime, format.into()),
        RegimeCommand::Fingerprint { regime } => commands::fingerprint(&regime),
        RegimeCommand::Freeze { regime, policy, audit, sign, signer_cmd, out } => {
            commands::freeze(&FreezeOptions { regime, policy, audit, sign, signer_cmd, out })
        }
    }
}

/// Which report.md `--summary` asks for.
fn form(summary: bool) -> Form {
    if summary { Form::Short } else { Form::Full }
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
            sign: args.sign,
            signer_cmd: args.signer_cmd,
            baseline: args.baseline,
            protocol: args.protocol.map(|path| (path, args.protocol_keys)),
            resume: args.resume,
            weights: args.weights,
            form: form(args.summary),
            quiet: args.quiet,
        }
    }
}

impl From<VerifyArgs> for VerifyOptions {
    fn from(args: VerifyArgs) -> VerifyOptions {
        VerifyOptions {
            target: args.target,
            keys: args.keys,
            regime: args.regime,
            policy: args.policy,
            inputs: args.inputs,
            recompute: args.recompute,
            require: args.require,
            max_age: args.max_age,
            emit_pae: args.emit_pae,
            format: args.format.into(),
        }
    }
}

impl From<AlgorithmArg> for counterweight::attest::Algorithm {
    fn from(algorithm: AlgorithmArg) -> counterweight::attest::Algorithm {
        match algorithm {
            AlgorithmArg::P256 => counterweight::attest::Algorithm::P256,
            AlgorithmArg::Ed25519 => counterweight::attest::Algorithm::Ed25519,
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

impl From<AuditFormatArg> for AuditFormat {
    fn from(format: AuditFormatArg) -> AuditFormat {
        match format {
            AuditFormatArg::Text => AuditFormat::Text,
            AuditFormatArg::Json => AuditFormat::Json,
            AuditFormatArg::Sarif => AuditFormat::Sarif,
            AuditFormatArg::Junit => AuditFormat::Junit,
            AuditFormatArg::Github => AuditFormat::Github,
        }
    }
}

impl From<LogFormatArg> for counterweight::logs::LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Parquet => Self::Parquet,
            LogFormatArg::Ndjson => Self::Ndjson,
            LogFormatArg::Csv => Self::Csv,
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
            SchemaKind::World => Schema::Document(counterweight::declare::DocumentKind::World),
            SchemaKind::Report => Schema::Report,
        }
    }
}
