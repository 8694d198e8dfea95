//! PixArt's preparation of a prompt before its T5 reads it.

pub use crate::{components::text::t5_tokenizer::prepare_prompt, model::tokens::t5_tokens as prompt_tokens};

/// Which of the two published models a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// PixArt-alpha, also its LCM and DMD.
    Alpha,
    /// PixArt-Sigma.
    Sigma,
}

impl Version {
    /// The version of a `model_index.json`'s `_class_name`; none for that of another model.
    pub fn of_pipeline(class: &str) -> Option<Self> {
        match class {
            "PixArtAlphaPipeline" => Some(Self::Alpha),
            "PixArtSigmaPipeline" | "PixArtSigmaPAGPipeline" => Some(Self::Sigma),
            _ => None,
        }
    }

    /// Tokens of one encoded prompt: what the models were trained on.
    pub fn tokens(self) -> usize {
        match self {
            Self::Alpha => 120,
            Self::Sigma => 300,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_in_lower_case_without_blanks_around() {
        for (prompt, wanted) in [
            ("", ""),
            (" \t\u{1f}A RED Cat\n", "a red cat"),
            ("ÀÉ ẞ İ ΣΑΣ", "àé ß i\u{307} σας"),
        ] {
            assert_eq!(prepare_prompt(prompt), wanted);
        }
    }
}
