//! Adapters that cannot be used, and why: nothing is half applied.

use super::{common::*, *};
use featscope::families::stable_diffusion::lora::{LoraFile, Part, layers_of, put};
use program::Place;

const LAYER: &str = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
const STEM: &str = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
const NORM: &str = "lora_unet_down_blocks_0_attentions_0_norm";
const CONV: &str = "lora_unet_down_blocks_0_resnets_0_conv1";
const SIDE: usize = 16;
const RANK: usize = 3;

fn number(x: f32) -> Tensor {
    Tensor::new(x, &Device::Cpu).expect("a number")
}

fn of(tensors: &[(&str, &[usize])]) -> Tensors {
    let tensor = |(name, shape): &(&str, &[usize])| ((*name).to_owned(), random(shape, 1));
    tensors.iter().map(tensor).collect()
}

/// Tensors of the layer of side 16, by the ends of their names.
fn of_layer(tensors: &[(&str, &[usize])]) -> Tensors {
    let named: Vec<(String, &[usize])> = tensors
        .iter()
        .map(|(end, shape)| (format!("{STEM}.{end}"), *shape))
        .collect();
    let named: Vec<(&str, &[usize])> = named.iter().map(|(name, shape)| (name.as_str(), *shape)).collect();
    of(&named)
}

fn good() -> Tensors {
    of_layer(&[("lora_down.weight", &[RANK, SIDE]), ("lora_up.weight", &[SIDE, RANK])])
}

fn with(more: &[(&str, Tensor)]) -> Tensors {
    let mut tensors = good();
    tensors.extend(more.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())));
    tensors
}

fn with_end(end: &str, tensor: Tensor) -> Tensors {
    with(&[(&format!("{STEM}.{end}"), tensor)])
}

fn without(end: &str) -> Tensors {
    let mut tensors = good();
    tensors.remove(&format!("{STEM}.{end}")).expect("it was there");
    tensors
}

/// What is said where the tensors are put on the U-Net; the path of the file may be a folder's.
fn refusal(path: &Path, unet: &mut Unet) -> Option<String> {
    let layers = [(Part::Unet, layers_of(unet))];
    let ended = LoraFile::open(path).and_then(|file| {
        file.fit(&layers, &[2; 4])?;
        put(&[(&file, 1.0)], Part::Unet, &[2; 4], unet, &(DType::F32, Device::Cpu))
    });
    ended.err().map(|error| error.to_string())
}

