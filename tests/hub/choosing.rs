//! Which files are taken, over listings as the hub has them.

use featscope::weights::hub::{Choice, RepoPart, Variant, choose};
use proptest::prelude::*;

const SD15: &[&str] = &[
    ".gitattributes",
    "README.md",
    "feature_extractor/preprocessor_config.json",
    "model_index.json",
    "safety_checker/config.json",
    "safety_checker/model.fp16.safetensors",
    "safety_checker/model.safetensors",
    "safety_checker/pytorch_model.bin",
    "safety_checker/pytorch_model.fp16.bin",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder/pytorch_model.bin",
    "text_encoder/pytorch_model.fp16.bin",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.bin",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "v1-5-pruned-emaonly.ckpt",
    "v1-5-pruned-emaonly.safetensors",
    "v1-5-pruned.ckpt",
    "v1-5-pruned.safetensors",
    "v1-inference.yaml",
    "vae/config.json",
    "vae/diffusion_pytorch_model.bin",
    "vae/diffusion_pytorch_model.fp16.bin",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
];

/// Of 2.1, with text encoders and autoencoders that lack the variant.
const SD21: &[&str] = &[
    ".gitattributes",
    "README.md",
    "feature_extractor/preprocessor_config.json",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "text_encoder/pytorch_model.bin",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "v2-1_768-ema-pruned.ckpt",
    "v2-1_768-ema-pruned.safetensors",
    "v2-1_768-nonema-pruned.ckpt",
    "v2-1_768-nonema-pruned.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.bin",
    "vae/diffusion_pytorch_model.safetensors",
];

const SDXL: &[&str] = &[
    "01.png",
    "LICENSE.md",
    "README.md",
    "comparison.png",
    "model_index.json",
    "pipeline.png",
    "scheduler/scheduler_config.json",
    "sd_xl_base_1.0.safetensors",
    "sd_xl_base_1.0_0.9vae.safetensors",
    "sd_xl_offset_example-lora_1.0.safetensors",
    "text_encoder/config.json",
    "text_encoder/flax_model.msgpack",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/model.onnx",
    "text_encoder/model.safetensors",
    "text_encoder/openvino_model.bin",
    "text_encoder/openvino_model.xml",
    "text_encoder_2/config.json",
    "text_encoder_2/flax_model.msgpack",
    "text_encoder_2/model.fp16.safetensors",
    "text_encoder_2/model.onnx",
    "text_encoder_2/model.onnx_data",
    "text_encoder_2/model.safetensors",
    "text_encoder_2/openvino_model.bin",
    "text_encoder_2/openvino_model.xml",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "tokenizer_2/merges.txt",
    "tokenizer_2/special_tokens_map.json",
    "tokenizer_2/tokenizer_config.json",
    "tokenizer_2/vocab.json",
    "unet/config.json",
    "unet/diffusion_flax_model.msgpack",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/model.onnx",
    "unet/model.onnx_data",
    "unet/openvino_model.bin",
    "unet/openvino_model.xml",
    "vae/config.json",
    "vae/diffusion_flax_model.msgpack",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "vae_1_0/config.json",
    "vae_1_0/diffusion_pytorch_model.fp16.safetensors",
    "vae_1_0/diffusion_pytorch_model.safetensors",
    "vae_decoder/config.json",
    "vae_decoder/model.onnx",
    "vae_decoder/openvino_model.bin",
    "vae_decoder/openvino_model.xml",
    "vae_encoder/config.json",
    "vae_encoder/model.onnx",
    "vae_encoder/openvino_model.bin",
    "vae_encoder/openvino_model.xml",
];

/// Playground's second: the largest networks in shards too.
const PLAYGROUND: &[&str] = &[
    "README.md",
    "model_index.json",
    "playground-v2.fp16.safetensors",
    "playground-v2.safetensors",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder_2/config.json",
    "text_encoder_2/model.fp16.safetensors",
    "text_encoder_2/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "tokenizer_2/merges.txt",
    "tokenizer_2/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.safetensors.index.json",
    "vae/config.json",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
];

