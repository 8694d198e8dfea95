//! The invented model of the fake extractor: thirteen activations on two grids, made of colours.

use featscope::{
    activation::{Facts, FeatureMap, Id, Kind as Tensor, MapOf, Name, Shape, Stage, attention_cost, linear_cost},
    components::schedule::Mixture,
    components::schedule::Timestep,
    engine::{Layer, ModelInfo, RunSettings},
    error::{Error, Result},
    extract::request::{FramedPicture, MixtureRan, Provenance},
    geometry::{
        Grid, Size,
        framing::{Framing, SizeRule},
    },
    image::picture::Picture,
    model::{
        adapters::AppliedAdapters,
        classes::Classes,
        tokens::{PromptToken, TokenRole},
    },
};
use serde_json::json;
use std::{f32::consts::TAU, path::PathBuf};

/// The embedded model, in whose place the invented one stands.
const EMBEDDED: &str = "demo";
/// Side of the pictures it was made for.
const NATIVE_SIDE: usize = 128;
/// Pixels of a cell of the two grids.
const FINE: usize = 8;
const COARSE: usize = 16;
/// Timesteps.
const STEPS: u32 = 1000;
const HEADS: usize = 2;
const TOKENS: usize = 77;
/// How much larger the massive channel is than the others.
const MASSIVE: f32 = 1000.0;
/// How strong the noise is at the last timestep.
const NOISE: f32 = 0.2;
/// Seconds that a pass says it took: one picture of the model's own size.
const QUICK_SECS: f64 = 0.005;
const SLOW_SECS: f64 = 60.0;

/// What kind of activation a layer is.
enum Kind {
    Features { channels: usize, cell: usize },
    SelfMap,
    TextMap,
}

const fn fine(channels: usize) -> Kind {
    Kind::Features { channels, cell: FINE }
}

const fn coarse(channels: usize) -> Kind {
    Kind::Features { channels, cell: COARSE }
}

/// The layers in the order of execution.
const LAYERS: [(&str, Kind); 13] = [
    ("unet-in", fine(4)),
    ("down-level0-repeat0-res-out", fine(8)),
    ("down-level0-repeat0-vit-block0-self-q", fine(8)),
    ("down-level0-repeat0-vit-block0-self-k", fine(8)),
    ("down-level0-repeat0-vit-block0-self-v", fine(8)),
    ("down-level0-repeat0-vit-block0-self-map", Kind::SelfMap),
    ("down-level0-repeat0-vit-block0-cross-q", fine(8)),
    ("down-level0-repeat0-vit-block0-cross-map", Kind::TextMap),
    ("down-level1-repeat0-res-out", coarse(16)),
    (MASSIVE_LAYER, coarse(24)),
    (FIRST_LAYER, fine(12)),
    ("up-level1-repeat1-res-out", fine(12)),
    (LAST_LAYER, fine(2)),
];
/// The last one.
pub const LAST_LAYER: &str = "unet-out";
/// From this timestep on a broken model breaks one more activation.
pub const BROKEN_FROM: u32 = 500;
/// The one that a fresh window shows.
pub const FIRST_LAYER: &str = "up-level1-repeat1-vit-block0-cross-q";
/// The one that has a massive channel, and the channel.
pub const MASSIVE_LAYER: &str = "mid-repeat0-res-out";
pub const MASSIVE_CHANNEL: usize = 5;
/// An attention map that has a grid of its own, and one that has none.
pub const SELF_MAP: &str = "down-level0-repeat0-vit-block0-self-map";
pub const TEXT_MAP: &str = "down-level0-repeat0-vit-block0-cross-map";
/// Layers of a model named as a small one.
const LAYERS_OF_SMALL: usize = 9;

/// An id by its name.
pub fn id(name: &str) -> Id {
    name.parse().expect("an id of the vocabulary")
}

