//! Finding a log's files and learning what each holds: format, columns, whether there are rows.

use super::{Compression, Format, LogFile, csv, failure, ndjson, parquet, problem};
use crate::declare::Problem;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// Every known extension, for error messages.
const EXTENSIONS: &str = ".parquet, .pq, .ndjson, .jsonl, .json or .csv (the text formats also with .gz or .zst)";

/// The file in which LLaMA-Factory lists its data sets, beside them.
pub(super) const DATA_SETS: &str = "dataset_info.json";

/// What opening a file taught.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    /// Its columns, in order.
    pub(super) columns: Vec<String>,
    /// Whether it holds at least one row.
    pub(super) has_rows: bool,
    /// The footer, for Parquet.
    pub(super) footer: Option<parquet::Footer>,
}

/// What to do about a file that cannot be decompressed or read to its end.
pub(super) fn damage(file: &LogFile) -> &'static str {
    match file.format {
        Format::Csv(Compression::Gzip) | Format::Ndjson(Compression::Gzip) => {
            "is it gzip, as its name says, and whole?"
        }
        Format::Csv(Compression::Zstd) | Format::Ndjson(Compression::Zstd) => {
            "is it Zstandard, as its name says, and whole?"
        }
        _ => "is it cut short?",
    }
}

/// Finds and opens the files that `written` (a file, a glob or a folder, relative to `folder`) stands for.
///
/// Files that could not be opened are left out of the result and leave a problem.
pub(super) fn open_all(folder: &Path, written: &str, problems: &mut Vec<Problem>) -> (Vec<LogFile>, Vec<Opened>) {
    let found = match find(folder, written) {
        Ok(found) => found,
        Err(more) => {
            problems.extend(more);
            return (Vec::new(), Vec::new());
        }
    };
    let mut files = Vec::with_capacity(found.len());
    let mut all = Vec::with_capacity(found.len());
    for mut file in found {
        match open(&file) {
            Ok(opened) => {
                file.rows = opened.footer.as_ref().map(parquet::Footer::rows);
                files.push(file);
                all.push(opened);
            }
            Err(more) => problems.extend(more),
        }
    }
    (files, all)
}

/// The file of a single path.
pub(super) fn single(folder: &Path, written: &str) -> Result<LogFile, Vec<Problem>> {
    log_file(written.to_owned(), folder.join(written))
}

/// Reads what a file says about itself.
pub(super) fn open(file: &LogFile) -> Result<Opened, Vec<Problem>> {
    if file.bytes == 0 {
        return Err(failure(&file.name, "the file is empty (0 bytes)", "remove it, or write it again"));
    }
    match file.format {
        Format::Parquet => parquet::open(file),
        Format::Csv(_) => csv::open(file),
        Format::Ndjson(_) => ndjson::open(file),
    }
}

/// Opens a text file, decompressing on the fly.
pub(super) fn text_reader(file: &LogFile) -> std::io::Result<Box<dyn BufRead + Send>> {
    const BUFFER: usize = 1 << 17;
    let raw = BufReader::with_capacity(BUFFER, File::open(&file.path)?);
    let compression = match file.format {
        Format::Csv(compression) | Format::Ndjson(compression) => compression,
        Format::Parquet => Compression::None,
    };
    Ok(match compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => Box::new(BufReader::with_capacity(BUFFER, flate2::bufread::MultiGzDecoder::new(raw))),
        Compression::Zstd => Box::new(BufReader::with_capacity(BUFFER, zstd::stream::read::Decoder::with_buffer(raw)?)),
    })
}

fn find(folder: &Path, written: &str) -> Result<Vec<LogFile>, Vec<Problem>> {
    if written.trim().is_empty() {
        return Err(failure(written, "the log's path is empty", "name a file, a folder or a glob"));
    }
    let path = folder.join(written);
    if path.is_dir() {
        return list(written, &path);
    }
    if path.exists() {
        return single(folder, written).map(|file| vec![file]);
    }
    if written.contains(['*', '?', '[']) {
        return expand(folder, written);
    }
    if path.is_symlink() {
        return Err(failure(written, "this symbolic link leads to nothing", "mend it, or name the file itself"));
    }
    let message = format!("there is no file, folder or match of a glob at `{}`", path.display());
    let help =
        "a path in an audit document is relative to the document; on the command line, to the folder that you are in";
    Err(failure(
        written,
        message,
        alike(&path).map_or(help.to_owned(), |name| format!("did you mean `{name}`? {help}")),
    ))
}

