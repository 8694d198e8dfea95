//! LoRAs: what they compute, which names they may have, and what is refused.

use super::{common::*, *};
use featscope::{
    Error,
    activation::no_progress,
    device::{Compute, DeviceChoice, Precision},
    extract::model::Model,
    families::{
        resolve,
        stable_diffusion::lora::{self, LoraFile, Part, layers_of},
    },
    model::adapters::{Adapters, LoraUse, Scale},
};
use program::{Place, run};

const RANK: usize = 3;

/// The two factors for a layer's weight, as kohya's scripts shape them, and alpha where there is one.
struct Factors {
    layer: &'static str,
    alpha: Option<f64>,
    /// Whether a convolution's factors are written without their kernel.
    flat: bool,
    seed: u64,
}

impl Factors {
    fn shapes(&self, weights: &Tensors) -> (Vec<usize>, Vec<usize>) {
        let weight = weights[&format!("{}.weight", self.layer)].dims();
        let (kernel, point) = match self.flat {
            true => (&[][..], &[][..]),
            false => (&weight[2..], &[1, 1][..weight.len() - 2]),
        };
        (
            [&[RANK, weight[1]], kernel].concat(),
            [&[weight[0], RANK], point].concat(),
        )
    }

    fn down(&self, weights: &Tensors) -> Tensor {
        random(&self.shapes(weights).0, self.seed)
    }

    fn up(&self, weights: &Tensors) -> Tensor {
        random(&self.shapes(weights).1, self.seed + 100)
    }

    fn kohya(&self, weights: &Tensors) -> Tensors {
        self.named(&format!("lora_unet_{}", self.layer.replace('.', "_")), weights)
    }

    fn named(&self, stem: &str, weights: &Tensors) -> Tensors {
        let mut file = Tensors::from([
            (format!("{stem}.lora_down.weight"), self.down(weights)),
            (format!("{stem}.lora_up.weight"), self.up(weights)),
        ]);
        if let Some(alpha) = self.alpha {
            let alpha = Tensor::new(alpha as f32, &Device::Cpu).expect("a number");
            file.insert(format!("{stem}.alpha"), alpha);
        }
        file
    }

    /// W + scale·(alpha/rank)·up·down, the product taken over channels.
    fn merge(&self, weights: &mut Tensors, scale: f64) {
        let (down, up) = (self.down(weights), self.up(weights));
        let weight = weights.get_mut(&format!("{}.weight", self.layer)).expect("a weight");
        let rows = |x: &Tensor| x.flatten_from(1).expect("a matrix");
        let product = rows(&up).matmul(&rows(&down)).and_then(|x| x.reshape(weight.shape()));
        let factor = scale * self.alpha.map_or(1.0, |alpha| alpha / RANK as f64);
        *weight = product
            .and_then(|product| &*weight + (product * factor)?)
            .expect("a sum of weights");
    }
}

/// Linear layers, 1x1, 3x3 and strided convolutions, with and without alpha.
const LAYERS: [(&str, Option<f64>, bool); 9] = [
    (
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        Some(1.5),
        false,
    ),
    (
        "down_blocks.1.attentions.1.transformer_blocks.0.attn2.to_out.0",
        None,
        false,
    ),
    (
        "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
        Some(6.0),
        false,
    ),
    ("up_blocks.2.attentions.0.proj_in", Some(3.0), false),
    ("up_blocks.2.attentions.1.proj_out", None, true),
    ("down_blocks.0.resnets.1.conv1", Some(2.0), false),
    ("down_blocks.1.downsamplers.0.conv", None, false),
    ("up_blocks.1.resnets.0.time_emb_proj", Some(0.5), false),
    ("conv_in", None, false),
];

