//! Aggregated attention, against the maps it is made of.

use super::{common::*, *};
use program::{Place, Ran, run};

const SIZE: &str = "96x64";
/// The layers with from (96/32)² to (96/16)² positions, which lie on 4 x 6 positions.
const GRID: (usize, usize) = (4, 6);
const LATENT: (usize, usize) = (8, 12);

fn extract(place: &Place, more: &[&str]) -> Ran {
    let model = model("tiny-sd15").display().to_string();
    let image = case_file("sd15-nonsquare-64x96", "image0.png").display().to_string();
    let out = place.text("out.safetensors");
    let mut arguments = vec![
        "extract", "--model", &model, "--image", &image, "--t", "51", "--size", SIZE,
    ];
    arguments.extend(["--out", &out]);
    arguments.extend(more);
    run(arguments)
}

/// The mean over heads and layers of maps (1, heads, positions, keys), as (1, keys, rows, columns) of the latent.
fn aggregate(maps: &[&Tensor]) -> Result<Vec<f64>, candle_core::Error> {
    let (_, heads, positions, keys) = maps[0].dims4()?;
    assert_eq!(positions, GRID.0 * GRID.1);
    let numbers: Vec<Vec<f64>> = maps.iter().map(|map| numbers(map)).collect();
    let mut found = Vec::new();
    for key in 0..keys {
        for row in 0..LATENT.0 {
            for column in 0..LATENT.1 {
                let position = (row / 2) * GRID.1 + column / 2;
                let of_heads = numbers
                    .iter()
                    .flat_map(|map| (0..heads).map(move |head| map[(head * positions + position) * keys + key]));
                found.push(of_heads.sum::<f64>() / (heads * maps.len()) as f64);
            }
        }
    }
    Ok(found)
}

#[test]
fn the_aggregate_is_the_mean_of_its_maps_on_their_real_grid() -> TestResult {
    let place = Place::new();
    let categories = "up_self,down_cross,mid_self,up_cross";
    let ran = extract(&place, &["--activations", "all-maps", "--attention", categories]).good();
    assert!(
        ran.stderr.contains("--attention mid_self adds nothing"),
        "{}",
        ran.stderr
    );
    let found = load(&place.path("out.safetensors"));
    let mut wanted = Vec::new();
    for (level, repeats, part) in [
        ("up-level2", 3, "self"),
        ("down-level1", 2, "cross"),
        ("up-level2", 3, "cross"),
    ] {
        let names: Vec<String> = (0..repeats)
            .map(|repeat| format!("{level}-repeat{repeat}-vit-block0-{part}-map"))
            .collect();
        let maps: Vec<&Tensor> = names.iter().map(|name| &found[name]).collect();
        wanted.extend(aggregate(&maps)?);
    }
    let attn = &found["attn"];
    assert_eq!(attn.dims(), [1, 24 + 77 + 77, LATENT.0, LATENT.1]);
    let wanted = Tensor::from_vec(wanted, attn.dims(), &Device::Cpu)?;
    compare("attn", &wanted, attn)?;
    Ok(())
}

#[test]
fn attention_may_be_all_that_is_asked_for() {
    let place = Place::new();
    extract(&place, &["--attention", "up_cross", "--pool", "2"]).good();
    let found = load(&place.path("out.safetensors"));
    assert_eq!(found.len(), 1, "{:?}", found.keys());
    assert_eq!(found["attn"].dims(), [1, 77, LATENT.0 / 2, LATENT.1 / 2]);
    extract(&place, &["--attention", "mid_cross"]).refused(2, &["no attention layer", "96x64"]);
    extract(&place, &["--attention", "sideways"]).refused(2, &["sideways", "up_cross"]);
    extract(&place, &[]).refused(2, &["--activations"]);
}
