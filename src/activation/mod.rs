//! The vocabulary. In: a model's configuration, ids as users write them. Out: the list of every activation of the
//! model in execution order, the selection a pass records, and the feature maps it yields. Everybody calls it; it
//! knows neither devices nor windows.

mod catalogue;
mod cost;
mod facts;
mod finite;
mod id;
mod map;
mod massive;
mod name;
pub mod pool;
mod probe;
mod selection;

pub use catalogue::{Catalogue, CatalogueEntry, Shape, Tap};
pub(crate) use cost::{CONVOLUTION_COST, convolution_cost};
pub use cost::{Cost, attention_cost, linear_cost};
pub use facts::{Facts, Kind, MapOf, Stage};
pub use finite::NotFinite;
pub use id::Id;
pub use map::{AttentionMap, FeatureMap};
pub use massive::{MASSIVE_RATIO, in_medians};
pub use name::Name;
pub use probe::{Probe, Progress, Stop, no_progress};
pub use selection::{Selection, parse_layer_file};
