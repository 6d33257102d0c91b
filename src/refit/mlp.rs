//! A small network as the reward: r(x, y) = sum_j c_j tanh(W_j phi + b_j), trained by candle's automatic differentiation in f64.
//!
//! Owns: its parameters as a flat list (W by rows, then b, then c), its value, its gradient, its training. Initial values and the
//! order of the rows come from this program's own generator: candle's cannot be seeded on a processor.
//! Must never: use an operation that has no gradient in candle, or take one for granted: the first step checks that every
//! parameter tensor has a finite gradient, and that they are not all zero.

use crate::numeric::{Random, Sum, sigmoid, softplus};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, Var};
use rayon::prelude::*;

/// Rows a step.
const BATCH: usize = 512;
/// The first step's length; it falls to zero along half a cosine (Loshchilov & Hutter 2017).
const RATE: f64 = 0.01;
/// Parts into which rows are cut where gradients are added up.
const PARTS: usize = 8;
/// Decay of the moments and the floor of the root, as in Kingma & Ba (2015).
const MOMENTS: [f64; 2] = [0.9, 0.999];
const FLOOR: f64 = 1e-8;

/// How large the network is and how long it is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Units of the hidden layer.
    pub hidden: usize,
    /// Steps of the optimiser, each on at most 512 comparisons.
    pub steps: usize,
}

/// What it is trained on: n comparisons.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// phi(x, a), n x `width`, row by row.
    pub a: &'a [f64],
    /// phi(x, b).
    pub b: &'a [f64],
    /// Features of a response.
    pub width: usize,
    /// The rows' weights >= 0, of mean 1 over those that are not 0; rows without weight are not read.
    pub weights: &'a [f64],
    /// The labels.
    pub labels: &'a [f64],
    /// The ridge: parameters decay by ridge / n of the step's length (decoupled, Loshchilov & Hutter 2019).
    pub ridge: f64,
    /// Seed of the initial values and of the order of the rows.
    pub seed: u64,
}

/// A trained network.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// hidden x (`width` + 2) parameters: W by rows, then b, then c.
    pub parameters: Vec<f64>,
    /// What a further step would follow (the loss's gradient over all rows, and the decay in the same units), squared and divided
    /// by the gradient's sampling variance, row by row; the mean over the parameters that any row pulls at.
    pub gradient: f64,
}

/// Of a gradient that is the rows' noise alone, the mean of squares over sampling variances is 1 in expectation; at a minimum of
/// the loss on these rows it is 0. Up to 1, the rows do not tell it from zero (Mahsereci, Balles, Lassner & Hennig 2017, "Early
/// stopping without a validation set", equation 7). Rows of a prompt that resemble each other have more noise than is counted here,
/// so that this errs on the side of a fit that is not finished.
pub(super) const AS_NOISE: f64 = 1.0;

/// Why a network could not be trained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrained {
    /// Lengths that do not go together.
    #[error(
        "its features, weights, labels or parameters are not as many as its rows, features and hidden units ask for"
    )]
    Shape,
    /// An operation failed.
    #[error("automatic differentiation failed: {0}")]
    Operation(String),
    /// A tensor has no usable gradient at the first step.
    #[error(
        "the gradient of its {0} is missing or not finite at the first step: the features are too large, or no numbers"
    )]
    NoGradient(&'static str),
    /// No parameter has a gradient in any row.
    #[error("its gradient is zero at the first step: the features tell nothing apart")]
    Flat,
    /// Training ran away.
    #[error("training ended in numbers that are not finite")]
    NotFinite,
}

impl From<candle_core::Error> for Untrained {
    fn from(error: candle_core::Error) -> Untrained {
        Untrained::Operation(error.to_string())
    }
}

/// How many parameters a network of `hidden` units over `width` features has.
pub(super) fn parameters(width: usize, hidden: usize) -> usize {
    hidden.saturating_mul(width).saturating_add(2 * hidden)
}

/// r of one response from hidden x (features + 2) parameters: W by rows, then b, then c. It has no constant: one would cancel in
/// every margin.
///
/// # Errors
/// [`Untrained::Shape`] for any other number of parameters.
pub fn value(parameters: &[f64], hidden: usize, features: &[f64]) -> std::result::Result<f64, Untrained> {
    if hidden == 0 || parameters.len() != self::parameters(features.len(), hidden) {
        return Err(Untrained::Shape);
    }
    Ok(reward(parameters, hidden, features))
}

