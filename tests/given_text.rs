//! Text encoders of files in the place of a model's own: with the names of transformers, and as GGUF with those of llama.cpp.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{fs, path::Path};

use candle_core::quantized::GgmlDType;
use common::{
    TestResult, compare, expected, gguf, model,
    program::Place,
    program_case::{Case, Tensors, cosine, load},
};

const FLUX: (&str, &str) = ("flux-dev-64x48", "tiny-flux-dev");
const SD3: (&str, &str) = ("sd3-64x96", "tiny-sd3");
const PIXART: (&str, &str) = ("pixart-sigma-80x112", "tiny-pixart-sigma");
/// The states that a transformer is given.
const STATES: &str = "mid.encoder_hidden_states";

/// A model without the weights of some of its text encoders, which lie elsewhere.
struct Without {
    place: Place,
    case: &'static str,
    folder: String,
    own: Vec<Tensors>,
}

impl Without {
    fn new((case, name): (&'static str, &str), encoders: &[&str]) -> Result<Self, Box<dyn std::error::Error>> {
        let place = Place::new();
        let folder = place.copy(&model(name), "model");
        let mut own = Vec::new();
        for encoder in encoders {
            let weights = Path::new(&folder).join(encoder).join("model.safetensors");
            own.push(load(&weights));
            fs::remove_file(weights)?;
        }
        Ok(Self {
            place,
            case,
            folder,
            own,
        })
    }

    fn case(&self, files: &[&str]) -> Case {
        let mut case = Case {
            model: self.folder.clone(),
            ..Case::new(self.case)
        };
        for file in files {
            case = case.with(&["--text-encoder", &self.place.text(file)]);
        }
        case
    }

    fn states(&self, files: &[&str]) -> Tensors {
        self.case(files).extract("vit-block0-out")
    }

    /// What a transformer is given with these files is what the reference says.
    fn agrees(&self, files: &[&str]) -> TestResult {
        let (reference, found) = (expected(self.case), self.states(files));
        let inner = reference
            .keys()
            .filter(|name| name.starts_with("mid.pooled") || *name == STATES);
        let mut count = 0;
        for name in inner {
            compare(name, &reference[name], &found[name]).map_err(|error| format!("{files:?}: {error}"))?;
            count += 1;
        }
        assert!(count > 0, "{files:?}");
        Ok(())
    }
}

/// The name of a tensor of a T5 in llama.cpp's files.
fn of_llama_cpp(name: &str) -> String {
    [
        ("encoder.block.", "enc.blk."),
        ("encoder.final_layer_norm.", "enc.output_norm."),
        ("shared.", "token_embd."),
        ("layer.0.layer_norm.", "attn_norm."),
        ("layer.0.SelfAttention.relative_attention_bias.", "attn_rel_b."),
        ("layer.0.SelfAttention.", "attn_"),
        ("layer.1.layer_norm.", "ffn_norm."),
        ("layer.1.DenseReluDense.wi_0.", "ffn_gate."),
        ("layer.1.DenseReluDense.wi_1.", "ffn_up."),
        ("layer.1.DenseReluDense.wo.", "ffn_down."),
    ]
    .into_iter()
    .fold(name.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs))
}

/// A T5's tensors under those names; the table of tokens once.
fn renamed(own: &Tensors) -> impl Iterator<Item = (String, &candle_core::Tensor)> {
    let once = own.iter().filter(|(name, _)| !name.contains("embed_tokens"));
    once.map(|(name, tensor)| (of_llama_cpp(name), tensor))
}

#[test]
fn a_t5_as_gguf_gives_the_same_states() -> TestResult {
    for (of, encoder) in [
        (FLUX, "text_encoder_2"),
        (SD3, "text_encoder_3"),
        (PIXART, "text_encoder"),
    ] {
        let without = Without::new(of, &[encoder])?;
        let whole = renamed(&without.own[0]);
        gguf::write(&without.place.path("t5.gguf"), Some("t5encoder"), whole, GgmlDType::F32)?;
        candle_core::safetensors::save(&without.own[0], without.place.path("t5.safetensors"))?;
        for file in ["t5.gguf", "t5.safetensors"] {
            without.agrees(&[file]).map_err(|error| format!("{}: {error}", of.0))?;
        }
    }
    Ok(())
}

/// Blocks of 32 weights with one factor: the states point the same way.
#[test]
fn a_quantised_t5_is_multiplied_out() -> TestResult {
    let without = Without::new(FLUX, &["text_encoder_2"])?;
    let path = without.place.path("t5.gguf");
    gguf::write(&path, Some("t5encoder"), renamed(&without.own[0]), GgmlDType::Q8_0)?;
    let cosine = cosine(&expected(FLUX.0)[STATES], &without.states(&["t5.gguf"])[STATES]);
    assert!((0.99..0.999_999_9).contains(&cosine), "{cosine}");
    Ok(())
}

/// Two CLIPs are told apart by their widths, in whatever order they are given.
#[test]
fn each_encoder_stands_in_the_place_of_its_kind_and_width() -> TestResult {
    let encoders = ["text_encoder", "text_encoder_2", "text_encoder_3"];
    let without = Without::new(SD3, &encoders)?;
    let files = ["l.safetensors", "g.safetensors", "t5.safetensors"];
    for (file, own) in files.iter().zip(&without.own) {
        candle_core::safetensors::save(own, without.place.path(file))?;
    }
    let [l, g, t5] = files;
    without.agrees(&[l, g, t5])?;
    without.agrees(&[t5, g, l])?;
    without
        .case(&[l, l])
        .run("vit-block0-out", &Place::new())
        .refused(2, &["l.safetensors is a CLIP of width 24", "replaced once"]);
    let flux = Without::new(FLUX, &[])?;
    fs::copy(without.place.path(t5), flux.place.path(t5))?;
    flux.case(&[t5])
        .run("vit-block0-out", &Place::new())
        .refused(2, &["a T5 of width 96", "a CLIP, a T5"]);
    let mut broken = without.own[2].clone();
    broken.remove("encoder.block.1.layer.1.DenseReluDense.wo.weight");
    candle_core::safetensors::save(&broken, without.place.path("broken.safetensors"))?;
    without
        .case(&[l, g, "broken.safetensors"])
        .run("vit-block0-out", &Place::new())
        .refused(1, &["encoder.block.1.layer.1.DenseReluDense.wo.weight"]);
    let other = model("tiny-sd3").join("vae/diffusion_pytorch_model.safetensors");
    fs::copy(other, without.place.path("vae.safetensors"))?;
    without
        .case(&["vae.safetensors"])
        .run("vit-block0-out", &Place::new())
        .refused(
            1,
            &["no text encoder", "encoder.block.0.layer.0.SelfAttention.q.weight"],
        );
    Ok(())
}
