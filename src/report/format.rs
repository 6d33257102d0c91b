//! Numbers as text: the only place where the views turn one into the other.

use super::record::{CellKey, LimitRecord, MeasureRecord};

/// What is shown for a number that is null.
pub(super) const NOT_KNOWN: &str = "not known";

/// A count with thousands separators: `60,000`.
pub(super) fn integer(value: u64) -> String {
    group(&value.to_string())
}

/// A share in \[0, 1\] as percent to three digits: `13.1 %`. Only 1 itself, to f64's rounding, is
/// shown as `100 %`.
pub(super) fn share(value: f64) -> String {
    if !value.is_finite() {
        return NOT_KNOWN.to_owned();
    }
    let percent = value * 100.0;
    let whole = (value - 1.0).abs() <= 4.0 * f64::EPSILON;
    let text = (3..=15).map(|digits| significant(percent, digits)).find(|text| whole || trim_zeros(text) != "100");
    format!("{} %", text.unwrap_or_else(|| percent.to_string()))
}

/// A difference of two shares, or a share's error, in percentage points to three digits: `-1.25 pp`.
pub(super) fn points(value: f64) -> String {
    if value.is_finite() { format!("{} pp", significant(value * 100.0, 3)) } else { NOT_KNOWN.to_owned() }
}

/// Any other number to four significant digits, or to the unit where that is more: `0.1311`, `7,866`, `1.2e-7`. What is
/// exact is shorter: a declared half is `0.5`, a measured one `0.5000`.
pub(super) fn number(value: f64) -> String {
    if value.is_finite() { significant(value, 4) } else { NOT_KNOWN.to_owned() }
}

/// A p-value: `0.0123`. None is recorded as less than 1e-300, which says that it is at most that.
pub(super) fn p_value(value: f64) -> String {
    if value <= 1e-300 { "at most 1e-300".to_owned() } else { number(value) }
}