/// What a U-Net's catalogue would say of an activation.
fn facts(name: &str, kind: &Kind) -> Facts {
    let (place, word) = match (name.split_once("-vit-"), name.split_once("-res-")) {
        (Some((place, word)), _) => (place, word.replacen("block0-", "", 1)),
        (None, Some((place, word))) => (place, format!("res-{word}")),
        (None, None) => ("", name.to_owned()),
    };
    let mut groups: Vec<String> = Vec::new();
    for part in place.split('-').filter(|part| !part.is_empty()) {
        let digits = part.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
        let letters = part.strip_suffix(digits).unwrap_or(part);
        match (letters, groups.last_mut()) {
            ("level", Some(stage)) => *stage += &format!(" level {digits}"),
            // In the middle the repeat is part of the name.
            ("repeat", Some(stage)) if stage == "mid" => {}
            ("repeat", _) => groups.push(format!("repeat {digits}")),
            _ => groups.push(part.to_owned()),
        }
    }
    if name.contains("-vit-") {
        groups.push("vit block 0".to_owned());
    }
    let stage = match name.split('-').next() {
        Some("down") => Stage::Down,
        Some("mid") => Stage::Mid,
        Some("up") => Stage::Up,
        _ if name.ends_with("out") => Stage::Output,
        _ => Stage::Input,
    };
    let sources = |queries: &str| id(&name.replace("self-map", queries).replace("cross-map", queries));
    let (tensor, map_of) = match kind {
        Kind::SelfMap => (
            Tensor::SelfMap,
            Some(MapOf {
                queries: sources("self-q"),
                keys: Some(sources("self-k")),
            }),
        ),
        Kind::TextMap => (
            Tensor::CrossMap,
            Some(MapOf {
                queries: sources("cross-q"),
                keys: None,
            }),
        ),
        Kind::Features { .. } if name.ends_with("self-q") => (Tensor::Query, None),
        Kind::Features { .. } if name.ends_with("self-k") => (Tensor::Key, None),
        Kind::Features { .. } if name.ends_with("self-v") => (Tensor::Value, None),
        Kind::Features { .. } if name.ends_with("cross-q") => (Tensor::CrossQuery, None),
        Kind::Features { .. } if stage == Stage::Input => (Tensor::Input, None),
        Kind::Features { .. } => (Tensor::BlockOutput, None),
    };
    let label = match place {
        "mid-repeat0" => "repeat 0 res-out",
        _ => &word,
    };
    Facts {
        word: Name::new(&word).expect("a word"),
        group: Name::new(&groups.join("/")).expect("groups"),
        label: Name::new(label).expect("a label"),
        map_of,
        ..Facts::new(id(name), stage, tensor)
    }
}

/// A model that computes nothing.
#[derive(Debug, Clone)]
pub struct FakeModel {
    name: String,
    /// Which loading it was.
    pub loading: u64,
}

impl FakeModel {
    /// Sizes it takes.
    pub const SIZE_RULE: SizeRule = SizeRule::Latent { multiple: COARSE };

    /// Names that begin with "fake" are models, and that of the embedded one; others are not to be found.
    pub fn find(name: &str, loading: u64) -> Result<Self> {
        if !name.starts_with("fake") && name != EMBEDDED {
            return Err(Error::failed(format!(
                "there is no model \"{name}\": it is no short name, no folder and no file"
            )));
        }
        Ok(Self::called(name, loading))
    }

    /// A model of any name.
    pub fn called(name: &str, loading: u64) -> Self {
        let name = name.to_owned();
        Self { name, loading }
    }

    /// Whether everything it does waits for the test.
    pub fn is_slow(&self) -> bool {
        self.name.contains("slow")
    }

    /// Whether an activation has numbers that are not finite: in a model that says that it is broken the last one always, and
    /// the one that a fresh window shows at late timesteps.
    fn breaks(&self, layer: Id, t: Timestep) -> bool {
        let late = t >= BROKEN_FROM.into() && layer == id(FIRST_LAYER);
        self.name.contains("broken") && (late || layer == id(LAST_LAYER))
    }

    /// Seconds that a pass says it took.
    pub fn seconds(&self) -> f64 {
        if self.is_slow() { SLOW_SECS } else { QUICK_SECS }
    }

    /// A model of such a name reads the picture alone.
    fn is_encoder(&self) -> bool {
        self.name.contains("encoder")
    }

