//! The image encoders with short names.

use crate::{
    components::schedule::Timestep,
    model::family::{KnownCheckpoint, KnownFiles},
};

/// An encoder on the hub; `config` holds what is no default of transformers.
const fn on_the_hub(
    key: &'static str,
    title: &'static str,
    source: &'static str,
    side: usize,
    config: &'static str,
) -> KnownCheckpoint {
    KnownCheckpoint {
        key,
        title,
        source,
        side,
        default_t: Timestep::of(0),
        files: KnownFiles::Hub,
        config: Some(config),
    }
}

/// The checkpoints, kind by kind.
pub(super) const KNOWN: &[KnownCheckpoint] = &[
    on_the_hub(
        "dinov2-small",
        "DINOv2 ViT-S/14",
        "facebook/dinov2-small",
        518,
        r#"{"model_type": "dinov2", "hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "image_size": 518}"#,
    ),
    on_the_hub(
        "dinov2-base",
        "DINOv2 ViT-B/14",
        "facebook/dinov2-base",
        518,
        r#"{"model_type": "dinov2", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 518}"#,
    ),
    on_the_hub(
        "dinov2-large",
        "DINOv2 ViT-L/14",
        "facebook/dinov2-large",
        518,
        r#"{"model_type": "dinov2", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 518}"#,
    ),
    on_the_hub(
        "dinov2-giant",
        "DINOv2 ViT-g/14",
        "facebook/dinov2-giant",
        518,
        r#"{"model_type": "dinov2", "hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24, "image_size": 518, "use_swiglu_ffn": true}"#,
    ),
    on_the_hub(
        "dinov2-small-reg",
        "DINOv2 ViT-S/14 with registers",
        "facebook/dinov2-with-registers-small",
        518,
        r#"{"model_type": "dinov2_with_registers", "hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "image_size": 518, "patch_size": 14}"#,
    ),
    on_the_hub(
        "dinov2-base-reg",
        "DINOv2 ViT-B/14 with registers",
        "facebook/dinov2-with-registers-base",
        518,
        r#"{"model_type": "dinov2_with_registers", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 518, "patch_size": 14}"#,
    ),
    on_the_hub(
        "dinov2-large-reg",
        "DINOv2 ViT-L/14 with registers",
        "facebook/dinov2-with-registers-large",
        518,
        r#"{"model_type": "dinov2_with_registers", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 518, "patch_size": 14}"#,
    ),
    on_the_hub(
        "dinov2-giant-reg",
        "DINOv2 ViT-g/14 with registers",
        "facebook/dinov2-with-registers-giant",
        518,
        r#"{"model_type": "dinov2_with_registers", "hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24, "image_size": 518, "patch_size": 14, "use_swiglu_ffn": true}"#,
    ),
    on_the_hub(
        "dinov3-small",
        "DINOv3 ViT-S/16",
        "facebook/dinov3-vits16-pretrain-lvd1689m",
        224,
        r#"{"model_type": "dinov3_vit", "hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536, "num_register_tokens": 4}"#,
    ),
    on_the_hub(
        "dinov3-base",
        "DINOv3 ViT-B/16",
        "facebook/dinov3-vitb16-pretrain-lvd1689m",
        224,
        r#"{"model_type": "dinov3_vit", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "num_register_tokens": 4}"#,
    ),
    on_the_hub(
        "dinov3-large",
        "DINOv3 ViT-L/16",
        "facebook/dinov3-vitl16-pretrain-lvd1689m",
        224,
        r#"{"model_type": "dinov3_vit", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "num_register_tokens": 4}"#,
    ),
    on_the_hub(
        "dinov3-huge-plus",
        "DINOv3 ViT-H+/16",
        "facebook/dinov3-vith16plus-pretrain-lvd1689m",
        224,
        r#"{"model_type": "dinov3_vit", "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 20, "intermediate_size": 5120, "num_register_tokens": 4, "use_gated_mlp": true, "hidden_act": "silu"}"#,
    ),
    on_the_hub(
        "dinov3-7b",
        "DINOv3 ViT-7B/16",
        "facebook/dinov3-vit7b16-pretrain-lvd1689m",
        224,
        r#"{"model_type": "dinov3_vit", "hidden_size": 4096, "num_hidden_layers": 40, "num_attention_heads": 32, "intermediate_size": 8192, "num_register_tokens": 4, "use_gated_mlp": true, "hidden_act": "silu"}"#,
    ),
    on_the_hub(
        "mae-base",
        "MAE ViT-B/16",
        "facebook/vit-mae-base",
        224,
        r#"{"model_type": "vit_mae", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "patch_size": 16}"#,
    ),
    on_the_hub(
        "mae-large",
        "MAE ViT-L/16",
        "facebook/vit-mae-large",
        224,
        r#"{"model_type": "vit_mae", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "patch_size": 16}"#,
    ),
    on_the_hub(
        "mae-huge",
        "MAE ViT-H/14",
        "facebook/vit-mae-huge",
        224,
        r#"{"model_type": "vit_mae", "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "intermediate_size": 5120, "patch_size": 14}"#,
    ),
    on_the_hub(
        "clip-base-16",
        "CLIP ViT-B/16, the vision tower",
        "openai/clip-vit-base-patch16",
        224,
        r#"{"model_type": "clip_vision_model", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "patch_size": 16, "image_size": 224}"#,
    ),
    on_the_hub(
        "clip-large-14",
        "CLIP ViT-L/14, the vision tower",
        "openai/clip-vit-large-patch14",
        224,
        r#"{"model_type": "clip_vision_model", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "patch_size": 14, "image_size": 224}"#,
    ),
    on_the_hub(
        "clip-large-14-336",
        "CLIP ViT-L/14 for 336 pixels, the vision tower",
        "openai/clip-vit-large-patch14-336",
        336,
        r#"{"model_type": "clip_vision_model", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "patch_size": 14, "image_size": 336}"#,
    ),
    on_the_hub(
        "siglip-base",
        "SigLIP B/16, the vision tower",
        "google/siglip-base-patch16-224",
        224,
        r#"{"model_type": "siglip_vision_model"}"#,
    ),
    on_the_hub(
        "siglip-so400m",
        "SigLIP so400m/14, the vision tower",
        "google/siglip-so400m-patch14-384",
        378,
        r#"{"model_type": "siglip_vision_model", "hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 4304, "patch_size": 14, "image_size": 384}"#,
    ),
];
