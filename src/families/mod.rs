//! Architectures of denoisers and encoders, one folder each, and the way from a model's name to one of them. Nothing below imports them but by
//! the traits of `model`.

pub mod adm;
pub mod cards;
pub mod deepfloyd;
pub mod dit;
pub mod download_plan;
pub mod encoders;
pub mod flux;
pub mod flux2;
pub mod hunyuan;
pub mod inventory;
pub mod known;
pub(crate) mod name;
pub mod pixart;
mod resolve;
pub mod sd3;
pub mod stable_diffusion;
pub mod zimage;

pub use self::resolve::resolve;
use crate::model::family::Family;

/// Every architecture that this program knows, in the order in which they are asked. A new one is a folder beside this file and a
/// line here.
pub static FAMILIES: &[&dyn Family] = &[
    &stable_diffusion::StableDiffusion,
    &pixart::PixArtFamily,
    &flux::FluxFamily,
    &flux2::Flux2Family,
    &sd3::Sd3Family,
    &zimage::ZImageFamily,
    &dit::DitFamily,
    &hunyuan::HunyuanFamily,
    &deepfloyd::DeepFloydIf,
    &encoders::Encoders,
    &adm::Adm,
];

/// The family with a key.
pub fn family(key: &str) -> Option<&'static dyn Family> {
    FAMILIES.iter().copied().find(|family| family.key() == key)
}
