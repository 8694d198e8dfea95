//! ControlNets as single files, in diffusers' names and in their authors', against the same nets as folders; and what else people
//! call a control, refused by its kind.

use std::{fs, path::Path};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use crate::{
    common::{
        TestResult, case_file, compare, model, numbers,
        program::{Place, Ran, run},
    },
    names::{self, Tensors},
    parity::{assert_same, save},
};

const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

fn read(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu)
        .expect("weights")
        .into_iter()
        .collect()
}

fn extract(base: &str, control: &str, place: &Place) -> Ran {
    let (base, out) = (model(base).display().to_string(), place.text("out.safetensors"));
    let image = case_file("sd15-all-64", "image0.png").display().to_string();
    run([
        "extract",
        "--model",
        &base,
        "--t",
        "120",
        "--size",
        "64",
        "--image",
        &image,
        "--prompt",
        "a red cat",
        "--activations",
        "all",
        "--intermediates",
        "--control",
        control,
        "--out",
        &out,
    ])
}

/// Every activation and inner tensor with a ControlNet.
fn found(base: &str, net: &str, place: &Place) -> Tensors {
    extract(base, &format!("{net}=canny:0.75"), place).good();
    read(&place.path("out.safetensors"))
}

/// The tensors of the tiny ControlNet.
fn tiny() -> Tensors {
    read(&model("tiny-controlnet").join(WEIGHTS))
}

/// Every name with something before it.
fn prefixed(tensors: &Tensors, prefix: &str) -> Tensors {
    let named = tensors.iter();
    named
        .map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone()))
        .collect()
}

#[test]
fn files_in_both_kinds_of_names_are_the_folder() -> TestResult {
    let place = Place::new();
    let folder = found("tiny-sd15", &model("tiny-controlnet").display().to_string(), &place);
    let authors = names::controlnet(&tiny());
    let mut with_base = prefixed(&authors, "control_model.");
    let unet = read(&model("tiny-sd15").join("unet").join(WEIGHTS));
    with_base.extend(names::unet(&unet));
    with_base.insert("logvar".into(), Tensor::zeros(1000, DType::F32, &Device::Cpu)?);
    for (file, tensors) in [
        ("net.safetensors", tiny()),
        ("wrapped.safetensors", prefixed(&tiny(), "module.")),
        ("bare.safetensors", authors.clone()),
        ("authors.safetensors", prefixed(&authors, "control_model.")),
        ("control_sd15_canny.pth", with_base),
    ] {
        let path = place.path(file);
        save(&tensors, &path)?;
        assert_same(&folder, &found("tiny-sd15", &path.display().to_string(), &place));
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Half of SDXL's U-Net with something that looks at the control image, as a folder.
fn half_of_sdxl(place: &Place) -> Result<(String, Tensors), Box<dyn std::error::Error>> {
    let unet = model("tiny-sdxl").join("unet");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(unet.join("config.json"))?)?;
    let widths = [4, 4, 8, 8];
    config["_class_name"] = json!("ControlNetModel");
    config["conditioning_embedding_out_channels"] = json!(widths);
    let mut tensors = read(&unet.join("diffusion_pytorch_model.fp16.safetensors"));
    tensors.retain(|name, _| {
        !["up_blocks.", "conv_out.", "conv_norm_out."]
            .iter()
            .any(|up| name.starts_with(up))
    });
    let wave = |shape: &[usize]| -> candle_core::Result<Tensor> {
        let count: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin() / 4.0).collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu)
    };
    let mut conv = |name: &str, out: usize, input: usize, kernel: usize| -> candle_core::Result<()> {
        tensors.insert(format!("{name}.weight"), wave(&[out, input, kernel, kernel])?);
        tensors.insert(format!("{name}.bias"), wave(&[out])?);
        Ok(())
    };
    let seen = |part: &str| format!("controlnet_cond_embedding.{part}");
    conv(&seen("conv_in"), widths[0], 3, 3)?;
    for pair in 0..widths.len() - 1 {
        let (from, to) = (widths[pair], widths[pair + 1]);
        conv(&seen(&format!("blocks.{}", 2 * pair)), from, from, 3)?;
        conv(&seen(&format!("blocks.{}", 2 * pair + 1)), to, from, 3)?;
    }
    let channels: Vec<usize> = serde_json::from_value(config["block_out_channels"].clone())?;
    conv(&seen("conv_out"), channels[0], widths[3], 3)?;
    let mut skips = vec![channels[0]];
    for (level, width) in channels.iter().enumerate() {
        skips.extend(vec![*width; 2 + usize::from(level + 1 < channels.len())]);
    }
    for (index, width) in skips.iter().enumerate() {
        conv(&format!("controlnet_down_blocks.{index}"), *width, *width, 1)?;
    }
    let deepest = channels[channels.len() - 1];
    conv("controlnet_mid_block", deepest, deepest, 1)?;
    place.write("net/config.json", config.to_string());
    save(&tensors, &place.path("net").join(WEIGHTS))?;
    Ok((place.text("net"), tensors))
}

