//! Every reference case that this version covers, through the command line.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{collections::HashMap, path::Path};

use candle_core::{DType, Tensor};
use common::{
    TestResult, case_file, case_json, compare, compare_all, expected, model,
    program::{Place, run},
};
use featscope::components::schedule::DiscreteSchedule;

type Tensors = HashMap<String, Tensor>;

/// What the reference keeps for itself: the empty prompt it does not use, the steps it does not run, and the embedding
/// of t inside a transformer.
const NOT_OURS: [&str; 5] = [
    "mid.negative_prompt_embeds",
    "mid.negative_pooled_prompt_embeds",
    "mid.all_timesteps",
    "mid.first_unet_in",
    "mid.temb",
];

/// How a case is run.
struct Run<'a> {
    case: &'a str,
    model: String,
    /// The timestep that ran; `case.json` has the nominal one.
    t: &'a str,
    size: &'a str,
    activations: &'a str,
    more: &'a [&'a str],
}

impl Run<'_> {
    fn of_case<'a>(case: &'a str, t: &'a str, size: &'a str) -> Run<'a> {
        let json = case_json(case);
        let model_path = json["model"].as_str().expect("a case has a model");
        Run {
            case,
            model: model(model_path.trim_start_matches("models/")).display().to_string(),
            t,
            size,
            activations: "all-maps",
            more: &[],
        }
    }

    /// Runs with the noise of a file, or of the case's seed.
    fn extract(&self, noise: &[&str], place: &Place) -> Tensors {
        let json = case_json(self.case);
        let out = place.text("out.safetensors");
        let mut arguments = vec!["extract", "--model", &self.model, "--t", self.t, "--size", self.size];
        arguments.extend(["--activations", self.activations, "--intermediates", "--out", &out]);
        if let Some(prompt) = json["prompt"].as_str() {
            arguments.extend(["--prompt", prompt]);
        }
        let images: Vec<String> = json["images"]
            .as_array()
            .expect("a case has pictures")
            .iter()
            .map(|name| {
                case_file(self.case, name.as_str().expect("a file name"))
                    .display()
                    .to_string()
            })
            .collect();
        arguments.push("--image");
        arguments.extend(images.iter().map(String::as_str));
        arguments.extend(noise);
        arguments.extend(self.more);
        run(&arguments).good();
        load(Path::new(&out))
    }

    fn extract_with_its_noise(&self, place: &Place) -> Tensors {
        let noise = case_file(self.case, "expected.safetensors").display().to_string();
        self.extract(&["--noise", &noise], place)
    }

    /// Extracts with the case's noise and compares activations and inner tensors.
    fn passes(&self) -> TestResult {
        let place = Place::new();
        self.agrees(&expected(self.case), &self.extract_with_its_noise(&place))
    }

    fn agrees(&self, reference: &Tensors, found: &Tensors) -> TestResult {
        let features = compare_all(reference, "feat.", found)?;
        assert!(features > 0, "{} has activations", self.case);
        let inner = inner_tensors(reference, found)?;
        assert!(inner > 0, "{} has inner tensors", self.case);
        Ok(())
    }

    /// The case's seed gives the numbers that the case holds.
    fn passes_from_its_seed(&self) -> TestResult {
        let place = Place::new();
        let seed = case_json(self.case)["noise_seed"]
            .as_u64()
            .expect("the case was drawn from a seed")
            .to_string();
        let found = self.extract(&["--seed", &seed], &place);
        let reference = expected(self.case);
        for name in ["in.noise", "in.vae_noise"] {
            if let Some(noise) = reference.get(name) {
                compare(name, noise, &found[name])?;
            }
        }
        self.agrees(&reference, &found)
    }
}

/// Compares every `mid.*` of the reference under its own name.
fn inner_tensors(reference: &Tensors, found: &Tensors) -> Result<usize, String> {
    let wanted: Tensors = reference
        .iter()
        .filter(|(name, _)| name.starts_with("mid.") && !NOT_OURS.contains(&name.as_str()))
        .map(|(name, tensor)| (name.clone(), tensor.clone()))
        .collect();
    compare_all(&wanted, "", found)
}

fn load(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &candle_core::Device::Cpu).expect("an output can be read")
}

#[test]
fn sd15_every_id() -> TestResult {
    Run::of_case("sd15-all-64", "51", "64").passes()
}

#[test]
fn sd15_from_the_seed() -> TestResult {
    Run::of_case("sd15-all-64", "51", "64").passes_from_its_seed()
}