#[test]
fn what_is_no_adapter_of_the_model_is_refused_by_name() -> TestResult {
    let place = Place::new();
    let mut unet = unet("tiny-sd15", &unet_tensors("tiny-sd15"));
    let cases: Vec<(Tensors, &[&str])> = vec![
        // Too little, too much, of no known kind.
        (without("lora_up.weight"), &["alone", "lora_down"]),
        (without("lora_down.weight"), &["alone", "lora_up"]),
        (of_layer(&[("alpha", &[])]), &["alpha alone"]),
        (
            of_layer(&[("hada_w1_a", &[SIDE, 2]), ("hada_w1_b", &[2, SIDE])]),
            &["LoHa", "alone"],
        ),
        (of_layer(&[("lokr_w1", &[4, 4])]), &["LoKr", "alone"]),
        (
            of_layer(&[("lokr_w1", &[4, 4]), ("lokr_w2_a", &[4, 1])]),
            &["LoKr", "alone"],
        ),
        (
            of_layer(&[("a1.weight", &[SIDE, 2]), ("a2.weight", &[2, SIDE])]),
            &["GLoRA", "missing"],
        ),
        (of_layer(&[("dora_scale", &[1, SIDE])]), &["DoRA without"]),
        (
            of_layer(&[("oft_blocks", &[4, 4, 4]), ("hada_t1", &[1])]),
            &["hada_t1", "kind of adapter"],
        ),
        (
            with_end("oft_blocks", random(&[4, 4, 4], 1)),
            &["oft_blocks", "kind of adapter"],
        ),
        (with_end("diff", random(&[SIDE, SIDE], 1)), &["diff", "kind of adapter"]),
        (with_end("rescale", random(&[SIDE], 1)), &["rescale", "kind of adapter"]),
        (with_end("lambda_layer", number(1.0)), &["T-LoRA", "lambda_layer"]),
        (with_end("boft_R", number(1.0)), &["BOFT", "boft_R"]),
        (
            with_end("lora_down.bias", number(1.0)),
            &["names of no adapter", "lora_down.bias"],
        ),
        (
            with(&[("what_is_this", number(1.0))]),
            &["1 of its 3 tensors", "what_is_this"],
        ),
        (of(&[("weight", &[1])]), &["is no LoRA"]),
        (
            of(&[("conv_in.weight", &[1]), ("conv_in.bias", &[1])]),
            &["is no LoRA", "conv_in.weight"],
        ),
        (
            with(&[(&format!("unet.{LAYER}.lora_A.weight"), random(&[RANK, SIDE], 1))]),
            &["two tensors for the same part"],
        ),
        (
            of(&[
                ("unet.x.lora_A.one.weight", &[1, 1]),
                ("unet.x.lora_A.two.weight", &[1, 1]),
            ]),
            &["several adapters", "one, two"],
        ),
        // Layers that the model does not have, alone or beside others.
        (
            of(&[
                ("lora_unet_nothing.lora_down.weight", &[1, 1]),
                ("lora_unet_nothing.lora_up.weight", &[1, 1]),
            ]),
            &["fit no layer", "for another one", "lora_unet_nothing"],
        ),
        (
            with(&[
                ("lora_te2_x.lora_down.weight", number(1.0)),
                ("lora_te2_x.lora_up.weight", number(1.0)),
            ]),
            &["2 of its 4 tensors", "second text encoder", "lora_te2_x"],
        ),
        // Shapes.
        (
            with_end("lora_down.weight", random(&[RANK, 7], 1)),
            &["another model", "lora_down"],
        ),
        (
            with_end("lora_up.weight", random(&[SIDE, RANK + 1], 1)),
            &["another model"],
        ),
        (
            with_end("lora_down.weight", random(&[RANK * SIDE], 1)),
            &["another model"],
        ),
        (with_end("lora_down.weight", random(&[0, SIDE], 1)), &["another model"]),
        (
            of_layer(&[
                ("hada_w1_a", &[SIDE, 2]),
                ("hada_w1_b", &[2, SIDE]),
                ("hada_w2_a", &[SIDE, 2]),
                ("hada_w2_b", &[2, 4000]),
            ]),
            &["another model", "hada_w2_b"],
        ),
        (
            of_layer(&[("lokr_w1", &[4, 4]), ("lokr_w2", &[400, 400])]),
            &["another model", "lokr_w2"],
        ),
        (of_layer(&[("diff", &[SIDE, SIDE + 1])]), &["another model", "diff"]),
        (
            of_layer(&[("oft_blocks", &[4, 4, 5])]),
            &["another model", "oft_blocks"],
        ),
        (
            of_layer(&[("oft_blocks", &[60, 4, 4, 4])]),
            &["another model", "oft_blocks"],
        ),
        (
            of_layer(&[("oft_blocks", &[1, 5, 3, 3])]),
            &["another model", "oft_blocks"],
        ),
        (
            with_end("dora_scale", random(&[SIDE], 1)),
            &["another model", "dora_scale"],
        ),
        (
            of_layer(&[("weight", &[3]), ("on_input", &[])]),
            &["another model", "weight"],
        ),
        (
            with_end("lora_mid.weight", random(&[RANK, RANK, 3, 3], 1)),
            &["another model", "lora_mid"],
        ),
        (of_layer(&[("diff_b", &[SIDE])]), &["bias", "has none"]),
        (
            of(&[(&format!("{NORM}.w_norm"), &[SIDE + 1])]),
            &["another model", "w_norm"],
        ),
        (
            of(&[
                (&format!("{NORM}.lora_down.weight"), &[1, SIDE]),
                (&format!("{NORM}.lora_up.weight"), &[SIDE, 1]),
            ]),
            &["a norm", "is not computed"],
        ),
        (
            of(&[(&format!("{CONV}.diff_b"), &[SIDE + 1])]),
            &["another model", "diff_b"],
        ),
        // Numbers.
        (with_end("alpha", random(&[2], 1)), &["not one number"]),
        (with_end("alpha", number(f32::NAN)), &["NaN or infinite", "alpha"]),
        (with_end("alpha", number(1e30)), &["more than any LoRA has"]),
        (with_end("alpha", number(0.0)), &["alpha is 0"]),
        (
            with_end("lora_up.weight", (random(&[SIDE, RANK], 1) / 0.0)?),
            &["NaN or infinite", "lora_up"],
        ),
        (
            {
                let mut tensors = with_end("lora_up.weight", (random(&[SIDE, RANK], 1) * 3e38)?);
                tensors.insert(format!("{STEM}.alpha"), number(1e3));
                tensors
            },
            &["not finite", LAYER],
        ),
    ];
    for (index, (tensors, words)) in cases.iter().enumerate() {
        let path = save(tensors, &place.path(&format!("{index}.safetensors")));
        let message = refusal(&path, &mut unet).ok_or_else(|| format!("{words:?} is not refused"))?;
        for word in *words {
            assert!(message.contains(word), "\"{word}\" is not said in: {message}");
        }
        assert!(message.contains(&format!("{index}.safetensors")), "{message}");
        assert!(message.len() < 2000, "{message}");
    }
    Ok(())
}

