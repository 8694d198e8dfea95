//! PEFT's settings of an adapter: `adapter_config.json`, or the same in the header of a safetensors file,
//! where diffusers writes it. It holds by what factors are multiplied, and settings that change what they mean.

use std::{collections::BTreeMap, fmt};

use fancy_regex::{Regex, RegexBuilder};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::names::Part;
use crate::error::{Error, Result, clipped};

/// The key of a safetensors header under which diffusers keeps PEFT's settings.
pub(super) const HEADER_KEY: &str = "lora_adapter_metadata";
/// More patterns than this are in no configuration: there are fewer layers.
const MAX_PATTERNS: usize = 4096;
/// Steps that a pattern may take on a name before it is refused.
const MAX_PATTERN_STEPS: usize = 20_000;
/// Ranks and alphas of adapters in use are far below.
const MAX_NUMBER: f64 = 1e6;

/// Prefixes of a header's keys, where each network has its own settings.
const PREFIXES: [(&str, Part); 3] = [
    ("unet.", Part::Unet),
    ("text_encoder.", Part::Text(0)),
    ("text_encoder_2.", Part::Text(1)),
];

/// Settings that change nothing in what a trained adapter computes.
const WITHOUT_EFFECT: [&str; 34] = [
    "auto_mapping",
    "base_model_name_or_path",
    "decompose_both",
    "decompose_factor",
    "eva_config",
    "exclude_modules",
    "feedforward_modules",
    "inference_mode",
    "init_weights",
    "init_ia3_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "megatron_core",
    "module_dropout",
    "oft_block_size",
    "peft_version",
    "qalora_group_size",
    "rank_dropout",
    "rank_dropout_scale",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_effective_conv2d",
    // Read below.
    "alpha",
    "alpha_pattern",
    "lora_alpha",
    "peft_type",
    "r",
    "rank_pattern",
    "use_rslora",
    "init_lora_weights",
];

/// Ends of the keys under which layers that patterns mean have numbers of their own.
const PATTERNS: [&str; 2] = ["rank_pattern", "alpha_pattern"];
/// Settings that are on or name something, and which the tensors of a file have to agree with.
const AGREED: [&str; 4] = ["use_dora", "lora_bias", "bias", "modules_to_save"];
/// Settings of OFT.
const OFT_SETTINGS: [&str; 5] = [
    "block_share",
    "coft",
    "eps",
    "num_cayley_neumann_terms",
    "use_cayley_neumann",
];
/// Ways to begin a LoRA that leave the model's weights as they are; others begin with a part of them taken away.
const PLAIN_BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// The kinds of PEFT's adapters that are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeftKind {
    Lora,
    Loha,
    Lokr,
    Oft,
    Ia3,
}

/// How OFT of PEFT makes rotations of its triangles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct OftSettings {
    /// Whether all blocks rotate alike.
    pub(super) shared: bool,
    /// Terms of the series that approximates the inverse; none where it is exact.
    pub(super) terms: Option<usize>,
}

/// The settings of one adapter.
#[derive(Debug)]
pub(super) struct PeftConfig {
    kind: PeftKind,
    rank: f64,
    alpha: f64,
    root_of_rank: bool,
    ranks: Vec<Pattern>,
    alphas: Vec<Pattern>,
    /// None where the file's settings are not those of OFT, or say too little.
    oft: Option<OftSettings>,
    dora: Option<bool>,
    up_bias: Option<bool>,
}

/// A number for the layers that a pattern means.
#[derive(Debug)]
struct Pattern {
    text: String,
    /// None where the text is a plain name.
    regex: Option<Regex>,
    number: f64,
}

/// By what the factors of a layer are multiplied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PeftScale {
    pub(super) alpha: f64,
    pub(super) rank: f64,
    root: bool,
}

impl PeftScale {
    /// alpha / rank, or alpha / √rank.
    pub(super) fn factor(self) -> f64 {
        match self.root {
            true => self.alpha / self.rank.sqrt(),
            false => self.alpha / self.rank,
        }
    }

    /// Describes it for people.
    pub(super) fn describe(self) -> String {
        let root = if self.root { "√" } else { "" };
        format!("alpha {} / {root}rank {}", self.alpha, self.rank)
    }
}

