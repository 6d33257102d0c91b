//! The report folder on disk.

use super::record::Report;
use super::render::{Form, RenderError, html, markdown, short_markdown};
use super::to_json;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The file with the digests of the others.
pub const CHECKSUMS: &str = "SHA256SUMS";
/// The attestation: a DSSE envelope.
pub const DSSE: &str = "attestation.dsse.json";
/// The attestation and the standard test result, an envelope a line.
pub const INTOTO: &str = "attestation.intoto.jsonl";
/// The attestation in a Sigstore bundle.
pub const SIGSTORE: &str = "attestation.sigstore.json";
/// How the files of endorsements begin: `endorsement.ROLE.KEY.dsse.json`.
pub const ENDORSEMENT_PREFIX: &str = "endorsement.";
/// How they end.
pub const ENDORSEMENT_SUFFIX: &str = ".dsse.json";

/// The weights of the rows, for training.
pub const WEIGHTS: &str = "weights.parquet";
/// The files that every report has, in the order of `SHA256SUMS`.
pub const VIEWS: [&str; 3] = ["report.html", "report.json", "report.md"];

/// The file of the fitted policy at that place, from 1.
pub fn refit_name(place: usize) -> String {
    format!("refit-{place}.safetensors")
}

/// Whether a report writes files of this name, which its `SHA256SUMS` and its signature cover.
pub fn is_own(name: &str) -> bool {
    VIEWS.contains(&name) || is_further(name)
}

/// Whether a file of this name in a report's folder is written, or removed, when a report is written there.
pub fn is_replaced(name: &str) -> bool {
    is_own(name) || is_attestation(name) || name == CHECKSUMS
}

/// Whether a report may have a file of this name and need not.
fn is_further(name: &str) -> bool {
    let place = name.strip_prefix("refit-").and_then(|rest| rest.strip_suffix(".safetensors"));
    name == WEIGHTS || place.and_then(|place| place.parse().ok()).is_some_and(|place| refit_name(place) == name)
}

/// Why a report folder could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The Markdown or HTML could not be made.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Something else stands where the folder, or one of its files, should be.
    #[error("{path}: {what}; name another folder with --out, or move it away", path = path.display())]
    InTheWay {
        /// What stands there.
        path: PathBuf,
        /// Why it is in the way.
        what: &'static str,
    },
    /// The file system refused.
    #[error("{path}: cannot be written: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFile {
    /// Its name, without any folder.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The files of a report without a signature: `report.json`, `report.md` in that `form`, `report.html`, what was made `further` (the
/// rows' weights, fitted policies), and `SHA256SUMS` over them all.
///
/// # Errors
/// A template does not fit the record, which is a bug.
pub fn report_files(report: &Report, form: Form, further: Vec<ReportFile>) -> Result<Vec<ReportFile>, RenderError> {
    let file = |name: &str, text: String| ReportFile { name: name.to_owned(), bytes: text.into_bytes() };
    let mut files = vec![
        file("report.html", html(report)?),
        file("report.json", to_json(report)),
        file("report.md", if form == Form::Short { short_markdown(report)? } else { markdown(report)? }),
    ];
    files.extend(further);
    files.push(file(CHECKSUMS, checksums(&files)));
    Ok(files)
}

/// Writes an unsigned report: [`report_files`] with [`write_files`].
///
/// # Errors
/// As those.
pub fn write_folder(report: &Report, dir: &Path) -> Result<(), WriteError> {
    write_files(&report_files(report, Form::Full, Vec::new())?, dir)
}

/// Writes a report's files into `dir`, which is made if it is not there. What an older report leaves that is not written
/// again (its attestation, its endorsements, its rows' weights, its fitted policies) goes: none of them ever lies beside a
/// report that it was not made for.
///
/// Every file is first written whole under another name beside its place and only then renamed; if anything fails, what
/// was there before is put back. Whoever else writes a report here waits; what a run that was killed left under such names
/// goes. Other files in the folder are left alone.
///
/// # Errors
/// `dir` is a file, one of the names is taken by a folder, or the file system refuses.
pub fn write_files(files: &[ReportFile], dir: &Path) -> Result<(), WriteError> {
    let _turn = prepare(dir, files)?;
    let older = attestations(dir)?.into_iter().chain(further(dir)?);
    let stale = older.filter(|name| files.iter().all(|file| file.name != *name));
    exchange(files, &stale.collect::<Vec<_>>(), dir)
}

/// Adds one file to a folder that is there, whole or not at all, over an older one of its name; nothing else changes.
///
/// # Errors
/// A folder has its name, or the file system refuses.
pub fn add_file(file: &ReportFile, dir: &Path) -> Result<(), WriteError> {
    let files = std::slice::from_ref(file);
    let _turn = prepare(dir, files)?;
    exchange(files, &[], dir)
}

fn exchange(files: &[ReportFile], stale: &[String], dir: &Path) -> Result<(), WriteError> {
    let mut exchange = Exchange { dir: dir.to_owned(), done: Vec::new(), partial: Vec::new() };
    let result = exchange.run(files, stale);
    if result.is_err() {
        exchange.undo();
    }
    exchange.tidy();
    result
}

/// The attestation files and endorsements in a folder, by name.
///
/// # Errors
/// The folder cannot be read.
pub fn attestations(dir: &Path) -> Result<Vec<String>, WriteError> {
    names(dir, is_attestation)
}

