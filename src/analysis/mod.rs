//! Pure functions of feature maps. In: [`FeatureMap`](crate::activation::FeatureMap)s. Out: colours, similarity maps,
//! matches and figures as plain numbers. The engine and the command line call it; it knows neither devices nor windows.

pub mod attention;
pub mod cka;
pub mod colour;
pub mod correspondence;
mod eigen;
pub mod gram;
mod lanczos;
pub mod massive;
mod matrix;
pub mod noise;
pub mod pca;
pub mod pool;
mod sample;
pub mod shift;
pub mod similarity;
mod spectrum;
