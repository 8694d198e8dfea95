//! Values of the library that are chosen by name: the library itself knows no command line.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::{
    device::Precision,
    extract::{attention::AttentionCategory, inversion::Inversion, request::StoreFormat, settings::LatentMode},
    model::compat::Compat,
};

/// One of a few values.
pub trait Choice: Copy + Send + Sync + 'static {
    /// Each value with its name and what `--help` says of it.
    const ALL: &'static [(Self, &'static str, &'static str)];
    /// Other words for names, which are read and not listed.
    const OTHER_WORDS: &'static [(&'static str, &'static str)] = &[];
}

/// Reads a value by its name; help and errors list the names.
pub fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    let names = T::ALL.iter().map(|(_, name, help)| {
        let words = T::OTHER_WORDS.iter().filter(move |(_, named)| named == name);
        PossibleValue::new(*name)
            .help(*help)
            .aliases(words.map(|(word, _)| *word))
    });
    PossibleValuesParser::new(names).try_map(|given| {
        let word = T::OTHER_WORDS.iter().find(|(word, _)| *word == given);
        let given = word.map_or(given.as_str(), |(_, named)| named);
        let found = T::ALL.iter().find(|(_, name, _)| *name == given);
        found.map(|(value, ..)| *value).ok_or("it is none of the names")
    })
}

/// Formats as PyTorch, NumPy and diffusers call them.
const WORDS_OF_FORMATS: &[(&str, &str)] = &[
    ("fp32", "f32"),
    ("float32", "f32"),
    ("fp16", "f16"),
    ("float16", "f16"),
    ("half", "f16"),
    ("bfloat16", "bf16"),
];

impl Choice for Precision {
    const OTHER_WORDS: &'static [(&'static str, &'static str)] = WORDS_OF_FORMATS;
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::F32, "f32", "32 bits"),
        (Self::F16, "f16", "16 bits, IEEE half"),
        (Self::Bf16, "bf16", "16 bits with the exponent of f32"),
    ];
}

impl Choice for StoreFormat {
    const OTHER_WORDS: &'static [(&'static str, &'static str)] = WORDS_OF_FORMATS;
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::F32, "f32", "32 bits"),
        (Self::F16, "f16", "16 bits: half the size, about three digits"),
    ];
}

impl Choice for LatentMode {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Mean, "mean", "The posterior's mean: the same map every time"),
        (
            Self::Sample,
            "sample",
            "Mean + standard deviation · noise, as the papers do",
        ),
    ];
}

impl Choice for Inversion {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::None, "none", "The picture mixed with random noise"),
        (
            Self::Ddim,
            "ddim",
            "The picture carried to t by the model's own predictions; no random noise is used",
        ),
    ];
}

impl Choice for Compat {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[(
        Self::Gdf,
        "gdf",
        "generic-diffusion-feature: t goes through its 1000-step schedulers, pictures become squares, long prompts are cut \
         where the ids fall, DDIM inversion is as published",
    )];
}

impl Choice for AttentionCategory {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::DownSelf, "down_self", "Self-attention of the down stage"),
        (Self::DownCross, "down_cross", "Attention to the text of the down stage"),
        (Self::MidSelf, "mid_self", "Self-attention of the middle"),
        (Self::MidCross, "mid_cross", "Attention to the text of the middle"),
        (Self::UpSelf, "up_self", "Self-attention of the up stage"),
        (Self::UpCross, "up_cross", "Attention to the text of the up stage"),
    ];
}
