//! `counterweight audit`.

use super::progress::Terminal;
use super::sign::signer;
use super::statistics::{keep, refuse_other, relative_to};
use super::{AuditFormat, Failure, print, use_colour, width};
use chrono::{NaiveDate, Utc};
use counterweight::attest::statement::Resource;
use counterweight::attest::{self, Signer, VerifyingKey};
use counterweight::audit::{Against, Audited, Baseline, Input, StatisticsFile};
use counterweight::change::Frozen;
use counterweight::declare::Declaration;
use counterweight::logs::{ColumnData, Progress, parquet_bytes};
use counterweight::refit::Artefact;
use counterweight::report::{Report, ReportFile};
use counterweight::{declare, report};
use std::path::{Path, PathBuf};

/// What `audit` is told.
#[derive(Debug)]
pub(crate) struct AuditOptions {
    /// The audit document.
    pub(crate) audit: PathBuf,
    /// The report's folder; beside the audit document when absent.
    pub(crate) out: Option<PathBuf>,
    /// What goes to standard output.
    pub(crate) format: AuditFormat,
    /// The date that waivers and ages refer to; today in UTC when absent.
    pub(crate) as_of: Option<NaiveDate>,
    /// Overrides of the policy.
    pub(crate) settings: Vec<String>,
    /// Where to keep the statistics, if anywhere.
    pub(crate) statistics: Option<PathBuf>,
    /// The statistics files to audit instead of the rows; none for the rows.
    pub(crate) from_statistics: Vec<PathBuf>,
    /// The key that signs the report, if any does.
    pub(crate) sign: Option<PathBuf>,
    /// The command that signs; `sign` is its public key then.
    pub(crate) signer_cmd: Option<String>,
    /// The record of an earlier audit to be held against.
    pub(crate) baseline: Option<PathBuf>,
    /// A protocol that was signed before, and the keys of which one must have signed it.
    pub(crate) protocol: Option<(PathBuf, Vec<PathBuf>)>,
    /// The folder that keeps finished fits of candidates, if any does.
    pub(crate) resume: Option<PathBuf>,
    /// Whether to write the rows' weights.
    pub(crate) weights: bool,
    /// Which report.md to write.
    pub(crate) form: report::Form,
    /// Whether to say nothing but what `format: json` asks for.
    pub(crate) quiet: bool,
}

/// Audits, writes the report folder, prints the answer; the exit code is the verdict's.
pub(crate) fn audit(options: &AuditOptions) -> Result<u8, Failure> {
    let signer = options.sign.as_deref().map(|key| signer(key, options.signer_cmd.as_deref())).transpose()?;
    refuse_log(&options.audit)?;
    let declaration = declare::load(&options.audit, &options.settings)?;
    let out = options.out.clone().unwrap_or_else(|| beside(&options.audit));
    refuse_place(&out)?;
    if let Some(path) = &options.statistics {
        refuse_other(path)?;
        refuse_own(&out, path)?;
    }
    let as_of = options.as_of.unwrap_or_else(|| Utc::now().date_naive());
    let progress: &dyn Progress = if options.quiet { &() } else { &Terminal::default() };
    let folder = &declaration.audit.folder;
    let files: Vec<StatisticsFile> = options
        .from_statistics
        .iter()
        .map(|path| StatisticsFile { name: relative_to(folder, path), path: path.clone() })
        .collect();
    let input = if files.is_empty() { Input::Rows } else { Input::Statistics(&files) };
    // Before the long part, so that what cannot be signed is known at once.
    let artifacts = if signer.is_some() { attest::artifacts(&declaration.audit).map_err(failed)? } else { Vec::new() };
    let baseline = options.baseline.as_ref().map(|path| read_baseline(folder, path)).transpose()?;
    let protocol = options.protocol.as_ref().map(|(path, keys)| read_protocol(folder, path, keys)).transpose()?;
    if options.weights && !files.is_empty() {
        return Err(Failure("error: --weights needs the rows, and --from-statistics has none".to_owned()));
    }
    if let Some(path) = &options.resume {
        std::fs::create_dir_all(path).map_err(|error| Failure(format!("error: {}: {error}", path.display())))?;
    }
    let against =
        Against { baseline: baseline.as_ref(), protocol: protocol.as_ref(), checkpoints: options.resume.as_deref() };
    let audited = counterweight::audit::audit_against(&declaration, input, against, as_of, progress)?;
    let mut kept = Vec::new();
    if let Some(path) = &options.statistics {
        keep(&audited.statistics, declaration.audit.min_cell_rows, path)?;
        let sha256 = counterweight::logs::digest(path).map_err(|error| Failure(format!("error: {error}")))?;
        kept.push(Resource::new(&relative_to(folder, path), &sha256));
    }
    let mut further = policies(&audited.policies)?;
    if options.weights {
        further.push(weights(&declaration, &audited, progress)?);
    }
    let mut files = report::report_files(&audited.report, options.form, further)?;
    if let Some(signer) = &signer {
        let signed =
            attest::attest((&audited.report, &files), &declaration.audit, (&artifacts, &kept), signer, Utc::now());
        files.extend(signed.map_err(failed)?);
    }
    refuse_inputs(&out, &declaration, &audited.report)?;
    report::write_files(&files, &out).map_err(|error| Failure(format!("error: {error}")))?;
    answer(options, &audited.report, &out, signer.as_ref())?;
    Ok(u8::from(audited.report.exit_code != 0))
}

