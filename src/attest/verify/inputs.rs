//! What the report was made from: looked for below the given folder, by name, then by digest.
//!
//! A name out of a statement becomes a path only if every part of it is a plain name, so that nothing outside of the
//! folder is ever opened because a statement says so.

use super::super::digest_of;
use super::super::statement::{ArtifactLine, Resource};
use super::super::tree::{self, ArtifactKind};
use super::{Request, Signed, State, Verification};
use crate::report::{Input, Report};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// How deep, and how many files, a folder is searched.
const MAX_DEPTH: usize = 32;
const MAX_FILES: usize = 200_000;

/// The inputs of a record that are subjects: every one but the declarations, which the predicate names.
pub(super) fn inputs(record: &Report) -> impl Iterator<Item = &Input> {
    record.inputs.iter().filter(|input| !["audit", "regime", "policy"].contains(&input.role.as_str()))
}

/// Checks every subject that does not lie in the report folder.
pub(super) fn check(signed: &Signed<'_>, record: Option<&Report>, request: &Request<'_>, found: &mut Verification) {
    let subjects = &signed.statement.subject;
    let outside = subjects.get(super::folder::own(subjects).len()..).unwrap_or_default();
    let unchecked = if request.require_inputs { State::Fails } else { State::Unchecked };
    let mut folder = request.inputs.map(Folder::open);
    for subject in outside {
        let artifact = signed.statement.predicate.artifacts.iter().find(|line| line.name == subject.name);
        let input = record.and_then(|record| inputs(record).find(|input| input.name == subject.name));
        let bytes = input.map(|input| input.bytes);
        match folder.as_mut().map(|folder| folder.look(subject, artifact, bytes)) {
            None => found.add(unchecked, &subject.name, "not checked: no --inputs folder was given"),
            Some(Looked::Absent) => {
                found.add(unchecked, &subject.name, "not checked: it is not in the --inputs folder");
            }
            Some(Looked::Same(path)) => {
                let place = if Some(path.as_path()) == plain(&subject.name).as_deref() {
                    String::new()
                } else {
                    format!(", found as {}", path.display().to_string().escape_debug())
                };
                found.add(State::Holds, &subject.name, format!("SHA256 {}{place}", subject.digest.sha256));
            }
            // The report that it was held against is often where the new one is now.
            Some(Looked::Other(_)) if input.is_some_and(|input| input.role == "baseline") => {
                found.add(unchecked, &subject.name, "not checked: something else is in its place by now");
            }
            Some(Looked::Other(why)) => found.add(State::Fails, &subject.name, why),
        }
    }
}

/// A name as a path below a folder; nothing if any part of it is not a plain name.
pub(super) fn plain(name: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}

/// What looking for a subject gave.
pub(super) enum Looked {
    /// It is here, relative to the folder, and as signed.
    Same(PathBuf),
    /// Something is in its place.
    Other(String),
    /// Nothing is.
    Absent,
}

/// A folder that is searched, with the digests that were taken already.
pub(super) struct Folder {
    root: PathBuf,
    /// Every file with its size, once they were listed.
    files: Option<Vec<(PathBuf, u64)>>,
    digests: BTreeMap<PathBuf, Option<String>>,
}

impl Folder {
    /// A folder, of which nothing is read yet.
    pub(super) fn open(root: &Path) -> Folder {
        Folder { root: root.to_owned(), files: None, digests: BTreeMap::new() }
    }

    /// The folder's files, without following links to other folders.
    fn files(&mut self) -> Vec<(PathBuf, u64)> {
        let root = &self.root;
        let listed = || {
            let mut files = Vec::new();
            list(root, Path::new(""), 0, &mut files);
            files.sort();
            files
        };
        self.files.get_or_insert_with(listed).clone()
    }

    /// Looks for a subject by name, then by digest, then for something else that has its name or the last part of it.
    pub(super) fn look(&mut self, subject: &Resource, artifact: Option<&ArtifactLine>, bytes: Option<u64>) -> Looked {
        let wanted = &subject.digest.sha256;
        let kind = artifact.map_or(ArtifactKind::File, |line| line.kind);
        let base = Path::new(&subject.name).file_name().map(PathBuf::from);
        let exists = |path: &PathBuf| self.root.join(path).exists();
        let named = plain(&subject.name).filter(exists);
        let named = if kind == ArtifactKind::Folder { named.or(base.clone().filter(exists)) } else { named };
        let compared = named.map(|path| self.compare(path, kind, wanted));
        match (compared, kind) {
            (Some(Looked::Same(path)), _) => return Looked::Same(path),
            (compared, ArtifactKind::Folder) => return compared.unwrap_or(Looked::Absent),
            // Whoever deploys takes what has the name, wherever the one that was audited may lie.
            (Some(other), ArtifactKind::File) if artifact.is_some() => return other,
            (Some(other), ArtifactKind::File) => return self.by_digest(wanted, bytes).map_or(other, Looked::Same),
            (None, ArtifactKind::File) => {}
        }
        if let Some(path) = self.by_digest(wanted, bytes) {
            return Looked::Same(path);
        }
        let files = self.files();
        let like = files
            .into_iter()
            .map(|(path, _)| path)
            .find(|path| path.file_name() == base.as_ref().map(|b| b.as_os_str()));
        like.map_or(Looked::Absent, |path| self.compare(path, kind, wanted))
    }

    /// A file with a digest, and a size if that is known.
    fn by_digest(&mut self, wanted: &str, bytes: Option<u64>) -> Option<PathBuf> {
        let files = self.files();
        let sized = files.into_iter().filter(|(_, size)| bytes.is_none_or(|bytes| bytes == *size));
        sized.map(|(path, _)| path).find(|path| self.file(path).as_deref() == Some(wanted))
    }

    fn compare(&mut self, path: PathBuf, kind: ArtifactKind, wanted: &str) -> Looked {
        let shown = path.display().to_string().escape_debug().to_string();
        match tree::digest(&self.root.join(&path)) {
            Err(error) => Looked::Other(format!("{shown} cannot be read: {error}")),
            Ok((found, _)) if found != kind => {
                Looked::Other(format!("{shown} is not the same kind of thing: file, folder"))
            }
            Ok((_, digest)) if digest == wanted => Looked::Same(path),
            Ok((_, digest)) => Looked::Other(format!("the SHA256 of {shown} is {digest}, and {wanted} was signed")),
        }
    }

    /// A file's digest; nothing if it cannot be read.
    fn file(&mut self, path: &Path) -> Option<String> {
        let root = &self.root;
        self.digests.entry(path.to_owned()).or_insert_with(|| digest_of(&root.join(path)).ok()).clone()
    }

    /// The path of a file by its name or digest, if it is as wanted.
    pub(super) fn find(&mut self, wanted: &Resource) -> Option<PathBuf> {
        match self.look(wanted, None, None) {
            Looked::Same(path) => Some(self.root.join(path)),
            Looked::Other(_) | Looked::Absent => None,
        }
    }
}

fn list(root: &Path, below: &Path, depth: usize, files: &mut Vec<(PathBuf, u64)>) {
    let Ok(entries) = std::fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        if files.len() >= MAX_FILES {
            return;
        }
        let path = below.join(entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < MAX_DEPTH {
            list(root, &path, depth + 1, files);
        } else if let Ok(metadata) = std::fs::metadata(root.join(&path))
            && metadata.is_file()
        {
            files.push((path, metadata.len()));
        }
    }
}