/// [`value`] of parameters that are known to be as many as they should.
pub(super) fn reward(parameters: &[f64], hidden: usize, features: &[f64]) -> f64 {
    let width = features.len();
    let (weights, rest) = parameters.split_at((hidden * width).min(parameters.len()));
    let (biases, outputs) = rest.split_at(hidden.min(rest.len()));
    let units = weights.chunks_exact(width.max(1)).zip(biases).zip(outputs);
    units.map(|((row, bias), c)| c * (row.iter().zip(features).map(|(w, x)| w * x).sum::<f64>() + bias).tanh()).sum()
}

/// The mean of w \[softplus(z) - y z\] over the rows, z = r(a) - r(b), and its gradient by automatic differentiation, in the
/// order of the parameters, hidden x (`width` + 2) of them.
///
/// # Errors
/// See [`Untrained`]; [`Untrained::Shape`] for any other number of parameters.
pub fn loss_and_gradient(
    training: &Training<'_>,
    parameters: &[f64],
    hidden: usize,
) -> std::result::Result<(f64, Vec<f64>), Untrained> {
    training.check(hidden)?;
    if parameters.len() != self::parameters(training.width, hidden) {
        return Err(Untrained::Shape);
    }
    let variables = Variables::new(parameters, training.width, hidden)?;
    let rows: Vec<usize> = (0..training.labels.len()).collect();
    let loss = variables.loss(training, &rows)?;
    let gradients = variables.gradients(&loss.backward()?)?;
    Ok((loss.to_scalar::<f64>()?, gradients.into_iter().flatten().collect()))
}

impl Training<'_> {
    /// Whether its lengths go together.
    fn check(&self, hidden: usize) -> std::result::Result<(), Untrained> {
        let (rows, numbers) = (self.labels.len(), self.labels.len().checked_mul(self.width));
        let sound = self.width > 0 && hidden > 0 && self.weights.len() == rows;
        let sound = sound && [self.a, self.b].into_iter().all(|side| Some(side.len()) == numbers);
        if sound { Ok(()) } else { Err(Untrained::Shape) }
    }
}

/// Trains a network. The result depends on the arguments alone.
///
/// # Errors
/// See [`Untrained`].
#[expect(clippy::cast_precision_loss, reason = "rows and steps below 2^53 are exact")]
pub fn train(training: &Training<'_>, network: Network) -> std::result::Result<Trained, Untrained> {
    let Network { hidden, steps } = network;
    training.check(hidden)?;
    let mut random = Random::new(training.seed);
    let mut values = initial(training.width, hidden, &mut random);
    let mut order: Vec<usize> = (0..training.weights.len()).filter(|row| training.weights[*row] > 0.0).collect();
    let decay = training.ridge / order.len().max(1) as f64;
    let (mut first, mut second) = (vec![0.0; values.len()], vec![0.0; values.len()]);
    // What the decay of each parameter is in the units of its gradient: the steps are as long as gradients over their root.
    let mut decays = vec![0.0; values.len()];
    let mut next = order.len();
    for step in 0..steps {
        if next >= order.len() {
            shuffle(&mut order, &mut random);
            next = 0;
        }
        let batch = &order[next..(next + BATCH).min(order.len())];
        next += BATCH;
        let variables = Variables::new(&values, training.width, hidden)?;
        if step == 0 {
            check(&variables, training, &order)?;
        }
        let gradients = variables.gradients(&variables.loss(training, batch)?.backward()?)?;
        // AdamW (Loshchilov & Hutter 2019, algorithm 2).
        let rate = RATE * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
        let bias = MOMENTS.map(|beta| 1.0 - beta.powi(i32::try_from(step + 1).unwrap_or(i32::MAX)));
        for (at, gradient) in gradients.into_iter().flatten().enumerate() {
            first[at] = MOMENTS[0] * first[at] + (1.0 - MOMENTS[0]) * gradient;
            second[at] = MOMENTS[1] * second[at] + (1.0 - MOMENTS[1]) * gradient * gradient;
            let root = (second[at] / bias[1]).sqrt() + FLOOR;
            values[at] -= rate * (first[at] / bias[0] / root + decay * values[at]);
            decays[at] = decay * values[at] * root;
        }
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Untrained::NotFinite);
    }
    order.sort_unstable();
    let gradient = over_noise(training, &order, (&values, hidden), &decays);
    Ok(Trained { parameters: values, gradient })
}