#[test]
fn a_file_for_sdxl_is_the_folder() -> TestResult {
    let place = Place::new();
    let (folder, tensors) = half_of_sdxl(&place)?;
    let expected = found("tiny-sdxl", &folder, &place);
    let authors = prefixed(&names::controlnet(&tensors), "control_model.");
    for (file, tensors) in [("diffusers.safetensors", &tensors), ("authors.safetensors", &authors)] {
        save(tensors, &place.path(file))?;
        assert_same(&expected, &found("tiny-sdxl", &place.text(file), &place));
    }
    // It is no net for another family, which is told with what both have.
    let wrong = extract(
        "tiny-sd15",
        &format!("{}=canny", place.text("authors.safetensors")),
        &place,
    );
    wrong.refused(2, &["another family", "text of width"]);
    Ok(())
}

#[test]
fn the_configuration_beside_a_file_counts_where_it_describes_it() -> TestResult {
    let place = Place::new();
    let file = place.path("net.safetensors");
    save(&tiny(), &file)?;
    let net = file.display().to_string();
    let plain = found("tiny-sd15", &net, &place);
    let json = fs::read_to_string(model("tiny-controlnet").join("config.json"))?;
    let mut config: Value = serde_json::from_str(&json)?;
    config["controlnet_conditioning_channel_order"] = json!("bgr");
    config["norm_eps"] = json!(0.01);
    place.write("config.json", config.to_string());
    let beside = found("tiny-sd15", &net, &place);
    assert_ne!(numbers(&plain["mid.control_mid"]), numbers(&beside["mid.control_mid"]));
    config["conditioning_embedding_out_channels"] = json!([4, 4, 8, 16]);
    place.write("config.json", config.to_string());
    assert_same(&plain, &found("tiny-sd15", &net, &place));
    place.write("config.json", "no JSON");
    assert_same(&plain, &found("tiny-sd15", &net, &place));
    Ok(())
}

#[test]
fn nets_of_shuffled_pictures_say_the_same_everywhere() -> TestResult {
    let place = Place::new();
    let plain = found("tiny-sd15", &model("tiny-controlnet").display().to_string(), &place);
    let file = place.path("control_v11e_sd15_Shuffle.safetensors");
    save(&tiny(), &file)?;
    let of_file = found("tiny-sd15", &file.display().to_string(), &place);
    let folder = place.copy(&model("tiny-controlnet"), "pooled");
    let json = fs::read_to_string(place.path("pooled/config.json"))?;
    let mut config: Value = serde_json::from_str(&json)?;
    config["global_pool_conditions"] = json!(true);
    place.write("pooled/config.json", config.to_string());
    assert_same(&of_file, &found("tiny-sd15", &folder, &place));
    let mut compared = 0;
    for (name, tensor) in plain
        .iter()
        .filter(|(name, _)| name.starts_with("mid.control_") && !name.contains("image"))
    {
        let mean = tensor.mean_keepdim((2, 3))?.broadcast_as(tensor.shape())?;
        compare(name, &mean, &of_file[name])?;
        compared += 1;
    }
    assert_eq!(compared, 13);
    Ok(())
}

