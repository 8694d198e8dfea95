//! Adapters of every kind: what LyCORIS and PEFT compute with them, and that nothing of them stays when they are taken off.
//! `tests/data/adapters/make.py` wrote both.

use std::collections::BTreeSet;

use super::{common::*, *};
use featscope::{
    components::text::ClipTextModel,
    families::stable_diffusion::lora::{LoraFile, Part, layers_of, put},
};
use program::Place;

const T: f32 = 51.0;
const LAYERS_PER_BLOCK: [usize; 4] = [2; 4];

fn adapter(name: &str) -> PathBuf {
    let folder = data("adapters").join(name);
    match folder.is_dir() {
        true => folder,
        false => data("adapters").join(format!("{name}.safetensors")),
    }
}

fn open(name: &str) -> LoraFile {
    LoraFile::open(&adapter(name)).expect("an adapter")
}

fn reference() -> Tensors {
    load(&data("adapters/expected.safetensors"))
}

/// The networks that adapters are put on, and what goes in.
struct Networks {
    unet: Unet,
    text: ClipTextModel,
    x: Tensor,
    states: Tensor,
    ids: Vec<u32>,
}

impl Networks {
    fn new(reference: &Tensors) -> Self {
        let folder = model("tiny-sd15").join("text_encoder");
        let given = |name: &str| reference[&format!("given.{name}")].clone();
        Self {
            unet: unet("tiny-sd15", &unet_tensors("tiny-sd15")),
            text: ClipTextModel::from_folder(&folder, &Device::Cpu, DType::F32).expect("a text encoder"),
            x: given("x"),
            states: given("states"),
            ids: numbers(&given("ids")).iter().map(|id| *id as u32).collect(),
        }
    }

    fn put(&mut self, loras: &[(&LoraFile, f64)]) -> featscope::Result<()> {
        let layers = [
            (Part::Unet, layers_of(&mut self.unet)),
            (Part::Text(0), layers_of(&mut self.text)),
        ];
        for (lora, _) in loras {
            lora.fit(&layers, &LAYERS_PER_BLOCK)?;
        }
        let to = (DType::F32, Device::Cpu);
        put(loras, Part::Unet, &LAYERS_PER_BLOCK, &mut self.unet, &to)?;
        put(loras, Part::Text(0), &[], &mut self.text, &to)
    }

    /// The U-Net's output, and the text encoder's last states.
    fn run(&self) -> Result<[Tensor; 2], Box<dyn std::error::Error>> {
        let list = catalogue(self.unet.config(), Grid::new(8, 8), self.states.dim(1)?);
        let selection = Selection::from_names(["unet-out"], &list)?;
        let conditions = Conditions::of_text(&self.states);
        let out = met(&selection, list.len(), |probe| {
            self.unet.forward(&self.x, &[T], &conditions, probe)
        })?;
        let text = self.text.forward(std::slice::from_ref(&self.ids), &mut no_progress)?;
        Ok([out, text.last])
    }
}

#[test]
fn every_kind_is_what_its_authors_compute() -> TestResult {
    let reference = reference();
    let mut networks = Networks::new(&reference);
    let plain = networks.run()?;
    let names: BTreeSet<&str> = reference
        .keys()
        .filter_map(|name| Some(name.rsplit_once('.')?.0))
        .collect();
    let mut compared = 0;
    for name in names {
        let Some((kind, scale)) = name.split_once('@').filter(|(kind, _)| *kind != "second") else {
            continue;
        };
        let lora = open(kind);
        networks
            .put(&[(&lora, scale.parse()?)])
            .map_err(|error| format!("{name}: {error}"))?;
        for (found, part) in networks.run()?.iter().zip(["unet", "text"]) {
            if let Some(expected) = reference.get(&format!("{name}.{part}")) {
                compare(&format!("{name}.{part}"), expected, found)?;
                compared += 1;
            }
        }
        let changed = networks.run()?;
        assert!(
            numbers(&changed[0]) != numbers(&plain[0]) || numbers(&changed[1]) != numbers(&plain[1]),
            "{name} changes nothing"
        );
        networks.put(&[])?;
        for (again, plain) in networks.run()?.iter().zip(&plain) {
            assert_eq!(numbers(again), numbers(plain), "{name} leaves a trace");
        }
    }
    assert!(compared > 100, "{compared} outputs");
    Ok(())
}

