//! The fits that are finished, on disk, so that a run that was cut off goes on where it stopped.

use super::models::{Fitted, Key};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::Path;

const SCHEMA: &str = "counterweight/checkpoint/v1";
/// A checkpoint of 1,000 fits of 1,024 features is 16 MiB; one beyond this is not ours: see [`holds`].
pub(super) const MAX_BYTES: u64 = 1 << 30;
/// A parameter is a blank and 16 digits of its bits.
const PARAMETER_BYTES: u64 = 17;
/// The rest of a line, or the first one, at most: six numbers of up to 20 digits, blanks and a digest of 64.
const LINE_BYTES: u64 = 256;

/// Whether so many fits of so many parameters go into a checkpoint.
pub(super) fn holds(parameters: usize, fits: usize) -> bool {
    let line = (parameters as u64).saturating_mul(PARAMETER_BYTES).saturating_add(LINE_BYTES);
    (fits as u64).saturating_add(1).saturating_mul(line) <= MAX_BYTES
}

/// One line of text a finished fit, under a line that names the problem. Every line ends in a digest of itself; what lies
/// behind the first damaged line is dropped, and a checkpoint of another problem is started anew.
#[derive(Debug)]
pub struct Checkpoint {
    file: File,
    /// What it held when it was opened, until it is taken.
    lines: Vec<String>,
    count: usize,
}

impl Checkpoint {
    /// Opens or starts the checkpoint of the problem with this digest.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds something else than a checkpoint, which is left alone.
    pub fn open(path: &Path, problem: &str) -> io::Result<Checkpoint> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() > MAX_BYTES {
            return Err(io::Error::other("this is no checkpoint: it is too large"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if !bytes.is_empty() && !bytes.starts_with(SCHEMA.as_bytes()) && !SCHEMA.as_bytes().starts_with(&bytes) {
            return Err(io::Error::other("this is no checkpoint, and is left as it is"));
        }
        let head = sealed(&format!("{SCHEMA} {problem}"));
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.split_inclusive('\n').map_while(|line| unsealed(line.strip_suffix('\n')?));
        let own = lines.next().is_some_and(|first| sealed(&first) == head);
        let lines: Vec<String> = if own { lines.collect() } else { Vec::new() };
        // What is kept is written anew, so that nothing damaged stays between it and what follows.
        file.seek(SeekFrom::Start(0))?;
        file.set_len(0)?;
        file.write_all(head.as_bytes())?;
        for line in &lines {
            file.write_all(sealed(line).as_bytes())?;
        }
        file.flush()?;
        Ok(Checkpoint { file, count: lines.len(), lines })
    }

    /// How many fits it held when it was opened.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it held none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The fits it held, of this many coefficients. They are numbers from here on; their text is let go.
    pub(super) fn take(&mut self, width: usize) -> BTreeMap<Key, Fitted> {
        let lines = std::mem::take(&mut self.lines).into_iter();
        lines.filter_map(|line| parse(&line)).filter(|(_, fit)| fit.coefficients.len() == width).collect()
    }

    pub(super) fn keep(&mut self, key: Key, fitted: &Fitted) -> io::Result<()> {
        let mut line = format!(
            "{} {} {} {} {} {}",
            key.objective,
            key.ridge,
            key.without,
            key.cap,
            u8::from(fitted.converged),
            u8::from(fitted.separated)
        );
        for coefficient in &fitted.coefficients {
            // The bits, so that what is read is what was fitted.
            let _ = write!(line, " {:016x}", coefficient.to_bits());
        }
        self.file.write_all(sealed(&line).as_bytes())?;
        self.file.flush()
    }
}

/// The digest of everything that a fit depends on.
pub(super) fn digest(numbers: &[&[f64]], words: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(env!("CARGO_PKG_VERSION"));
    hasher.update(words);
    for values in numbers {
        hasher.update((values.len() as u64).to_le_bytes());
        for value in *values {
            hasher.update(value.to_bits().to_le_bytes());
        }
    }
    hex(&hasher.finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The line with its digest.
fn sealed(line: &str) -> String {
    format!("{line} {}\n", hex(&Sha256::digest(line.as_bytes())))
}

/// The line without its digest; `None` where they do not go together.
fn unsealed(line: &str) -> Option<String> {
    let (content, digest) = line.rsplit_once(' ')?;
    (hex(&Sha256::digest(content.as_bytes())) == digest).then(|| content.to_owned())
}

fn parse(line: &str) -> Option<(Key, Fitted)> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse::<u32>().ok();
    let (objective, ridge, without, cap) = (number()?, number()?, number()?, number()?);
    let (converged, separated) = (number()? == 1, number()? == 1);
    let place = |number: u32| usize::try_from(number).ok();
    let key = Key { objective: place(objective)?, ridge: place(ridge)?, without, cap: place(cap)? };
    let bits = |word: &str| u64::from_str_radix(word, 16).ok().map(f64::from_bits).filter(|value| value.is_finite());
    let coefficients = words.map(bits).collect::<Option<_>>()?;
    Some((key, Fitted { coefficients, converged, separated }))
}