/// PEFT's settings of the adapters of a file, and where they were found.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where it was read, for messages.
    pub(super) source: String,
    whole: Option<PeftConfig>,
    parts: Vec<(Part, PeftConfig)>,
}

impl Settings {
    /// Of the text of an `adapter_config.json`.
    pub(super) fn of_file(json: &str, source: String) -> Result<Self> {
        let settings = object(json, &source)?;
        let whole = PeftConfig::new(&settings).map_err(|error| error.context(&source))?;
        Ok(Self {
            source,
            whole: Some(whole),
            parts: Vec::new(),
        })
    }

    /// Of the text in a safetensors header.
    pub(super) fn of_header(json: &str, file: &str) -> Result<Self> {
        let source = format!("{HEADER_KEY} in the header of {file}");
        let settings = object(json, &source)?;
        let of_part = |prefix: &str| -> Map<String, Value> {
            let own = settings
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
            own.collect()
        };
        let read = |settings: &Map<String, Value>| PeftConfig::new(settings).map_err(|error| error.context(&source));
        let mut parts = Vec::new();
        for (prefix, part) in PREFIXES {
            let own = of_part(prefix);
            if !own.is_empty() {
                parts.push((part, read(&own)?));
            }
        }
        let rest: Map<String, Value> = settings
            .iter()
            .filter(|(key, _)| PREFIXES.iter().all(|(prefix, _)| !key.starts_with(prefix)))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let whole = match rest.is_empty() {
            true => None,
            false => Some(read(&rest)?),
        };
        Ok(Self { source, whole, parts })
    }

    /// The settings for a network, if there are any.
    pub(super) fn of(&self, part: Part) -> Option<&PeftConfig> {
        let own = self.parts.iter().find(|(of, _)| *of == part).map(|(_, config)| config);
        own.or(self.whole.as_ref())
    }
}

fn object(json: &str, source: &str) -> Result<Map<String, Value>> {
    let wrong = |problem: String| Error::failed(format!("{source} {problem}"));
    let invalid = |error: serde_json::Error| wrong(format!("is not valid JSON: {error}"));
    let mut settings = match serde_json::from_str::<Value>(json).map_err(invalid)? {
        Value::Object(settings) => settings,
        _ => return Err(wrong("is no JSON object of settings".to_owned())),
    };
    // Of several patterns that fit a layer PEFT takes the first that is written, and objects do not keep their order.
    let written: BTreeMap<String, Setting> = serde_json::from_str(json).map_err(invalid)?;
    for (key, setting) in written {
        if let Setting::Object(InOrder(entries)) = setting
            && PATTERNS.iter().any(|ending| key.ends_with(ending))
        {
            let pairs = entries
                .into_iter()
                .map(|(text, value)| Value::Array(vec![Value::String(text), value]));
            settings.insert(key, Value::Array(pairs.collect()));
        }
    }
    Ok(settings)
}

/// A setting as it is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Setting {
    Object(InOrder),
    Other(serde::de::IgnoredAny),
}

/// An object's entries as they follow one another.
struct InOrder(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(InOrderVisitor)
    }
}

struct InOrderVisitor;

impl<'de> Visitor<'de> for InOrderVisitor {
    type Value = InOrder;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<InOrder, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(InOrder(entries))
    }
}

