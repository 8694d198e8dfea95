//! ControlNets: what they look at, what they change, and what is refused.

use super::{common::*, *};
use featscope::{
    families::stable_diffusion::controlnet::{ControlNet, ControlNetConfig},
    geometry::framing::{SizeRule, WorkingSize},
    image::{
        canny::canny,
        picture::{Picture, WHITE},
        prepare::prepare,
    },
    model::control::ControlSignal,
};
use program::{Place, Ran, run};
use serde_json::json;

const CASE: &str = "sd15-controlnet-canny";

fn image() -> String {
    case_file(CASE, "image0.png").display().to_string()
}

fn extract(base: &str, place: &Place, more: &[&str]) -> Ran {
    let (model, image, out) = (
        model(base).display().to_string(),
        image(),
        place.text("out.safetensors"),
    );
    let mut arguments = vec![
        "extract", "--model", &model, "--image", &image, "--t", "51", "--size", "64",
    ];
    arguments.extend(["--out", &out]);
    if !more.contains(&"--activations") {
        arguments.extend(["--activations", "all"]);
    }
    arguments.extend(more);
    run(arguments)
}

/// Every activation with these ControlNets.
fn found(place: &Place, controls: &[String]) -> Tensors {
    let more: Vec<&str> = controls.iter().flat_map(|control| ["--control", control]).collect();
    extract("tiny-sd15", place, &more).good();
    load(&place.path("out.safetensors"))
}

fn net(rest: &str) -> String {
    format!("{}={rest}", model("tiny-controlnet").display())
}

#[test]
fn residuals_are_scaled_summed_and_met_by_the_up_stage_alone() -> TestResult {
    let place = Place::new();
    let plain = found(&place, &[]);
    let one = found(&place, &[net("canny")]);
    let halves = found(&place, &[net("canny:0.5"), net("canny:0.5")]);
    compare_all(&one, "", &halves)?;
    assert_eq!(
        bits(&plain),
        bits(&found(&place, &[net("canny:0")])),
        "at 0 nothing changes"
    );
    let early = extract(
        "tiny-sd15",
        &place,
        &["--control", &net("canny"), "--activations", "mid-vit-out"],
    )
    .good();
    assert!(early.stderr.contains("--control changes nothing"), "{}", early.stderr);
    let kept = load(&place.path("out.safetensors"));
    assert_eq!(numbers(&kept["mid-vit-out"]), numbers(&plain["mid-vit-out"]));
    for (id, tensor) in &plain {
        let same = numbers(tensor) == numbers(&one[id]);
        let behind = id.starts_with("up-") || id == "unet-out";
        assert_eq!(same, !behind, "{id}");
    }
    Ok(())
}

#[test]
fn a_ready_image_is_what_is_seen() -> TestResult {
    let place = Place::new();
    let picture = Picture::read(Path::new(&image()), WHITE)?;
    let size = WorkingSize::Exact { width: 64, height: 64 };
    let edges = canny(&prepare(&picture, &size, SizeRule::Latent { multiple: 8 })?.picture)?;
    let buffer = image::RgbImage::from_raw(64, 64, edges.rgb().to_vec()).ok_or("a picture")?;
    let of_edges = place.path("edges.png");
    buffer.save(&of_edges)?;
    let ready = found(&place, &[net(&format!("{}:1", of_edges.display()))]);
    assert_eq!(bits(&found(&place, &[net("canny")])), bits(&ready));
    Ok(())
}