    /// What the window needs to know of it.
    pub fn info(&self) -> ModelInfo {
        let mixture = |t: u32| {
            let share = f64::from(t) / f64::from(STEPS);
            [(1.0 - share).sqrt(), share.sqrt()]
        };
        ModelInfo {
            name: self.name.clone(),
            weights: format!("{} weights", self.name),
            family: "stable-diffusion".to_owned(),
            reads_prompt: !self.is_encoder(),
            // A model of such a name is told a class as well.
            classes: self.name.contains("classes").then(classes),
            has_autoencoder: !self.is_encoder(),
            takes_adapters: !self.is_encoder(),
            reads_guidance: false,
            shifts_t: self.name.contains("flow"),
            flows: self.name.contains("flow"),
            native_side: NATIVE_SIDE,
            default_t: 100.into(),
            size_rule: Self::SIZE_RULE,
            mixtures: match self.is_encoder() {
                true => Vec::new(),
                false => (0..STEPS).map(mixture).collect(),
            },
            layers: self.layers(Size::new(NATIVE_SIDE, NATIVE_SIDE)),
            encode_cost: 0.0,
            device: "paper".to_owned(),
            dtype: "f32".to_owned(),
            notes: Vec::new(),
        }
    }

    /// Every activation at a working size.
    pub fn layers(&self, working: Size) -> Vec<Layer> {
        let grid = |cell: usize| Grid::new(working.height / cell, working.width / cell);
        let queries = grid(FINE).positions();
        let count = if self.name.contains("small") {
            LAYERS_OF_SMALL
        } else {
            LAYERS.len()
        };
        let shape = |kind: &Kind| match kind {
            Kind::Features { channels, cell } => Shape::Features {
                channels: *channels,
                grid: grid(*cell),
            },
            Kind::SelfMap => Shape::Attention {
                heads: HEADS,
                queries,
                keys: queries,
            },
            Kind::TextMap => Shape::Attention {
                heads: HEADS,
                queries,
                keys: TOKENS,
            },
        };
        let layers = LAYERS.iter().take(count);
        layers
            .map(|(name, kind)| {
                let shape = shape(kind);
                let cost = match shape {
                    Shape::Features { channels, grid } => linear_cost(grid.positions(), channels, channels),
                    Shape::Attention { queries, keys, .. } => attention_cost(queries, keys, HEADS),
                };
                Layer {
                    id: id(name),
                    shape,
                    facts: Facts {
                        cost,
                        ..facts(name, kind)
                    },
                }
            })
            .collect()
    }

    /// All feature maps of a working picture.
    pub fn maps(&self, layers: &[Layer], working: &Picture, settings: &RunSettings) -> Result<Vec<(Id, FeatureMap)>> {
        let mut maps = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            if let Shape::Features { channels, grid } = layer.shape {
                let massive = (layer.id == id(MASSIVE_LAYER)).then_some(MASSIVE_CHANNEL);
                let mut vectors = features(number as u64, channels, grid, massive, working, settings);
                if self.breaks(layer.id, settings.t) {
                    vectors[channels..2 * channels].fill(f32::NAN);
                }
                maps.push((layer.id, FeatureMap::from_positions(channels, grid, vectors)?));
            } else if layer.id.is_cross_map() {
                let size = working.size();
                let grid = Grid::new(size.height / FINE, size.width / FINE);
                maps.push((
                    layer.id,
                    FeatureMap::from_positions(TOKENS, grid, word_weights(grid, working))?,
                ));
            }
        }
        Ok(maps)
    }

    /// Of attention to text every head: the first favours tokens of even number, the second those of odd; their mean is
    /// the map.
    pub fn heads(&self, layers: &[Layer], working: &Picture) -> Result<Vec<(Id, FeatureMap)>> {
        let size = working.size();
        let grid = Grid::new(size.height / FINE, size.width / FINE);
        let mean = word_weights(grid, working);
        let mut weights = Vec::with_capacity(HEADS * mean.len());
        for of_cell in mean.chunks_exact(TOKENS) {
            for favoured in 0..HEADS {
                let of_token = |(token, weight): (usize, &f32)| weight * if token % 2 == favoured { 1.5 } else { 0.5 };
                weights.extend(of_cell.iter().enumerate().map(of_token));
            }
        }
        let maps = layers.iter().filter(|layer| layer.id.is_cross_map());
        maps.map(|layer| {
            Ok((
                layer.id,
                FeatureMap::from_positions(HEADS * TOKENS, grid, weights.clone())?,
            ))
        })
        .collect()
    }

    /// What ran.
    pub fn provenance(&self, settings: &RunSettings, path: PathBuf, framing: Framing) -> Provenance {
        let share = f64::from(settings.t) / f64::from(STEPS);
        Provenance {
            featscope: "of the tests".to_owned(),
            weights: format!("{} weights", self.name),
            notes: Vec::new(),
            mixture: (!self.is_encoder()).then(|| {
                let mixture = Mixture {
                    signal: (1.0 - share).sqrt(),
                    noise: share.sqrt(),
                };
                MixtureRan::new(settings.t, mixture)
            }),
            device: "paper".to_owned(),
            dtype: "f32".to_owned(),
            adapters: AppliedAdapters::default(),
            tokens: tokens(),
            guidance: None,
            class: None,
            pictures: vec![FramedPicture { path, framing }],
            ids: Vec::new(),
            not_finite: Vec::new(),
            seconds: self.seconds(),
        }
    }
}