/// Very many tensors that fit nothing, with very long names: a message stays one.
#[test]
fn messages_stay_short() -> TestResult {
    let place = Place::new();
    let mut unet = unet("tiny-sd15", &unet_tensors("tiny-sd15"));
    for beginning in ["lora_unet_", "what_is_this_"] {
        let names = (0..200).map(|i| format!("{beginning}{}{i}.alpha", "x".repeat(900)));
        let tensors = names.map(|name| (name, number(1.0))).collect();
        let path = save(&tensors, &place.path("long.safetensors"));
        let message = refusal(&path, &mut unet).ok_or("it fits nothing")?;
        assert!(message.len() < 2000 && message.contains("197 more"), "{message}");
    }
    Ok(())
}

/// A folder of PEFT's with other settings.
fn peft(
    place: &Place,
    name: &str,
    change: &[(&str, serde_json::Value)],
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let (from, to) = (data("adapters").join(name), place.path("peft"));
    std::fs::create_dir_all(&to)?;
    std::fs::copy(
        from.join("adapter_model.safetensors"),
        to.join("adapter_model.safetensors"),
    )?;
    let mut config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(from.join("adapter_config.json"))?)?;
    for (key, value) in change {
        config[*key] = value.clone();
    }
    std::fs::write(to.join("adapter_config.json"), config.to_string())?;
    Ok(to)
}

#[test]
fn settings_that_the_tensors_do_not_agree_with_are_refused() -> TestResult {
    use serde_json::json;
    let place = Place::new();
    let mut unet = unet("tiny-sd15", &unet_tensors("tiny-sd15"));
    for (name, key, value, word) in [
        ("peft-rslora", "r", json!(8), "rank 8"),
        ("peft-rslora", "rank_pattern", json!({"conv1": 2}), "rank 2"),
        ("peft-rslora", "use_dora", json!(true), "use_dora"),
        ("peft-dora", "use_dora", json!(false), "use_dora"),
        ("peft-rslora", "lora_bias", json!(true), "lora_bias"),
        ("peft-lora-bias", "lora_bias", json!(false), "lora_bias"),
        ("peft-rslora", "peft_type", json!("LOHA"), "alpha"),
        ("peft-rslora", "peft_type", json!("VERA"), "VERA"),
        ("peft-rslora", "fan_in_fan_out", json!(true), "fan_in_fan_out"),
        ("peft-rslora", "something_new", json!(7), "something_new"),
        ("peft-rslora", "init_lora_weights", json!("pissa_niter_4"), "pissa"),
        ("peft-oft", "coft", json!(true), "coft"),
        ("peft-oft", "block_share", json!(null), "block_share"),
    ] {
        let folder = peft(&place, name, &[(key, value)])?;
        let message = refusal(&folder, &mut unet).ok_or_else(|| format!("{name} with another {key} is not refused"))?;
        assert!(message.contains(word), "\"{word}\" is not said in: {message}");
    }
    // As they are, none is.
    for name in ["peft-rslora", "peft-dora", "peft-lora-bias", "peft-oft"] {
        let found = refusal(&peft(&place, name, &[])?, &mut unet);
        assert_eq!(found, None, "{name}");
    }
    Ok(())
}

/// A scale that is said twice has to be one.
#[test]
fn two_scales_that_differ_are_refused() -> TestResult {
    let place = Place::new();
    let mut unet = unet("tiny-sd15", &unet_tensors("tiny-sd15"));
    let folder = peft(&place, "peft-rslora", &[])?;
    let file = folder.join("adapter_model.safetensors");
    let mut tensors = load(&file);
    for (alpha, agrees) in [(6.0, true), (4.0, false)] {
        tensors.insert(format!("base_model.model.{LAYER}.alpha"), number(alpha));
        save(&tensors, &file);
        let message = refusal(&folder, &mut unet);
        assert_eq!(message.is_none(), agrees, "{message:?}");
        assert!(message.is_none_or(|message| message.contains("two scales are said")));
    }
    Ok(())
}
