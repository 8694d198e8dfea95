//! What needs no weights: recognition, sizes, tables.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use serde_json::{Value, json};

use super::{AdmConfig, AdmUnet, Heads, catalogue, recognise::recognise};
use crate::{families::known::known_config, geometry::Grid, model::LoadExtent};

type Shapes = HashMap<String, Vec<usize>>;

/// Writes down what a network asks for and gives zeros that take no memory.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Shapes>>);

impl SimpleBackend for Asked {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let dims = shape.dims().to_vec();
        self.0.lock().expect("no test panicked").insert(name.to_owned(), dims);
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} was asked for without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

/// Names and shapes of all tensors of a network.
fn shapes(config: &AdmConfig) -> Shapes {
    let asked = Asked::default();
    let vb = VarBuilder::from_backend(Box::new(asked.clone()), DType::F32, Device::Cpu);
    AdmUnet::new(config, LoadExtent::Whole, vb).expect("zeros of every shape are there");
    asked.0.lock().expect("no test panicked").clone()
}

fn adm256() -> AdmConfig {
    let json = known_config("adm256").expect("the zoo has it");
    AdmConfig::from_json(&serde_json::from_str(json).expect("valid JSON")).expect("valid configuration")
}

fn with(changes: Value) -> crate::Result<AdmConfig> {
    let mut json = json!({"image_size": 32, "num_channels": 32, "channel_mult": "1,2", "num_head_channels": 16});
    let object = json.as_object_mut().expect("an object");
    object.extend(changes.as_object().expect("an object").clone());
    AdmConfig::from_json(&json)
}

fn recognised(shapes: &Shapes, head_width: usize) -> crate::Result<AdmConfig> {
    recognise(&|name| shapes.get(name).map(Vec::as_slice), head_width)
}

#[test]
fn the_published_model_has_its_parameters_and_is_recognised_by_them() {
    let shapes = shapes(&adm256());
    let parameters: usize = shapes.values().map(|shape| shape.iter().product::<usize>()).sum();
    assert_eq!((parameters, shapes.len()), (552_814_086, 566));
    assert_eq!(recognised(&shapes, 64).expect("it is an ADM"), adm256());
}

#[test]
fn the_published_model_has_the_blocks_of_the_papers() {
    let list = catalogue(&adm256(), Grid::new(256, 256));
    // (first b, last b, channels, grid)
    let table = [
        (1, 1, 256, 256),
        (2, 3, 256, 256),
        (4, 6, 256, 128),
        (7, 7, 256, 64),
        (8, 9, 512, 64),
        (10, 12, 512, 32),
        (13, 13, 512, 16),
        (14, 15, 1024, 16),
        (16, 19, 1024, 8),
        (20, 21, 1024, 8),
        (22, 24, 1024, 16),
        (25, 25, 1024, 32),
        (26, 27, 512, 32),
        (28, 30, 512, 64),
        (31, 31, 512, 128),
        (32, 33, 256, 128),
        (34, 37, 256, 256),
    ];
    for (first, last, channels, side) in table {
        for block in first..=last {
            let tap = list.find(&format!("b{block}")).expect("the block is there");
            let shape = list.entry(tap).expect("the tap is there").shape;
            assert_eq!(shape.dims(), [channels, side, side], "b{block}");
        }
    }
    assert!(list.find("b38").is_err());
    assert_eq!(adm256().blocks(), 37);
    let attending: Vec<String> = list
        .entries()
        .iter()
        .map(|entry| entry.id.to_string())
        .filter_map(|id| id.strip_suffix("-attn-map").map(str::to_owned))
        .collect();
    let expected: Vec<String> = [11, 12, 14, 15, 17, 18, 19]
        .into_iter()
        .chain(20..=28)
        .map(|b| format!("b{b}"))
        .collect();
    assert_eq!(attending, expected);
    let map = list.find("b24-attn-map").expect("b24 attends");
    assert_eq!(list.entry(map).expect("the tap is there").shape.dims(), [16, 256, 256]);
}