#[test]
fn several_at_once_add_what_each_makes_of_the_weights_as_they_were_read() -> TestResult {
    let reference = reference();
    let mut networks = Networks::new(&reference);
    let [loha, oft, locon] = ["loha", "oft", "locon"].map(open);
    networks.put(&[(&loha, 0.6), (&oft, 1.0), (&locon, -0.5)])?;
    let [found, _] = networks.run()?;
    compare("several", &reference["several.unet"], &found)?;
    Ok(())
}

#[test]
fn the_second_encoder_of_sdxl_has_its_own() -> TestResult {
    let reference = reference();
    let folder = model("tiny-sdxl").join("text_encoder_2");
    let mut text = ClipTextModel::from_folder(&folder, &Device::Cpu, DType::F32)?;
    let lora = open("second");
    lora.fit(&[(Part::Text(1), layers_of(&mut text))], &[])?;
    put(
        &[(&lora, 1.0)],
        Part::Text(1),
        &[],
        &mut text,
        &(DType::F32, Device::Cpu),
    )?;
    let ids = numbers(&reference["given.second_ids"])
        .iter()
        .map(|id| *id as u32)
        .collect();
    let states = text.forward(&[ids], &mut no_progress)?;
    compare("penultimate", &reference["second@1.penultimate"], &states.penultimate)?;
    compare("pooled", &reference["second@1.pooled"], &states.pooled)?;
    Ok(())
}

/// A layer of which something cannot be made leaves all layers as they were.
#[test]
fn a_network_is_changed_whole_or_not_at_all() -> TestResult {
    let place = Place::new();
    let reference = reference();
    let mut networks = Networks::new(&reference);
    let good = open("loha");
    networks.put(&[(&good, 1.0)])?;
    let before = networks.run()?;
    let mut tensors = load(&adapter("lokr"));
    let name = "lora_unet_up_blocks_1_attentions_0_proj_in.lokr_w1";
    let infinite = (tensors[name].to_dtype(DType::F32)? / 0.0)?;
    tensors.insert(name.to_owned(), infinite);
    let bad = LoraFile::open(&save(&tensors, &place.path("bad.safetensors")))?;
    let error = networks.put(&[(&bad, 1.0)]).expect_err("infinite numbers").to_string();
    assert!(error.contains(name), "{error}");
    for (after, before) in networks.run()?.iter().zip(&before) {
        assert_eq!(numbers(after), numbers(before));
    }
    Ok(())
}

/// What PEFT says in a file beside its own, diffusers says in the header, for each network.
#[test]
fn settings_in_the_header_are_those_beside_the_file() -> TestResult {
    let place = Place::new();
    let folder = adapter("peft-patterns");
    let config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("adapter_config.json"))?)?;
    let config = config.as_object().ok_or("an object")?;
    let prefixed: serde_json::Map<String, serde_json::Value> = config
        .iter()
        .map(|(key, value)| (format!("unet.{key}"), value.clone()))
        .collect();
    let tensors: Tensors = load(&folder.join("adapter_model.safetensors"))
        .into_iter()
        .map(|(name, tensor)| (name.replace("base_model.model.", "unet."), tensor))
        .collect();
    let metadata = HashMap::from([("lora_adapter_metadata".to_owned(), serde_json::to_string(&prefixed)?)]);
    let path = place.path("header.safetensors");
    safetensors::serialize_to_file(tensors.iter(), Some(metadata), &path)?;
    let reference = reference();
    let mut networks = Networks::new(&reference);
    let header = LoraFile::open(&path)?;
    networks.put(&[(&header, 0.6)])?;
    compare("header", &reference["peft-patterns@0.6.unet"], &networks.run()?[0])?;
    let fit = header.fit(&[(Part::Unet, layers_of(&mut networks.unet))], &LAYERS_PER_BLOCK)?;
    let factors = fit.factors.ok_or("factors")?;
    assert_eq!(factors.range, [0.5, 16.0]);
    assert!(factors.source.contains("lora_adapter_metadata"), "{}", factors.source);
    Ok(())
}