/// The name in the same folder that is most like a path's, if any is.
fn alike(path: &Path) -> Option<String> {
    const ALIKE: f64 = 0.85;
    /// A folder is not read beyond this many names.
    const MAX_NAMES: usize = 10_000;
    let wanted = path.file_name()?.to_str()?.to_lowercase();
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = std::fs::read_dir(folder).ok()?.flatten().take(MAX_NAMES);
    let mut names: Vec<String> = names
        .filter(|entry| format_of(&entry.path()).is_some())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let similarity = |name: &String| strsim::jaro_winkler(&name.to_lowercase(), &wanted);
    let nearest = names.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(&nearest) >= ALIKE).then_some(nearest)
}

/// The files with a known extension directly in a folder, by path.
fn list(written: &str, path: &Path) -> Result<Vec<LogFile>, Vec<Problem>> {
    let unreadable = |error: std::io::Error| failure(written, format!("the folder cannot be read: {error}"), "");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        if path.is_file() && format_of(&path).is_some() && !lists_data_sets(&path) && !is_own(&path) {
            names.push(entry.file_name());
        }
    }
    if names.is_empty() {
        let help = format!("looked for files directly in it that end in {EXTENSIONS}");
        return Err(failure(written, "the folder holds no log file", help));
    }
    names.sort();
    let prefix = written.trim_end_matches('/');
    let name = |name: &std::ffi::OsString| format!("{prefix}/{}", name.to_string_lossy());
    names.iter().map(|file| log_file(name(file), path.join(file))).collect()
}

/// The files that a glob matches, by path.
fn expand(folder: &Path, written: &str) -> Result<Vec<LogFile>, Vec<Problem>> {
    let pattern = if Path::new(written).is_absolute() {
        written.to_owned()
    } else {
        Path::new(&glob::Pattern::escape(&folder.to_string_lossy())).join(written).to_string_lossy().into_owned()
    };
    let invalid = |error: glob::PatternError| {
        failure(written, format!("not a valid glob: {}", error.msg), "`[[]` stands for a bracket in a name")
    };
    let mut paths = Vec::new();
    let mut problems = Vec::new();
    for found in glob::glob(&pattern).map_err(invalid)? {
        match found {
            Ok(path) if path.is_file() && !lists_data_sets(&path) => paths.push(path),
            Ok(_) => {}
            Err(error) => problems.push(problem(written, format!("a folder cannot be read: {error}"), "")),
        }
    }
    if paths.is_empty() && problems.is_empty() {
        return Err(failure(written, "no file matches", format!("looked for `{pattern}`")));
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        match log_file(name, path) {
            Ok(file) => files.push(file),
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// Whether a file is LLaMA-Factory's list of data sets, and no log.
fn lists_data_sets(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == DATA_SETS)
}

/// Whether a file in a folder of logs is one that this program writes beside logs: by its name and how it begins, so that no
/// log of such a name is passed over.
fn is_own(path: &Path) -> bool {
    const BEGINNINGS: [(&str, &str); 2] = [
        ("report.json", "{\n  \"schema\": \"counterweight/report/"),
        ("truth.json", "{\n  \"about\": \"By enumeration, of the world"),
    ];
    let beginning = |wanted: &str| {
        let mut bytes = vec![0; wanted.len()];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
        read.is_ok() && bytes == wanted.as_bytes()
    };
    BEGINNINGS.iter().any(|(name, begins)| path.file_name().is_some_and(|own| own == *name) && beginning(begins))
}

fn log_file(name: String, path: PathBuf) -> Result<LogFile, Vec<Problem>> {
    if lists_data_sets(&path) {
        let message = "this is LLaMA-Factory's list of data sets, not a log";
        let help = "name the file of one of them: the columns are then read as the list says";
        return Err(failure(&name, message, help));
    }
    let Some(format) = format_of(&path) else {
        let message = "the file's extension says no known format";
        return Err(failure(&name, message, format!("log files end in {EXTENSIONS}")));
    };
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => Ok(LogFile { name, path, format, bytes: metadata.len(), rows: None }),
        Ok(_) => Err(failure(&name, "this is not a file", "logs are read more than once: write it to a file first")),
        Err(error) => Err(failure(&name, format!("the file cannot be read: {error}"), "")),
    }
}

/// The format that a file's name promises.
fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let (stem, compression) = if let Some(stem) = name.strip_suffix(".gz") {
        (stem, Compression::Gzip)
    } else if let Some(stem) = name.strip_suffix(".zst") {
        (stem, Compression::Zstd)
    } else {
        (name.as_str(), Compression::None)
    };
    match stem.rsplit_once('.')?.1 {
        "parquet" | "pq" if compression == Compression::None => Some(Format::Parquet),
        "ndjson" | "jsonl" | "json" => Some(Format::Ndjson(compression)),
        "csv" => Some(Format::Csv(compression)),
        _ => None,
    }
}