#[test]
fn ids_are_in_execution_order() {
    let names = |changes| -> Vec<String> {
        let config = with(changes).expect("valid");
        let list = catalogue(&config, Grid::new(32, 64));
        list.entries().iter().map(|entry| entry.id.to_string()).collect()
    };
    let by_resnets = names(json!({"num_res_blocks": 1, "attention_resolutions": "16", "resblock_updown": true}));
    let expected = "unet-in b1 b2-res-increment b2-res-out b2 b3-res-increment b3-res-out b3 \
        b4-res-increment b4-res-out b4-attn-q b4-attn-k b4-attn-v b4-attn-map b4-attn-out b4 \
        b5-res-increment b5-res-out b5-attn-q b5-attn-k b5-attn-v b5-attn-map b5-attn-out b5-res2-increment b5-res2-out b5 \
        b6-res-increment b6-res-out b6-attn-q b6-attn-k b6-attn-v b6-attn-map b6-attn-out b6 \
        b7-res-increment b7-res-out b7-attn-q b7-attn-k b7-attn-v b7-attn-map b7-attn-out b7-res2-increment b7-res2-out b7 \
        b8-res-increment b8-res-out b8 b9-res-increment b9-res-out b9 unet-out";
    assert_eq!(by_resnets, expected.split_whitespace().collect::<Vec<_>>());
    let by_convolutions = names(json!({"num_res_blocks": 1, "attention_resolutions": ""}));
    assert!(
        by_convolutions.iter().all(|id| !id.starts_with("b3-")),
        "{by_convolutions:?}"
    );
    assert!(by_convolutions.contains(&"b3".to_owned()));
    assert!(!by_convolutions.contains(&"b7-res2-out".to_owned()));
}

#[test]
fn recognition_finds_every_architecture_again() {
    for changes in [
        json!({}),
        json!({"resblock_updown": true, "learn_sigma": true}),
        json!({"use_scale_shift_norm": false, "num_res_blocks": 3}),
        json!({"channel_mult": [1, 2, 2, 4], "attention_resolutions": [16, 4], "patch_size": 2}),
        json!({"channel_mult": [2], "attention_resolutions": [32]}),
        json!({"channel_mult": "0.5,1,1", "num_channels": 64, "attention_resolutions": "", "resblock_updown": true}),
    ] {
        let config = with(changes.clone()).expect("valid");
        let found = recognised(&shapes(&config), 16).expect("it is an ADM");
        // The training size, and what nothing in a network of one level depends on, cannot be told.
        let told = AdmConfig {
            image_size: found.image_size,
            resblock_updown: if config.levels.len() > 1 {
                config.resblock_updown
            } else {
                found.resblock_updown
            },
            ..config
        };
        assert_eq!(found, told, "{changes}");
    }
}

#[test]
fn recognition_refuses_what_it_cannot_tell() {
    let mut shapes = shapes(&with(json!({})).expect("valid"));
    let error = recognised(&shapes, 48).expect_err("48 does not divide 32").to_string();
    assert!(error.contains("num_head_channels"), "{error}");
    shapes.insert("label_emb.weight".to_owned(), vec![1000, 128]);
    let error = recognised(&shapes, 16).expect_err("classes").to_string();
    assert!(error.contains("class-conditional"), "{error}");
    shapes.remove("label_emb.weight");
    for (name, shape) in [
        ("time_embed.0.weight", vec![7, 32]),
        ("time_embed.0.weight", vec![7]),
        ("input_blocks.0.0.weight", vec![32, 4, 3, 3]),
        ("input_blocks.0.0.weight", vec![32, 0, 3, 3]),
        ("out.2.weight", vec![5, 32, 3, 3]),
        ("input_blocks.1.0.in_layers.2.weight", vec![1 << 40, 32, 3, 3]),
        ("output_blocks.6.0.in_layers.2.weight", vec![32, 64, 3, 3]),
        ("input_blocks.4.0.in_layers.2.weight", vec![0, 0, 0, 0]),
    ] {
        let mut broken = shapes.clone();
        broken.insert(name.to_owned(), shape);
        assert!(recognised(&broken, 16).is_err(), "{name}");
        broken.remove(name);
        assert!(
            name.contains("output_blocks.6") || recognised(&broken, 16).is_err(),
            "{name}"
        );
    }
    assert!(recognised(&Shapes::new(), 16).is_err());
}

