//! Files of its authors, put into the model or beside it, and files of other networks.

use std::{collections::HashMap, fs, path::Path};

use candle_core::Tensor;

use crate::{
    CASES, NAME,
    common::{
        TestResult, model,
        program::Place,
        program_case::{Case, Tensors, load},
    },
};

/// The transformer's tensors under the names of its authors.
fn as_one_file(prefix: &str) -> Result<Tensors, Box<dyn std::error::Error>> {
    let own = load(&model(NAME).join("transformer/diffusion_pytorch_model.safetensors"));
    let mut file = HashMap::new();
    for (name, tensor) in &own {
        if ["to_k.", "to_v.", "add_k_proj.", "add_v_proj."]
            .iter()
            .any(|part| name.contains(part))
        {
            continue;
        }
        let beside = |query: &str, parts: [&str; 2]| -> candle_core::Result<Tensor> {
            let [key, value] = parts.map(|part| &own[&name.replace(query, part)]);
            Tensor::cat(&[tensor, key, value], 0)
        };
        let tensor = match () {
            () if name.contains("to_q.") => beside("to_q", ["to_k", "to_v"])?,
            () if name.contains("add_q_proj.") => beside("add_q_proj", ["add_k_proj", "add_v_proj"])?,
            // The authors have the shift first.
            () if name.starts_with("norm_out.") => {
                let halves = tensor.chunk(2, 0)?;
                Tensor::cat(&[&halves[1], &halves[0]], 0)?
            }
            () => tensor.clone(),
        };
        let norm = |theirs: &str, which: &str| format!("{theirs}norm.{which}_norm.scale");
        let of_single = name.starts_with("single_transformer_blocks.");
        let stream = if of_single { "" } else { "img_attn." };
        let theirs = [
            (".attn.norm_added_q.weight", format!(".{}", norm("txt_attn.", "query"))),
            (".attn.norm_added_k.weight", format!(".{}", norm("txt_attn.", "key"))),
            (".attn.norm_q.weight", format!(".{}", norm(stream, "query"))),
            (".attn.norm_k.weight", format!(".{}", norm(stream, "key"))),
            ("single_transformer_blocks.", "single_blocks.".to_owned()),
            ("transformer_blocks.", "double_blocks.".to_owned()),
            (".attn.to_q.", ".img_attn.qkv.".to_owned()),
            (".attn.add_q_proj.", ".txt_attn.qkv.".to_owned()),
            (".attn.to_out.0.", ".img_attn.proj.".to_owned()),
            (".attn.to_add_out.", ".txt_attn.proj.".to_owned()),
            (".ff.linear_in.", ".img_mlp.0.".to_owned()),
            (".ff.linear_out.", ".img_mlp.2.".to_owned()),
            (".ff_context.linear_in.", ".txt_mlp.0.".to_owned()),
            (".ff_context.linear_out.", ".txt_mlp.2.".to_owned()),
            (".attn.to_qkv_mlp_proj.", ".linear1.".to_owned()),
            (".attn.to_out.", ".linear2.".to_owned()),
            ("x_embedder.", "img_in.".to_owned()),
            ("context_embedder.", "txt_in.".to_owned()),
            (
                "time_guidance_embed.timestep_embedder.linear_1.",
                "time_in.in_layer.".to_owned(),
            ),
            (
                "time_guidance_embed.timestep_embedder.linear_2.",
                "time_in.out_layer.".to_owned(),
            ),
            ("_modulation_img.linear.", "_modulation_img.lin.".to_owned()),
            ("_modulation_txt.linear.", "_modulation_txt.lin.".to_owned()),
            (
                "single_stream_modulation.linear.",
                "single_stream_modulation.lin.".to_owned(),
            ),
            ("norm_out.linear.", "final_layer.adaLN_modulation.1.".to_owned()),
            ("proj_out.", "final_layer.linear.".to_owned()),
        ]
        .into_iter()
        .fold(name.clone(), |name, (ours, theirs)| name.replace(ours, &theirs));
        file.insert(format!("{prefix}{theirs}"), tensor);
    }
    Ok(file)
}

