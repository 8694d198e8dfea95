//! HunyuanDiT against the reference, from the picture and the prompt to the network's output.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use candle_core::{DType, Device, Tensor};
use common::{
    ATOL_REL, TestResult,
    case::{extract, formats_agree, listed, parity, request, rows_are_of_products},
    compare, data, expected, model, numbers,
    program::Place,
};
use featscope::{
    Error,
    activation::{Catalogue, Probe, Selection, Shape, Stop, Tap, no_progress},
    components::text::{bert::BertEncoder, t5_tokenizer::T5Tokenizer, wordpiece::WordPieceTokenizer},
    families::{
        hunyuan::{Hunyuan, HunyuanConditions, HunyuanConfig, catalogue},
        resolve,
    },
    geometry::{Grid, Size},
    model::{
        LoadExtent,
        tokens::{TokenRole, bert_tokens},
    },
    nn::adaptable::Adaptable,
    weights::{DIFFUSERS_STEM, open_weights, read_json},
};
use serde_json::json;

const CASES: [&str; 4] = [
    "hunyuan11-64x80",
    "hunyuan11-batch2-112x96",
    "hunyuan12-64x64",
    "hunyuan12-96x64",
];

#[test]
fn every_case_from_picture_and_prompt_to_the_output() -> TestResult {
    for case in CASES {
        assert!(parity(case)? < ATOL_REL, "{case}");
    }
    Ok(())
}

#[test]
fn every_format_computes_the_same_network() -> TestResult {
    for case in ["hunyuan11-64x80", "hunyuan12-96x64"] {
        formats_agree(case)?;
    }
    Ok(())
}

fn network(name: &str, extent: LoadExtent) -> featscope::Result<Hunyuan> {
    let folder = model(name).join("transformer");
    let config = HunyuanConfig::from_json(&read_json(&folder.join("config.json"))?)?;
    let weights = open_weights(&folder, DIFFUSERS_STEM)?;
    Hunyuan::new(config, extent, weights.var_builder(DType::F32, &Device::Cpu))
}

/// The text of a case, for one picture.
struct Texts {
    bert: Tensor,
    bert_mask: Vec<u8>,
    t5: Tensor,
    t5_mask: Vec<u8>,
}

impl Texts {
    fn of(reference: &HashMap<String, Tensor>) -> Result<Self, Box<dyn std::error::Error>> {
        let first = |name: &str| reference[name].narrow(0, 0, 1);
        let mask = |name: &str| -> candle_core::Result<Vec<u8>> {
            Ok(numbers(&first(name)?).into_iter().map(|number| number as u8).collect())
        };
        Ok(Self {
            bert: first("mid.encoder_hidden_states")?,
            bert_mask: mask("mid.text_embedding_mask")?,
            t5: first("mid.encoder_hidden_states_t5")?,
            t5_mask: mask("mid.text_embedding_mask_t5")?,
        })
    }

    fn conditions(&self, x: &Tensor) -> HunyuanConditions<'_> {
        let (_, _, height, width) = x.dims4().expect("a latent");
        HunyuanConditions {
            bert: &self.bert,
            bert_mask: &self.bert_mask,
            t5: &self.t5,
            t5_mask: &self.t5_mask,
            size: Size::new(8 * width, 8 * height),
        }
    }
}

struct Pass {
    taps: HashMap<String, Tensor>,
    output: Option<Tensor>,
}

fn everything(list: &Catalogue) -> Selection {
    (0..list.len() as u32).map(Tap).collect()
}

