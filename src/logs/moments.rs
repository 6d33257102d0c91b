//! Timestamps to calendar months.
//!
//! Owns: which spellings of a moment are read. A moment lies in the years 1970 to 2199; anything else that stands in the
//! column is unreadable, so that the months of a log are at most 2,760.
//! Must never: guess. A number too small to be an epoch time is unreadable, not January 1970.

use super::convert::{self, strict_cast};
use super::{Moment, Month};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};

/// The month of every row, in UTC.
///
/// Timestamps and dates as arrow types; integers (and floats, cut to integers) as seconds, milliseconds, microseconds or
/// nanoseconds since 1970 by their magnitude; text as ISO 8601 (a date, or a date and a time, in UTC unless an offset is
/// written) or as such an integer.
///
/// # Errors
/// A type that has no text form.
pub(super) fn moments(array: &ArrayRef) -> Result<Vec<Moment>, ArrowError> {
    match array.data_type() {
        DataType::Timestamp(unit, _) => {
            let per_second = per_second(*unit);
            let ticks = strict_cast(array, &DataType::Int64)?;
            Ok(each(ticks.as_primitive::<Int64Type>(), |ticks| of_seconds(ticks.div_euclid(per_second))))
        }
        DataType::Date32 | DataType::Date64 => {
            moments(&strict_cast(array, &DataType::Timestamp(TimeUnit::Millisecond, None))?)
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let numbers = strict_cast(array, &DataType::Float64)?;
            Ok(numbers.as_primitive::<Float64Type>().iter().map(of_float).collect())
        }
        integer if integer.is_integer() => match strict_cast(array, &DataType::Int64) {
            Ok(numbers) => Ok(each(numbers.as_primitive::<Int64Type>(), of_epoch)),
            Err(_) => of_texts(array),
        },
        _ => of_texts(array),
    }
}

fn each(values: &arrow::array::Int64Array, month: impl Fn(i64) -> Option<Month>) -> Vec<Moment> {
    values.iter().map(|value| value.map_or(Moment::Missing, |value| read(month(value)))).collect()
}

fn read(month: Option<Month>) -> Moment {
    month.map_or(Moment::Unreadable, Moment::Month)
}

fn of_float(value: Option<f64>) -> Moment {
    /// Every integer below it is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        None => Moment::Missing,
        Some(value) if value.is_nan() => Moment::Missing,
        #[expect(clippy::cast_possible_truncation, reason = "below 2^53")]
        Some(value) if value.abs() < EXACT => read(of_epoch(value as i64)),
        Some(_) => Moment::Unreadable,
    }
}

fn of_texts(array: &ArrayRef) -> Result<Vec<Moment>, ArrowError> {
    let codes = convert::codes(array)?;
    let by_code: Vec<Moment> = codes.values.iter().map(|text| read(of_text(text.trim()))).collect();
    let of_row = |code: &u32| usize::try_from(*code).ok().and_then(|code| by_code.get(code)).copied();
    Ok(codes.codes.iter().map(|code| of_row(code).unwrap_or(Moment::Missing)).collect())
}

fn of_text(text: &str) -> Option<Month> {
    const FORMATS: [&str; 2] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    if let Ok(number) = text.parse() {
        return of_epoch(number);
    }
    let offset =
        DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"));
    if let Ok(moment) = offset {
        return of_date(moment.with_timezone(&Utc).date_naive());
    }
    let moment = FORMATS.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let date = moment.map(|moment| moment.date()).or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok());
    of_date(date?)
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// An integer as seconds since 1970 from 1e8 (March 1973) to 1e11, as the next finer unit for each three further digits.
/// Below lie counters, not times.
fn of_epoch(number: i64) -> Option<Month> {
    let unit = match number {
        100_000_000..100_000_000_000 => TimeUnit::Second,
        100_000_000_000..100_000_000_000_000 => TimeUnit::Millisecond,
        100_000_000_000_000..100_000_000_000_000_000 => TimeUnit::Microsecond,
        100_000_000_000_000_000.. => TimeUnit::Nanosecond,
        _ => return None,
    };
    of_seconds(number / per_second(unit))
}

fn of_seconds(seconds: i64) -> Option<Month> {
    of_date(DateTime::from_timestamp(seconds, 0)?.date_naive())
}

fn of_date(date: NaiveDate) -> Option<Month> {
    let year = u16::try_from(date.year()).ok().filter(|year| (1970..2200).contains(year))?;
    Some(Month { year, month: u8::try_from(date.month()).ok()? })
}

#[cfg(test)]
mod tests {
    use super::{moments, of_epoch, of_text};
    use crate::logs::{Moment, Month};
    use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
    use std::sync::Arc;

    const JULY: Option<Month> = Some(Month { year: 2026, month: 7 });

    #[test]
    fn integers_are_read_by_their_magnitude() {
        // 2026-07-15 00:00 UTC.
        for number in [1_784_073_600, 1_784_073_600_000, 1_784_073_600_000_000, 1_784_073_600_000_000_000] {
            assert_eq!(of_epoch(number), JULY, "{number}");
        }
        for counter in [i64::MIN, -1_784_073_600, 0, 1, 20_260_715, 99_999_999, 9_999_999_999] {
            assert_eq!(of_epoch(counter), None, "{counter}");
        }
    }

    #[test]
    fn text_is_iso_8601_in_utc_unless_it_says_otherwise() {
        for text in [
            "2026-07-15",
            "2026-07-15T10:00:00Z",
            "2026-07-15T10:00:00.123456",
            "2026-07-15 10:00:00",
            "2026-07-15 10:00:00+00:00",
            "2026-08-01T01:30:00+02:00",
            "2026-06-30 23:30:00-0200",
            "1784073600",
        ] {
            assert_eq!(of_text(text), JULY, "{text}");
        }
        for text in ["yesterday", "15.07.2026", "2026-13-01", "2026-07", "1969-12-31", "12026-07-15", "7", "", "1e9"] {
            assert_eq!(of_text(text), None, "{text}");
        }
    }

    #[test]
    fn arrays_of_every_kind_agree() {
        let seconds = 1_784_073_600_i64;
        let arrays: [ArrayRef; 5] = [
            Arc::new(Int64Array::from(vec![Some(seconds), None])),
            Arc::new(Float64Array::from(vec![Some(1_784_073_600.5), Some(f64::NAN)])),
            Arc::new(TimestampNanosecondArray::from(vec![Some(seconds * 1_000_000_000), None]).with_timezone("UTC")),
            Arc::new(Date32Array::from(vec![Some(20_649), None])),
            Arc::new(StringArray::from(vec![Some("2026-07-15T00:00:00Z"), Some("NA")])),
        ];
        for array in arrays {
            let months = moments(&array).unwrap_or_default();
            assert_eq!(
                months,
                [Moment::Month(Month { year: 2026, month: 7 }), Moment::Missing],
                "{:?}",
                array.data_type()
            );
        }
        let text: ArrayRef = Arc::new(StringArray::from(vec!["soon"]));
        assert_eq!(moments(&text).unwrap_or_default(), [Moment::Unreadable]);
    }
}
