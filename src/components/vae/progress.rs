//! How far an encoding or a decoding is.

use std::vec;

use crate::{activation::Progress, error::Result};

/// Reports the share of all steps that is done; steps may be done in parts.
pub(super) struct VaeProgress<'a, 'w> {
    /// The work of each step that is not done.
    works: vec::IntoIter<f64>,
    total: f64,
    done: f64,
    progress: &'a mut Progress<'w>,
}

impl<'a, 'w> VaeProgress<'a, 'w> {
    /// With the work of every step, in any unit.
    pub(super) fn new(works: Vec<f64>, progress: &'a mut Progress<'w>) -> Self {
        Self {
            total: works.iter().sum(),
            works: works.into_iter(),
            done: 0.0,
            progress,
        }
    }

    /// The next step is done.
    pub(super) fn step(&mut self) -> Result<()> {
        self.part(1, 1)
    }

    /// `part` of so many equal parts of the next step are done, the step itself with the last of them.
    pub(super) fn part(&mut self, part: usize, parts: usize) -> Result<()> {
        let work = self.works.as_slice().first().copied().unwrap_or_default();
        let done = self.done + work * (part as f64 / parts as f64);
        if part == parts {
            self.done = done;
            self.works.next();
        }
        (self.progress)((done / self.total) as f32)
    }
}