/// A number and its standard error, both to the error's second digit: `0.885 ± 0.032`.
pub(super) fn plus_minus(value: f64, error: Option<f64>) -> String {
    let Some(error) = error.filter(|error| error.is_finite() && *error > 0.0 && value.is_finite()) else {
        return number(value);
    };
    let decimals = (1.0 - error.log10().floor()).clamp(0.0, 12.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 12")]
    let decimals = decimals as usize;
    format!("{} ± {}", group(&format!("{value:.decimals$}")), group(&format!("{error:.decimals$}")))
}

/// The value of a measure.
pub(super) fn measure_value(measure: &MeasureRecord) -> String {
    let Some(value) = measure.value else { return NOT_KNOWN.to_owned() };
    let write = writer(measure);
    let text = write(value);
    let rounds_to_limit = |limit: &LimitRecord| write(limit.value) == text && (limit.value - value).abs() > 0.0;
    if measure.limit.as_ref().is_some_and(rounds_to_limit) && write(value) != NOT_KNOWN {
        // Rounded, it would look as if it met a limit that it misses, or the reverse.
        return exact(value, is_share(measure));
    }
    text
}

/// The limit of a measure in words: `at least 1,000`.
pub(super) fn measure_limit(measure: &MeasureRecord) -> Option<String> {
    let limit = measure.limit.as_ref()?;
    let kind = limit.kind.replace('_', " ");
    Some(format!("{kind} {}", writer(measure)(limit.value)))
}

/// A cell or slice on one line: `domain: koala, user_type: concise`.
pub(super) fn cell(cell: &CellKey) -> String {
    cell.iter().map(|(covariate, level)| format!("{covariate}: {level}")).collect::<Vec<_>>().join(", ")
}

/// A fragment as a sentence: its first letter in upper case, unless it begins with a name in code, and a full stop.
pub(super) fn sentence(fragment: &str) -> String {
    let fragment = fragment.trim();
    let mut letters = fragment.chars();
    let first = letters.next().map_or_else(String::new, |first| first.to_uppercase().to_string());
    let stop = if fragment.ends_with(['.', '!', '?']) || fragment.is_empty() { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// The first `length` characters of a text, with an ellipsis where something was cut.
pub(super) fn shorten(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(length.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Policies name limits on shares `…_share` and limits on target mass `…_mass`; a measure without a limit says it in its name.
fn is_share(measure: &MeasureRecord) -> bool {
    let key = measure.limit.as_ref().and_then(|limit| limit.key.as_deref());
    match key {
        Some(key) => key.ends_with("share") || key.ends_with("mass"),
        None => measure.name.split([' ', '_']).any(|word| word == "share" || word == "mass"),
    }
}

fn writer(measure: &MeasureRecord) -> fn(f64) -> String {
    if is_share(measure) { share } else { number }
}

fn exact(value: f64, as_share: bool) -> String {
    if as_share { format!("{} %", value * 100.0) } else { value.to_string() }
}

/// A number that differs from its digits by less than this share is those digits: what binary fractions cost.
const EXACT: f64 = 1e-9;

/// At least `digits` significant digits, without trailing zeros where the number is exact; scientific below 1e-4 and from 1e15.
fn significant(value: f64, digits: usize) -> String {
    if value.abs() <= 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Zeros at the end say that more is known than they show, unless there is no more.
    let is_exact = scientific.parse::<f64>().is_ok_and(|shown| (shown - value).abs() <= EXACT * value.abs());
    let trim = |text: &str| if is_exact { trim_zeros(text).to_owned() } else { text.to_owned() };
    if !(-4..15).contains(&exponent) {
        return format!("{}e{exponent}", trim(mantissa));
    }
    let decimals = i32::try_from(digits).unwrap_or(i32::MAX).saturating_sub(1).saturating_sub(exponent);
    let text = format!("{value:.*}", usize::try_from(decimals).unwrap_or(0));
    group(&trim(&text))
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Commas between groups of three digits left of the decimal point.
fn group(text: &str) -> String {
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if let Some(fraction) = fraction {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        assert_eq!(integer(0), "0");
        assert_eq!(integer(999), "999");
        assert_eq!(integer(1_000), "1,000");
        assert_eq!(integer(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn numbers_keep_four_digits() {
        let cases = [
            (0.131_1, "0.1311"),
            (0.131_149, "0.1311"),
            (7_866.4, "7,866"),
            (999.96, "1,000"),
            (123_456.7, "123,457"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (-1_234.0, "-1,234"),
            (1.234_4e-7, "1.234e-7"),
            (0.000_1, "0.0001"),
            (0.5, "0.5"),
            (0.500_01, "0.5000"),
            (249.02, "249.0"),
            (1e300, "1e300"),
            (-0.0, "0"),
            (f64::NAN, "not known"),
            (f64::INFINITY, "not known"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn only_one_is_a_hundred_percent() {
        let cases = [
            (0.0, "0 %"),
            (0.24, "24 %"),
            (0.131_1, "13.1 %"),
            (0.05, "5 %"),
            (0.050_01, "5.00 %"),
            (0.07 * 3.0, "21 %"),
            (0.000_012, "0.0012 %"),
            (1.0, "100 %"),
            (1.000_000_000_000_000_2, "100 %"),
            (0.999_9, "99.99 %"),
            (0.999_999_9, "99.99999 %"),
            (1.000_01, "100.001 %"),
        ];
        for (value, text) in cases {
            assert_eq!(share(value), text, "{value}");
        }
    }

    #[test]
    fn differences_of_shares_are_points() {
        let cases = [(0.0, "0 pp"), (-0.012_51, "-1.25 pp"), (0.5, "50 pp"), (f64::NAN, "not known")];
        for (value, text) in cases {
            assert_eq!(points(value), text, "{value}");
        }
    }

    #[test]
    fn no_p_value_is_nothing() {
        let cases = [(1e-300, "at most 1e-300"), (0.0, "at most 1e-300"), (0.012_34, "0.01234"), (1.0, "1")];
        for (value, text) in cases {
            assert_eq!(p_value(value), text, "{value}");
        }
        assert_eq!(p_value(f64::NAN), "not known");
    }

    #[test]
    fn errors_have_two_digits() {
        let cases = [
            (0.885_2, Some(0.032_19), "0.885 ± 0.032"),
            (0.4, Some(0.000_123), "0.40000 ± 0.00012"),
            (-0.190_4, Some(0.017_83), "-0.190 ± 0.018"),
            (12_345.6, Some(1_234.5), "12,346 ± 1,234"),
            (0.5, None, "0.5"),
            (0.5, Some(0.0), "0.5"),
            (f64::NAN, Some(0.1), "not known"),
        ];
        for (value, error, text) in cases {
            assert_eq!(plus_minus(value, error), text, "{value}");
        }
    }

    fn measure(value: f64, limit: f64, key: &str) -> MeasureRecord {
        let limit = LimitRecord { kind: "at_least".into(), value: limit, key: Some(key.into()) };
        MeasureRecord {
            name: "x".into(),
            value: Some(value),
            limit: Some(limit),
            crossed: None,
            n: None,
            cell: None,
            subject: None,
        }
    }

    #[test]
    fn rounding_never_makes_a_miss_look_like_a_hit() {
        assert_eq!(measure_value(&measure(999.96, 1000.0, "min_n_eff")), "999.96");
        assert_eq!(measure_value(&measure(1000.0, 1000.0, "min_n_eff")), "1,000");
        assert_eq!(measure_value(&measure(0.5, 1.0, "min_share")), "50 %");
        assert_eq!(measure_limit(&measure(0.5, 1.0, "min_share")).as_deref(), Some("at least 100 %"));
    }
}
