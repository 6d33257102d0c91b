//! `counterweight statistics`.

use super::progress::Terminal;
use super::{Failure, print};
use counterweight::declare;
use counterweight::logs::Progress;
use counterweight::statistics::{self, Collected};
use std::path::{Path, PathBuf};

/// What `statistics` is told.
#[derive(Debug)]
pub(crate) struct StatisticsOptions {
    /// The audit document.
    pub(crate) audit: PathBuf,
    /// The file to write.
    pub(crate) out: PathBuf,
    /// The log, where it is not the audit document's.
    pub(crate) logs: Option<PathBuf>,
    /// Whether to say nothing.
    pub(crate) quiet: bool,
}

/// Scans the log and keeps its statistics.
pub(crate) fn statistics(options: &StatisticsOptions) -> Result<u8, Failure> {
    super::audit::refuse_log(&options.audit)?;
    refuse_other(&options.out)?;
    let mut declaration = declare::load(&options.audit, &[])?;
    if let Some(logs) = &options.logs {
        declaration.audit.logs.path = relative_to(&declaration.audit.folder, logs);
    }
    let progress: &dyn Progress = if options.quiet { &() } else { &Terminal::default() };
    let collected = counterweight::audit::collect(&declaration, progress)?;
    keep(&collected, &options.out)?;
    if !options.quiet {
        let (rows, cells) = (collected.statistics.rows_read, collected.statistics.cells.len());
        print(&format!("Statistics: {} ({rows} rows, {cells} cells)\n", options.out.display()))?;
    }
    Ok(0)
}

/// A file that is there and is anything but statistics is not written over: not the log, say.
pub(super) fn refuse_other(out: &Path) -> Result<(), Failure> {
    let name = out.display().to_string();
    if out.exists() && statistics::read(out, &name).is_err() {
        return Err(Failure(format!(
            "error: {name}: something other than statistics is already there\n  = help: name another file, or move this one away"
        )));
    }
    Ok(())
}

/// Writes the statistics, over other statistics at most.
pub(super) fn keep(collected: &Collected, out: &Path) -> Result<(), Failure> {
    refuse_other(out)?;
    statistics::write(collected, out)?;
    Ok(())
}

/// A path on the command line, which is relative to the working folder, as it would be written in a document in `folder`:
/// so that neither a report nor a file tells where on this machine it was made.
pub(super) fn relative_to(folder: &Path, path: &Path) -> String {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(folder), Ok(parent), Some(name)) = (folder.canonicalize(), parent.canonicalize(), path.file_name()) else {
        // A glob, or nothing that is there: as it is, from anywhere.
        return std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    };
    let common = folder.components().zip(parent.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(common).map(|_| Path::new("..").as_os_str());
    let down = parent.components().skip(common).map(|component| component.as_os_str());
    up.chain(down).chain([name]).collect::<PathBuf>().display().to_string()
}