const CONTROLNET: &[&str] = &[
    ".gitattributes",
    "README.md",
    "config.json",
    "control_v11p_sd15_canny.pth",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.fp16.bin",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.safetensors",
    "images/control.png",
    "sd.png",
];

const CLEANDIFT: &[&str] = &[
    "README.md",
    "cleandift_sd15_unet.safetensors",
    "cleandift_sd21_unet.safetensors",
];

pub fn chosen(files: &[&str], variant: Variant) -> Choice {
    choose(files.iter().copied(), &RepoPart::Model(variant)).expect("a choice")
}

fn weights(choice: &Choice) -> Vec<(&str, &str, bool)> {
    let weights = choice.weights.iter();
    weights
        .map(|weights| (weights.folder.as_str(), weights.mark.as_str(), weights.safetensors))
        .collect()
}

pub fn heavy(choice: &Choice) -> Vec<&str> {
    let files = choice.files.iter().map(String::as_str);
    files
        .filter(|file| file.ends_with(".safetensors") || file.ends_with(".bin"))
        .collect()
}

#[test]
fn of_stable_diffusion_1_5() {
    assert_eq!(
        chosen(SD15, Variant::Full).files,
        [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "tokenizer/merges.txt",
            "tokenizer/special_tokens_map.json",
            "tokenizer/tokenizer_config.json",
            "tokenizer/vocab.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
        ]
    );
    assert_eq!(
        heavy(&chosen(SD15, Variant::Fp16)),
        [
            "text_encoder/model.fp16.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "vae/diffusion_pytorch_model.fp16.safetensors",
        ]
    );
}

#[test]
fn a_network_without_the_variant_is_taken_as_it_is() {
    assert_eq!(
        weights(&chosen(SD21, Variant::Fp16)),
        [("text_encoder", "", true), ("unet", "fp16", true), ("vae", "", true)]
    );
    let only_half: Vec<&str> = SD15
        .iter()
        .copied()
        .filter(|file| file.contains("fp16") || !(file.ends_with(".bin") || file.ends_with(".safetensors")))
        .collect();
    assert_eq!(
        weights(&chosen(&only_half, Variant::Full)),
        [
            ("text_encoder", "fp16", true),
            ("unet", "fp16", true),
            ("vae", "fp16", true)
        ]
    );
}

#[test]
fn of_stable_diffusion_xl_with_its_many_formats() {
    let choice = chosen(SDXL, Variant::Full);
    assert_eq!(
        heavy(&choice),
        [
            "text_encoder/model.safetensors",
            "text_encoder_2/model.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
        ]
    );
    assert_eq!(choice.files.len(), 1 + 1 + 2 + 2 + 4 + 4 + 2 + 2);
    for file in &choice.files {
        let folder = file.split_once('/').map_or("", |(folder, _)| folder);
        assert!(!["vae_1_0", "vae_encoder", "vae_decoder"].contains(&folder), "{file}");
    }
}

#[test]
fn shards_come_with_their_index_and_all_together() {
    let unet = |variant| -> Vec<String> {
        let mut files = chosen(PLAYGROUND, variant).files;
        files.retain(|file| file.starts_with("unet/"));
        files
    };
    assert_eq!(
        unet(Variant::Full),
        [
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors.index.json",
            "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
            "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
        ]
    );
    assert_eq!(
        unet(Variant::Fp16),
        ["unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"]
    );

    // With a shard or the index missing, the set is none.
    for missing in ["-00001-of-00002", "-00002-of-00002", "index.json"] {
        let files: Vec<&str> = PLAYGROUND
            .iter()
            .copied()
            .filter(|file| !file.contains(missing))
            .collect();
        let choice = chosen(&files, Variant::Full);
        assert!(
            weights(&choice).contains(&("unet", "fp16", true)),
            "{missing}: {choice:?}"
        );
    }
}

