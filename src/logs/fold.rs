//! The one driver of every scan: cuts files into tasks, works on them in parallel, merges in order.
//!
//! A task is a row group of a Parquet file (decoded where it is worked on) or a run of rows of a text file (decoded in
//! file order, before). Tasks are taken in runs of twice the number of threads, which bounds what is alive at once.

use super::columns::Wanted;
use super::derive::Derivation;
use super::files::Opened;
use super::{BLOCK_ROWS, Format, LogFile, MAX_PROBLEMS, Progress, csv, ndjson, parquet};
use crate::declare::{Problem, Problems};
use arrow::record_batch::RecordBatch;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

/// What a fold reads.
pub(super) struct Source<'a> {
    /// The files, in order.
    pub(super) files: &'a [LogFile],
    /// What was learnt about each when it was opened.
    pub(super) opened: &'a [Opened],
    /// The columns to decode.
    wanted: Wanted,
    /// The columns to make of them, and how.
    made: Option<(Vec<String>, &'a Derivation)>,
    /// Blocks that begin after that many rows are not read.
    limit: u64,
}

impl<'a> Source<'a> {
    /// The wanted columns of these files.
    pub(super) fn new(files: &'a [LogFile], opened: &'a [Opened], wanted: Wanted) -> Source<'a> {
        Source { files, opened, wanted, made: None, limit: u64::MAX }
    }

    /// Those among them that are made of others are made so.
    pub(super) fn deriving(self, derivation: &'a Derivation) -> Source<'a> {
        let (wanted, made) = derivation.split(self.wanted);
        let made = (!made.is_empty()).then_some((made, derivation));
        Source { wanted, made, ..self }
    }

    /// Only the first rows, up to the end of the block that reaches so many.
    pub(super) fn first_rows(self, limit: u64) -> Source<'a> {
        Source { limit, ..self }
    }

    /// Works on a piece with the made columns.
    fn work<A>(&self, work: Work<'_, A>, total: &mut A, piece: &Piece<'_>) -> Result<(), Vec<Problem>> {
        match &self.made {
            Some((made, derivation)) => work(total, &derivation.apply(made, piece)?),
            None => work(total, piece),
        }
    }
}

/// At most 65,536 consecutive rows of one file, decoded.
pub(super) struct Piece<'a> {
    /// The file.
    pub(super) file: &'a LogFile,
    /// Index of the first row over all files, from 0.
    pub(super) first_row: u64,
    /// Index of the first row within the file, from 0.
    pub(super) row_in_file: u64,
    /// The wanted columns.
    pub(super) batch: RecordBatch,
}