/// What the prompt is read as, whatever it is.
pub const WORDS: [&str; 3] = ["red", "green", "blue"];

fn tokens() -> Vec<PromptToken> {
    let token = |piece: &str, role| PromptToken {
        piece: piece.to_owned(),
        role,
    };
    let mut tokens = vec![token("<|startoftext|>", TokenRole::Start)];
    tokens.extend(WORDS.map(|word| token(&format!("{word}</w>"), TokenRole::Word)));
    tokens.push(token("<|endoftext|>", TokenRole::End));
    tokens.resize(TOKENS, token("!", TokenRole::Padding));
    tokens
}

/// Every cell attends to the words as far as it has their colours.
fn word_weights(grid: Grid, working: &Picture) -> Vec<f32> {
    let mut weights = Vec::with_capacity(TOKENS * grid.positions());
    for position in 0..grid.positions() {
        let colour = mean_colour(working, grid, grid.row_column(position));
        let mut of_cell = vec![0.001; TOKENS];
        for (weight, share) in of_cell[1..].iter_mut().zip(colour) {
            *weight += 0.3 * share;
        }
        weights.extend(of_cell);
    }
    weights
}

/// Waves of a cell's mean colour: cells of the same colour have the same vector, wherever they are, but for the noise.
fn features(
    layer: u64,
    channels: usize,
    grid: Grid,
    massive: Option<usize>,
    working: &Picture,
    settings: &RunSettings,
) -> Vec<f32> {
    let prompt = settings.prompt.bytes().map(u64::from).sum::<u64>();
    let noise = NOISE * settings.t.value() as f32 / STEPS as f32 / (settings.ensemble as f32).sqrt();
    let mut vectors = Vec::with_capacity(channels * grid.positions());
    for position in 0..grid.positions() {
        let colour = mean_colour(working, grid, grid.row_column(position));
        for channel in 0..channels {
            let number = |part: u64| unit(&[layer, channel as u64, part, prompt]);
            let wave: f32 = (0..3)
                .map(|part| 6.0 * (number(part as u64) - 0.5) * colour[part])
                .sum();
            let noise = noise * (unit(&[settings.seed, position as u64, channel as u64, layer]) - 0.5);
            let value = (wave + TAU * number(3)).cos() + 0.3 + noise;
            vectors.push(if massive == Some(channel) {
                MASSIVE * (1.0 + 0.01 * value)
            } else {
                value
            });
        }
    }
    vectors
}

/// Mean of red, green and blue over a cell, 0 to 1 each.
fn mean_colour(picture: &Picture, grid: Grid, (row, column): (usize, usize)) -> [f32; 3] {
    let (height, width) = (picture.height() / grid.height, picture.width() / grid.width);
    let mut sums = [0.0; 3];
    for y in row * height..(row + 1) * height {
        for x in column * width..(column + 1) * width {
            let pixel = 3 * (y * picture.width() + x);
            for (sum, level) in sums.iter_mut().zip(&picture.rgb()[pixel..]) {
                *sum += f32::from(*level) / 255.0;
            }
        }
    }
    sums.map(|sum| sum / (height * width) as f32)
}

/// A number from 0 to 1 that is always the same for the same words (splitmix64 over an FNV hash).
fn unit(words: &[u64]) -> f32 {
    let hash = words.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, word| {
        (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut mixed = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1 << 24) as f32
}

/// Three classes, of which two have a name.
fn classes() -> Classes {
    Classes::new(3).named_by(Some(&json!({"0": "tench", "2": "ostrich"})))
}
