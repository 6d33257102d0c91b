//! The report folder on disk.

use super::record::Report;
use super::render::{RenderError, html, markdown};
use super::to_json;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

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

/// Writes `report.json`, `report.md`, `report.html` and `SHA256SUMS` into `dir`, which is made if it is not there.
///
/// Every file is first written whole under another name beside its place and only then renamed, so that a report that
/// is already there survives a failure to render or to write. Other files in the folder are left alone.
///
/// # Errors
/// `dir` is a file, one of the names is taken by a folder, or the file system refuses.
pub fn write_folder(report: &Report, dir: &Path) -> Result<(), WriteError> {
    let mut files =
        vec![("report.html", html(report)?), ("report.json", to_json(report)), ("report.md", markdown(report)?)];
    files.push(("SHA256SUMS", checksums(&files)));
    prepare(dir, &files)?;
    let partial: Vec<PathBuf> =
        files.iter().map(|(name, _)| dir.join(format!(".{name}.{}.partial", std::process::id()))).collect();
    let written = write_all(dir, &files, &partial);
    if written.is_err() {
        for path in &partial {
            // What was not written, or is already in its place, cannot be removed: that is fine.
            let _ = fs::remove_file(path);
        }
    }
    written
}

/// Lines as `sha256sum` writes them, in the order given.
fn checksums(files: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, content) in files {
        for byte in Sha256::digest(content.as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        let _ = writeln!(text, "  {name}");
    }
    text
}

fn prepare(dir: &Path, files: &[(&str, String)]) -> Result<(), WriteError> {
    if dir.exists() && !dir.is_dir() {
        return Err(WriteError::InTheWay { path: dir.to_owned(), what: "is a file, not a folder" });
    }
    fs::create_dir_all(dir).map_err(|source| WriteError::Io { path: dir.to_owned(), source })?;
    match files.iter().map(|(name, _)| dir.join(name)).find(|path| path.is_dir()) {
        Some(path) => Err(WriteError::InTheWay { path, what: "is a folder, not a file" }),
        None => Ok(()),
    }
}

fn write_all(dir: &Path, files: &[(&str, String)], partial: &[PathBuf]) -> Result<(), WriteError> {
    for ((_, content), path) in files.iter().zip(partial) {
        write_one(path, content).map_err(|source| WriteError::Io { path: path.clone(), source })?;
    }
    for ((name, _), path) in files.iter().zip(partial) {
        let place = dir.join(name);
        fs::rename(path, &place).map_err(|source| WriteError::Io { path: place, source })?;
    }
    Ok(())
}

fn write_one(path: &Path, content: &str) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
