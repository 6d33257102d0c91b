//! A small network as the reward: r(x, y) = sum_j c_j tanh(W_j phi + b_j), trained by candle's automatic differentiation in f64.
//!
//! Owns: its parameters as a flat list (W by rows, then b, then c), its value, its gradient, its training. Initial values and the
//! order of the rows come from this program's own generator: candle's cannot be seeded on a processor.
//! Must never: use an operation that has no gradient in candle, or take one for granted: the first step checks that every
//! parameter tensor has a finite gradient that is not all zero.

use crate::numeric::{sigmoid, softplus};
use crate::simulate::Random;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, Var};

/// Rows a step.
const BATCH: usize = 512;
/// The first step's length; it falls to zero along half a cosine (Loshchilov & Hutter 2017).
const RATE: f64 = 0.01;
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

/// Why a network could not be trained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrained {
    /// An operation failed.
    #[error("automatic differentiation failed: {0}")]
    Operation(String),
    /// A tensor has no usable gradient at the first step.
    #[error(
        "the gradient of its {0} is missing, zero or not finite at the first step: the features tell nothing apart, or are too large"
    )]
    NoGradient(&'static str),
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

/// r of one response. It has no constant: one would cancel in every margin.
pub fn value(parameters: &[f64], hidden: usize, features: &[f64]) -> f64 {
    let width = features.len();
    let (weights, rest) = parameters.split_at((hidden * width).min(parameters.len()));
    let (biases, outputs) = rest.split_at(hidden.min(rest.len()));
    let units = weights.chunks_exact(width.max(1)).zip(biases).zip(outputs);
    units.map(|((row, bias), c)| c * (row.iter().zip(features).map(|(w, x)| w * x).sum::<f64>() + bias).tanh()).sum()
}

/// The mean of w \[softplus(z) - y z\] over the rows, z = r(a) - r(b), and its gradient by automatic differentiation, in the
/// order of the parameters.
///
/// # Errors
/// See [`Untrained`].
pub fn loss_and_gradient(
    training: &Training<'_>,
    parameters: &[f64],
    hidden: usize,
) -> std::result::Result<(f64, Vec<f64>), Untrained> {
    let variables = Variables::new(parameters, training.width, hidden)?;
    let rows: Vec<usize> = (0..training.labels.len()).collect();
    let loss = variables.loss(training, &rows)?;
    let gradients = variables.gradients(&loss.backward()?)?;
    Ok((loss.to_scalar::<f64>()?, gradients.into_iter().flatten().collect()))
}

/// Trains a network. The result depends on the arguments alone.
///
/// # Errors
/// See [`Untrained`].
#[expect(clippy::cast_precision_loss, reason = "rows and steps below 2^53 are exact")]
pub fn train(training: &Training<'_>, network: Network) -> std::result::Result<Vec<f64>, Untrained> {
    let Network { hidden, steps } = network;
    let mut random = Random::new(training.seed);
    let mut values = initial(training.width, hidden, &mut random);
    let mut order: Vec<usize> = (0..training.weights.len()).filter(|row| training.weights[*row] > 0.0).collect();
    let decay = training.ridge / order.len().max(1) as f64;
    let (mut first, mut second) = (vec![0.0; values.len()], vec![0.0; values.len()]);
    let mut next = order.len();
    for step in 0..steps {
        if next >= order.len() {
            shuffle(&mut order, &mut random);
            next = 0;
        }
        let batch = &order[next..(next + BATCH).min(order.len())];
        next += BATCH;
        let variables = Variables::new(&values, training.width, hidden)?;
        let gradients = variables.gradients(&variables.loss(training, batch)?.backward()?)?;
        if step == 0 {
            check(&gradients)?;
        }
        // AdamW (Loshchilov & Hutter 2019, algorithm 2).
        let rate = RATE * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
        let bias = MOMENTS.map(|beta| 1.0 - beta.powi(i32::try_from(step + 1).unwrap_or(i32::MAX)));
        for (at, gradient) in gradients.into_iter().flatten().enumerate() {
            first[at] = MOMENTS[0] * first[at] + (1.0 - MOMENTS[0]) * gradient;
            second[at] = MOMENTS[1] * second[at] + (1.0 - MOMENTS[1]) * gradient * gradient;
            let ratio = first[at] / bias[0] / ((second[at] / bias[1]).sqrt() + FLOOR);
            values[at] -= rate * (ratio + decay * values[at]);
        }
    }
    if values.iter().all(|value| value.is_finite()) { Ok(values) } else { Err(Untrained::NotFinite) }
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

fn check(gradients: &[Vec<f64>; 3]) -> std::result::Result<(), Untrained> {
    for (gradient, name) in gradients.iter().zip(NAMES) {
        let sound = gradient.iter().all(|value| value.is_finite()) && gradient.iter().any(|value| value.abs() > 0.0);
        if !sound {
            return Err(Untrained::NoGradient(name));
        }
    }
    Ok(())
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