#[test]
fn nets_that_do_not_fit_are_refused_before_the_work() {
    let place = Place::new();
    let with = |base: &str, control: &str| extract(base, &place, &["--control", control]);
    with("tiny-sd21", &net("canny")).refused(2, &["another family", "text of width 32", "text of width 48"]);
    let unet = model("tiny-sd15").join("unet");
    with("tiny-sd15", &format!("{}=canny", unet.display())).refused(1, &["a U-Net", "ControlNetModel"]);
    with("tiny-sd15", "/nowhere=canny").refused(1, &["/nowhere", "neither a folder nor a file"]);
    with("tiny-sd15", &net("no-such-picture.png")).refused(1, &["no-such-picture.png"]);
    with("tiny-sd15", "canny").refused(2, &["NET=canny"]);
    let copy = place.copy(&model("tiny-controlnet"), "net");
    let weights = place.path("net/diffusion_pytorch_model.safetensors");
    let mut tensors = load(&weights);
    tensors.remove("controlnet_down_blocks.3.weight");
    save(&tensors, &weights);
    with("tiny-sd15", &format!("{copy}=canny")).refused(1, &["controlnet_down_blocks.3.weight"]);
    place.write(
        "net/config.json",
        r#"{"_class_name": "ControlNetModel", "conditioning_embedding_out_channels": [1]}"#,
    );
    with("tiny-sd15", &format!("{copy}=canny")).refused(1, &["conditioning_embedding_out_channels"]);
}

/// A ControlNet that is half of a U-Net with nothing changed hands over what the U-Net's own down path makes.
struct Copy {
    json: serde_json::Value,
    config: ControlNetConfig,
    tensors: Tensors,
}

fn copy_of(name: &str, order: &str) -> Copy {
    let mut json = read_json(&model(name).join("unet/config.json")).expect("a configuration");
    json["_class_name"] = json!("ControlNetModel");
    json["conditioning_embedding_out_channels"] = json!([4, 4, 8, 8]);
    json["controlnet_conditioning_channel_order"] = json!(order);
    let config = ControlNetConfig::from_json(&json).expect("a sound configuration");
    let mut tensors = unet_tensors(name);
    let of_way_up = ["up_blocks.", "conv_norm_out.", "conv_out."];
    tensors.retain(|name, _| !of_way_up.iter().any(|up| name.starts_with(up)));
    let mut conv = |name: String, weight: Tensor| {
        let bias = Tensor::zeros(weight.dim(0).expect("rows"), DType::F32, &Device::Cpu).expect("zeros");
        tensors.insert(format!("{name}.weight"), weight);
        tensors.insert(format!("{name}.bias"), bias);
    };
    let widths = [4, 4, 8, 8];
    let first = config.unet.down[0].channels;
    let embedding = |name: &str| format!("controlnet_cond_embedding.{name}");
    conv(embedding("conv_in"), random(&[widths[0], 3, 3, 3], 1));
    for pair in 0..widths.len() - 1 {
        let (from, to) = (widths[pair], widths[pair + 1]);
        conv(
            embedding(&format!("blocks.{}", 2 * pair)),
            random(&[from, from, 3, 3], 2),
        );
        conv(
            embedding(&format!("blocks.{}", 2 * pair + 1)),
            random(&[to, from, 3, 3], 3),
        );
    }
    conv(embedding("conv_out"), random(&[first, widths[3], 3, 3], 4));
    let identity = |width: usize, factor: f64| {
        let eye = Tensor::eye(width, DType::F32, &Device::Cpu).expect("an identity");
        (eye * factor)
            .and_then(|eye| eye.reshape((width, width, 1, 1)))
            .expect("a kernel")
    };
    let mut skip = 0;
    let mut push = |width: usize| {
        conv(format!("controlnet_down_blocks.{skip}"), identity(width, 1.0));
        skip += 1;
    };
    push(first);
    let levels = config.unet.down.len();
    for (level, of) in config.unet.down.iter().enumerate() {
        let sampler = usize::from(level + 1 < levels);
        (0..of.transformers.len() + sampler).for_each(|_| push(of.channels));
    }
    conv(
        "controlnet_mid_block".to_owned(),
        identity(config.unet.deepest().channels, 2.0),
    );
    Copy { json, config, tensors }
}

fn residuals(net: &ControlNet, given: &Given, embedded: &Tensor) -> ControlSignal {
    let selection = Selection::default();
    let mut record = |_, _: &Tensor| panic!("nothing was asked for");
    let mut watch = no_progress;
    let mut probe = Probe::new(&selection, net.activations(), &mut record, &mut watch);
    match net.forward(&given.x, &TIMESTEPS, &given.conditions(), embedded, &mut probe) {
        Ok(residuals) => residuals,
        Err(halt) => panic!("{halt:?}"),
    }
}