#[test]
fn other_kinds_are_refused_by_kind() -> TestResult {
    let cases: [(&[&str], &str); 15] = [
        (
            &["adapter.body.0.resnets.0.block1.weight", "adapter.conv_in.weight"],
            "a T2I-Adapter",
        ),
        (&["body.0.block1.weight", "conv_in.weight"], "a T2I-Adapter"),
        (
            &["lllite_unet_input_blocks_4_1_attn1_to_q.conditioning1.0.weight"],
            "a ControlNet-LLLite",
        ),
        (&["down_blocks.0.base_to_ctrl.0.weight"], "a ControlNet-XS"),
        (
            &[
                "control_model.input_hint_block.0.weight",
                "control_model.enc_zero_convs_in.0.0.weight",
            ],
            "a ControlNet-XS",
        ),
        (
            &["controlnet_cond_embedding.conv_in.weight", "task_embedding"],
            "a ControlNet-Union",
        ),
        (&["lora_controlnet", "input_hint_block.0.weight"], "a Control-LoRA"),
        (
            &["ip_adapter.1.to_k_ip.weight", "image_proj.proj.weight"],
            "an IP-Adapter",
        ),
        (&["image_proj.latents"], "InstantID"),
        (
            &["controlnet_x_embedder.weight", "transformer_blocks.0.attn.to_q.weight"],
            "a diffusion transformer",
        ),
        (
            &["pos_embed_input.proj.weight", "controlnet_blocks.0.weight"],
            "a diffusion transformer",
        ),
        (
            &["difference", "control_model.input_hint_block.0.weight"],
            "a difference",
        ),
        (&["down_blocks.0.motion_modules.0.norm.weight"], "SparseCtrl"),
        (&["lora_unet_mid_block.lora_down.weight"], "a LoRA"),
        (
            &["conv_in.weight", "up_blocks.0.resnets.0.conv1.weight"],
            "it holds no ControlNet",
        ),
    ];
    let place = Place::new();
    for (tensors, kind) in cases {
        let tensor = Tensor::zeros((4, 4, 3, 3), DType::F32, &Device::Cpu)?;
        let tensors = tensors
            .iter()
            .map(|name| ((*name).to_owned(), tensor.clone()))
            .collect();
        save(&tensors, &place.path("other.safetensors"))?;
        let before = place.contents();
        extract(
            "tiny-sd15",
            &format!("{}=canny", place.text("other.safetensors")),
            &place,
        )
        .refused(1, &["other.safetensors", kind]);
        assert_eq!(place.contents(), before);
    }
    for (class, kind) in [
        ("T2IAdapter", "a T2I-Adapter"),
        ("ControlNetUnionModel", "a ControlNet-Union"),
        ("ControlNetXSAdapter", "a ControlNet-XS"),
        ("FluxControlNetModel", "a ControlNet of Flux"),
        ("SD3ControlNetModel", "Stable Diffusion 3"),
    ] {
        place.write("folder/config.json", json!({ "_class_name": class }).to_string());
        extract("tiny-sd15", &format!("{}=canny", place.text("folder")), &place)
            .refused(1, &["folder", kind, "ControlNetModel"]);
    }
    extract("tiny-sd15", "reference-only=canny", &place).refused(2, &["no network of its own"]);
    let instant = place.copy(&model("tiny-controlnet"), "InstantID/ControlNetModel");
    extract("tiny-sd15", &format!("{instant}=canny"), &place).refused(1, &["InstantID", "face"]);
    Ok(())
}

#[test]
fn nothing_of_a_net_is_left_out() -> TestResult {
    let place = Place::new();
    let more = Tensor::zeros(4, DType::F32, &Device::Cpu)?;
    let authors = prefixed(&names::controlnet(&tiny()), "control_model.");
    for (file, mut tensors, extra) in [
        ("a.safetensors", tiny(), "mid_block.attentions.0.gate"),
        ("b.safetensors", authors, "control_model.middle_block.3.weight"),
    ] {
        tensors.insert(extra.to_owned(), more.clone());
        save(&tensors, &place.path(file))?;
        extract("tiny-sd15", &format!("{}=canny", place.text(file)), &place)
            .refused(1, &[file, "would be left out", extra]);
    }
    // A tensor that lacks is named.
    let mut tensors = tiny();
    tensors.remove("mid_block.resnets.1.conv2.weight");
    save(&tensors, &place.path("c.safetensors"))?;
    extract("tiny-sd15", &format!("{}=canny", place.text("c.safetensors")), &place)
        .refused(1, &["mid_block.resnets.1.conv2.weight"]);
    Ok(())
}

/// The signs that part a net from its image and scale may be in its own name.
#[test]
fn a_net_may_have_any_name() -> TestResult {
    let place = Place::new();
    let plain = found("tiny-sd15", &model("tiny-controlnet").display().to_string(), &place);
    for name in ["a=b:2.safetensors", "net=canny.safetensors"] {
        save(&tiny(), &place.path(name))?;
        assert_same(&plain, &found("tiny-sd15", &place.text(name), &place));
    }
    Ok(())
}
