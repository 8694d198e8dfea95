//! The name of one activation: parsed, printed and ordered.
//!
//! The names are those of the reference implementation of *Not All Diffusion Model Activations Have Been Evaluated as
//! Discriminative Features*, so that existing layer lists work unchanged. ADM blocks are numbered `b1`, `b2`, … as in
//! *Do text-free diffusion models learn discriminative visual representations?*

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;

/// Where in the network an activation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The network's own input or output (`unet-…`).
    Network,
    /// A level of the down stage; samplers have no repeat.
    Down {
        /// Level, 0 on the widest grid.
        level: u16,
        /// Repeat inside the level.
        repeat: Option<u16>,
    },
    /// The middle; only its resnets have a repeat.
    Mid {
        /// Which of its resnets.
        repeat: Option<u16>,
    },
    /// A level of the up stage, level 0 the deepest; samplers have no repeat.
    Up {
        /// Level, 0 the deepest.
        level: u16,
        /// Repeat inside the level.
        repeat: Option<u16>,
    },
    /// A plain stack of transformer blocks (PixArt, HunyuanDiT, Flux).
    Stack,
    /// A block of ADM, counted from 1 over input blocks, middle and output blocks.
    Block(u16),
    /// The autoencoder's decoder, after the network (`vae-out`).
    Decoder,
}

/// Which tensor at its place an activation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leaf {
    /// What enters the first convolution.
    In,
    /// Output of the first convolution.
    AfterConvIn,
    /// Output of the network, or of an ADM block.
    Out,
    /// Residual branch of a resnet, before the shortcut is added.
    ResIncrement,
    /// Shortcut plus increment.
    ResOut,
    /// Residual branch of the second resnet of an ADM block.
    Res2Increment,
    /// Shortcut plus increment of the second resnet of an ADM block.
    Res2Out,
    /// Output of a whole transformer, its input added.
    VitOut,
    /// A tensor inside a transformer block.
    Vit {
        /// Which block of its transformer.
        block: u16,
        /// Which tensor in it.
        part: VitPart,
    },
    /// A tensor of an ADM attention block.
    Attn(AttnPart),
    /// Residual branch of a resnet that samples down (DeepFloyd IF).
    DownsamplerIncrement,
    /// Output of a downsampler.
    DownsamplerOut,
    /// Residual branch of a resnet that samples up (DeepFloyd IF).
    UpsamplerIncrement,
    /// Output of an upsampler, on the next level's grid.
    UpsamplerOut,
}

macro_rules! named_parts {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every part, in the order of the vocabulary.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The part's name inside an id.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|part| part.name() == text)
            }
        }
    };
}

named_parts! {
    /// A tensor inside one transformer block.
    VitPart {
        /// Query of the self-attention, before the head split and any scaling.
        SelfQ = "self-q",
        /// Key of the self-attention.
        SelfK = "self-k",
        /// Value of the self-attention.
        SelfV = "self-v",
        /// Softmax of the self-attention, every head.
        SelfMap = "self-map",
        /// Query of the cross-attention.
        CrossQ = "cross-q",
        /// Softmax of the cross-attention over the text tokens, every head.
        CrossMap = "cross-map",
        /// Activation inside the feed-forward, after its nonlinearity.
        FfnInner = "ffn-inner",
        /// Output of the block.
        Out = "out",
        /// Query of a joint attention (Flux).
        Q = "q",
        /// Key of a joint attention (Flux).
        K = "k",
        /// Value of a joint attention (Flux).
        V = "v",
        /// Output of a joint attention (Flux).
        AttnOut = "attn-out",
        /// Modulated norm before the feed-forward (Flux).
        NormOut = "norm-out",
    }
}

named_parts! {
    /// A tensor of an ADM attention block.
    AttnPart {
        /// Query, head split undone, before scaling.
        Q = "q",
        /// Key.
        K = "k",
        /// Value.
        V = "v",
        /// Softmax, every head.
        Map = "map",
        /// After `proj_out`, before the input is added.
        Out = "out",
    }
}

/// The name of one activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// Where.
    pub place: Place,
    /// Which tensor there.
    pub leaf: Leaf,
}

impl Id {
    /// The decoded picture of one step: not an activation of the denoiser, so no list of its activations has it.
    pub const VAE_OUT: Self = Self::new(Place::Decoder, Leaf::Out);

    /// An id from its two halves.
    pub const fn new(place: Place, leaf: Leaf) -> Self {
        Self { place, leaf }
    }

