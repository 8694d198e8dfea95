//! Settings that papers publish: model, working size, timestep, noises, prompt and activations under one name.

use serde::Serialize;

use super::{select::Select, settings::RunSettings};
use crate::{
    components::schedule::Timestep,
    error::{Error, Result},
    geometry::framing::WorkingSize,
    model::compat::Compat,
    words::did_you_mean,
};

/// The prompt that the correspondence experiments of generic-diffusion-feature use: the categories of SPair-71k.
const CORRESPONDENCE_PROMPT: &str = "a highly realistic photo that may contain an aeroplane, a bicycle, a bird, a boat, \
     a bottle, a bus, a car, a cat, a chair, a cow, a dog, a horse, a motorbike, a person, a plant within a pot, a sheep, \
     a train, or a tv monitor.";
/// The prompt of DIFT: what stands in braces is to be replaced.
const CATEGORY_PROMPT: &str = "a photo of a {category}";
/// Stands for the timestep of an image encoder, which has none.
const NO_T: Timestep = Timestep::of(0);
/// Noises that DIFT averages over.
const DIFT_ENSEMBLE: usize = 8;

/// Published settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Preset {
    /// What the user types.
    pub key: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Where it was published.
    pub source: &'static str,
    /// Short name of the model.
    pub model: &'static str,
    /// Side of the square working picture, in pixels.
    pub side: usize,
    /// The timestep that the publication names; 0 of an image encoder, which has none.
    pub nominal_t: Timestep,
    /// The timestep that runs in its program when that one is asked for.
    pub t: Timestep,
    /// Noises whose features are averaged.
    pub ensemble: usize,
    /// The prompt; words in braces are to be replaced.
    pub prompt: &'static str,
    /// The activations, in execution order.
    pub ids: &'static [&'static str],
}

/// What the experiments on SD1.5 have in common.
const PAPER_SD15: Preset = Preset {
    key: "",
    title: "",
    source: NOT_ALL,
    model: "sd15",
    side: 512,
    nominal_t: Timestep::of(50),
    t: Timestep::of(51),
    ensemble: 1,
    prompt: CORRESPONDENCE_PROMPT,
    ids: &[],
};
/// The same of SDXL.
const PAPER_SDXL: Preset = Preset {
    model: "sdxl",
    side: 1024,
    t: Timestep::of(50),
    ..PAPER_SD15
};