impl PeftConfig {
    fn new(settings: &Map<String, Value>) -> Result<Self> {
        let kind = kind(settings)?;
        refuse_unknown(settings, kind)?;
        let truth = |key: &str| match settings.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(*on)),
            Some(other) => Err(unfit(key, other, "true or false")),
        };
        let alpha_key = match kind {
            PeftKind::Lora => "lora_alpha",
            _ => "alpha",
        };
        // Rotations and factors have no alpha, and the rank of OFT is its number of blocks.
        let scaled = !matches!(kind, PeftKind::Oft | PeftKind::Ia3);
        let number_of = |key: &str, least: f64| match settings.get(key) {
            _ if !scaled => Ok(1.0),
            Some(value) => number(key, value, least),
            None => Err(Error::failed(format!(
                "it does not say {key}, and without it the scale of the adapter is not known"
            ))),
        };
        Ok(Self {
            kind,
            rank: number_of("r", 1.0)?,
            alpha: number_of(alpha_key, -MAX_NUMBER)?,
            root_of_rank: truth("use_rslora")?.unwrap_or(false),
            ranks: patterns("rank_pattern", settings, 1.0)?,
            alphas: patterns("alpha_pattern", settings, -MAX_NUMBER)?,
            oft: oft(settings, kind)?,
            dora: truth("use_dora")?,
            up_bias: truth("lora_bias")?,
        })
    }

    pub(super) fn kind(&self) -> PeftKind {
        self.kind
    }

    /// How rotations are made, of OFT.
    pub(super) fn oft(&self) -> Option<OftSettings> {
        self.oft
    }

    /// Whether the settings make layers DoRAs; none where they have no such key.
    pub(super) fn dora(&self) -> Option<bool> {
        self.dora
    }

    /// Whether the settings give up factors a bias; none where they have no such key.
    pub(super) fn up_bias(&self) -> Option<bool> {
        self.up_bias
    }

    /// The scale of a layer, by its name in the model.
    pub(super) fn scale(&self, layer: &str) -> Result<PeftScale> {
        let first = |patterns: &[Pattern]| -> Result<Option<f64>> {
            for pattern in patterns {
                if pattern.means(layer)? {
                    return Ok(Some(pattern.number));
                }
            }
            Ok(None)
        };
        Ok(PeftScale {
            alpha: first(&self.alphas)?.unwrap_or(self.alpha),
            rank: first(&self.ranks)?.unwrap_or(self.rank),
            root: self.root_of_rank,
        })
    }
}

fn kind(settings: &Map<String, Value>) -> Result<PeftKind> {
    match settings.get("peft_type") {
        None | Some(Value::Null) => Ok(PeftKind::Lora),
        Some(Value::String(kind)) => match kind.to_ascii_uppercase().as_str() {
            "LORA" => Ok(PeftKind::Lora),
            "LOHA" => Ok(PeftKind::Loha),
            "LOKR" => Ok(PeftKind::Lokr),
            "OFT" => Ok(PeftKind::Oft),
            "IA3" => Ok(PeftKind::Ia3),
            other => Err(Error::failed(format!(
                "it says that the adapter is PEFT's {}, which this program does not compute: LORA, LOHA, LOKR, OFT and IA3 \
                 are",
                clipped(other)
            ))),
        },
        Some(other) => Err(unfit("peft_type", other, "a name such as \"LORA\"")),
    }
}

/// Refuses what is not known to leave the numbers alone: a setting that is off says nothing.
fn refuse_unknown(settings: &Map<String, Value>, kind: PeftKind) -> Result<()> {
    for (key, value) in settings {
        let off = match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(items) => items.is_empty(),
            _ => false,
        };
        let known = |keys: &[&str]| keys.contains(&key.as_str());
        if off || known(&WITHOUT_EFFECT) || known(&AGREED) || (kind == PeftKind::Oft && known(&OFT_SETTINGS)) {
            continue;
        }
        return Err(Error::failed(format!(
            "its setting {} ({}) is not understood, and may change what the adapter computes",
            clipped(key),
            clipped(&value.to_string())
        )));
    }
    if let Some(Value::String(beginning)) = settings.get("init_lora_weights")
        && !PLAIN_BEGINNINGS.contains(&beginning.as_str())
    {
        return Err(Error::failed(format!(
            "init_lora_weights is \"{}\": such a LoRA is for a model from whose weights a part was taken away before; convert \
             it to a plain one when it is saved (path_initial_model_for_weight_conversion in PEFT)",
            clipped(beginning)
        )));
    }
    Ok(())
}

