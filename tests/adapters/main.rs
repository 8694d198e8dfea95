//! What is put on a model: LoRAs, their relatives and ControlNets, alone and in ensembles; and aggregated attention.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

#[path = "../common/mod.rs"]
mod common;

mod attention;
mod control;
mod embedding;
mod ensemble;
mod kinds;
mod lora;
mod refused;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use common::model;
use featscope::{
    activation::{Catalogue, Probe, Selection, Stop, Tap, no_progress},
    families::stable_diffusion::unet::{Conditions, SdxlConditioning, Unet, UnetConfig, catalogue},
    geometry::Grid,
    model::LoadExtent,
    weights::{Store, find_weights, read_json},
};

type Tensors = HashMap<String, Tensor>;

/// Reproducible numbers from -1 to 1.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let numbers: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).expect("as many numbers as the shape has")
}

/// The weights of a model's U-Net, in f32.
fn unet_tensors(name: &str) -> Tensors {
    let files = find_weights(&model(name).join("unet"), "diffusion_pytorch_model").expect("weights");
    let store = Store::open_files(&files.files).expect("weights");
    let vb = store.var_builder(DType::F32, &Device::Cpu);
    store
        .names()
        .map(|name| (name.to_owned(), vb.get_unchecked(name).expect("a tensor")))
        .collect()
}

fn unet_config(name: &str) -> UnetConfig {
    let json = read_json(&model(name).join("unet/config.json")).expect("a configuration");
    UnetConfig::from_json(&json).expect("a sound configuration")
}

fn builder(tensors: &Tensors) -> VarBuilder<'static> {
    VarBuilder::from_tensors(tensors.clone(), DType::F32, &Device::Cpu)
}

fn unet(name: &str, tensors: &Tensors) -> Unet {
    Unet::new(unet_config(name), LoadExtent::Whole, builder(tensors)).expect("a U-Net")
}

/// Input, text and what SDXL adds, for two rows.
struct Given {
    x: Tensor,
    text: Tensor,
    sdxl: Option<SdxlConditioning>,
}

const TIMESTEPS: [f32; 2] = [51.0, 700.0];

impl Given {
    fn of(config: &UnetConfig) -> Self {
        let rows = TIMESTEPS.len();
        Self {
            x: random(&[rows, config.in_channels, 8, 8], 1),
            text: random(&[rows, 5, config.cross_attention_dim], 2),
            sdxl: config.text_time.map(|widths| SdxlConditioning {
                pooled: random(&[rows, widths.pooled], 3),
                time_ids: (random(&[rows, 6], 4) * 64.0).expect("numbers"),
            }),
        }
    }

    fn conditions(&self) -> Conditions<'_> {
        Conditions {
            sdxl: self.sdxl.as_ref(),
            ..Conditions::of_text(&self.text)
        }
    }
}

/// Every activation but the maps, and the output.
fn pass(unet: &Unet, given: &Given) -> Tensors {
    let list: Catalogue = catalogue(unet.config(), Grid::new(8, 8), 5);
    let selection = Selection::features(&list);
    let mut found = Tensors::new();
    let mut record = |tap: Tap, tensor: &Tensor| {
        let id = list.entry(tap).expect("an activation").id;
        found.insert(id.to_string(), tensor.clone());
        Ok(())
    };
    let mut watch = no_progress;
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    match unet.forward(&given.x, &TIMESTEPS, &given.conditions(), &mut probe) {
        Ok(_) | Err(Stop::Done) => found,
        Err(Stop::Error(error)) => panic!("{error}"),
    }
}

fn bits(tensors: &Tensors) -> Vec<(&String, Vec<f64>)> {
    let mut all: Vec<_> = tensors.iter().map(|(name, x)| (name, common::numbers(x))).collect();
    all.sort_by_key(|(name, _)| *name);
    all
}

fn save(tensors: &Tensors, path: &Path) -> PathBuf {
    candle_core::safetensors::save(tensors, path).expect("a file");
    path.to_owned()
}

fn load(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).expect("an output can be read")
}