#[test]
fn pytorchs_format_is_taken_where_there_is_no_other_of_the_variant() {
    let files: Vec<&str> = SD15
        .iter()
        .copied()
        .filter(|file| !file.ends_with(".safetensors"))
        .collect();
    let choice = chosen(&files, Variant::Full);
    assert_eq!(
        heavy(&choice),
        [
            "text_encoder/pytorch_model.bin",
            "unet/diffusion_pytorch_model.bin",
            "vae/diffusion_pytorch_model.bin"
        ]
    );
    let choice = chosen(&files, Variant::Fp16);
    assert_eq!(
        weights(&choice),
        [
            ("text_encoder", "fp16", false),
            ("unet", "fp16", false),
            ("vae", "fp16", false)
        ]
    );
}

/// SD15 with other weights of the U-Net.
fn with_unet<'a>(weights: &[&'a str]) -> Vec<&'a str> {
    let others = SD15.iter().copied().filter(|file| !file.starts_with("unet/diffusion"));
    others.chain(weights.iter().copied()).collect()
}

#[test]
fn every_variant_is_taken_where_nothing_plainer_is_there() {
    const SETS: [(&str, &[&str]); 6] = [
        ("", &["unet/diffusion_pytorch_model.bin"]),
        ("fp32", &["unet/diffusion_pytorch_model.fp32.safetensors"]),
        (
            "fp16",
            &[
                "unet/diffusion_pytorch_model.bin.index.fp16.json",
                "unet/diffusion_pytorch_model.fp16-00001-of-00002.bin",
                "unet/diffusion_pytorch_model.fp16-00002-of-00002.bin",
            ],
        ),
        ("bf16", &["unet/diffusion_pytorch_model.bf16.safetensors"]),
        ("ema", &["unet/diffusion_pytorch_model.ema.bin"]),
        ("non_ema", &["unet/diffusion_pytorch_model.non_ema.safetensors"]),
    ];
    for first in 0..SETS.len() {
        let files: Vec<&str> = SETS[first..]
            .iter()
            .flat_map(|(_, files)| files.iter().copied())
            .collect();
        let choice = chosen(&with_unet(&files), Variant::Full);
        let unet: Vec<&str> = choice
            .files
            .iter()
            .map(String::as_str)
            .filter(|file| file.starts_with("unet/diffusion"))
            .collect();
        assert_eq!(unet, SETS[first].1);
        let weights = choice.weights.iter().find(|weights| weights.folder == "unet");
        assert_eq!(weights.map(|weights| weights.mark.as_str()), Some(SETS[first].0));
    }
}

#[test]
fn other_weights_are_never_taken_for_the_networks_own() {
    let files = with_unet(&["unet/diffusion_pytorch_model.int8.safetensors"]);
    let error = choose(files, &RepoPart::Model(Variant::Full))
        .expect_err("it is refused")
        .to_string();
    assert!(
        error.contains("unet has no weights") && error.contains("int8"),
        "{error}"
    );
}

#[test]
fn of_a_controlnet() {
    let files = |variant| chosen(CONTROLNET, variant).files;
    assert_eq!(
        files(Variant::Full),
        ["config.json", "diffusion_pytorch_model.safetensors"]
    );
    assert_eq!(
        files(Variant::Fp16),
        ["config.json", "diffusion_pytorch_model.fp16.safetensors"]
    );
}

/// Beside the weights: what they are of, and how pixels become their numbers. Old repositories have no safetensors.
#[test]
fn of_an_image_encoder() {
    let files = |files: &'static [&'static str]| {
        let choice = choose(files.iter().copied(), &RepoPart::Model(Variant::Full));
        choice.expect("it is whole").files
    };
    assert_eq!(
        files(&[
            "README.md",
            "config.json",
            "model.safetensors",
            "preprocessor_config.json",
            "pytorch_model.bin"
        ]),
        ["preprocessor_config.json", "config.json", "model.safetensors"]
    );
    assert_eq!(
        files(&[
            "config.json",
            "preprocessor_config.json",
            "pytorch_model.bin",
            "tf_model.h5"
        ]),
        ["preprocessor_config.json", "config.json", "pytorch_model.bin"]
    );
}