#[test]
fn missing_keys_have_the_defaults_of_guided_diffusion() {
    let config = AdmConfig::from_json(&json!({"image_size": 64})).expect("valid");
    let widths: Vec<(usize, bool)> = config
        .levels
        .iter()
        .map(|level| (level.channels, level.attention))
        .collect();
    assert_eq!(widths, [(128, false), (256, false), (384, true), (512, true)]);
    assert_eq!(config.heads, Heads::Count { down: 4, up: 4 });
    assert!(config.use_scale_shift_norm && !config.resblock_updown && !config.learn_sigma);
    let config = with(json!({"num_head_channels": -1, "num_heads": 2, "num_heads_upsample": 4})).expect("valid");
    assert_eq!(config.heads, Heads::Count { down: 2, up: 4 });
    let half = with(json!({"image_size": 512, "channel_mult": "", "num_channels": 64})).expect("valid");
    assert_eq!(half.levels.first().map(|level| level.channels), Some(32));
    let rescaled = with(json!({"rescale_timesteps": true, "diffusion_steps": 4000})).expect("valid");
    assert_eq!(rescaled.model_timestep(400.0), 100.0);
}

#[test]
fn absurd_configurations_name_the_key() {
    for (key, value) in [
        ("image_size", json!(0)),
        ("image_size", json!(1_000_000_000_000_u64)),
        ("image_size", json!(33)),
        ("image_size", json!("large")),
        ("patch_size", json!(-1)),
        ("patch_size", json!(64)),
        ("num_channels", json!(-32)),
        ("num_channels", json!(1e12)),
        ("num_channels", json!(33)),
        ("num_channels", json!(48)),
        ("num_res_blocks", json!(0)),
        ("num_res_blocks", json!(1000)),
        ("channel_mult", json!("1,x")),
        ("channel_mult", json!("1,,2")),
        ("channel_mult", json!([1, -2])),
        ("channel_mult", json!([1e300])),
        ("channel_mult", json!({"a": 1})),
        ("channel_mult", json!("0.001,1")),
        ("channel_mult", json!(vec![1; 70])),
        ("channel_mult", json!("nan,inf")),
        ("attention_resolutions", json!([0])),
        ("attention_resolutions", json!("sixteen")),
        ("num_head_channels", json!(24)),
        ("num_head_channels", json!(0)),
        ("num_groups", json!(0)),
        ("num_groups", json!(12)),
        ("num_groups", json!(u64::MAX)),
        ("diffusion_steps", json!(0)),
        ("diffusion_steps", json!(1e15)),
        ("noise_schedule", json!("sigmoid")),
        ("noise_schedule", json!(3)),
        ("class_cond", json!(true)),
        ("learn_sigma", json!("yes")),
        ("use_scale_shift_norm", json!(1)),
    ] {
        let error = with(json!({key: value})).expect_err(key).to_string();
        let blamed = error.contains(key)
            || (key == "num_channels" && error.contains("num_groups"))
            || (key == "patch_size" && error.contains("image_size"));
        assert!(blamed, "{key} = {value}: {error}");
    }
    let error = with(json!({"num_head_channels": -1, "num_heads": 5})).expect_err("5 does not divide 32");
    assert!(error.to_string().contains("num_heads"), "{error}");
    for json in [
        json!([]),
        json!(null),
        json!({}),
        json!({"_class_name": "UNet2DConditionModel"}),
    ] {
        assert!(AdmConfig::from_json(&json).is_err(), "{json}");
    }
    assert!(
        AdmConfig::from_json(&json!({"image_size": 32})).is_err(),
        "no default multipliers"
    );
}

#[test]
fn working_sizes_are_multiples_of_the_coarsest_cell() {
    let config = with(json!({"channel_mult": "1,2,2", "patch_size": 2})).expect("valid");
    assert_eq!(config.size_multiple(), 8);
    assert!(config.check_size(Grid::new(8, 40)).is_ok());
    for (height, width) in [(0, 8), (8, 0), (12, 8), (8, 9)] {
        assert!(
            config.check_size(Grid::new(height, width)).is_err(),
            "{height} x {width}"
        );
    }
}

#[test]
fn shorter_schedules_have_larger_steps() {
    let abar = |changes: Value| with(changes).expect("valid").schedule().alphas_cumprod().to_vec();
    let quarter = abar(json!({"diffusion_steps": 250}));
    assert!((quarter[0] - (1.0 - 4e-4)).abs() < 1e-12, "{}", quarter[0]);
    assert!((quarter[249] / quarter[248] - (1.0 - 0.08)).abs() < 1e-12);
    for schedule in ["linear", "cosine"] {
        let one = abar(json!({"noise_schedule": schedule, "diffusion_steps": 1}));
        assert!(one.len() == 1 && one[0] > 0.0, "{schedule}: {one:?}");
    }
}
