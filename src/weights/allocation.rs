//! Where comparisons should be shown, so that a target is estimated best from a budget.

/// One cell of a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlannedCell {
    /// p_T of the cell.
    pub target: f64,
    /// E\[(g_T/g_O)^2\], or that times the squared deviation of the score, within the cell, from a pilot; 1 where nothing is known.
    pub second_moment: f64,
    /// What one comparison costs, above 0.
    pub cost: f64,
    /// The least share that the cell gets.
    pub floor: f64,
}

/// How a budget of 1 is spent.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// The share q of each cell, in the order given; sum(cost q) = 1.
    pub shares: Vec<f64>,
    /// sum p_T^2 m / q: the predicted E\[w^2\], so that n rows have n_eff = n / E\[w^2\].
    pub mean_square_weight: f64,
}

/// Why a budget cannot be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPlanned {
    /// A number that is negative, infinite or none, or a cost of 0.
    #[error("a cell of the plan has a number that is negative or none, or costs nothing")]
    Unsound,
    /// The floors cost more than there is.
    #[error("the floors alone cost more than the budget")]
    Floors,
    /// No cell has both target mass and a second moment.
    #[error("nothing in the plan needs comparisons: no cell has target mass")]
    NoMass,
}

/// The shares q that make sum p_T^2 m / q least under sum(cost q) = 1 and q at least the floors: q = max(floor,
/// kappa p_T sqrt(m / cost)) (Neyman 1934, JRSS 97:558, with costs and floors). Without floors, moments and costs q is p_T.
///
/// # Errors
/// See [`NotPlanned`].
pub fn allocate(cells: &[PlannedCell]) -> Result<Allocation, NotPlanned> {
    // The floors may cost all there is, up to rounding.
    const ROUNDING: f64 = 1e-12;
    let sound = |cell: &PlannedCell| {
        let all = [cell.target, cell.second_moment, cell.cost, cell.floor];
        all.iter().all(|value| *value >= 0.0 && value.is_finite()) && cell.cost > 0.0
    };
    if !cells.iter().all(sound) {
        return Err(NotPlanned::Unsound);
    }
    if cells.iter().map(|cell| cell.cost * cell.floor).sum::<f64>() > 1.0 + ROUNDING {
        return Err(NotPlanned::Floors);
    }
    let demands: Vec<f64> = cells.iter().map(|cell| cell.target * (cell.second_moment / cell.cost).sqrt()).collect();
    if demands.iter().all(|demand| *demand <= 0.0) {
        return Err(NotPlanned::NoMass);
    }
    let mut at_floor: Vec<bool> = demands.iter().map(|demand| *demand <= 0.0).collect();
    // Holding a cell at its floor leaves less for the others, so that a cell never comes off it again: at most a pass a cell.
    let kappa = loop {
        let of = |held: bool, value: &dyn Fn(usize, &PlannedCell) -> f64| -> f64 {
            let own = cells.iter().enumerate().filter(|(at, _)| at_floor.get(*at) == Some(&held));
            own.map(|(at, cell)| cell.cost * value(at, cell)).sum()
        };
        let demand = |at: usize| demands.get(at).copied().unwrap_or(0.0);
        let free = of(false, &|at, _| demand(at));
        let kappa = if free > 0.0 { (1.0 - of(true, &|_, cell| cell.floor)).max(0.0) / free } else { 0.0 };
        let below: Vec<usize> = (0..cells.len())
            .filter(|at| at_floor.get(*at) == Some(&false))
            .filter(|at| cells.get(*at).is_some_and(|cell| kappa * demand(*at) < cell.floor))
            .collect();
        if below.is_empty() {
            break kappa;
        }
        for at in below {
            if let Some(held) = at_floor.get_mut(at) {
                *held = true;
            }
        }
    };
    let shares: Vec<f64> = cells.iter().zip(&demands).map(|(cell, demand)| cell.floor.max(kappa * demand)).collect();
    let term = |(cell, share): (&PlannedCell, &f64)| {
        let needed = cell.target * cell.target * cell.second_moment;
        if needed > 0.0 { needed / share } else { 0.0 }
    };
    let mean_square_weight = cells.iter().zip(&shares).map(term).sum();
    Ok(Allocation { shares, mean_square_weight })
}