/// A place where no folder can be made is known before the long part, not after it.
fn refuse_place(out: &Path) -> Result<(), Failure> {
    let there = out.ancestors().find(|path| path.exists() || path.is_symlink());
    let Some(path) = there.filter(|path| !path.is_dir() && !path.as_os_str().is_empty()) else { return Ok(()) };
    let what = if path.exists() { "is a file, not a folder" } else { "is a symbolic link that leads to nothing" };
    let help = "name another folder with --out, or move it away";
    Err(Failure(format!("error: {}: {what}; {help}", path.display())))
}

/// What the audit was made from is never written over, nor removed as if an earlier report had left it. A baseline may be: it is
/// often the report that was there.
fn refuse_inputs(out: &Path, declaration: &Declaration, report: &Report) -> Result<(), Failure> {
    let read = report.inputs.iter().filter(|input| !["baseline", "policy"].contains(&input.role.as_str()));
    let artifacts = declaration.audit.candidates.iter().filter_map(|candidate| candidate.artifact.as_ref());
    let names = read.map(|input| &input.name).chain(artifacts).chain([&declaration.audit.policy]);
    names.map(|name| declaration.audit.folder.join(name)).try_for_each(|path| refuse_own(out, &path))
}

/// A file in the report's folder whose name is one that a report takes for its own.
fn refuse_own(out: &Path, path: &Path) -> Result<(), Failure> {
    let Ok(out) = out.canonicalize() else { return Ok(()) };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = parent.canonicalize().ok().zip(path.file_name()).map(|(parent, name)| parent.join(name));
    // A link that lies elsewhere may lead here, and the other way round.
    let taken = |path: &Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        path.parent() == Some(&out) && report::is_replaced(&name)
    };
    if written.into_iter().chain(path.canonicalize()).all(|path| !taken(&path)) {
        return Ok(());
    }
    Err(Failure(format!(
        "error: {}: a report in this folder would replace it\n  = help: name another folder with --out, or the file otherwise",
        path.display()
    )))
}

/// A log where an audit document belongs: what a first command often is.
pub(super) fn refuse_log(path: &Path) -> Result<(), Failure> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let log =
        [".parquet", ".pq", ".jsonl", ".ndjson", ".csv", ".gz", ".zst"].iter().any(|ending| name.ends_with(ending));
    if log && path.is_file() {
        let path = super::inspect::quoted(&path.display().to_string());
        return Err(Failure(format!(
            "error: {path} looks like a log, and an audit is told by a document\n  = help: `counterweight init {path}` drafts one"
        )));
    }
    Ok(())
}