/// The activations that a pass meets of those that `select` selects; to its output if `to_the_end`.
fn pass(
    network: &Hunyuan,
    x: &Tensor,
    t: &[f32],
    texts: &Texts,
    select: impl Fn(&Catalogue) -> Selection,
    to_the_end: bool,
) -> featscope::Result<Pass> {
    let (_, _, height, width) = x.dims4()?;
    let list = catalogue(network.config(), Grid::new(height, width), network.config().tokens());
    let selection = select(&list);
    let mut taps = HashMap::new();
    let mut last = None;
    let mut record = |tap: Tap, tensor: &Tensor| {
        let entry = list.entry(tap).expect("only taps of the catalogue are met");
        assert_eq!(&tensor.dims()[1..], entry.shape.dims(), "{}", entry.id);
        assert!(last < Some(tap), "{} is met out of order", entry.id);
        last = Some(tap);
        taps.insert(entry.id.to_string(), tensor.clone());
        Ok(())
    };
    let mut watch = no_progress;
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    if to_the_end {
        probe = probe.to_the_end();
    }
    let output = match network.forward(x, t, &texts.conditions(x), &mut probe) {
        Ok(output) => Some(output),
        Err(Stop::Done) => None,
        Err(Stop::Error(error)) => return Err(error),
    };
    Ok(Pass { taps, output })
}

#[test]
fn stopping_early_changes_nothing_and_a_batch_equals_its_rows() -> TestResult {
    let network = network("tiny-hunyuan-11", LoadExtent::Whole)?;
    let reference = expected("hunyuan11-batch2-112x96");
    let (x, texts) = (&reference["mid.unet_in"], Texts::of(&reference)?);
    // Rows may have timesteps of their own.
    let t = [400.0, 50.0];
    let whole = pass(&network, x, &t, &texts, everything, true)?;
    // Eight of the list, and four beside it.
    assert_eq!(whole.taps.len(), 12 * network.config().num_layers);
    let id = "vit-block4-cross-q";
    let one = |list: &Catalogue| Selection::parse(id, list).expect("a known id");
    let early = pass(&network, x, &t, &texts, one, false)?;
    assert_eq!((early.taps.len(), early.output.is_none()), (1, true));
    assert_eq!(numbers(&early.taps[id]), numbers(&whole.taps[id]));
    for row in 0..2 {
        let alone = pass(&network, &x.narrow(0, row, 1)?, &t[row..=row], &texts, everything, true)?;
        for (name, tensor) in &whole.taps {
            compare(name, &alone.taps[name], &tensor.narrow(0, row, 1)?)?;
        }
        let outputs = [&alone.output, &whole.output].map(|output| output.as_ref().expect("an output"));
        compare("the output", outputs[0], &outputs[1].narrow(0, row, 1)?)?;
    }
    Ok(())
}

#[test]
fn a_network_that_is_read_only_in_part_gives_the_same_as_far_as_it_goes() -> TestResult {
    let whole = network("tiny-hunyuan-12", LoadExtent::Whole)?;
    let reference = expected("hunyuan12-64x64");
    let (x, texts) = (&reference["mid.unet_in"], Texts::of(&reference)?);
    let list = catalogue(whole.config(), Grid::new(8, 8), 333);
    for name in ["vit-block0-self-q", "vit-block4-self-map", "vit-block5-out"] {
        let tap = list.find(name)?;
        let part = network("tiny-hunyuan-12", LoadExtent::UpTo(tap))?;
        let select = |_: &Catalogue| [tap].into_iter().collect();
        let found = pass(&part, x, &[741.0], &texts, select, false)?;
        let wanted = pass(&whole, x, &[741.0], &texts, select, false)?;
        assert_eq!(numbers(&found.taps[name]), numbers(&wanted.taps[name]), "{name}");
        let refused = pass(&part, x, &[741.0], &texts, |_| Selection::default(), true);
        let error = refused.err().ok_or("the output was not read")?.to_string();
        assert!(error.contains("only as far as"), "{error}");
    }
    Ok(())
}

#[test]
fn a_cancelled_pass_ends_at_the_next_activation() -> TestResult {
    let network = network("tiny-hunyuan-12", LoadExtent::Whole)?;
    let reference = expected("hunyuan12-64x64");
    let (x, texts) = (&reference["mid.unet_in"], Texts::of(&reference)?);
    let list = catalogue(network.config(), Grid::new(8, 8), 333);
    let (selection, mut met, mut calls) = (everything(&list), 0, 0);
    let mut record = |_: Tap, _: &Tensor| {
        met += 1;
        Ok(())
    };
    let mut watch = |_: f32| {
        calls += 1;
        if calls == 10 { Err(Error::Cancelled) } else { Ok(()) }
    };
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    let ended = network.forward(x, &[741.0], &texts.conditions(x), &mut probe);
    assert!(matches!(ended, Err(Stop::Error(Error::Cancelled))));
    assert_eq!(met, 10);
    Ok(())
}

