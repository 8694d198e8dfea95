//! The analyses against reference data, against plain loops, and against what must hold for any numbers.

mod comparisons;
mod massive;
mod properties;
mod rank;
mod reference;
mod robustness;
mod survey;