/// See [`Trained::gradient`].
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn over_noise(training: &Training<'_>, rows: &[usize], (values, hidden): (&[f64], usize), decays: &[f64]) -> f64 {
    let part = |rows: &[usize]| {
        let mut sums = (vec![0.0; values.len()], vec![0.0; values.len()]);
        let mut own = vec![0.0; values.len()];
        for row in rows {
            row_gradient(training, *row, (values, hidden), &mut own);
            for ((sum, square), value) in sums.0.iter_mut().zip(&mut sums.1).zip(&own) {
                *sum += value;
                *square += value * value;
            }
        }
        sums
    };
    // As many parts whatever the number of threads, added in order.
    let parts: Vec<_> = rows.par_chunks(rows.len().div_ceil(PARTS).max(1)).map(part).collect();
    let mut total = (vec![0.0; values.len()], vec![0.0; values.len()]);
    for (sums, squares) in parts {
        total.0.iter_mut().zip(sums).for_each(|(total, own)| *total += own);
        total.1.iter_mut().zip(squares).for_each(|(total, own)| *total += own);
    }
    let n = rows.len() as f64;
    let mut ratios = Sum::default();
    let mut count = 0_usize;
    for ((sum, square), decay) in total.0.iter().zip(&total.1).zip(decays).filter(|((_, square), _)| **square > 0.0) {
        let mean = sum / n;
        let variance = (square / n - mean * mean).max(0.0) / n;
        ratios.add((mean + decay).powi(2) / variance);
        count += 1;
    }
    // Without a row that pulls there is nothing to judge by.
    if count > 0 { ratios.value() / count as f64 } else { f64::INFINITY }
}

/// The gradient of one row's weighted loss, in the order of the parameters.
fn row_gradient(training: &Training<'_>, row: usize, (values, hidden): (&[f64], usize), into: &mut [f64]) {
    let width = training.width;
    let (a, b) = (&training.a[row * width..(row + 1) * width], &training.b[row * width..(row + 1) * width]);
    let (weights, rest) = values.split_at(hidden * width);
    let (biases, outputs) = rest.split_at(hidden);
    let (of_weights, rest) = into.split_at_mut(hidden * width);
    let (of_biases, of_outputs) = rest.split_at_mut(hidden);
    let mut z = 0.0;
    for (unit, own) in weights.chunks_exact(width).enumerate() {
        let at = |x: &[f64]| (own.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + biases[unit]).tanh();
        let (of_a, of_b) = (at(a), at(b));
        z += outputs[unit] * (of_a - of_b);
        of_outputs[unit] = of_a - of_b;
        let slopes = (outputs[unit] * (1.0 - of_a * of_a), outputs[unit] * (1.0 - of_b * of_b));
        of_biases[unit] = slopes.0 - slopes.1;
        let own = of_weights[unit * width..(unit + 1) * width].iter_mut().zip(a.iter().zip(b));
        own.for_each(|(slope, (a, b))| *slope = slopes.0 * a - slopes.1 * b);
    }
    let pull = training.weights[row] * (sigmoid(z) - training.labels[row]);
    into.iter_mut().for_each(|slope| *slope *= pull);
}

/// Uniform with variance 2 / (in + out) (Glorot & Bengio 2010); biases zero.
fn initial(width: usize, hidden: usize, random: &mut Random) -> Vec<f64> {
    let mut layer = |inputs: usize, outputs: usize| -> Vec<f64> {
        let both = u32::try_from(inputs + outputs).unwrap_or(u32::MAX);
        let half = (6.0 / f64::from(both)).sqrt();
        (0..inputs * outputs).map(|_| half * (2.0 * random.unit() - 1.0)).collect()
    };
    let (weights, outputs) = (layer(width, hidden), layer(hidden, 1));
    [weights, vec![0.0; hidden], outputs].concat()
}

fn shuffle(order: &mut [usize], random: &mut Random) {
    for position in (1..order.len()).rev() {
        order.swap(position, random.below(position + 1));
    }
}

const NAMES: [&str; 3] = ["hidden weights", "hidden biases", "output weights"];

