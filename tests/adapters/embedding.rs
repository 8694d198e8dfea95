//! Textual-inversion embeddings: what diffusers computes with them (`tests/data/embeddings/make.py`), their layouts, and what is
//! refused.

use super::{common::*, lora::loaded, *};
use featscope::{
    activation::no_progress,
    extract::model::Model,
    model::{
        adapters::{Adapters, EmbeddingUse},
        tokens::TokenRole,
    },
};
use program::{Place, Ran, run};
use serde_json::Value;

/// Of the text states as many are in the reference.
const SHOWN: usize = 24;

fn file(name: &str) -> PathBuf {
    data("embeddings").join(name)
}

fn reference() -> Tensors {
    load(&file("expected.safetensors"))
}

/// The prompts of a model and the files that it knows.
fn given(model: &str) -> Result<(Vec<String>, Vec<String>), Box<dyn std::error::Error>> {
    let json: Value = serde_json::from_str(&std::fs::read_to_string(file("prompts.json"))?)?;
    let list = |key: &str| serde_json::from_value(json[key][model].clone());
    Ok((list("prompts")?, list("files")?))
}

/// `easy.safetensors`, `bare.pt` and `pair.safetensors` are known by their names, as no token is in them.
fn using(files: &[String]) -> Adapters {
    let used = files.iter().map(|name| EmbeddingUse {
        file: file(name),
        token: None,
        on: true,
    });
    Adapters {
        embeddings: used.collect(),
        ..Adapters::default()
    }
}

fn encoded(model: &mut Model, prompt: &str) -> Result<(Tensor, Option<Tensor>), Box<dyn std::error::Error>> {
    let states = model.encode_prompt(prompt, None, &mut no_progress)?.ok_or("states")?;
    Ok((states.states.narrow(1, 0, SHOWN)?, states.pooled))
}

#[test]
fn text_states_are_those_of_diffusers() -> TestResult {
    let reference = reference();
    for name in ["sd15", "sdxl"] {
        let (prompts, files) = given(name)?;
        let mut model = loaded(&format!("tiny-{name}"))?;
        let plain: Vec<Tensor> = prompts
            .iter()
            .map(|prompt| Ok(encoded(&mut model, prompt)?.0))
            .collect::<Result<_, Box<dyn std::error::Error>>>()?;
        model.adapt(&using(&files))?;
        for (index, prompt) in prompts.iter().enumerate() {
            let (states, pooled) = encoded(&mut model, prompt)?;
            compare(prompt, &reference[&format!("{name}.{index}.states")], &states)?;
            assert_ne!(numbers(&plain[index]), numbers(&states), "{prompt}");
            if let Some(pooled) = pooled {
                compare(prompt, &reference[&format!("{name}.{index}.pooled")], &pooled)?;
            }
        }
        model.adapt(&Adapters::default())?;
        for (prompt, plain) in prompts.iter().zip(&plain) {
            assert_eq!(numbers(&encoded(&mut model, prompt)?.0), numbers(plain), "taken off");
        }
    }
    Ok(())
}

fn extract(base: &str, place: &Place, more: &[&str]) -> Ran {
    let (base, out) = (model(base).display().to_string(), place.text("out.safetensors"));
    let image = case_file("sd15-all-64", "image0.png").display().to_string();
    let fixed = [
        "extract", "--model", &base, "--t", "51", "--size", "64", "--image", &image, "--out", &out,
    ];
    run(fixed.iter().chain(more))
}

fn record(place: &Place) -> Value {
    let bytes = std::fs::read(place.path("out.safetensors")).expect("an output");
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    let metadata = header.metadata().as_ref().expect("metadata");
    serde_json::from_str(&metadata["featscope"]).expect("JSON")
}

#[test]
fn activations_are_those_of_diffusers_and_the_record_says_what_was_read() -> TestResult {
    let place = Place::new();
    let (prompts, files) = given("sd15")?;
    let noise = case_file("sd15-all-64", "expected.safetensors").display().to_string();
    let ids = "mid-vit-out,up-level1-repeat1-res-out,unet-out";
    let files: Vec<String> = files.iter().map(|name| file(name).display().to_string()).collect();
    let mut more = vec!["--noise", &noise, "--activations", ids, "--prompt", &prompts[1]];
    more.extend(files.iter().flat_map(|file| ["--embedding", file]));
    let told = extract("tiny-sd15", &place, &more).good().stderr;
    let found = load(&place.path("out.safetensors"));
    assert_eq!(compare_all(&reference(), "feat.", &found)?, 3);
    let ran = &record(&place)["ran"];
    let pieces: Vec<&str> = ran["tokens"]
        .as_array()
        .ok_or("tokens")?
        .iter()
        .filter_map(|t| t["piece"].as_str())
        .collect();
    let styles: Vec<&&str> = pieces.iter().filter(|piece| piece.starts_with("<style>")).collect();
    assert_eq!(
        styles,
        [
            &"<style>",
            &"<style>_1",
            &"<style>_2",
            &"<style>",
            &"<style>_1",
            &"<style>_2"
        ]
    );
    assert_eq!(ran["tokens"][2]["role"], serde_json::to_value(TokenRole::Word)?);
    let known = ran["adapters"]["embeddings"].as_array().ok_or("embeddings")?;
    let known: Vec<_> = known
        .iter()
        .map(|one| {
            (
                one["token"].as_str(),
                one["vectors"].as_u64(),
                one["in_prompt"].as_bool(),
            )
        })
        .collect();
    assert_eq!(
        known,
        [
            (Some("<cat-toy>"), Some(1), Some(false)),
            (Some("<style>"), Some(3), Some(true)),
            (Some("neg-emb"), Some(2), Some(true)),
            (Some("easy"), Some(2), Some(true)),
            (Some("bare"), Some(1), Some(false)),
        ]
    );
    assert!(
        told.contains("the prompt does not name \"<cat-toy>\"") && told.contains("\"bare\""),
        "{told}"
    );
    Ok(())
}