#[test]
fn what_does_not_fit_the_network_is_refused() -> TestResult {
    let network = network("tiny-hunyuan-12", LoadExtent::Whole)?;
    let reference = expected("hunyuan12-64x64");
    let texts = || Texts::of(&reference);
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let refusal = |x: &Tensor, t: &[f32], texts: &Texts| {
        pass(&network, x, t, texts, |_| Selection::default(), true)
            .err()
            .map_or_else(String::new, |error| error.to_string())
    };
    let x = zeros(&[1, 4, 8, 8])?;
    assert_eq!(refusal(&x, &[1.0], &texts()?), "");
    assert!(refusal(&zeros(&[1, 16, 8, 8])?, &[1.0], &texts()?).contains("latents of 4 channels"));
    assert!(refusal(&zeros(&[1, 4, 8, 7])?, &[1.0], &texts()?).contains("multiples of 2"));
    assert!(refusal(&x, &[1.0, 2.0], &texts()?).contains("2 timesteps"));
    let mut wrong = texts()?;
    wrong.bert = zeros(&[1, 77, 32])?;
    assert!(refusal(&x, &[1.0], &wrong).contains("do not belong together"));
    let mut wrong = texts()?;
    wrong.t5 = zeros(&[1, 255, 24])?;
    assert!(refusal(&x, &[1.0], &wrong).contains("do not belong together"));
    let mut wrong = texts()?;
    wrong.t5_mask.pop();
    assert!(refusal(&x, &[1.0], &wrong).contains("do not belong together"));
    Ok(())
}

/// Adapters find every layer by the name of its weight, and nothing in the file is left unread but a table and two positions.
#[test]
fn layers_bear_the_names_of_the_file() -> TestResult {
    for name in ["tiny-hunyuan-11", "tiny-hunyuan-12"] {
        let mut network = network(name, LoadExtent::Whole)?;
        let mut layers = HashSet::new();
        network.each_layer(&mut |layer| {
            layers.insert(layer.info().name.clone());
        });
        let weights = open_weights(&model(name).join("transformer"), DIFFUSERS_STEM)?;
        let names = weights.names().filter_map(|name| name.strip_suffix(".weight"));
        assert_eq!(layers, names.map(str::to_owned).collect(), "{name}");
    }
    Ok(())
}

#[test]
fn a_tensor_too_many_is_named() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-hunyuan-11"), "hunyuan");
    let config = Path::new(&folder).join("transformer/config.json");
    let mut json = read_json(&config)?;
    json["use_style_cond_and_image_meta_size"] = json!(false);
    fs::write(&config, json.to_string())?;
    let mut request = request("hunyuan11-64x80");
    request["model"] = json!(folder);
    let error = extract(request, DType::F32).err().ok_or("it was taken")?.to_string();
    // The layer that reads sizes and style has another shape without them.
    assert!(
        error.contains("time_extra_emb.extra_embedder.linear_1.weight"),
        "{error}"
    );
    json["use_style_cond_and_image_meta_size"] = json!(true);
    fs::write(&config, json.to_string())?;
    let weights = Path::new(&folder).join("transformer/diffusion_pytorch_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu)?;
    tensors.insert(
        "blocks.0.norm4.weight".to_owned(),
        Tensor::zeros(32, DType::F32, &Device::Cpu)?,
    );
    candle_core::safetensors::save(&tensors, &weights)?;
    let mut request = common::case::request("hunyuan11-64x80");
    request["model"] = json!(folder);
    let error = extract(request, DType::F32).err().ok_or("it was taken")?.to_string();
    assert!(error.contains("blocks.0.norm4.weight"), "{error}");
    Ok(())
}