#[test]
fn one_file_alone() {
    let wanted = RepoPart::File("cleandift_sd21_unet.safetensors".to_owned());
    let choice = choose(CLEANDIFT.iter().copied(), &wanted).expect("it is there");
    assert_eq!(choice.files, ["cleandift_sd21_unet.safetensors"]);

    let wanted = RepoPart::File("cleandift_sdxl_unet.safetensors".to_owned());
    let error = choose(CLEANDIFT.iter().copied(), &wanted)
        .expect_err("it is refused")
        .to_string();
    assert!(
        error.contains("no file \"cleandift_sdxl_unet.safetensors\"")
            && error.contains("cleandift_sd15_unet.safetensors, cleandift_sd21_unet.safetensors"),
        "{error}"
    );
}

#[test]
fn what_is_no_model_says_so() {
    for (files, said) in [
        (CLEANDIFT, "is no model this program knows"),
        (&[], "it has no files"),
        (&["config.json", "tokenizer.json"], "is no model this program knows"),
        (&["unet/config.json"], "unet has no weights"),
        (
            &["unet/config.json", "unet/diffusion_pytorch_model.bin", "vae/x.bin"],
            "vae has no config.json",
        ),
    ] as [(&[&str], &str); 5]
    {
        let error = choose(files.iter().copied(), &RepoPart::Model(Variant::Full))
            .expect_err("it is refused")
            .to_string();
        assert!(error.contains(said), "{error}");
    }
}

fn some_of(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(any::<bool>(), all.len()).prop_map(move |kept| {
        all.iter()
            .zip(kept)
            .filter(|(_, kept)| *kept)
            .map(|(file, _)| *file)
            .collect()
    })
}

fn any_listing() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![some_of(SD15), some_of(SDXL), some_of(PLAYGROUND), some_of(CONTROLNET)]
}

proptest! {
    #[test]
    fn a_choice_is_of_what_is_there_with_one_set_of_weights_for_each_network(files in any_listing(), fp16: bool) {
        let variant = if fp16 { Variant::Fp16 } else { Variant::Full };
        let Ok(choice) = choose(files.iter().copied(), &RepoPart::Model(variant)) else { return Ok(()) };
        let mut seen = std::collections::BTreeSet::new();
        for file in &choice.files {
            prop_assert!(files.contains(&file.as_str()), "{file} is not there");
            prop_assert!(seen.insert(file), "{file} twice");
        }
        for weights in &choice.weights {
            let own = heavy(&choice).into_iter().filter(|file| {
                file.rsplit_once('/').map_or("", |(folder, _)| folder) == weights.folder
            });
            let own: Vec<&str> = own.collect();
            prop_assert!(!own.is_empty());
            for file in &own {
                prop_assert_eq!(file.contains("fp16"), weights.mark == "fp16", "{}", file);
                prop_assert_eq!(file.ends_with(".safetensors"), weights.safetensors, "{}", file);
                prop_assert!(own.len() == 1 || file.contains("-of-"), "{own:?}");
            }
        }
    }

    #[test]
    fn no_name_makes_it_fail_badly(mut files in proptest::collection::vec(".{0,40}", 0..12), fp16: bool) {
        files.push("unet/config.json".to_owned());
        let variant = if fp16 { Variant::Fp16 } else { Variant::Full };
        if let Ok(choice) = choose(files.iter().map(String::as_str), &RepoPart::Model(variant)) {
            prop_assert!(choice.files.iter().all(|file| files.contains(file)));
        }
    }
}
