//! What all rounds brought.

use serde::Serialize;

use super::client::Scenario;
use super::run::Run;
use super::service::Variant;

/// What is measured once in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    pub scenario: Scenario,
    pub connections: u16,
    pub variant: Variant,
}

/// What all rounds brought, in their order.
#[derive(Default, Serialize)]
pub struct Results {
    /// The median time that one caller waits for the commit of a single row, in milliseconds.
    pub insert_p50_ms: Vec<f64>,
    /// The memory of ours before it had anything to do, in bytes, at each start.
    pub idle_bytes: Vec<f64>,
    cells: Vec<Measured>,
}

#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    cell: Cell,
    runs: Vec<Run>,
}

impl Results {
    /// Notes a run of a cell.
    pub fn note(&mut self, cell: Cell, run: Run) {
        match self.cells.iter_mut().find(|measured| measured.cell == cell) {
            Some(measured) => measured.runs.push(run),
            None => self.cells.push(Measured { cell, runs: vec![run] }),
        }
    }

    /// The runs of a cell; none if it was left out.
    pub fn runs(&self, cell: Cell) -> &[Run] {
        let measured = self.cells.iter().find(|measured| measured.cell == cell);
        measured.map_or(&[], |measured| &measured.runs)
    }

    /// The median of a cell's runs.
    pub fn median(&self, cell: Cell, of: impl Fn(&Run) -> f64) -> Option<f64> {
        median(self.runs(cell).iter().map(of))
    }

    /// How many times as many events a second one cell takes as another. Of each round by itself:
    /// what else the machine did met both.
    pub fn ratio(&self, one: Cell, other: Cell) -> Option<f64> {
        let rounds = self.runs(one).iter().zip(self.runs(other));
        median(rounds.map(|(one, other)| one.events_per_second / other.events_per_second))
    }
}

/// The one in the middle, or between the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[upper]),
        _ => Some((values[upper - 1] + values[upper]) / 2.0),
    }
}