fn factors(seed: u64) -> Vec<Factors> {
    let of_layer = |(index, (layer, alpha, flat)): (usize, &(&'static str, Option<f64>, bool))| Factors {
        layer,
        alpha: *alpha,
        flat: *flat,
        seed: seed + index as u64,
    };
    LAYERS.iter().enumerate().map(of_layer).collect()
}

fn put(unet: &mut Unet, loras: &[(&LoraFile, f64)]) -> featscope::Result<()> {
    let layers_per_block = unet.config().layers_per_block();
    lora::put(loras, Part::Unet, &layers_per_block, unet, &(DType::F32, Device::Cpu))
}

fn written(place: &Place, name: &str, tensors: &Tensors) -> LoraFile {
    LoraFile::open(&save(tensors, &place.path(name))).expect("a LoRA")
}

#[test]
fn branches_are_what_merged_weights_would_be() -> TestResult {
    let place = Place::new();
    let weights = unet_tensors("tiny-sd15");
    let mut merged = weights.clone();
    let mut files = Vec::new();
    let scales = [0.3, -0.2];
    for (number, scale) in scales.iter().enumerate() {
        let factors = factors(1000 * (number as u64 + 1));
        let tensors = factors.iter().flat_map(|layer| layer.kohya(&weights)).collect();
        files.push(written(&place, &format!("{number}.safetensors"), &tensors));
        factors.iter().for_each(|layer| layer.merge(&mut merged, *scale));
    }
    let mut adapted = unet("tiny-sd15", &weights);
    let given = Given::of(adapted.config());
    let plain = pass(&adapted, &given);
    let layers = [(Part::Unet, layers_of(&mut adapted))];
    for file in &files {
        let fit = file.fit(&layers, &[2; 4])?;
        assert_eq!((fit.layers, fit.kinds.as_slice()), (LAYERS.len(), &["LoRA"][..]));
        // Alphas from 0.5 to 6 at a rank of 3; without one it is the rank.
        let range = fit.factors.ok_or("factors")?.range;
        assert_eq!(range, [0.5 / 3.0, 2.0]);
    }
    put(&mut adapted, &[(&files[0], scales[0]), (&files[1], scales[1])])?;
    let found = pass(&adapted, &given);
    let reference = pass(&unet("tiny-sd15", &merged), &given);
    let compared = compare_all(&reference, "", &found)?;
    assert!(compared > 100, "{compared} activations");
    assert!(
        compare("unet-out", &plain["unet-out"], &found["unet-out"]).is_err(),
        "a LoRA that changes nothing shows nothing"
    );
    Ok(())
}

#[test]
fn a_lora_taken_off_leaves_no_trace() -> TestResult {
    let place = Place::new();
    let weights = unet_tensors("tiny-sd15");
    let tensors = factors(7).iter().flat_map(|layer| layer.kohya(&weights)).collect();
    let file = written(&place, "lora.safetensors", &tensors);
    let mut network = unet("tiny-sd15", &weights);
    let given = Given::of(network.config());
    let plain = pass(&network, &given);
    put(&mut network, &[(&file, 0.8)])?;
    let once = pass(&network, &given);
    assert_ne!(bits(&plain), bits(&once));
    for none in [&[(&file, 0.0)][..], &[]] {
        put(&mut network, none)?;
        assert_eq!(bits(&plain), bits(&pass(&network, &given)));
        put(&mut network, &[(&file, 0.8)])?;
        assert_eq!(bits(&once), bits(&pass(&network, &given)));
    }
    Ok(())
}

#[test]
fn sdxl_layers_by_their_original_names() -> TestResult {
    let place = Place::new();
    let weights = unet_tensors("tiny-sdxl");
    // Of a network with two resnets per level, by hand.
    let names = [
        (
            "input_blocks_4_1_transformer_blocks_0_attn1_to_q",
            "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
        ),
        (
            "input_blocks_8_1_transformer_blocks_2_ff_net_2",
            "down_blocks.2.attentions.1.transformer_blocks.2.ff.net.2",
        ),
        ("input_blocks_3_0_op", "down_blocks.0.downsamplers.0.conv"),
        ("middle_block_1_proj_in", "mid_block.attentions.0.proj_in"),
        ("middle_block_2_out_layers_3", "mid_block.resnets.1.conv2"),
        ("output_blocks_2_2_conv", "up_blocks.0.upsamplers.0.conv"),
        (
            "output_blocks_3_0_skip_connection",
            "up_blocks.1.resnets.0.conv_shortcut",
        ),
        (
            "output_blocks_5_1_transformer_blocks_1_attn2_to_k",
            "up_blocks.1.attentions.2.transformer_blocks.1.attn2.to_k",
        ),
        ("label_emb_0_0", "add_embedding.linear_1"),
        ("time_embed_2", "time_embedding.linear_2"),
        ("out_2", "conv_out"),
    ];
    let factors = |index: usize, layer| Factors {
        layer,
        alpha: Some(2.0),
        flat: false,
        seed: 50 + index as u64,
    };
    let mut original = Tensors::new();
    let mut merged = weights.clone();
    for (index, (name, layer)) in names.into_iter().enumerate() {
        original.extend(factors(index, layer).named(&format!("lora_unet_{name}"), &weights));
        factors(index, layer).merge(&mut merged, 0.2);
    }
    let mut network = unet("tiny-sdxl", &weights);
    let file = written(&place, "original.safetensors", &original);
    let fit = file.fit(&[(Part::Unet, layers_of(&mut network))], &[2; 4])?;
    assert_eq!(fit.layers, names.len(), "{fit:?}");
    put(&mut network, &[(&file, 0.2)])?;
    let given = Given::of(network.config());
    let reference = pass(&unet("tiny-sdxl", &merged), &given);
    assert!(compare_all(&reference, "", &pass(&network, &given))? > 50);
    Ok(())
}

/// A model on the processor, with nothing on it.
pub(super) fn loaded(name: &str) -> featscope::Result<Model> {
    let spec = resolve(&model(name).display().to_string())?;
    Model::load(
        &spec,
        Compute::open(DeviceChoice::Cpu, Precision::F32)?,
        LoadExtent::Whole,
        &mut no_progress,
    )
}

fn kohya(scale: f64, on: bool) -> Adapters {
    let scale = Scale::try_from(scale).expect("a scale");
    let file = model("tiny-sd15-lora").join("lora_kohya.safetensors");
    Adapters {
        loras: vec![LoraUse { file, scale, on }],
        ..Adapters::default()
    }
}

#[test]
fn known_prompts_are_those_of_the_same_loras() -> TestResult {
    let mut model = loaded("tiny-sd15")?;
    let mut states = |adapters: &Adapters| -> Result<Vec<f64>, Error> {
        model.adapt(adapters)?;
        let states = model.encode_prompt("a cat", None, &mut no_progress)?;
        Ok(numbers(&states.expect("the model reads prompts").states))
    };
    let plain = states(&Adapters::default())?;
    let full = states(&kohya(1.0, true))?;
    let half = states(&kohya(0.5, true))?;
    assert!(plain != full && plain != half && full != half);
    assert_eq!(states(&kohya(1.0, false))?, plain, "switched off");
    assert_eq!(states(&kohya(0.0, true))?, plain, "at 0");
    assert_eq!(states(&kohya(1.0, true))?, full, "on again");
    Ok(())
}

/// SDXL's first text encoder makes the left part of the states, its second the right part and the pooled text.
#[test]
fn each_text_encoder_of_sdxl_has_its_own_layers() -> TestResult {
    let place = Place::new();
    let mut model = loaded("tiny-sdxl")?;
    let mut encoded = |layers: &[(&str, [usize; 2])]| -> Result<_, Box<dyn std::error::Error>> {
        let mut tensors = Tensors::new();
        for (layer, [out, input]) in layers {
            tensors.insert(format!("{layer}.lora_down.weight"), random(&[RANK, *input], 1));
            tensors.insert(format!("{layer}.lora_up.weight"), random(&[*out, RANK], 2));
        }
        let file = save(&tensors, &place.path(&format!("{}.safetensors", layers.len())));
        let used = LoraUse {
            file,
            scale: Scale::ONE,
            on: !layers.is_empty(),
        };
        model.adapt(&Adapters {
            loras: vec![used],
            ..Adapters::default()
        })?;
        let applied = model.applied();
        assert_eq!(
            applied.loras.iter().map(|lora| lora.layers).sum::<usize>(),
            layers.len()
        );
        let prompt = model.encode_prompt("a cat", None, &mut no_progress)?.ok_or("states")?;
        Ok((prompt.states, prompt.pooled.ok_or("a pooled text")?))
    };
    let layer = |encoder: usize| format!("lora_te{encoder}_text_model_encoder_layers_0_mlp_fc1");
    let shape = |folder: &str| -> Result<[usize; 2], Box<dyn std::error::Error>> {
        let files = find_weights(&common::model("tiny-sdxl").join(folder), "model")?;
        let store = Store::open_files(&files.files)?;
        let name = "text_model.encoder.layers.0.mlp.fc1.weight";
        Ok(store.shape(name).ok_or("a layer")?.try_into()?)
    };
    let (first, second) = (layer(1), layer(2));
    let [of_first, of_second] = [shape("text_encoder")?, shape("text_encoder_2")?];
    let (plain, plain_pooled) = encoded(&[])?;
    let (one, one_pooled) = encoded(&[(&first, of_first)])?;
    let (both, both_pooled) = encoded(&[(&first, of_first), (&second, of_second)])?;
    let width = of_first[1];
    let part = |states: &Tensor, from: usize, width: usize| states.narrow(2, from, width).map(|part| numbers(&part));
    let left = |states: &Tensor| part(states, 0, width);
    let right = |states: &Tensor| part(states, width, states.dim(2)? - width);
    assert_ne!(left(&one)?, left(&plain)?);
    assert_eq!(right(&one)?, right(&plain)?);
    assert_eq!(numbers(&one_pooled), numbers(&plain_pooled));
    assert_eq!(left(&both)?, left(&one)?);
    assert_ne!(right(&both)?, right(&one)?);
    assert_ne!(numbers(&both_pooled), numbers(&plain_pooled));
    Ok(())
}

#[test]
fn what_cannot_be_put_on_leaves_what_was_there() -> TestResult {
    let mut model = loaded("tiny-sd15")?;
    model.adapt(&kohya(0.5, true))?;
    let before = model.applied();
    assert_eq!(before.loras[0].kinds, ["LoRA"]);
    assert!(before.loras[0].layers > 100);
    let mut wrong = kohya(1.0, true);
    wrong.loras[0].file = common::model("tiny-sd15").join("unet/diffusion_pytorch_model.safetensors");
    let error = model.adapt(&wrong).expect_err("a U-Net is no LoRA").to_string();
    assert!(error.contains("is no LoRA"), "{error}");
    assert_eq!(model.applied(), before);
    Ok(())
}

#[test]
fn files_cut_anywhere_are_refused() -> TestResult {
    let place = Place::new();
    let whole = std::fs::read(model("tiny-sd15-lora").join("lora_peft.safetensors"))?;
    for length in (0..64).chain((64..whole.len()).step_by(9973)) {
        let path = place.write("cut.safetensors", &whole[..length]);
        assert!(LoraFile::open(Path::new(&path)).is_err(), "{length} bytes");
    }
    Ok(())
}

#[test]
fn the_scale_that_acts_is_said_and_recorded() -> TestResult {
    let place = Place::new();
    let out = place.text("out.safetensors");
    let image = case_file("sd15-lora-kohya", "image0.png").display().to_string();
    let base = model("tiny-sd15").display().to_string();
    let arguments = |lora: &str| {
        let all = [
            "extract",
            "--model",
            &base,
            "--image",
            &image,
            "--t",
            "51",
            "--size",
            "64",
            "--activations",
            "unet-out",
            "--out",
            &out,
            "--lora",
            lora,
        ];
        run(all)
    };
    let folder = data("adapters/peft-rslora");
    let ran = arguments(&format!("{}:0.5", folder.display())).good();
    for word in [
        "peft-rslora",
        "0.75 = 0.5 × 1.5",
        "alpha 3 / √rank 4",
        "adapter_config.json",
    ] {
        assert!(ran.stderr.contains(word), "\"{word}\" is not said in: {}", ran.stderr);
    }
    let record = featscope::io::saved::SavedActivations::open(Path::new(&out))?;
    assert!(record.names().contains(&"unet-out".to_owned()));
    let text = String::from_utf8_lossy(&std::fs::read(&out)?).into_owned();
    for word in [
        r#"scale\":0.5"#,
        r#"factors\":[1.5,1.5]"#,
        r#"√rank 4 by adapter_config.json"#,
    ] {
        assert!(text.contains(word), "{word} is recorded");
    }
    arguments("nothing-here.safetensors").refused(1, &["nothing-here.safetensors"]);
    arguments("owner/nothing-here").refused(1, &["owner/nothing-here", "hub's cache"]);
    arguments(&format!("{}:1e9", folder.display())).refused(2, &["a scale is a number"]);
    // A tensor that is for nothing is no note.
    let mut tensors = load(&data("adapters/locon.safetensors"));
    tensors.insert("lora_te2_x.lora_up.weight".to_owned(), random(&[4, 4], 1));
    tensors.insert("lora_te2_x.lora_down.weight".to_owned(), random(&[4, 4], 1));
    let odd = save(&tensors, &place.path("odd.safetensors"));
    arguments(&odd.display().to_string()).refused(2, &["2 of its 20 tensors", "second text encoder", "lora_te2_x"]);
    Ok(())
}