/// What is done with a piece.
pub(super) type Work<'a, A> = &'a (dyn Fn(&mut A, &Piece<'_>) -> Result<(), Vec<Problem>> + Sync);

/// Folds `work` over every piece: one accumulator a row group or run of rows, merged in file and row order.
///
/// # Errors
/// Unreadable files and what `work` says, in order, at most 20.
pub(super) fn fold<A: Send>(
    source: &Source<'_>,
    what: &str,
    progress: &dyn Progress,
    new: &(dyn Fn() -> A + Sync),
    work: Work<'_, A>,
    merge: &mut dyn FnMut(&mut A, A),
) -> Result<A, Problems> {
    progress.start(what, source.files.iter().map(|file| file.rows).sum());
    let mut tasks = Tasks { source, next_file: 0, first_row: 0, current: None };
    let mut total: Option<A> = None;
    let mut problems = Vec::new();
    while problems.len() < MAX_PROBLEMS {
        let run: Vec<Task<'_>> = tasks.by_ref().take(2 * rayon::current_num_threads()).collect();
        if run.is_empty() {
            break;
        }
        let parts: Vec<_> = run.into_par_iter().map(|task| perform(task, source, progress, new, work)).collect();
        for part in parts {
            match (part, &mut total) {
                (Ok(part), Some(total)) => merge(total, part),
                (Ok(part), none) => *none = Some(part),
                (Err(more), _) => problems.extend(more),
            }
        }
    }
    progress.finish();
    if problems.is_empty() {
        return Ok(total.unwrap_or_else(new));
    }
    problems.truncate(MAX_PROBLEMS);
    Err(Problems(problems))
}

/// Works on one task with an accumulator of its own.
fn perform<A>(
    task: Task<'_>,
    source: &Source<'_>,
    progress: &dyn Progress,
    new: &(dyn Fn() -> A + Sync),
    work: Work<'_, A>,
) -> Result<A, Vec<Problem>> {
    let mut part = new();
    let mut problems = Vec::new();
    match task {
        Task::Broken(more) => problems = more,
        Task::Rows(piece) => {
            problems = source.work(work, &mut part, &piece).err().unwrap_or_default();
            progress.advance(piece.batch.num_rows() as u64);
        }
        Task::Group { file, footer, group, first_row, row_in_file } => {
            let mut done = 0;
            for batch in parquet::read(file, footer, group, &source.wanted) {
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(more) => {
                        problems.extend(more);
                        break;
                    }
                };
                let rows = batch.num_rows() as u64;
                let piece = Piece { file, first_row: first_row + done, row_in_file: row_in_file + done, batch };
                problems.extend(source.work(work, &mut part, &piece).err().unwrap_or_default());
                progress.advance(rows);
                done += rows;
                if problems.len() >= MAX_PROBLEMS {
                    break;
                }
            }
        }
    }
    if problems.is_empty() { Ok(part) } else { Err(problems) }
}

enum Task<'a> {
    Group { file: &'a LogFile, footer: &'a parquet::Footer, group: usize, first_row: u64, row_in_file: u64 },
    Rows(Piece<'a>),
    Broken(Vec<Problem>),
}

/// Decoded runs of a text file's rows.
pub(super) type TextRows<'a> = Box<dyn Iterator<Item = Result<RecordBatch, Vec<Problem>>> + Send + 'a>;

/// Where the iterator over tasks stands within a file.
enum Current<'a> {
    Groups { footer: &'a parquet::Footer, next: usize },
    Text(TextRows<'a>),
}

/// The tasks of all files, in order.
struct Tasks<'a> {
    source: &'a Source<'a>,
    next_file: usize,
    first_row: u64,
    current: Option<(&'a LogFile, u64, Current<'a>)>,
}

impl<'a> Tasks<'a> {
    /// Moves on to the next file. `None` after the last.
    fn enter(&mut self) -> Option<(&'a LogFile, u64, Current<'a>)> {
        let file = self.source.files.get(self.next_file)?;
        let opened = self.source.opened.get(self.next_file)?;
        self.next_file += 1;
        let current = match (&opened.footer, file.format) {
            (Some(footer), _) => Current::Groups { footer, next: 0 },
            (None, Format::Csv(_)) => Current::Text(csv::read(file, &opened.columns, &self.source.wanted, BLOCK_ROWS)),
            (None, _) => Current::Text(ndjson::read(file, &self.source.wanted, BLOCK_ROWS)),
        };
        Some((file, 0, current))
    }
}

impl<'a> Iterator for Tasks<'a> {
    type Item = Task<'a>;

    fn next(&mut self) -> Option<Task<'a>> {
        while self.first_row < self.source.limit {
            let (file, row_in_file, mut current) = match self.current.take() {
                Some(current) => current,
                None => self.enter()?,
            };
            let first_row = self.first_row;
            let (task, rows) = match &mut current {
                Current::Groups { footer, next } => {
                    let group = *next;
                    let Some(rows) = footer.group_rows(group) else { continue };
                    *next += 1;
                    (Task::Group { file, footer, group, first_row, row_in_file }, rows)
                }
                Current::Text(batches) => match batches.next() {
                    None => continue,
                    Some(Err(problems)) => return Some(Task::Broken(problems)),
                    Some(Ok(batch)) => {
                        let rows = batch.num_rows() as u64;
                        (Task::Rows(Piece { file, first_row, row_in_file, batch }), rows)
                    }
                },
            };
            self.first_row += rows;
            self.current = Some((file, row_in_file + rows, current));
            return Some(task);
        }
        None
    }
}