#[test]
fn catalogues_equal_the_published_lists() -> TestResult {
    let published = |name: &str| -> Result<Vec<String>, Box<dyn std::error::Error>> {
        Ok(serde_json::from_str(&fs::read_to_string(data(&format!(
            "ids/{name}.json"
        )))?)?)
    };
    for key in ["hunyuandit-1.1", "hunyuandit-1.2"] {
        let spec = resolve(key)?;
        let list = spec.plain_catalogue(Size::new(1024, 1024));
        let found: Vec<String> = listed(&list);
        assert_eq!(found, published("hunyuandit_out")?, "{key}");
        // The ids of generic-diffusion-feature are those without the blocks' outputs.
        let outputs = |id: &String| id.ends_with("-out");
        let without: Vec<String> = found.iter().filter(|id| !outputs(id)).cloned().collect();
        assert_eq!(without, published("hunyuandit")?, "{key}");
        let table = fs::read_to_string(data("ids/hunyuandit_out.shapes.tsv"))?;
        for line in table.lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            let shape: Vec<usize> = cells[2].split(',').map(str::parse).collect::<Result<_, _>>()?;
            let entry = list.entry(list.find(cells[0])?).ok_or("no entry")?;
            assert_eq!(entry.shape.dims().as_slice(), shape, "{key} {}", entry.id);
            assert_eq!(matches!(entry.shape, Shape::Attention { .. }), entry.id.is_map());
        }
    }
    Ok(())
}

/// Both texts are read, and a map has a column for every token of both.
#[test]
fn every_token_of_both_encoders_is_named() -> TestResult {
    let folder = model("tiny-hunyuan-11");
    let words =
        WordPieceTokenizer::from_folder(&folder.join("tokenizer"))?.encode("一只红色的猫 on a wooden Table", 77)?;
    let named = bert_tokens(&words);
    let text: Vec<&str> = named
        .iter()
        .filter(|token| token.role == TokenRole::Word)
        .map(|token| token.piece.as_str())
        .collect();
    assert_eq!(text, ["一", "只", "红", "色", "的", "猫", "on", "a", "wooden", "table"]);
    assert_eq!(
        (named[0].role, named[11].role, named[12].role),
        (TokenRole::Start, TokenRole::End, TokenRole::Padding)
    );
    let mask: Vec<f64> = words.mask().into_iter().map(f64::from).collect();
    let reference = expected("hunyuan11-64x80");
    assert_eq!(numbers(&reference["mid.text_embedding_mask"]), mask);
    // mT5's vocabulary has no ids beyond those of its file.
    let pieces =
        T5Tokenizer::from_folder(&folder.join("tokenizer_2"))?.encode("一只红色的猫 on a wooden Table", 256)?;
    let mask: Vec<f64> = pieces.mask().into_iter().map(f64::from).collect();
    assert_eq!(numbers(&reference["mid.text_embedding_mask_t5"]), mask);
    Ok(())
}

#[test]
fn a_bert_refuses_what_it_cannot_read() -> TestResult {
    let encoder = BertEncoder::from_folder(&model("tiny-hunyuan-11").join("text_encoder"), &Device::Cpu, DType::F32)?;
    let refusal = |ids: &[u32], mask: &[u8]| {
        encoder
            .forward(ids, mask, &mut no_progress)
            .err()
            .map_or_else(String::new, |error| error.to_string())
    };
    assert_eq!(refusal(&[2, 7, 3, 0], &[1, 1, 1, 0]), "");
    assert!(refusal(&[], &[]).contains("1 to 96 tokens"));
    assert!(refusal(&[0; 97], &[1; 97]).contains("1 to 96 tokens"));
    assert!(refusal(&[1, 2], &[1]).contains("1 numbers"));
    assert!(refusal(&[253], &[1]).contains("outside the BERT encoder's vocabulary of 253"));
    // Padding changes nothing for what counts.
    let short = encoder.forward(&[2, 7, 3], &[1; 3], &mut no_progress)?;
    let padded = encoder.forward(&[2, 7, 3, 0, 0], &[1, 1, 1, 0, 0], &mut no_progress)?;
    compare("states", &short, &padded.narrow(1, 0, 3)?)?;
    Ok(())
}

/// Queries and keys are offered as they enter the products, normed and turned.
#[test]
fn maps_say_what_they_are_made_of() -> TestResult {
    rows_are_of_products("hunyuan11-64x80", "vit-block4")
}
