//! Pearson's chi-squared statistic of counts against what was expected.

use statrs::distribution::{ChiSquared as Distribution, ContinuousCDF};

/// A chi-squared statistic with its degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquared {
    /// The sum of (observed - expected)^2 / expected over the groups.
    pub statistic: f64,
    /// Groups less one.
    pub degrees: u32,
}

impl ChiSquared {
    /// The chance of a statistic at least this large, taken over `scale` where the counts vary that much more than
    /// independent draws do. `None` without degrees of freedom, or for a statistic that is no number.
    pub fn p_value(self, scale: f64) -> Option<f64> {
        let statistic = self.statistic / scale;
        if statistic == f64::INFINITY {
            return Some(0.0);
        }
        let distribution = Distribution::new(f64::from(self.degrees)).ok()?;
        (statistic >= 0.0).then(|| distribution.sf(statistic))
    }
}

/// Pearson's statistic (Pearson 1900) of (observed, expected) counts. The groups with the smallest expected counts are
/// taken together until each is expected at least `min_expected` times, as its distribution asks for (Cochran 1952).
///
/// Groups with the same expected count are taken in the order given. A count where nothing is expected makes the statistic
/// infinite. `None` with fewer than two groups left.
pub fn chi_squared(counts: &[(f64, f64)], min_expected: f64) -> Option<ChiSquared> {
    let impossible = counts.iter().any(|(observed, expected)| *observed > 0.0 && *expected <= 0.0);
    let groups = pooled(counts, min_expected);
    let degrees = u32::try_from(groups.len()).ok()?.checked_sub(1).filter(|degrees| *degrees > 0)?;
    let statistic: f64 = groups.iter().map(|(observed, expected)| (observed - expected).powi(2) / expected).sum();
    Some(ChiSquared { statistic: if impossible { f64::INFINITY } else { statistic }, degrees })
}

fn pooled(counts: &[(f64, f64)], min_expected: f64) -> Vec<(f64, f64)> {
    let mut ascending: Vec<(f64, f64)> = counts.iter().copied().filter(|(_, expected)| *expected > 0.0).collect();
    ascending.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut groups: Vec<(f64, f64)> = Vec::new();
    for (observed, expected) in ascending {
        match groups.last_mut() {
            Some(group) if group.1 < min_expected => *group = (group.0 + observed, group.1 + expected),
            _ => groups.push((observed, expected)),
        }
    }
    // Only the last group may have been left short.
    if let Some(last) = groups.pop_if(|group| group.1 < min_expected)
        && let Some(group) = groups.last_mut()
    {
        *group = (group.0 + last.0, group.1 + last.1);
    }
    groups
}
