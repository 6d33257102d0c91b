//! The one driver of every scan: cuts files into tasks, works on them in parallel, merges in order.
//!
//! A task is one row group of a Parquet file or several small ones (decoded where they are worked on), or a run of rows of
//! a text file (decoded in file order, when it is taken). There are twice as many tickets as threads, which bounds what is alive at once: a task
//! needs one, and gives it back when what it left behind is merged. Whoever hands in the part that is next in order merges
//! it, while the others work on. Nobody waits.

use super::columns::Wanted;
use super::derive::Derivation;
use super::files::Opened;
use super::{BLOCK_ROWS, Format, LogFile, MAX_PROBLEMS, Progress, csv, ndjson, parquet};
use crate::declare::{Problem, Problems};
use arrow::record_batch::RecordBatch;
use rayon::Scope;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// How parts are merged.
pub(super) type Merge<'a, A> = &'a mut (dyn FnMut(&mut A, A) + Send);

/// Folds `work` over every piece: one accumulator a task, merged in file and row order.
///
/// # Errors
/// Unreadable files and what `work` says, in order, at most 20.
pub(super) fn fold<A: Send>(
    source: &Source<'_>,
    what: &str,
    progress: &dyn Progress,
    new: &(dyn Fn() -> A + Sync),
    work: Work<'_, A>,
    merge: Merge<'_, A>,
) -> Result<A, Problems> {
    progress.start(what, source.files.iter().map(|file| file.rows).sum());
    let tasks = Tasks { source, next_file: 0, first_row: 0, current: None };
    let tasks = Mutex::new((0..).zip(tasks));
    let parts = Parts { next: 0, handed_in: BTreeMap::new(), total: None, merge: Some(merge), problems: Vec::new() };
    let folding = Folding { source, progress, new, work, tasks, parts: Mutex::new(parts) };
    rayon::scope(|scope| {
        for _ in 0..2 * rayon::current_num_threads() {
            scope.spawn(|scope| folding.step(scope));
        }
    });
    progress.finish();
    let Parts { total, mut problems, .. } = folding.parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    if problems.is_empty() {
        return Ok(total.unwrap_or_else(new));
    }
    problems.truncate(MAX_PROBLEMS);
    Err(Problems(problems))
}

/// A fold that is going on.
struct Folding<'f, A> {
    source: &'f Source<'f>,
    progress: &'f dyn Progress,
    new: &'f (dyn Fn() -> A + Sync),
    work: Work<'f, A>,
    /// The tasks that nobody has taken, each with its place.
    tasks: Mutex<std::iter::Zip<std::ops::RangeFrom<usize>, Tasks<'f>>>,
    parts: Mutex<Parts<'f, A>>,
}

/// What tasks left behind.
struct Parts<'f, A> {
    /// The place of the part that is merged next.
    next: usize,
    /// Parts that wait for an earlier one, by place.
    handed_in: BTreeMap<usize, Result<A, Vec<Problem>>>,
    total: Option<A>,
    /// `None` while somebody merges.
    merge: Option<Merge<'f, A>>,
    problems: Vec<Problem>,
}

impl<A: Send> Folding<'_, A> {
    /// Uses a ticket: one task, if there is any left and it makes sense to go on.
    fn step<'s>(&'s self, scope: &Scope<'s>) {
        if lock(&self.parts).problems.len() >= MAX_PROBLEMS {
            return;
        }
        let Some((place, task)) = lock(&self.tasks).next() else { return };
        let part = perform(task, self.source, self.progress, self.new, self.work);
        self.hand_in(place, part, scope);
    }

    /// Leaves a part, and merges what is next in order unless somebody is at it.
    fn hand_in<'s>(&'s self, place: usize, part: Result<A, Vec<Problem>>, scope: &Scope<'s>) {
        let mut parts = lock(&self.parts);
        parts.handed_in.insert(place, part);
        let Some(merge) = parts.merge.take() else { return };
        while let Some(part) = {
            let next = parts.next;
            parts.handed_in.remove(&next)
        } {
            parts.next += 1;
            match (part, parts.total.take()) {
                (Ok(part), None) => parts.total = Some(part),
                (Ok(part), Some(mut total)) => {
                    drop(parts);
                    merge(&mut total, part);
                    parts = lock(&self.parts);
                    parts.total = Some(total);
                }
                (Err(more), total) => {
                    parts.problems.extend(more);
                    parts.total = total;
                }
            }
            scope.spawn(|scope| self.step(scope));
        }
        parts.merge = Some(merge);
    }
}

/// A lock whose holder panicked holds nothing half-done: the panic goes on to the caller of [`fold`] in any case.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        Task::Groups { file, footer, groups, first_row, row_in_file } => {
            let mut done = 0;
            for batch in groups.flat_map(|group| parquet::read(file, footer, group, &source.wanted)) {
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
    Groups { file: &'a LogFile, footer: &'a parquet::Footer, groups: Range<usize>, first_row: u64, row_in_file: u64 },
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
                    let (groups, rows) = footer.task(*next);
                    if groups.is_empty() {
                        continue;
                    }
                    *next = groups.end;
                    (Task::Groups { file, footer, groups, first_row, row_in_file }, rows)
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
