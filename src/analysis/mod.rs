//! Pure functions of feature maps. In: [`FeatureMap`](crate::activation::FeatureMap)s. Out: colours, similarity maps,
//! matches and figures as plain numbers. The engine and the command line call it; it knows neither devices nor windows.

pub mod agreement;
pub mod attention;
pub mod choice;
pub mod cka;
pub mod colour;
pub mod correspondence;
pub mod difference;
mod eigen;
pub mod figures;
mod fourier;
pub mod gram;
pub mod granularity;
mod lanczos;
pub mod locality;
pub mod massive;
mod matrix;
pub mod noise;
pub mod pairs;
pub mod pca;
pub mod procrustes;
pub mod rank;
mod sample;
pub mod shift;
pub mod similarity;
mod spectrum;