fn is_attestation(name: &str) -> bool {
    let endorsement = name.starts_with(ENDORSEMENT_PREFIX) && name.ends_with(ENDORSEMENT_SUFFIX);
    endorsement || [DSSE, INTOTO, SIGSTORE].contains(&name)
}

/// The rows' weights and the fitted policies in a folder, by name.
///
/// # Errors
/// The folder cannot be read.
pub fn further(dir: &Path) -> Result<Vec<String>, WriteError> {
    names(dir, is_further)
}

fn names(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, WriteError> {
    let failed = |source| WriteError::Io { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A folder is nothing that a report wrote.
        if wanted(&name) && entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Lines as `sha256sum` writes them, in the order given.
fn checksums(files: &[ReportFile]) -> String {
    let mut text = String::new();
    for ReportFile { name, bytes } in files {
        for byte in Sha256::digest(bytes) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        let _ = writeln!(text, "  {name}");
    }
    text
}

/// Makes the folder ready, and gives the turn to write in it: it lasts until the handle is dropped.
fn prepare(dir: &Path, files: &[ReportFile]) -> Result<Option<fs::File>, WriteError> {
    if dir.exists() && !dir.is_dir() {
        return Err(WriteError::InTheWay { path: dir.to_owned(), what: "is a file, not a folder" });
    }
    fs::create_dir_all(dir).map_err(|source| WriteError::Io { path: dir.to_owned(), source })?;
    match files.iter().map(|file| dir.join(&file.name)).find(|path| path.is_dir()) {
        Some(path) => Err(WriteError::InTheWay { path, what: "is a folder, not a file" }),
        None => {
            let turn = turn(dir);
            if turn.is_some() {
                sweep(dir);
            }
            Ok(turn)
        }
    }
}

/// Waits for the turn to write in a folder. Nothing where the file system knows no locks: then two reports that are written
/// at once may end up mixed, which `SHA256SUMS` and a signature tell.
fn turn(dir: &Path) -> Option<fs::File> {
    let handle = fs::File::open(dir).ok()?;
    handle.lock().ok()?;
    Some(handle)
}

/// Removes what runs that were killed left. Only for who has the turn: nobody else is writing.
fn sweep(dir: &Path) {
    let Ok(left) = names(dir, is_left) else { return };
    for name in left {
        // What cannot be removed is in nobody's way.
        let _ = fs::remove_file(dir.join(name));
    }
}

/// Whether a name is one of [`Exchange::beside`], for a file of a report.
fn is_left(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
    let inner = inner.filter(|(_, what)| [PARTIAL, OLDER].contains(what)).and_then(|(rest, _)| rest.rsplit_once('.'));
    inner.is_some_and(|(file, process)| process.bytes().all(|byte| byte.is_ascii_digit()) && is_replaced(file))
}

/// How the hidden names end of what is written and not in its place yet, and of what was there before.
const PARTIAL: &str = "partial";
const OLDER: &str = "older";

/// The way from an older report to a new one, and back.
struct Exchange {
    dir: PathBuf,
    /// What was done, in order: the name, and whether something older was set aside.
    done: Vec<(String, bool)>,
    /// Files that are written but not in their place.
    partial: Vec<PathBuf>,
}

impl Exchange {
    fn run(&mut self, files: &[ReportFile], stale: &[String]) -> Result<(), WriteError> {
        for file in files {
            let path = self.beside(&file.name, PARTIAL);
            self.partial.push(path.clone());
            write_one(&path, &file.bytes).map_err(|source| WriteError::Io { path, source })?;
        }
        // First the older signatures go, so that none is ever beside what it was not made for.
        for name in stale {
            self.set_aside(name)?;
        }
        for ReportFile { name, .. } in files {
            self.set_aside(name)?;
            let place = self.dir.join(name);
            fs::rename(self.beside(name, PARTIAL), &place).map_err(|source| WriteError::Io { path: place, source })?;
        }
        Ok(())
    }

    /// A hidden name beside a file's place, of this process.
    fn beside(&self, name: &str, what: &str) -> PathBuf {
        self.dir.join(format!(".{name}.{}.{what}", std::process::id()))
    }

    /// Sets what is at a name aside, if anything is.
    fn set_aside(&mut self, name: &str) -> Result<(), WriteError> {
        let place = self.dir.join(name);
        let older = match fs::rename(&place, self.beside(name, OLDER)) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(WriteError::Io { path: place, source }),
        };
        self.done.push((name.to_owned(), older));
        Ok(())
    }

    /// Puts everything back, as far as the file system lets it.
    fn undo(&mut self) {
        for (name, older) in std::mem::take(&mut self.done).into_iter().rev() {
            let place = self.dir.join(&name);
            let _ = if older { fs::rename(self.beside(&name, OLDER), place) } else { fs::remove_file(place) };
        }
    }

    /// Removes what is no longer needed. What is already in its place cannot be removed: that is fine.
    fn tidy(&self) {
        let older = self.done.iter().filter(|(_, older)| *older).map(|(name, _)| self.beside(name, OLDER));
        for path in self.partial.iter().cloned().chain(older) {
            let _ = fs::remove_file(path);
        }
    }
}

fn write_one(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}
