//! Architectures of denoisers, one folder each.

pub mod adm;
pub mod stable_diffusion;