#[test]
fn sd15_wider_than_high() -> TestResult {
    let case = Run::of_case("sd15-nonsquare-64x96", "501", "96x64");
    case.passes()?;
    case.passes_from_its_seed()
}

#[test]
fn sd15_with_a_sample_of_the_posterior() -> TestResult {
    let case = Run {
        more: &["--vae", "sample"],
        ..Run::of_case("sd15-practical-128", "262", "128")
    };
    case.passes()?;
    case.passes_from_its_seed()
}

#[test]
fn sd15_size_60_becomes_56() -> TestResult {
    let case = Run::of_case("sd15-size60", "51", "60");
    case.passes()?;
    case.passes_from_its_seed()
}

#[test]
fn sd15_two_pictures_pooled() -> TestResult {
    let case = Run {
        more: &["--pool", "2"],
        ..Run::of_case("sd15-batch2-resize2", "2", "128")
    };
    case.passes()?;
    case.passes_from_its_seed()
}

/// The case ran with Euler's scheduler, which mixes z + σ·n and scales by 1/√(σ²+1) before the network; the folder's
/// scheduler is DDIM, whose mixture is the scaled one. So `mid.latents_noisy` is compared after that scaling.
#[test]
fn sd21_every_id() -> TestResult {
    const T: u32 = 49;
    let t = T.to_string();
    let case = Run::of_case("sd21-all-64", &t, "64");
    let mut reference = expected(case.case);
    let mixture = DiscreteSchedule::stable_diffusion().mixture(T.into())?;
    let sigma = mixture.noise / mixture.signal;
    let scale = 1.0 / sigma.mul_add(sigma, 1.0).sqrt();
    let unscaled = &reference["mid.latents_noisy"];
    let scaled = (unscaled.to_dtype(DType::F64)? * scale)?;
    reference.insert("mid.latents_noisy".into(), scaled);
    case.agrees(&reference, &case.extract_with_its_noise(&Place::new()))?;
    let seed = case_json(case.case)["noise_seed"].to_string();
    case.agrees(&reference, &case.extract(&["--seed", &seed], &Place::new()))
}

#[test]
fn dift_is_the_mean_of_its_members() -> TestResult {
    let json = case_json("dift-sd21");
    let ids: Vec<&str> = json["equivalent_ids"]
        .as_array()
        .expect("ids")
        .iter()
        .filter_map(|id| id.as_str())
        .collect();
    let activations = ids.join(",");
    let case = Run {
        activations: &activations,
        more: &["--ensemble", "2"],
        ..Run::of_case("dift-sd21", "261", "96")
    };
    let reference = expected(case.case);
    let place = Place::new();
    let together = case.extract_with_its_noise(&place);
    inner_tensors(&reference, &together)?;

    let noise = place.path("noise.safetensors");
    let members = (0..2)
        .map(|member| {
            let row = reference["in.noise"].narrow(0, member, 1)?.contiguous()?;
            candle_core::safetensors::save(&HashMap::from([("in.noise".to_owned(), row)]), &noise)?;
            let alone = Run {
                more: &[],
                activations: case.activations,
                model: case.model.clone(),
                ..case
            };
            Ok(alone.extract(&["--noise", &noise.display().to_string()], &place))
        })
        .collect::<Result<Vec<_>, candle_core::Error>>()?;

    assert_eq!(ids.len(), 4);
    for (index, id) in ids.iter().enumerate() {
        let mean = &reference[&format!("feat.up_ft.{index}")];
        compare(id, mean, &together[*id])?;
        compare(id, &reference[&format!("feat.up_ft.{index}.member0")], &members[0][*id])?;
        let of_members = ((&members[0][*id] + &members[1][*id])? / 2.0)?;
        compare(id, mean, &of_members)?;
    }
    Ok(())
}

#[test]
fn sdxl_every_id() -> TestResult {
    let case = Run::of_case("sdxl-all-64", "50", "64");
    case.passes()?;
    case.passes_from_its_seed()
}

#[test]
fn sdxl_higher_than_wide() -> TestResult {
    let case = Run {
        more: &["--vae", "sample"],
        ..Run::of_case("sdxl-practical-128x64", "300", "64x128")
    };
    case.passes()?;
    case.passes_from_its_seed()
}

#[test]
fn sd15_with_a_controlnet_of_edges() -> TestResult {
    let control = format!("{}=canny", model("tiny-controlnet").display());
    let case = Run {
        activations: "all",
        more: &["--control", &control],
        ..Run::of_case("sd15-controlnet-canny", "51", "128")
    };
    case.passes()?;
    case.passes_from_its_seed()
}

