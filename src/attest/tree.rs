//! The digest of what would be deployed: a file, or a folder.
//!
//! A file's digest is its SHA-256. A folder's is the SHA-256 of the lines that `sha256sum` prints for every file below it,
//! names relative to the folder, in the order of their bytes (Go's `dirhash.Hash1` before its base64):
//!
//! ```sh
//! cd FOLDER && find -L . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
//! ```

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;

/// Deeper folders are taken for a loop of links.
const MAX_DEPTH: usize = 64;
/// More files than any model has.
const MAX_FILES: usize = 1_000_000;

/// What an artifact is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// One file.
    File,
    /// A folder, digested as this module says.
    Folder,
}

/// The digest of a file or folder, in lower-case hexadecimal, and which of the two it is.
///
/// # Errors
/// It cannot be read; a folder is empty, holds something that is no file, or a name that is no text or has a line break or
/// backslash in it.
pub fn digest(path: &Path) -> io::Result<(ArtifactKind, String)> {
    if !path.is_dir() {
        return Ok((ArtifactKind::File, super::digest_of(path)?));
    }
    let mut names = Vec::new();
    list(path, "", 0, &mut names)?;
    if names.is_empty() {
        return Err(io::Error::other("the folder holds no file"));
    }
    names.sort();
    let mut lines = Sha256::new();
    for name in names {
        let digest = super::digest_of(&path.join(&name))?;
        lines.update(format!("{digest}  {name}\n").as_bytes());
    }
    Ok((ArtifactKind::Folder, super::hex(&lines.finalize())))
}

/// Every file below a folder, links followed; names with `/` between their parts.
fn list(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("folders are nested more than {MAX_DEPTH} deep: a loop of links?")));
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let own = entry.file_name();
        let own = own.to_str().filter(|name| !name.contains(['\n', '\r', '\\']));
        let Some(own) = own else {
            let name = entry.file_name().to_string_lossy().escape_debug().to_string();
            return Err(io::Error::other(format!("`{name}` is no plain name for a file")));
        };
        let name = format!("{prefix}{own}");
        // Of what a link points to.
        let metadata = std::fs::metadata(entry.path())?;
        if metadata.is_dir() {
            list(&entry.path(), &format!("{name}/"), depth + 1, names)?;
        } else if metadata.is_file() {
            names.push(name);
        } else {
            return Err(io::Error::other(format!("`{name}` is neither a file nor a folder")));
        }
        if names.len() > MAX_FILES {
            return Err(io::Error::other(format!("the folder holds more than {MAX_FILES} files")));
        }
    }
    Ok(())
}