/// Every preset.
pub const PRESETS: &[Preset] = &[
    Preset {
        key: "sd15-practical",
        title: "SD1.5, recommended for practice",
        ids: &[
            "up-level1-repeat1-vit-block0-cross-q",
            "up-level1-repeat2-res-out",
            "up-level2-repeat1-vit-block0-cross-q",
            "up-level3-repeat0-vit-block0-self-k",
        ],
        ..PAPER_SD15
    },
    Preset {
        key: "sd15-legacy",
        title: "SD1.5, as works before it chose",
        ids: &[
            "up-level0-upsampler-out",
            "up-level1-upsampler-out",
            "up-level2-upsampler-out",
            "up-level3-repeat2-vit-out",
        ],
        ..PAPER_SD15
    },
    Preset {
        key: "sdxl-practical",
        title: "SDXL, recommended for practice",
        ids: &[
            "up-level0-repeat0-vit-block5-out",
            "up-level0-repeat0-vit-block7-out",
            "up-level1-repeat0-vit-block0-cross-q",
            "up-level1-repeat0-vit-block0-out",
        ],
        ..PAPER_SDXL
    },
    Preset {
        key: "sdxl-legacy",
        title: "SDXL, as works before it chose",
        ids: &[
            "up-level0-upsampler-out",
            "up-level1-upsampler-out",
            "up-level2-repeat2-res-out",
        ],
        ..PAPER_SDXL
    },
    Preset {
        key: "pgv2",
        title: "Playground v2",
        model: "pgv2",
        ids: &["up-level0-repeat0-vit-block3-out"],
        ..PAPER_SDXL
    },
    Preset {
        key: "dift",
        title: "DIFT on SD2.1",
        source: DIFT,
        model: "sd21",
        side: 768,
        nominal_t: Timestep::of(261),
        t: Timestep::of(261),
        ensemble: DIFT_ENSEMBLE,
        prompt: CATEGORY_PROMPT,
        ids: &["up-level1-upsampler-out"],
    },
    Preset {
        key: "dift-adm",
        title: "DIFT on ADM",
        source: DIFT,
        model: "adm256",
        side: 512,
        nominal_t: Timestep::of(101),
        t: Timestep::of(101),
        ensemble: DIFT_ENSEMBLE,
        prompt: "",
        ids: &["b24"],
    },
    Preset {
        key: "cleandift",
        title: "CleanDIFT on SD2.1: no noise is added",
        source: "CleanDIFT: Diffusion Features without Noise",
        model: "cleandift-sd21",
        side: 768,
        nominal_t: Timestep::of(261),
        t: Timestep::of(261),
        ensemble: 1,
        prompt: CATEGORY_PROMPT,
        ids: &["up-level1-upsampler-out"],
    },
    Preset {
        key: "hyperfeatures",
        title: "The twelve maps that Diffusion Hyperfeatures mixes",
        source: "Diffusion Hyperfeatures: Searching Through Time and Space for Semantic Correspondence",
        model: "sd15",
        side: 512,
        nominal_t: Timestep::of(50),
        t: Timestep::of(51),
        ensemble: 1,
        prompt: "",
        ids: &[
            "up-level0-repeat0-res-increment",
            "up-level0-repeat1-res-increment",
            "up-level0-repeat2-res-increment",
            "up-level1-repeat0-res-increment",
            "up-level1-repeat1-res-increment",
            "up-level1-repeat2-res-increment",
            "up-level2-repeat0-res-increment",
            "up-level2-repeat1-res-increment",
            "up-level2-repeat2-res-increment",
            "up-level3-repeat0-res-increment",
            "up-level3-repeat1-res-increment",
            "up-level3-repeat2-res-increment",
        ],
    },
    Preset {
        key: "repa",
        title: "SiT-XL/2 with REPA: the block that is aligned",
        source: "Representation Alignment for Generation: Training Diffusion Transformers Is Easier Than You Think (REPA)",
        model: "repa-xl-2",
        side: 256,
        nominal_t: Timestep::of(500),
        t: Timestep::of(500),
        ensemble: 1,
        prompt: "",
        // The eighth block, counted from 1 there.
        ids: &["vit-block7-out"],
    },
    Preset {
        key: "tour",
        title: "A tour through SDXL: the figure of the paper",
        ids: &[
            "down-level0-downsampler-out",
            "down-level1-downsampler-out",
            "down-level2-repeat1-vit-out",
            "mid-vit-out",
            "up-level0-repeat1-vit-block0-self-k",
            "up-level0-repeat1-vit-block0-out",
            "up-level0-repeat1-vit-block2-self-k",
            "up-level0-repeat1-vit-block2-out",
            "up-level0-repeat1-vit-block4-self-k",
            "up-level0-repeat1-vit-block4-out",
            "up-level0-repeat1-vit-block6-self-k",
            "up-level0-repeat1-vit-block6-out",
            "up-level0-repeat1-vit-block8-self-k",
            "up-level0-repeat1-vit-block8-out",
            "up-level0-upsampler-out",
            "up-level1-upsampler-out",
            "up-level2-repeat2-res-out",
        ],
        ..PAPER_SDXL
    },
    Preset {
        key: "dinov2",
        title: "DINOv2, its last four layers",
        source: "DINOv2: Learning Robust Visual Features without Supervision",
        model: "dinov2-base",
        side: 518,
        nominal_t: NO_T,
        t: NO_T,
        ensemble: 1,
        prompt: "",
        ids: &[
            "vit-block8-out",
            "vit-block9-out",
            "vit-block10-out",
            "vit-block11-out",
            "vit-norm-out",
        ],
    },
    Preset {
        key: "ditf-flux",
        title: "DiTF on Flux: what block 28 reads, massive channels at 0 before its norm (longer side 640, a caption per picture there)",
        source: "Unleashing Diffusion Transformers for Visual Correspondence by Modulating Massive Activations (DiTF), github.com/ganchaofan0000/DiTF",
        model: "flux.1-dev",
        side: 640,
        nominal_t: Timestep::of(260),
        t: Timestep::of(260),
        ensemble: 8,
        prompt: "",
        ids: &["vit-block28-norm1-drop-massive"],
    },
    Preset {
        key: "sd-dino-sd",
        title: "The Stable Diffusion half of A Tale of Two Features (a learned caption of each picture there)",
        source: TWO_FEATURES,
        model: "sd15",
        side: 960,
        nominal_t: Timestep::of(100),
        t: Timestep::of(100),
        ensemble: 1,
        prompt: "",
        ids: &[
            "up-level0-upsampler-out",
            "up-level1-upsampler-out",
            "up-level2-upsampler-out",
        ],
    },
    Preset {
        key: "sd-dino",
        title: "The DINOv2 half of A Tale of Two Features",
        source: TWO_FEATURES,
        model: "dinov2-base",
        side: 840,
        nominal_t: NO_T,
        t: NO_T,
        ensemble: 1,
        prompt: "",
        ids: &["vit-block11-out"],
    },
];