#[test]
fn sd15_decoded_after_one_step() -> TestResult {
    let case = Run {
        activations: "vae-out,unet-out",
        ..Run::of_case("sd15-vae-out", "51", "64")
    };
    case.passes()?;
    case.passes_from_its_seed()
}

/// Every naming of the same kind of file; the cases differ from each other and from the model without a LoRA.
#[test]
fn sd15_with_loras_of_every_naming() -> TestResult {
    for naming in ["kohya", "peft", "diffusers_old"] {
        let name = format!("sd15-lora-{naming}");
        let file = model("tiny-sd15-lora").join(format!("lora_{naming}.safetensors"));
        let case = Run {
            activations: "all",
            more: &["--lora", &file.display().to_string()],
            ..Run::of_case(&name, "51", "64")
        };
        case.passes().map_err(|error| format!("{naming}: {error}"))?;
    }
    Ok(())
}

#[test]
fn sd15_attention_aggregated() -> TestResult {
    let json = case_json("sd15-attn-aggregate");
    let categories: Vec<&str> = json["options"]["attention"]
        .as_array()
        .expect("categories")
        .iter()
        .filter_map(|category| category.as_str())
        .collect();
    let categories = categories.join(",");
    let case = Run {
        activations: "unet-out",
        more: &["--attention", &categories],
        ..Run::of_case("sd15-attn-aggregate", "51", "128")
    };
    case.passes()?;
    case.passes_from_its_seed()
}

/// What another program makes of the t that is asked of it, of a prompt of many words, and of an inversion.
#[test]
fn sd15_as_generic_diffusion_feature_has_it() -> TestResult {
    let case = |name, more| Run {
        activations: "all-maps",
        more,
        ..Run::of_case(name, if name == "sd15-long-prompt" { "50" } else { "101" }, "64")
    };
    case("sd15-long-prompt", &["--compat", "gdf"]).passes()?;
    case("sd15-ddim-inversion", &["--compat", "gdf", "--inversion", "ddim"]).passes()?;
    // This program's own ways give other numbers.
    let place = Place::new();
    let own = Run::of_case("sd15-ddim-inversion", "102", "64");
    let own = Run {
        more: &["--inversion", "ddim"],
        ..own
    };
    let found = own.extract_with_its_noise(&place);
    let reference = expected("sd15-ddim-inversion");
    assert!(compare_all(&reference, "feat.", &found).is_err());
    Ok(())
}

#[test]
fn pixart_with_and_without_size_conditions() -> TestResult {
    for (case, size) in [
        ("pixart-alpha-64x96", "96x64"),
        ("pixart-alpha512-batch2-80x112", "112x80"),
        ("pixart-sigma-80x112", "112x80"),
    ] {
        let t = expected(case)["mid.unet_timestep"].to_vec1::<f32>()?[0].to_string();
        Run::of_case(case, &t, size).passes()?;
    }
    Ok(())
}

#[test]
fn dit_sit_and_repa_with_their_classes() -> TestResult {
    for (case, t, size, class) in [
        ("dit-null-batch2-80x112", "400", "112x80", "null"),
        ("dit-original-64", "250", "64", "360"),
        ("sit-batch2-80", "200.00000298023224", "80", "1000"),
        ("sit-repa-64", "349.9999940395355", "64", "0"),
    ] {
        let case = Run {
            more: &["--class", class],
            ..Run::of_case(case, t, size)
        };
        case.passes()?;
        case.passes_from_its_seed()?;
    }
    Ok(())
}

#[test]
fn hunyuandit_and_deepfloyd_if() -> TestResult {
    for (case, t, size) in [
        ("hunyuan11-64x80", "21", "80x64"),
        ("hunyuan12-96x64", "101", "64x96"),
        ("if-32x40", "49", "40x32"),
    ] {
        let case = Run::of_case(case, t, size);
        case.passes()?;
        case.passes_from_its_seed()?;
    }
    Ok(())
}

/// `feat.blockN` of the case is the id `bN`.
#[test]
fn adm_from_folder_safetensors_and_pickle() -> TestResult {
    let reference: Tensors = expected("adm-all")
        .into_iter()
        .map(|(name, tensor)| match name.strip_prefix("feat.block") {
            Some(number) => (format!("feat.b{number}"), tensor),
            None => (name, tensor),
        })
        .collect();
    for file in ["", "model.safetensors", "model.pt"] {
        let mut case = Run::of_case("adm-all", "150", "32");
        case.model = Path::new(&case.model).join(file).display().to_string();
        case.agrees(&reference, &case.extract_with_its_noise(&Place::new()))?;
    }
    Ok(())
}