/// The same file with other names means the same, whichever program wrote it.
#[test]
fn names_of_all_programs_mean_the_same() -> TestResult {
    let place = Place::new();
    let reference = reference();
    let mut networks = Networks::new(&reference);
    let tensors = load(&adapter("locon"));
    let dotted = [
        (
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
            "input_blocks.1.1.transformer_blocks.0.attn1.to_q",
        ),
        (
            "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj",
            "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
            "middle_block.1.transformer_blocks.0.ff.net.0.proj",
        ),
        (
            "lora_unet_up_blocks_1_attentions_0_proj_in",
            "up_blocks.1.attentions.0.proj_in",
            "output_blocks.3.1.proj_in",
        ),
        (
            "lora_unet_down_blocks_1_resnets_0_conv1",
            "down_blocks.1.resnets.0.conv1",
            "input_blocks.4.0.in_layers.2",
        ),
        (
            "lora_unet_down_blocks_0_downsamplers_0_conv",
            "down_blocks.0.downsamplers.0.conv",
            "input_blocks.3.0.op",
        ),
        (
            "lora_te_text_model_encoder_layers_0_mlp_fc1",
            "text_model.encoder.layers.0.mlp.fc1",
            "text_model.encoder.layers.0.mlp.fc1",
        ),
    ];
    let renamed = |unet: &str, text: &str, original: bool, down: &str, up: &str| -> Result<Tensors, String> {
        let rename = |name: &str| {
            let (stem, ending) = name.split_once('.')?;
            let (_, diffusers, authors) = dotted.iter().find(|(kohya, ..)| *kohya == stem)?;
            let layer = if original { authors } else { diffusers };
            let prefix = if layer.starts_with("text_model") { text } else { unet };
            let ending = ending.replace("lora_down", down).replace("lora_up", up);
            Some(format!("{prefix}{layer}.{ending}"))
        };
        let renamed = tensors
            .iter()
            .map(|(name, tensor)| Ok((rename(name).ok_or_else(|| name.clone())?, tensor.clone())));
        renamed.collect()
    };
    let cases = [
        renamed("unet.", "text_encoder.", false, "lora_A", "lora_B")?,
        renamed("unet.", "text_encoder.", false, "lora_A.my-style", "lora_B.my-style")?,
        renamed("", "text_encoder.", false, "lora.down", "lora.up")?,
        renamed(
            "diffusion_model.",
            "text_encoders.clip_l.transformer.",
            true,
            "lora_down",
            "lora_up",
        )?,
        renamed("diffusion_model.", "clip_l.transformer.", false, "lora_A", "lora_B")?,
        renamed("base_model.model.", "te1.", false, "lora_A", "lora_B")?,
    ];
    for (index, tensors) in cases.iter().enumerate() {
        let file = LoraFile::open(&save(tensors, &place.path(&format!("{index}.safetensors"))))?;
        networks
            .put(&[(&file, 1.0)])
            .map_err(|error| format!("{index}: {error}"))?;
        for (found, part) in networks.run()?.iter().zip(["unet", "text"]) {
            compare(part, &reference[&format!("locon@1.{part}")], found)
                .map_err(|error| format!("{index}: {error}"))?;
        }
    }
    Ok(())
}
