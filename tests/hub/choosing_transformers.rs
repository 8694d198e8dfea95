//! Which files are taken of the repositories of transformers and of pixels, over listings as the hub has them.

use featscope::weights::hub::Variant;

use super::choosing::{chosen, heavy};

/// What lies beside the networks of Flux.1: everything in one file again, an autoencoder of its authors, pictures.
#[test]
fn of_flux_without_the_files_of_its_authors() {
    let shard = |folder: &str, stem: &str, number: usize, of: usize| {
        format!("{folder}/{stem}-{number:05}-of-{of:05}.safetensors")
    };
    let mut files: Vec<String> = [
        "README.md",
        "LICENSE.md",
        "ae.safetensors",
        "dev_grid.jpg",
        "flux1-dev.safetensors",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "text_encoder_2/config.json",
        "text_encoder_2/model.safetensors.index.json",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "tokenizer_2/special_tokens_map.json",
        "tokenizer_2/spiece.model",
        "tokenizer_2/tokenizer.json",
        "tokenizer_2/tokenizer_config.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    .map(str::to_owned)
    .to_vec();
    files.extend((1..=2).map(|number| shard("text_encoder_2", "model", number, 2)));
    files.extend((1..=3).map(|number| shard("transformer", "diffusion_pytorch_model", number, 3)));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let choice = chosen(&files, Variant::Full);
    let mut left: Vec<&str> = files.clone();
    left.retain(|file| !choice.files.iter().any(|taken| taken == file));
    left.sort_unstable();
    assert_eq!(
        left,
        [
            "LICENSE.md",
            "README.md",
            "ae.safetensors",
            "dev_grid.jpg",
            "flux1-dev.safetensors"
        ]
    );
}

/// Three text encoders, of which the last is in shards; every network again in half precision.
#[test]
fn of_stable_diffusion_3_with_its_three_text_encoders() {
    let files = [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "sd3_medium.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors",
        "text_encoder/model.safetensors",
        "text_encoder_2/config.json",
        "text_encoder_2/model.fp16.safetensors",
        "text_encoder_2/model.safetensors",
        "text_encoder_3/config.json",
        "text_encoder_3/model-00001-of-00002.safetensors",
        "text_encoder_3/model-00002-of-00002.safetensors",
        "text_encoder_3/model.fp16-00001-of-00002.safetensors",
        "text_encoder_3/model.fp16-00002-of-00002.safetensors",
        "text_encoder_3/model.safetensors.index.fp16.json",
        "text_encoder_3/model.safetensors.index.json",
        "text_encoders/t5xxl_fp8_e4m3fn.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
        "tokenizer_2/merges.txt",
        "tokenizer_2/vocab.json",
        "tokenizer_3/spiece.model",
        "tokenizer_3/tokenizer.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ];
    assert_eq!(
        heavy(&chosen(&files, Variant::Full)),
        [
            "text_encoder/model.safetensors",
            "text_encoder_2/model.safetensors",
            "text_encoder_3/model-00001-of-00002.safetensors",
            "text_encoder_3/model-00002-of-00002.safetensors",
            "transformer/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
        ]
    );
    let half = chosen(&files, Variant::Fp16);
    assert!(heavy(&half).contains(&"text_encoder_3/model.fp16-00001-of-00002.safetensors"));
    assert!(!heavy(&half).contains(&"text_encoder_3/model-00001-of-00002.safetensors"));
}

/// No watermark and no filter of the first stage; weights of PyTorch are not taken beside safetensors.
#[test]
fn of_deepfloyd_without_filter_and_watermark() {
    let files = [
        "model_index.json",
        "feature_extractor/preprocessor_config.json",
        "safety_checker/config.json",
        "safety_checker/model.safetensors",
        "safety_checker/pytorch_model.bin",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model-00001-of-00002.safetensors",
        "text_encoder/model-00002-of-00002.safetensors",
        "text_encoder/model.safetensors.index.json",
        "text_encoder/pytorch_model-00001-of-00002.bin",
        "text_encoder/pytorch_model-00002-of-00002.bin",
        "text_encoder/pytorch_model.bin.index.json",
        "tokenizer/special_tokens_map.json",
        "tokenizer/spiece.model",
        "tokenizer/tokenizer_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
        "watermarker/config.json",
        "watermarker/diffusion_pytorch_model.safetensors",
    ];
    assert_eq!(
        heavy(&chosen(&files, Variant::Full)),
        [
            "text_encoder/model-00001-of-00002.safetensors",
            "text_encoder/model-00002-of-00002.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
        ]
    );
}

/// BERT and mT5 with their vocabularies; a class-conditional model has neither.
#[test]
fn of_hunyuan_and_of_dit() {
    let hunyuan = [
        "model_index.json",
        "feature_extractor/preprocessor_config.json",
        "safety_checker/model.safetensors",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "text_encoder_2/config.json",
        "text_encoder_2/model-00001-of-00002.safetensors",
        "text_encoder_2/model-00002-of-00002.safetensors",
        "text_encoder_2/model.safetensors.index.json",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.txt",
        "tokenizer_2/spiece.model",
        "tokenizer_2/tokenizer_config.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ];
    let choice = chosen(&hunyuan, Variant::Full);
    for needed in [
        "tokenizer/vocab.txt",
        "tokenizer_2/spiece.model",
        "text_encoder_2/model-00002-of-00002.safetensors",
    ] {
        assert!(choice.files.iter().any(|file| file == needed), "{needed}");
    }
    assert!(!choice.files.iter().any(|file| file.starts_with("safety_checker/")));
    let dit = [
        "README.md",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.bin",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.bin",
        "vae/diffusion_pytorch_model.safetensors",
    ];
    assert_eq!(
        heavy(&chosen(&dit, Variant::Full)),
        [
            "transformer/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.safetensors"
        ]
    );
}