#[test]
fn another_token_may_be_given_and_long_prompts_count_every_vector() -> TestResult {
    let place = Place::new();
    let style = format!("{}=<my=style>", file("style.safetensors").display());
    let prompt = ["<my=style>"; 30].join(", ");
    let more = ["--activations", "unet-in", "--embedding", &style, "--prompt", &prompt];
    let told = extract("tiny-sd15", &place, &more).good().stderr;
    // 30 times three vectors, and 29 commas.
    assert!(
        told.contains("the prompt has 119 tokens: it was read as 2 runs"),
        "{told}"
    );
    assert_eq!(
        record(&place)["request"]["adapters"]["embeddings"][0]["token"],
        "<my=style>"
    );
    Ok(())
}

#[test]
fn what_is_no_embedding_of_this_model_is_refused() -> TestResult {
    let place = Place::new();
    let make = |name: &str, tensors: &[(&str, &[usize])]| -> Result<String, Box<dyn std::error::Error>> {
        let tensors = tensors
            .iter()
            .map(|(name, shape)| Ok(((*name).to_owned(), Tensor::zeros(*shape, DType::F32, &Device::Cpu)?)));
        let tensors: Tensors = tensors.collect::<candle_core::Result<_>>()?;
        Ok(save(&tensors, &place.path(name)).display().to_string())
    };
    let own = |name: &str| file(name).display().to_string();
    let style = own("style.safetensors");
    let cases: [(&str, Vec<String>, i32, &[&str]); 14] = [
        (
            "tiny-sd21",
            vec![style.clone()],
            2,
            &["style.safetensors", "<style>", "width 32", "width 48"],
        ),
        ("tiny-sdxl", vec![style.clone()], 2, &["width 32", "2 text encoders"]),
        (
            "tiny-sd15",
            vec![own("pair.safetensors")],
            2,
            &["width 24 and 40", "one text encoder"],
        ),
        (
            "tiny-sd15",
            vec![style.clone(), style.clone()],
            2,
            &["\"<style>\"", "FILE=TOKEN"],
        ),
        (
            "tiny-sd15",
            vec![style.clone(), format!("{}=<style>_2", own("bare.pt"))],
            2,
            &["<style>_2", "FILE=TOKEN"],
        ),
        ("tiny-sd15", vec![format!("{style}=a")], 2, &["\"a\"", "vocabulary"]),
        (
            "tiny-sd15",
            vec![make("half.safetensors", &[("clip_l", &[2, 24])])?],
            1,
            &["clip_l alone", "clip_g"],
        ),
        (
            "tiny-sd15",
            vec![make(
                "sd3.safetensors",
                &[("clip_l", &[1, 8]), ("clip_g", &[1, 8]), ("t5xxl", &[1, 8])],
            )?],
            1,
            &["T5"],
        ),
        (
            "tiny-sd15",
            vec![make("two.safetensors", &[("<a>", &[32]), ("<b>", &[32])])?],
            1,
            &["2 tensors", "<a>, <b>"],
        ),
        (
            "tiny-sd15",
            vec![make("deep.safetensors", &[("<a>", &[1, 2, 32])])?],
            1,
            &["[1, 2, 32]"],
        ),
        (
            "tiny-sd15",
            vec![make("empty.safetensors", &[("<a>", &[0, 32])])?],
            1,
            &["[0, 32]"],
        ),
        (
            "tiny-sd15",
            vec![case_file("sd15-all-64", "image0.png").display().to_string()],
            1,
            &["a picture (PNG)", ".safetensors or .pt"],
        ),
        ("tiny-sd15", vec![place.text("absent.pt")], 1, &["absent.pt"]),
        ("tiny-adm", vec![style.clone()], 2, &["nor embedding"]),
    ];
    let before = place.contents();
    for (base, embeddings, code, words) in cases {
        let mut more = vec!["--activations", "unet-in", "--prompt", "a cat"];
        if base == "tiny-adm" {
            more = vec!["--activations", "b1"];
        }
        more.extend(embeddings.iter().flat_map(|file| ["--embedding", file]));
        extract(base, &place, &more).refused(code, words);
        assert_eq!(place.contents(), before);
    }
    let gdf = ["--activations", "unet-in", "--embedding", &style, "--compat", "gdf"];
    extract("tiny-sd15", &place, &gdf).refused(2, &["--compat gdf", "embeddings"]);
    Ok(())
}
