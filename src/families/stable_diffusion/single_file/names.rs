//! How a U-Net's tensors are called: as its authors call them, or as diffusers does.

/// The two ways to call the tensors of one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Those of the authors: blocks are numbered through.
    Authors,
    /// Those of diffusers: levels, and repeats in them.
    Diffusers,
}

impl Naming {
    /// The first convolution and the last.
    pub(super) fn ends(self) -> (&'static str, &'static str) {
        match self {
            Self::Authors => ("input_blocks.0.0", "out.2"),
            Self::Diffusers => ("conv_in", "conv_out"),
        }
    }

    /// The first resnet of the way down.
    pub(super) fn first_resnet(self) -> &'static str {
        match self {
            Self::Authors => "input_blocks.1.0",
            Self::Diffusers => "down_blocks.0.resnets.0",
        }
    }

    /// The way down and the way up.
    pub(super) fn stages(self) -> (&'static str, &'static str) {
        match self {
            Self::Authors => ("input_blocks", "output_blocks"),
            Self::Diffusers => ("down_blocks", "up_blocks"),
        }
    }

    /// The resnets of the middle and its transformer.
    pub(super) fn middle(self) -> ([&'static str; 2], &'static str) {
        match self {
            Self::Authors => (["middle_block.0", "middle_block.2"], "middle_block.1"),
            Self::Diffusers => (["mid_block.resnets.0", "mid_block.resnets.1"], "mid_block.attentions.0"),
        }
    }

    /// Embedding of a pooled text and sizes.
    pub(super) fn text_time(self) -> &'static str {
        match self {
            Self::Authors => "label_emb.0.0",
            Self::Diffusers => "add_embedding.linear_1",
        }
    }

    /// Embedding of a guidance scale.
    pub(super) fn guidance(self) -> &'static str {
        match self {
            Self::Authors => "time_embed.cond_proj",
            Self::Diffusers => "time_embedding.cond_proj",
        }
    }

    /// The weights of the first convolution of a resnet, which has as many rows as the level has channels.
    pub(super) fn resnet_conv(self, resnet: &str) -> String {
        match self {
            Self::Authors => format!("{resnet}.in_layers.2.weight"),
            Self::Diffusers => format!("{resnet}.conv1.weight"),
        }
    }
}