fn oft(settings: &Map<String, Value>, kind: PeftKind) -> Result<Option<OftSettings>> {
    if kind != PeftKind::Oft {
        return Ok(None);
    }
    let truth = |key: &str| match settings.get(key) {
        Some(Value::Bool(on)) => Ok(*on),
        Some(other) => Err(unfit(key, other, "true or false")),
        None => Err(Error::failed(format!(
            "it does not say {key}, as OFT of PEFT 0.16 and later does"
        ))),
    };
    if truth("coft")? {
        return Err(Error::failed(
            "coft is true: OFT that projects its rotations is not computed",
        ));
    }
    let terms = match truth("use_cayley_neumann")? {
        false => None,
        true => {
            let key = "num_cayley_neumann_terms";
            let missing = || Error::failed(format!("it does not say {key}"));
            let value = settings.get(key).ok_or_else(missing)?;
            let terms = number(key, value, 1.0)?;
            if terms > MAX_TERMS || terms.fract() != 0.0 {
                return Err(unfit(key, value, &format!("a whole number from 1 to {MAX_TERMS}")));
            }
            Some(terms as usize)
        }
    };
    Ok(Some(OftSettings {
        shared: truth("block_share")?,
        terms,
    }))
}

/// PEFT's default is 5; each costs a product of matrices for every layer.
const MAX_TERMS: f64 = 100.0;

fn number(key: &str, value: &Value, least: f64) -> Result<f64> {
    value
        .as_f64()
        .filter(|number| *number >= least && *number <= MAX_NUMBER)
        .ok_or_else(|| unfit(key, value, &format!("a number from {least} to {MAX_NUMBER}")))
}

fn patterns(key: &str, settings: &Map<String, Value>, least: f64) -> Result<Vec<Pattern>> {
    let patterns = match settings.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        // Pairs, as `object` makes them.
        Some(Value::Array(patterns)) if patterns.len() <= MAX_PATTERNS => patterns,
        Some(other) => {
            let wanted = format!("at most {MAX_PATTERNS} patterns with a number each");
            return Err(unfit(key, other, &wanted));
        }
    };
    patterns
        .iter()
        .map(|pair| {
            let [Value::String(text), value] = pair.as_array().map(Vec::as_slice).unwrap_or_default() else {
                return Err(unfit(key, pair, "a pattern with a number"));
            };
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            let regex = match text.chars().all(plain) {
                true => None,
                false => Some(compiled(text).map_err(|error| error.context(key))?),
            };
            Ok(Pattern {
                text: text.clone(),
                regex,
                number: number(key, value, least)?,
            })
        })
        .collect()
}

/// As PEFT uses a pattern: for the end of a name, from a dot on, or for all of it.
fn compiled(text: &str) -> Result<Regex> {
    RegexBuilder::new(&format!(r"^(.*\.)?({text})$"))
        .backtrack_limit(MAX_PATTERN_STEPS)
        .build()
        .map_err(|error| Error::failed(format!("the pattern \"{}\" is not understood: {error}", clipped(text))))
}

impl Pattern {
    fn means(&self, layer: &str) -> Result<bool> {
        match &self.regex {
            None => Ok(layer
                .strip_suffix(self.text.as_str())
                .is_some_and(|before| before.is_empty() || before.ends_with('.'))),
            Some(regex) => regex.is_match(layer).map_err(|error| {
                Error::failed(format!(
                    "the pattern \"{}\" cannot be compared with the layer {layer}: {error}",
                    clipped(&self.text)
                ))
            }),
        }
    }
}

