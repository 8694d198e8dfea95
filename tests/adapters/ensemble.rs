//! Ensembles run in batches, and give what their members give one by one.

use super::{common::*, *};
use program::{Place, run};

const PICTURES: usize = 2;
const MEMBERS: usize = 3;
const SIDE: usize = 256;
const CASE: &str = "sd15-batch2-resize2";
const MAP: &str = "up-level1-repeat1-vit-block0-self-map";

fn extract(place: &Place, pictures: &[usize], members: usize, noise: Tensor) -> Tensors {
    let noise = save(
        &Tensors::from([("in.noise".to_owned(), noise)]),
        &place.path("noise.safetensors"),
    );
    let images: Vec<String> = pictures
        .iter()
        .map(|picture| case_file(CASE, &format!("image{picture}.png")).display().to_string())
        .collect();
    let (noise, members, side) = (noise.display().to_string(), members.to_string(), SIDE.to_string());
    let (base, out) = (model("tiny-sd15").display().to_string(), place.text("out.safetensors"));
    let control = format!("{}=canny:0.7", model("tiny-controlnet").display());
    let lora = model("tiny-sd15-lora").join("lora_kohya.safetensors");
    let lora = format!("{}:0.6", lora.display());
    let ids = format!("{MAP},up-level2-upsampler-out,unet-out");
    let mut arguments = vec![
        "extract", "--model", &base, "--t", "261", "--size", &side, "--prompt", "a cat",
    ];
    arguments.extend(["--activations", &ids, "--attention", "up_cross,up_self", "--out", &out]);
    arguments.extend([
        "--noise",
        &noise,
        "--ensemble",
        &members,
        "--control",
        &control,
        "--lora",
        &lora,
    ]);
    arguments.push("--image");
    arguments.extend(images.iter().map(String::as_str));
    run(arguments).good();
    load(Path::new(&out))
}

/// Six rows of 32 x 32 positions run as four and two: a batch has rows of both pictures, each with its own edges.
#[test]
fn members_in_batches_are_members_one_by_one() -> TestResult {
    let place = Place::new();
    let latent = SIDE / 8;
    let noise = random(&[PICTURES * MEMBERS, 4, latent, latent], 11);
    let together = extract(&place, &[0, 1], MEMBERS, noise.clone());
    for picture in 0..PICTURES {
        let mut mean = Tensors::new();
        for member in 0..MEMBERS {
            let row = noise.narrow(0, picture * MEMBERS + member, 1)?.contiguous()?;
            for (id, alone) in extract(&place, &[picture], 1, row) {
                let share = (alone / MEMBERS as f64)?;
                let sum = match mean.get(&id) {
                    Some(sum) => (sum + share)?,
                    None => share,
                };
                mean.insert(id, sum);
            }
        }
        assert_eq!(mean.len(), 4, "three ids and attn");
        for (id, wanted) in &mean {
            compare(id, wanted, &together[id].narrow(0, picture, 1)?)?;
        }
    }
    let rows = |picture: usize| together["unet-out"].narrow(0, picture, 1).map(|row| numbers(&row));
    assert_ne!(rows(0)?, rows(1)?, "two pictures");
    Ok(())
}