    /// Whether this is an attention map (B, heads, queries, keys) and not a feature map.
    pub fn is_map(self) -> bool {
        matches!(
            self.leaf,
            Leaf::Attn(AttnPart::Map)
                | Leaf::Vit {
                    part: VitPart::SelfMap | VitPart::CrossMap,
                    ..
                }
        )
    }

    /// Whether this is an attention map to text (B, heads, positions, tokens).
    pub fn is_cross_map(self) -> bool {
        matches!(
            self.leaf,
            Leaf::Vit {
                part: VitPart::CrossMap,
                ..
            }
        )
    }

    /// The queries that an attention map to text is made of: its positions are theirs.
    pub fn cross_queries(self) -> Option<Self> {
        match self.leaf {
            Leaf::Vit {
                block,
                part: VitPart::CrossMap,
            } => {
                let part = VitPart::CrossQ;
                Some(Self::new(self.place, Leaf::Vit { block, part }))
            }
            _ => None,
        }
    }

    /// The queries and keys that a self-attention map is made of.
    pub fn attention_sources(self) -> Option<[Self; 2]> {
        let leaves = match self.leaf {
            Leaf::Vit {
                block,
                part: VitPart::SelfMap,
            } => [VitPart::SelfQ, VitPart::SelfK].map(|part| Leaf::Vit { block, part }),
            Leaf::Attn(AttnPart::Map) => [Leaf::Attn(AttnPart::Q), Leaf::Attn(AttnPart::K)],
            _ => return None,
        };
        Some(leaves.map(|leaf| Self::new(self.place, leaf)))
    }

    /// The queries that an attention map is made of, to positions or to text: its rows are their positions.
    pub fn map_queries(self) -> Option<Self> {
        let of_itself = self.attention_sources().map(|[queries, _]| queries);
        of_itself.or(self.cross_queries())
    }

    /// Whether every position of the picture has a vector that can be compared: in features its channels, in attention
    /// maps to text the weights of the tokens (the mean over heads).
    pub fn has_vectors(self) -> bool {
        !self.is_map() || self.is_cross_map()
    }

    /// What kind of activation it is, wherever it is: the last words of the id without a block's number, such as `res-out`
    /// or `self-q`.
    pub fn kind_name(self) -> String {
        match self.leaf {
            Leaf::Vit { part: VitPart::Out, .. } => "block-out".into(),
            Leaf::Vit { part, .. } => part.name().into(),
            _ => self.leaf_name(),
        }
    }

    /// The last words of the id, as shown inside its place: `res-out`, `block0 self-q`.
    pub fn leaf_name(self) -> String {
        match self.leaf {
            Leaf::In => "in".into(),
            Leaf::AfterConvIn => "after-conv-in".into(),
            Leaf::Out => "out".into(),
            Leaf::Vit { block, part } => format!("vit-block{block}-{}", part.name()),
            Leaf::Attn(part) => format!("attn-{}", part.name()),
            other => fixed_leaf_name(other).unwrap_or_default().into(),
        }
    }
}

/// Leaves whose text has no number in it and that stand alone after a prefix.
const FIXED_LEAVES: [(Leaf, &str); 9] = [
    (Leaf::ResIncrement, "res-increment"),
    (Leaf::ResOut, "res-out"),
    (Leaf::Res2Increment, "res2-increment"),
    (Leaf::Res2Out, "res2-out"),
    (Leaf::VitOut, "vit-out"),
    (Leaf::DownsamplerIncrement, "downsampler-increment"),
    (Leaf::DownsamplerOut, "downsampler-out"),
    (Leaf::UpsamplerIncrement, "upsampler-increment"),
    (Leaf::UpsamplerOut, "upsampler-out"),
];

fn fixed_leaf_name(leaf: Leaf) -> Option<&'static str> {
    FIXED_LEAVES.iter().find(|(l, _)| *l == leaf).map(|(_, name)| *name)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repeat_suffix = |repeat: &Option<u16>| repeat.map(|r| format!("-repeat{r}")).unwrap_or_default();
        match self {
            Self::Network => f.write_str("unet"),
            Self::Down { level, repeat } => write!(f, "down-level{level}{}", repeat_suffix(repeat)),
            Self::Mid { repeat } => write!(f, "mid{}", repeat_suffix(repeat)),
            Self::Up { level, repeat } => write!(f, "up-level{level}{}", repeat_suffix(repeat)),
            Self::Stack => Ok(()),
            Self::Block(n) => write!(f, "b{n}"),
            Self::Decoder => f.write_str("vae"),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.place, self.leaf) {
            (Place::Stack, _) => f.write_str(&self.leaf_name()),
            (Place::Block(_), Leaf::Out) => self.place.fmt(f),
            _ => write!(f, "{}-{}", self.place, self.leaf_name()),
        }
    }
}