/// The fitted policies, each as `refit-N.safetensors` by its place among them.
fn policies(policies: &[(String, Artefact)]) -> Result<Vec<ReportFile>, Failure> {
    let file = |(place, (_, policy)): (usize, &(String, Artefact))| {
        Ok(ReportFile { name: report::refit_name(place + 1), bytes: policy.to_bytes()? })
    };
    policies.iter().enumerate().map(file).collect()
}

/// `weights.parquet`, clipped where the first fitted candidate's rule clips, else at the policy's first cap.
fn weights(declaration: &Declaration, audited: &Audited, progress: &dyn Progress) -> Result<ReportFile, Failure> {
    let taken = audited.policies.first().map(|(_, policy)| policy.provenance.clip.as_str());
    let weights = counterweight::audit::row_weights(declaration, &audited.statistics, taken, progress)?;
    let numbers = |values: Vec<f64>| ColumnData::Number(values.into_iter().map(Some).collect());
    let columns = [
        ("row_id", ColumnData::Text(weights.ids.into_iter().map(Some).collect())),
        ("weight", numbers(weights.weight)),
        ("weight_normalised", numbers(weights.normalised)),
        ("weight_clipped", numbers(weights.clipped)),
    ];
    let bytes = parquet_bytes(&columns)
        .map_err(|error| Failure(format!("error: {}: cannot be written: {error}", report::WEIGHTS)))?;
    Ok(ReportFile { name: report::WEIGHTS.to_owned(), bytes })
}

/// Writes a file whole under another name and then puts it in its place.
pub(super) fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    let failed = |Failure(error): Failure| Failure(format!("error: {}: cannot be written: {error}", path.display()));
    let written = write(&partial).and_then(|()| std::fs::rename(&partial, path).map_err(Failure::from));
    if written.is_err() {
        // What was not written, or is already in its place, cannot be removed: that is fine.
        let _ = std::fs::remove_file(&partial);
    }
    written.map_err(failed)
}

/// Reads the baseline: a record, or the report folder that holds it.
fn read_baseline(folder: &Path, path: &Path) -> Result<Baseline, Failure> {
    let path = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    let report = super::diff::read_record(&path)?;
    let unreadable = |error: std::io::Error| Failure(format!("error: cannot read {}: {error}", path.display()));
    let sha256 = counterweight::logs::digest(&path).map_err(unreadable)?;
    let bytes = std::fs::metadata(&path).map_err(unreadable)?.len();
    Ok(Baseline { name: relative_to(folder, &path), sha256, bytes, report })
}

/// Reads a protocol, which one of the given keys must have signed.
fn read_protocol(folder: &Path, path: &Path, keys: &[PathBuf]) -> Result<Frozen, Failure> {
    let keys: Vec<VerifyingKey> = keys
        .iter()
        .map(|key| VerifyingKey::read(key).map_err(|error| Failure(format!("error: {error}"))))
        .collect::<Result<_, _>>()?;
    attest::read_protocol(path, &relative_to(folder, path), &keys)
        .map_err(|error| Failure(format!("error: {}: {error}", path.display())))
}

fn beside(audit: &Path) -> PathBuf {
    audit.parent().unwrap_or(Path::new("")).join("counterweight-report")
}

fn failed(error: attest::AttestError) -> Failure {
    Failure(format!("error: {error}"))
}

fn answer(options: &AuditOptions, record: &Report, out: &Path, signer: Option<&Signer>) -> Result<(), Failure> {
    // Names in the record are relative to the audit document; a pipeline knows files from where it runs the command.
    let folder = options.audit.parent().unwrap_or(Path::new("")).display().to_string();
    match options.format {
        AuditFormat::Json => print(&report::to_json(record)),
        AuditFormat::Sarif => print(&report::sarif(record, &folder)),
        AuditFormat::Junit => print(&report::junit(record)),
        AuditFormat::Github => print(&report::github(record, &folder)),
        AuditFormat::Text if options.quiet => Ok(()),
        AuditFormat::Text => {
            let summary = report::summary_text(record, use_colour(), width());
            let signed = signer.map_or(String::new(), |signer| {
                format!("Signed by the key SHA256\n  {}\n", signer.verifying_key().fingerprint())
            });
            print(&format!("{summary}\nReport: {}\n{signed}", out.join("report.html").display()))
        }
    }
}