#[test]
fn half_an_sdxl_hands_over_what_its_own_down_path_makes() -> TestResult {
    let Copy { config, tensors, .. } = copy_of("tiny-sdxl", "rgb");
    let network = unet("tiny-sdxl", &unet_tensors("tiny-sdxl"));
    config.check_fits(network.config())?;
    assert!(config.check_fits(&unet_config("tiny-sd15")).is_err());
    let net = ControlNet::new(config, builder(&tensors))?;
    let given = Given::of(network.config());
    let nothing = Tensor::zeros((2, network.config().down[0].channels, 8, 8), DType::F32, &Device::Cpu)?;
    let found = residuals(&net, &given, &nothing);
    let own = pass(&network, &given);
    let skips = [
        "unet-after-conv-in",
        "down-level0-repeat0-res-out",
        "down-level0-repeat1-res-out",
        "down-level0-downsampler-out",
        "down-level1-repeat0-vit-out",
        "down-level1-repeat1-vit-out",
        "down-level1-downsampler-out",
        "down-level2-repeat0-vit-out",
        "down-level2-repeat1-vit-out",
    ];
    assert_eq!(found.down.len(), skips.len());
    for (id, residual) in skips.iter().zip(&found.down) {
        compare(id, &own[*id], residual)?;
    }
    compare("mid", &(&own["mid-repeat1-res-out"] * 2.0)?, &found.mid)?;
    // What the net sees is added to what its first convolution gives.
    let image = random(&[2, 3, 64, 64], 9);
    let hint = net.embed(&image)?;
    let seen = residuals(&net, &given, &hint);
    compare("hint", &(&own["unet-after-conv-in"] + &hint)?, &seen.down[0])?;
    Ok(())
}

/// Through the program: the net is told of text, pooled text and sizes as the U-Net is.
#[test]
fn a_net_of_sdxl_is_told_what_sdxl_is_told() -> TestResult {
    let place = Place::new();
    let Copy { json, mut tensors, .. } = copy_of("tiny-sdxl", "rgb");
    // It sees nothing in its image, so that it does what the U-Net does.
    let seen = tensors
        .get_mut("controlnet_cond_embedding.conv_out.weight")
        .ok_or("a weight")?;
    *seen = seen.zeros_like()?;
    let folder = place
        .write("net/config.json", json.to_string())
        .replace("/config.json", "");
    save(&tensors, &place.path("net/diffusion_pytorch_model.safetensors"));
    let ids = "unet-after-conv-in,down-level2-repeat1-vit-out,mid-repeat1-res-out,unet-out";
    let control = format!("{folder}=canny:0.5");
    let more = [
        "--intermediates",
        "--activations",
        ids,
        "--prompt",
        "a cat",
        "--control",
        &control,
    ];
    extract("tiny-sdxl", &place, &more).good();
    let found = load(&place.path("out.safetensors"));
    for (id, name, factor) in [
        ("unet-after-conv-in", "mid.control_down.0", 0.5),
        ("down-level2-repeat1-vit-out", "mid.control_down.8", 0.5),
        ("mid-repeat1-res-out", "mid.control_mid", 1.0),
    ] {
        compare(name, &(&found[id] * factor)?, &found[name])?;
    }
    Ok(())
}

#[test]
fn a_net_that_wants_blue_first_gets_it() -> TestResult {
    let image = random(&[1, 3, 16, 24], 5);
    let flipped = image.index_select(&Tensor::new(&[2_u32, 1, 0], &Device::Cpu)?, 1)?;
    let embed = |order: &str, image: &Tensor| -> Result<Tensor, Box<dyn std::error::Error>> {
        let Copy { config, tensors, .. } = copy_of("tiny-sd15", order);
        Ok(ControlNet::new(config, builder(&tensors))?.embed(image)?)
    };
    let (rgb, bgr) = (embed("rgb", &image)?, embed("bgr", &flipped)?);
    assert_eq!(rgb.dims(), [1, 16, 2, 3]);
    assert_eq!(numbers(&rgb), numbers(&bgr));
    assert_ne!(numbers(&rgb), numbers(&embed("rgb", &flipped)?));
    Ok(())
}