/// The autoencoder's tensors under the names of its authors.
fn autoencoder_as_one_file() -> Result<Tensors, Box<dyn std::error::Error>> {
    const LEVELS: usize = 4;
    let own = load(&model(NAME).join("vae/diffusion_pytorch_model.safetensors"));
    let mut file = HashMap::new();
    for (name, tensor) in own {
        let levels = (0..LEVELS).flat_map(|level| {
            [
                (format!("down_blocks.{level}.resnets"), format!("down.{level}.block")),
                (
                    format!("down_blocks.{level}.downsamplers.0"),
                    format!("down.{level}.downsample"),
                ),
                (
                    format!("up_blocks.{level}.resnets"),
                    format!("up.{}.block", LEVELS - 1 - level),
                ),
                (
                    format!("up_blocks.{level}.upsamplers.0"),
                    format!("up.{}.upsample", LEVELS - 1 - level),
                ),
            ]
        });
        let others = [
            ("mid_block.resnets.0", "mid.block_1"),
            ("mid_block.resnets.1", "mid.block_2"),
            ("mid_block.attentions.0.group_norm", "mid.attn_1.norm"),
            ("mid_block.attentions.0.to_q", "mid.attn_1.q"),
            ("mid_block.attentions.0.to_k", "mid.attn_1.k"),
            ("mid_block.attentions.0.to_v", "mid.attn_1.v"),
            ("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out"),
            ("conv_norm_out", "norm_out"),
            ("conv_shortcut", "nin_shortcut"),
        ];
        let others = others.map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()));
        let theirs = levels
            .chain(others)
            .fold(name.clone(), |name, (ours, theirs)| name.replace(&ours, &theirs));
        let theirs = match theirs.split_once('.') {
            Some(("quant_conv", rest)) => format!("encoder.quant_conv.{rest}"),
            Some(("post_quant_conv", rest)) => format!("decoder.post_quant_conv.{rest}"),
            _ => theirs,
        };
        let is_projection = theirs.contains("attn_1.") && theirs.ends_with("weight") && tensor.dims().len() == 2;
        let tensor = match is_projection {
            true => tensor.unsqueeze(2)?.unsqueeze(3)?,
            false => tensor,
        };
        file.insert(theirs, tensor);
    }
    Ok(file)
}

/// Files of its authors, put into the model: the transformer with and without a prefix, the autoencoder.
#[test]
fn files_of_its_authors_give_the_same_numbers() -> TestResult {
    let place = Place::new();
    let new = || Case::new(CASES[0]);
    for (prefix, file) in [
        ("", "plain.safetensors"),
        ("model.diffusion_model.", "prefix.safetensors"),
    ] {
        candle_core::safetensors::save(&as_one_file(prefix)?, place.path(file))?;
        let case = Case {
            model: format!("{}+{}", new().model, place.text(file)),
            ..new()
        };
        case.passes().map_err(|error| format!("{file}: {error}"))?;
    }
    candle_core::safetensors::save(&autoencoder_as_one_file()?, place.path("ae.safetensors"))?;
    new().with(&["--vae-file", &place.text("ae.safetensors")]).passes()?;
    // The model's own is not read where another stands in its place.
    let folder = place.copy(&model(NAME), "model");
    fs::remove_file(Path::new(&folder).join("vae/diffusion_pytorch_model.safetensors"))?;
    let case = Case { model: folder, ..new() };
    case.with(&["--vae-file", &place.text("ae.safetensors")]).passes()
}

/// Of two families that share names each takes its own files alone.
#[test]
fn files_of_other_networks_are_refused_in_words() -> TestResult {
    let place = Place::new();
    let own = as_one_file("")?;
    candle_core::safetensors::save(&own, place.path("flux2.safetensors"))?;
    let run = |name: String, status: i32, words: &[&str]| {
        let case = Case {
            model: name,
            ..Case::new(CASES[0])
        };
        case.run("vit-block0-q", &Place::new()).refused(status, words);
    };
    let flux1 = model("tiny-flux-dev")
        .join("flux1-dev.safetensors")
        .display()
        .to_string();
    let (file, klein) = (place.text("flux2.safetensors"), model(NAME).display().to_string());
    run(format!("{klein}+{flux1}"), 1, &["no transformer of Flux.2"]);
    let dev = model("tiny-flux-dev").display().to_string();
    run(format!("{dev}+{file}"), 1, &["no transformer of Flux"]);
    let sd3 = model("tiny-sd3").display().to_string();
    let in_diffusers_names = model(NAME).join("transformer").display().to_string();
    run(
        format!("{sd3}+{in_diffusers_names}"),
        1,
        &["no transformer of Stable Diffusion 3"],
    );
    run(file, 1, &["flux.2-klein-4b+", "flux2.safetensors"]);
    let mut of_dev = own.clone();
    of_dev.insert(
        "guidance_in.in_layer.weight".to_owned(),
        own["time_in.in_layer.weight"].clone(),
    );
    candle_core::safetensors::save(&of_dev, place.path("dev.safetensors"))?;
    run(
        format!("{klein}+{}", place.text("dev.safetensors")),
        1,
        &["guidance_embeds", "[dev]"],
    );
    let mut less = own;
    less.remove("double_blocks.1.txt_mlp.2.weight");
    candle_core::safetensors::save(&less, place.path("less.safetensors"))?;
    run(
        format!("{klein}+{}", place.text("less.safetensors")),
        1,
        &["double_blocks.1.txt_mlp.2.weight"],
    );
    Ok(())
}