const NOT_ALL: &str = "Not All Diffusion Model Activations Have Been Evaluated as Discriminative Features";
const TWO_FEATURES: &str =
    "A Tale of Two Features: Stable Diffusion Complements DINO for Zero-Shot Semantic Correspondence";
const DIFT: &str = "Emergent Correspondence from Image Diffusion (DIFT)";

impl Preset {
    /// The preset of a name.
    ///
    /// # Errors
    ///
    /// Where there is none of that name; the error names the nearest.
    pub fn find(key: &str) -> Result<&'static Self> {
        PRESETS.iter().find(|preset| preset.key == key).ok_or_else(|| {
            let keys: Vec<&str> = PRESETS.iter().map(|preset| preset.key).collect();
            Error::usage(format!(
                "there is no preset \"{key}\": there are {}{}",
                keys.join(", "),
                did_you_mean(key, keys.iter().copied())
            ))
        })
    }

    /// The working size: a square, as in the papers.
    pub fn size(&self) -> WorkingSize {
        WorkingSize::Exact {
            width: self.side,
            height: self.side,
        }
    }

    /// The settings of a pass; with `compat`, t is the one asked of that program.
    pub fn settings(&self, compat: Option<Compat>) -> RunSettings {
        RunSettings {
            prompt: self.prompt.to_owned(),
            t: if compat.is_some() { self.nominal_t } else { self.t },
            ensemble: self.ensemble,
            size: Some(self.size()),
            compat,
            ..RunSettings::default()
        }
    }

    /// The activations.
    pub fn select(&self) -> Select {
        Select::Ids(self.ids.iter().map(|id| (*id).to_owned()).collect())
    }

    /// What of the prompt is still to be replaced, with its braces.
    pub fn open_words(prompt: &str) -> Option<&str> {
        let start = prompt.find('{')?;
        let rest = prompt.get(start..)?;
        rest.get(..=rest.find('}')?)
    }

    /// What it sets, on a line.
    pub fn describe(&self) -> String {
        let several = match self.ensemble {
            1 => String::new(),
            count => format!(", mean of {count} noises"),
        };
        format!(
            "{} at {} px{}{several}: {}",
            self.model,
            self.side,
            self.t_text(),
            self.ids.join(", ")
        )
    }

    /// The timestep that runs, with the paper's where it differs; nothing of an image encoder.
    fn t_text(&self) -> String {
        match (self.t, self.nominal_t) {
            (t, nominal) if t != nominal => format!(", t {t} (the paper's {nominal})"),
            (t, _) if t == NO_T => String::new(),
            (t, _) => format!(", t {t}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::{known::known_checkpoint, resolve};

    #[test]
    fn every_preset_names_activations_of_its_model_in_execution_order() -> Result<()> {
        for preset in PRESETS {
            assert!(known_checkpoint(preset.model).is_some(), "{}", preset.model);
            let spec = resolve(preset.model)?;
            let list = spec.plain_catalogue(crate::geometry::Size::new(preset.side, preset.side));
            let mut last = None;
            for id in preset.ids {
                let place = list.entries().iter().position(|entry| entry.id.to_string() == *id);
                assert!(place.is_some(), "{} has no {id}", preset.model);
                assert!(place > last, "{}: {id} is not in execution order", preset.key);
                last = place;
            }
        }
        Ok(())
    }

    #[test]
    fn keys_are_unique_and_a_misspelt_one_is_guessed() {
        let mut keys: Vec<&str> = PRESETS.iter().map(|preset| preset.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), PRESETS.len());
        let message = Preset::find("sd15-practicle").map_err(|error| error.to_string());
        assert!(message.is_err_and(|message| message.contains("did you mean \"sd15-practical\"")));
    }

    #[test]
    fn words_in_braces_are_to_be_replaced() {
        assert_eq!(Preset::open_words(CATEGORY_PROMPT), Some("{category}"));
        assert_eq!(Preset::open_words("a photo of a cat"), None);
        assert_eq!(Preset::open_words("}{"), None);
    }
}
