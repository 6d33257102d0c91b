//! Features of a text without a model: counts of its words, pairs of words and runs of three characters, hashed into a few
//! hundred numbers.
//!
//! Owns: the one encoder, whose numbers depend on the text alone. Must never: change what it gives under the same name: fitted
//! policies name it, and are applied with it.

/// The encoder's name in documents and files.
pub const NGRAMS: &str = "ngrams";

/// `size` features of a text, at least 2. Counts of n-grams are added with the sign of their hash into `size` - 1 places
/// (Weinberger et al. 2009, "Feature hashing for large scale multitask learning"), each place is damped to sign(c) log(1 + |c|)
/// and all are divided by their Euclidean length; the last feature is log(1 + number of words).
///
/// Words are runs of letters and digits in lower case; runs of three characters are taken from the lower-case text with every
/// run of white space as one blank, so that scripts without blanks between words have features too.
#[expect(clippy::cast_precision_loss, reason = "numbers of words are far below 2^53")]
pub fn ngrams(text: &str, size: usize) -> Vec<f64> {
    let lower = text.to_lowercase();
    let places = size.saturating_sub(1).max(1);
    let mut counts: Vec<f64> = vec![0.0; places];
    let mut add = |kind: u8, parts: [&[u8]; 2]| {
        let hash = hash(kind, parts);
        let place = usize::try_from(hash % places as u64).unwrap_or(0);
        counts[place] += if hash >> 63 == 0 { 1.0 } else { -1.0 };
    };
    let mut words = 0_usize;
    let mut before: Option<&str> = None;
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        words += 1;
        add(1, [word.as_bytes(), b""]);
        if let Some(before) = before {
            add(2, [before.as_bytes(), word.as_bytes()]);
        }
        before = Some(word);
    }
    // A copy of a long text, or a place for each of its characters, would be several times the text.
    let words_apart = lower.split_whitespace().enumerate();
    let plain = words_apart.flat_map(|(at, word)| (at > 0).then_some(' ').into_iter().chain(word.chars()));
    let mut run = ['\0'; 3];
    for (at, character) in plain.enumerate() {
        run = [run[1], run[2], character];
        if at >= 2 {
            let mut bytes = [0; 12];
            let length = run.iter().fold(0, |from, own| from + own.encode_utf8(&mut bytes[from..]).len());
            add(3, [&bytes[..length], b""]);
        }
    }
    let damped = counts.iter().map(|count| f64::copysign(count.abs().ln_1p(), *count));
    let length = damped.clone().map(|count| count * count).sum::<f64>().sqrt();
    let mut features: Vec<f64> = damped.map(|count| if length > 0.0 { count / length } else { 0.0 }).collect();
    features.push((words as f64).ln_1p());
    features
}

/// 64-bit FNV-1a of the parts, mixed: its low bits alone are not even.
fn hash(kind: u8, [first, second]: [&[u8]; 2]) -> u64 {
    let parts = first.iter().copied().chain([0xFF]).chain(second.iter().copied());
    let bytes = [kind].into_iter().chain(parts);
    let mut hash =
        bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}
