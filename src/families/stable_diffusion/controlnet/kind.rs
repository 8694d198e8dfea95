//! Other control networks beside a U-Net: recognised by the names of their tensors, or by the class that their
//! configuration names. None of these is computed by this program, and each is refused by its kind.

use crate::weights::Store;

/// How a tensor is named that only one kind of network has.
enum Mark {
    /// The name begins so, after prefixes of wrappers.
    Begins(&'static str),
    /// The name has this somewhere.
    Has(&'static str),
    /// The whole name.
    Is(&'static str),
}

impl Mark {
    fn fits(&self, name: &str) -> bool {
        /// Prefixes of wrappers before the names of a network.
        const WRAPPERS: [&str; 5] = ["module.", "_orig_mod.", "model.", "adapter.", "controlnet."];
        let mut bare = name;
        while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| bare.strip_prefix(wrapper)) {
            bare = rest;
        }
        match self {
            Self::Begins(mark) => name.starts_with(mark) || bare.starts_with(mark),
            Self::Has(mark) => name.contains(mark),
            Self::Is(mark) => name == *mark || bare == *mark,
        }
    }
}

/// Kinds by their tensors; the first that fits counts.
const BY_TENSORS: &[(&str, &[Mark])] = &[
    ("a Control-LoRA", &[Mark::Is("lora_controlnet")]),
    ("a ControlNet-LLLite", &[Mark::Begins("lllite_"), Mark::Has(".lllite_")]),
    (
        "a ControlNet-XS",
        &[
            Mark::Has("base_to_ctrl."),
            Mark::Has("ctrl_to_base."),
            Mark::Has("control_to_base"),
            Mark::Has("enc_zero_convs_"),
            Mark::Is("scale_list"),
            Mark::Is("control_model.scale_list"),
        ],
    ),
    (
        "a ControlNet-Union",
        &[
            Mark::Has("task_embedding"),
            Mark::Has("control_add_embedding."),
            Mark::Has("control_type_proj"),
        ],
    ),
    (
        "a ControlNet of a diffusion transformer (Flux, Stable Diffusion 3 and the like)",
        &[
            Mark::Has("controlnet_x_embedder."),
            Mark::Has("controlnet_blocks."),
            Mark::Has("single_transformer_blocks."),
            Mark::Has("double_blocks."),
            Mark::Has("joint_blocks."),
            Mark::Has("pos_embed_input."),
        ],
    ),
    (
        "an IP-Adapter (or InstantID's)",
        &[
            Mark::Begins("ip_adapter."),
            Mark::Begins("image_proj."),
            Mark::Begins("image_proj_model."),
            Mark::Has("to_k_ip."),
        ],
    ),
    ("a BrushNet", &[Mark::Has("brushnet_")]),
    (
        "a ControlNet of videos (SparseCtrl)",
        &[Mark::Has("motion_modules."), Mark::Has("temporal_transformer.")],
    ),
    (
        "a T2I-Adapter",
        &[
            Mark::Begins("body."),
            Mark::Begins("unshuffle."),
            Mark::Begins("transformer_layes."),
        ],
    ),
    (
        "a difference between a ControlNet and its base model",
        &[Mark::Is("difference"), Mark::Is("control_model.difference")],
    ),
    (
        "a LoRA (--lora puts it on a model)",
        &[
            Mark::Begins("lora_unet_"),
            Mark::Begins("lora_te_"),
            Mark::Has(".lora_A."),
            Mark::Has(".lora_down."),
            Mark::Has(".lora.down."),
        ],
    ),
];

/// Kinds by the class in `config.json`.
const BY_CLASS: &[(&str, &str)] = &[
    ("T2IAdapter", "a T2I-Adapter"),
    ("MultiAdapter", "a T2I-Adapter"),
    ("ControlNetUnionModel", "a ControlNet-Union"),
    ("ControlNetXSAdapter", "a ControlNet-XS"),
    ("UNetControlNetXSModel", "a ControlNet-XS"),
    ("ControlNetXSModel", "a ControlNet-XS"),
    ("SparseControlNetModel", "a ControlNet of videos (SparseCtrl)"),
    ("BrushNetModel", "a BrushNet"),
    ("FluxControlNetModel", "a ControlNet of Flux"),
    ("SD3ControlNetModel", "a ControlNet of Stable Diffusion 3"),
    ("HunyuanDiT2DControlNetModel", "a ControlNet of Hunyuan-DiT"),
    ("UNet2DConditionModel", "a U-Net (MODEL+FILE runs it)"),
];

/// Kind of control network by a file's tensors, if it is no ControlNet of a Stable Diffusion.
pub(crate) fn other_kind_of_tensors(store: &Store) -> Option<&'static str> {
    let known = |marks: &[Mark]| store.names().any(|name| marks.iter().any(|mark| mark.fits(name)));
    let found = BY_TENSORS.iter().find(|(_, marks)| known(marks));
    found.map(|(kind, _)| *kind)
}

/// The same by the class that a configuration names.
pub(crate) fn other_kind_of_class(class: &str) -> Option<&'static str> {
    let found = BY_CLASS.iter().find(|(known, _)| *known == class);
    found.map(|(_, kind)| *kind)
}
