//! The analyses of hidden confounding into the record.

use crate::checks::Evidence;
use crate::report;
use crate::sensitivity::{
    Box, GammaCurve, GammaPoint, LambdaCurve, LambdaPoint, PolicyPair, SEED, TailMethod, even_amplification,
};

/// What hidden confounding could do to a challenger's lead over an incumbent: along Gamma and along Lambda.
pub(super) fn envelopes(
    evidence: &Evidence,
    challenger: &str,
    incumbent: &str,
) -> (Option<report::GammaRecord>, Option<report::LambdaRecord>) {
    let mut pairs = evidence.pairs.unwrap_or_default().iter();
    let pair = pairs.find(|pair| pair.challenger == challenger && pair.incumbent == incumbent);
    let curve = pair.and_then(|pair| Some(gamma(pair, pair.gamma.as_ref().ok()?)));
    (curve, pair.and_then(|pair| pair.lambda.as_ref()).map(lambda))
}

fn gamma(pair: &PolicyPair, curve: &GammaCurve) -> report::GammaRecord {
    report::GammaRecord {
        missing: pair.missing,
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