/// Takes a number in canonical decimal (no sign, no leading zero) off the front of `text`.
fn take_number(text: &str) -> Option<(u16, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if number.len() > 1 && number.starts_with('0') {
        return None;
    }
    Some((number.parse().ok()?, rest))
}

/// Takes `-repeatJ` off the front of `text`, if it is there.
fn take_repeat(text: &str) -> Option<(Option<u16>, &str)> {
    match text.strip_prefix("-repeat") {
        Some(rest) => take_number(rest).map(|(repeat, rest)| (Some(repeat), rest)),
        None => Some((None, text)),
    }
}

fn parse_vit(text: &str) -> Option<Leaf> {
    let (block, rest) = take_number(text.strip_prefix("vit-block")?)?;
    let part = VitPart::parse(rest.strip_prefix('-')?)?;
    Some(Leaf::Vit { block, part })
}

fn parse_leaf(text: &str) -> Option<Leaf> {
    FIXED_LEAVES
        .iter()
        .find(|(_, name)| *name == text)
        .map(|(leaf, _)| *leaf)
        .or_else(|| parse_vit(text))
}

fn parse_id(text: &str) -> Option<Id> {
    let in_network = match text {
        "unet-in" => Some(Leaf::In),
        "unet-after-conv-in" => Some(Leaf::AfterConvIn),
        "unet-out" => Some(Leaf::Out),
        "vae-out" => return Some(Id::VAE_OUT),
        _ => None,
    };
    if let Some(leaf) = in_network {
        return Some(Id::new(Place::Network, leaf));
    }
    if let Some(rest) = text.strip_prefix("down-level") {
        let (level, rest) = take_number(rest)?;
        let (repeat, rest) = take_repeat(rest)?;
        return level_id(Place::Down { level, repeat }, repeat, rest);
    }
    if let Some(rest) = text.strip_prefix("up-level") {
        let (level, rest) = take_number(rest)?;
        let (repeat, rest) = take_repeat(rest)?;
        return level_id(Place::Up { level, repeat }, repeat, rest);
    }
    if let Some(rest) = text.strip_prefix("mid") {
        let (repeat, rest) = take_repeat(rest)?;
        let leaf = parse_leaf(rest.strip_prefix('-')?)?;
        let fits = match leaf {
            Leaf::ResIncrement | Leaf::ResOut => repeat.is_some(),
            Leaf::VitOut | Leaf::Vit { .. } => repeat.is_none(),
            _ => false,
        };
        return fits.then_some(Id::new(Place::Mid { repeat }, leaf));
    }
    if let Some(leaf) = parse_vit(text) {
        return Some(Id::new(Place::Stack, leaf));
    }
    let (number, rest) = take_number(text.strip_prefix('b')?)?;
    let place = Place::Block(number);
    if number == 0 {
        return None;
    }
    if rest.is_empty() {
        return Some(Id::new(place, Leaf::Out));
    }
    let rest = rest.strip_prefix('-')?;
    let leaf = match rest.strip_prefix("attn-") {
        Some(part) => Leaf::Attn(AttnPart::parse(part)?),
        None => parse_leaf(rest).filter(|leaf| {
            matches!(
                leaf,
                Leaf::ResIncrement | Leaf::ResOut | Leaf::Res2Increment | Leaf::Res2Out
            )
        })?,
    };
    Some(Id::new(place, leaf))
}

/// An id of a down or up level: samplers stand without a repeat, everything else with one.
fn level_id(place: Place, repeat: Option<u16>, rest: &str) -> Option<Id> {
    let leaf = parse_leaf(rest.strip_prefix('-')?)?;
    let down = matches!(place, Place::Down { .. });
    let fits = match leaf {
        Leaf::DownsamplerIncrement | Leaf::DownsamplerOut => repeat.is_none() && down,
        Leaf::UpsamplerIncrement | Leaf::UpsamplerOut => repeat.is_none() && !down,
        Leaf::Res2Increment | Leaf::Res2Out => false,
        _ => repeat.is_some(),
    };
    fits.then_some(Id::new(place, leaf))
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_id(text).ok_or_else(|| Error::usage(format!("\"{text}\" is not the name of an activation")))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
