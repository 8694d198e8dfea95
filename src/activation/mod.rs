//! The vocabulary. In: a model's configuration, ids as users write them. Out: the list of every activation of the
//! model in execution order, the selection a pass records, and the feature maps it yields. Everybody calls it; it
//! knows neither devices nor windows.

mod catalogue;
mod finite;
mod id;
mod map;
mod probe;
mod selection;
mod work;

pub use catalogue::{Catalogue, Entry, Shape, Tap};
pub use finite::NotFinite;
pub use id::{AttnPart, Id, Leaf, Place, VitPart};
pub use map::{AttentionMap, FeatureMap};
pub use probe::{Halt, Probe, Watch, watch_nothing};
pub use selection::{Selection, parse_layer_file};
pub use work::{CONVOLUTION_WORK, Work};