fn unfit(key: &str, value: &Value, wanted: &str) -> Error {
    Error::failed(format!(
        "{key} is {}; {wanted} was expected",
        clipped(&value.to_string())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn config(json: &str) -> Result<PeftConfig> {
        let settings = object(json, "a test")?;
        PeftConfig::new(&settings)
    }

    #[test]
    fn ranks_and_alphas_are_those_of_the_first_pattern_that_fits() -> TestResult {
        let config = config(
            r#"{"r": 4, "lora_alpha": 8, "rank_pattern": {"to_k": 2, "^down.*to_q": 16},
                "alpha_pattern": {"attn2.to_k": 1, "(mid|up).*\\.to_v": 2.5, "o_k": 100}}"#,
        )?;
        for (layer, alpha, rank) in [
            ("a.attn1.to_q", 8.0, 4.0),
            ("a.attn1.to_k", 8.0, 2.0),
            ("a.attn2.to_k", 1.0, 2.0),
            ("to_k", 8.0, 2.0),
            ("a.xto_k", 8.0, 4.0),
            ("mid_block.attn1.to_v", 2.5, 4.0),
            ("down_blocks.0.to_q", 8.0, 16.0),
        ] {
            let found = config.scale(layer)?;
            assert_eq!((found.alpha, found.rank), (alpha, rank), "{layer}");
        }
        Ok(())
    }

    #[test]
    fn of_two_patterns_that_fit_the_first_that_is_written_counts() -> TestResult {
        let written = r#"{"r": 4, "lora_alpha": 8, "alpha_pattern": {"to_q": 9, "attn1.to_q": 1}}"#;
        assert_eq!(config(written)?.scale("mid_block.attn1.to_q")?.alpha, 9.0);
        let header = r#"{"unet.r": 4, "unet.lora_alpha": 8, "unet.rank_pattern": {"to_q": 9, "attn1.to_q": 1}}"#;
        let settings = Settings::of_header(header, "x")?;
        let unet = settings.of(Part::Unet).ok_or("settings of the U-Net")?;
        assert_eq!(unet.scale("mid_block.attn1.to_q")?.rank, 9.0);
        Ok(())
    }

    #[test]
    fn the_rank_may_stand_under_a_root() -> TestResult {
        let scale = config(r#"{"r": 16, "lora_alpha": 8, "use_rslora": true}"#)?.scale("x")?;
        assert_eq!(
            (scale.factor(), scale.describe()),
            (2.0, "alpha 8 / √rank 16".to_owned())
        );
        Ok(())
    }

    #[test]
    fn a_header_has_settings_for_each_network_or_for_all() -> TestResult {
        let header = r#"{"unet.r": 4, "unet.lora_alpha": 8, "text_encoder.r": 2, "text_encoder.lora_alpha": 1}"#;
        let settings = Settings::of_header(header, "x")?;
        let factor = |settings: &Settings, part| -> Result<Option<f64>> {
            settings
                .of(part)
                .map(|config| Ok(config.scale("x")?.factor()))
                .transpose()
        };
        assert_eq!(factor(&settings, Part::Unet)?, Some(2.0));
        assert_eq!(factor(&settings, Part::Text(0))?, Some(0.5));
        assert_eq!(factor(&settings, Part::Text(1))?, None);
        let settings = Settings::of_header(r#"{"r": 4, "lora_alpha": 2}"#, "x")?;
        assert_eq!(factor(&settings, Part::Text(1))?, Some(0.5));
        Ok(())
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (json, word) in [
            (r#"{"r": 4}"#, "lora_alpha"),
            (r#"{"lora_alpha": 4}"#, "r,"),
            (r#"{"r": 0, "lora_alpha": 4}"#, "r is 0"),
            (r#"{"r": 4, "lora_alpha": "x"}"#, "lora_alpha"),
            (r#"{"r": 4, "lora_alpha": 1e300}"#, "lora_alpha"),
            (r#"{"r": 4, "lora_alpha": 4, "use_rslora": 1}"#, "use_rslora"),
            (r#"{"r": 4, "lora_alpha": 4, "fan_in_fan_out": true}"#, "fan_in_fan_out"),
            (
                r#"{"r": 4, "lora_alpha": 4, "layer_replication": [[0, 4]]}"#,
                "layer_replication",
            ),
            (r#"{"r": 4, "lora_alpha": 4, "rank_pattern": {"(": 4}}"#, "rank_pattern"),
            (r#"{"r": 4, "lora_alpha": 4, "alpha_pattern": 4}"#, "alpha_pattern"),
            (r#"{"r": 4, "lora_alpha": 4, "init_lora_weights": "pissa"}"#, "pissa"),
            (r#"{"r": 4, "lora_alpha": 4, "peft_type": "ADALORA"}"#, "ADALORA"),
            (r#"{"peft_type": "OFT", "coft": true}"#, "coft"),
            ("[]", "no JSON object"),
            ("{", "not valid JSON"),
        ] {
            let message = config(json).expect_err(word).to_string();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn a_pattern_that_takes_for_ever_is_refused() -> TestResult {
        // A reference to a group is searched for step by step; PEFT puts two groups around a pattern.
        let config = config(r#"{"r": 4, "lora_alpha": 4, "rank_pattern": {"(?:(a+)\\3?)+b": 4}}"#)?;
        let refused = config.scale(&"a".repeat(64)).expect_err("too many steps").to_string();
        assert!(refused.contains("(?:(a+)\\3?)+b"), "{refused}");
        Ok(())
    }
}
