//! The analyses of hidden confounding into the record.

use crate::checks::Evidence;
use crate::report;
use crate::sensitivity::{
    Box, GammaCurve, GammaPoint, LambdaCurve, LambdaPoint, PolicyPair, SEED, TailMethod, even_amplification,
};

/// Every challenger against every incumbent.
pub(super) fn comparisons(evidence: &Evidence) -> Vec<report::ComparisonRecord> {
    evidence.pairs.unwrap_or_default().iter().map(comparison).collect()
}

fn comparison(pair: &PolicyPair) -> report::ComparisonRecord {
    report::ComparisonRecord {
        challenger: pair.challenger.clone(),
        incumbent: pair.incumbent.clone(),
        missing: pair.missing,
        gamma: pair.gamma.as_ref().ok().map(gamma),
        lambda: pair.lambda.as_ref().map(lambda),
    }
}

fn gamma(curve: &GammaCurve) -> report::GammaRecord {
    report::GammaRecord {
        alpha: curve.alpha,
        tipping: curve.tipping,
        tipping_by_row: curve.tipping_by_row,
        tipping_point: curve.tipping_point.filter(|gamma| gamma.is_finite()),
        tipping_normal: curve.tipping_normal,
        amplification: curve.tipping.and_then(even_amplification),
        rows: curve.rows,
        clusters: curve.clusters,
        ties: curve.ties,
        undecided: curve.undecided,
        thresholded: curve.thresholded,
        share_won: curve.share_won,
        curve: curve.curve.iter().map(gamma_point).collect(),
    }
}

fn gamma_point(point: &GammaPoint) -> report::GammaPointRecord {
    report::GammaPointRecord {
        gamma: point.gamma,
        p_value: point.p_value.p_value,
        method: match point.p_value.method {
            TailMethod::Exact => "exact",
            TailMethod::Grid => "grid",
            TailMethod::Normal => "normal",
            TailMethod::Exponential => "exponential",
            TailMethod::Excess => "excess",
        }
        .to_owned(),
        p_value_by_row: point.by_row.p_value,
        p_value_normal: point.normal,
    }
}

fn lambda(curve: &LambdaCurve) -> report::LambdaRecord {
    report::LambdaRecord {
        shape: match curve.shape {
            Box::Ratio => "ratio",
            Box::Tan => "tan",
        }
        .to_owned(),
        tipping: curve.tipping,
        tipping_point: curve.tipping_point,
        rows: curve.rows,
        unsupported_target_mass: curve.unsupported,
        replicates: curve.replicates,
        seed: SEED,
        curve: curve.curve.iter().map(lambda_point).collect(),
    }
}

fn lambda_point(point: &LambdaPoint) -> report::LambdaPointRecord {
    report::LambdaPointRecord {
        lambda: point.lambda,
        lower: point.marginal.lower,
        upper: point.marginal.upper,
        ci_lower: point.interval.lower,
        ci_upper: point.interval.upper,
        sharp_lower: point.sharp.lower,
        sharp_upper: point.sharp.upper,
    }
}