/// Every tensor has a finite gradient, and some parameter has one that is not zero. One tensor's may well be zero: where
/// phi(a) = -phi(b), the biases' parts cancel while they are zero; and the first rows may lack a feature that others have, so that
/// rows are read until one has a gradient.
fn check(variables: &Variables, training: &Training<'_>, order: &[usize]) -> std::result::Result<(), Untrained> {
    for batch in order.chunks(BATCH) {
        let gradients = variables.gradients(&variables.loss(training, batch)?.backward()?)?;
        for (gradient, name) in gradients.iter().zip(NAMES) {
            if !gradient.iter().all(|value| value.is_finite()) {
                return Err(Untrained::NoGradient(name));
            }
        }
        if gradients.iter().flatten().any(|value| value.abs() > 0.0) {
            return Ok(());
        }
    }
    Err(Untrained::Flat)
}

/// The parameters as candle's variables, in the order of [`NAMES`].
struct Variables {
    all: [Var; 3],
}

impl Variables {
    fn new(parameters: &[f64], width: usize, hidden: usize) -> Result<Variables> {
        let variable = |values: &[f64], shape: (usize, usize)| Var::from_slice(values, shape, &Device::Cpu);
        let (weights, rest) = parameters.split_at((hidden * width).min(parameters.len()));
        let (biases, outputs) = rest.split_at(hidden.min(rest.len()));
        Ok(Variables {
            all: [variable(weights, (hidden, width))?, variable(biases, (1, hidden))?, variable(outputs, (hidden, 1))?],
        })
    }

    /// The rewards of these rows' responses, a column.
    fn rewards(&self, features: &[f64], width: usize, rows: &[usize]) -> Result<Tensor> {
        let [weights, biases, outputs] = &self.all;
        let of_rows: Vec<f64> =
            rows.iter().flat_map(|row| &features[row * width..(row + 1) * width]).copied().collect();
        let input = Tensor::from_vec(of_rows, (rows.len(), width), &Device::Cpu)?;
        input.matmul(&weights.t()?)?.broadcast_add(biases)?.tanh()?.matmul(outputs)
    }

    fn loss(&self, training: &Training<'_>, rows: &[usize]) -> Result<Tensor> {
        let a = self.rewards(training.a, training.width, rows)?;
        let margins = (a - self.rewards(training.b, training.width, rows)?)?;
        let column = |of: &dyn Fn(usize) -> f64| {
            Tensor::from_vec(rows.iter().map(|row| of(*row)).collect(), (rows.len(), 1), &Device::Cpu)
        };
        let weights = column(&|row| training.weights[row])?;
        let pulls = column(&|row| training.weights[row] * training.labels[row])?;
        let losses = (margins.apply_op1(Softplus)?.mul(&weights)? - margins.mul(&pulls)?)?;
        losses.sum_all()? / f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX))
    }

    fn gradients(&self, store: &GradStore) -> std::result::Result<[Vec<f64>; 3], Untrained> {
        let of = |at: usize| -> std::result::Result<Vec<f64>, Untrained> {
            let gradient = store.get(&self.all[at]).ok_or(Untrained::NoGradient(NAMES[at]))?;
            Ok(gradient.flatten_all()?.to_vec1::<f64>()?)
        };
        Ok([of(0)?, of(1)?, of(2)?])
    }
}

/// log(1 + e^z) with the gradient sigmoid(z): what candle offers for it is wrong at 0.
struct Softplus;

impl CustomOp1 for Softplus {
    fn name(&self) -> &'static str {
        "softplus"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        elementwise(storage, layout, softplus)
    }

    fn bwd(&self, argument: &Tensor, _result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(gradient.mul(&argument.apply_op1_no_bwd(&Sigmoid)?)?))
    }
}

/// 1 / (1 + e^-z), exactly one half at 0.
struct Sigmoid;

impl CustomOp1 for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        elementwise(storage, layout, sigmoid)
    }
}

fn elementwise(storage: &CpuStorage, layout: &Layout, of: fn(f64) -> f64) -> Result<(CpuStorage, Shape)> {
    let values = storage.as_slice::<f64>()?;
    let Some((from, to)) = layout.contiguous_offsets() else {
        return Err(candle_core::Error::RequiresContiguous { op: "elementwise" });
    };
    let values = values[from..to].iter().map(|value| of(*value)).collect();
    Ok((CpuStorage::F64(values), layout.shape().clone()))
}
