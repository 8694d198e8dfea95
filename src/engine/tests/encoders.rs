//! An image encoder, with settings that are left from a denoiser.

use super::*;
use crate::{
    activation::no_progress,
    device::Compute,
    engine::study::StudyEvent,
    extract::{job::plan, model::Model, request::ExtractRequest, select::Select, settings::LatentMode},
    families::resolve,
    model::LoadExtent,
};

fn load(engine: &Engine, name: &str) -> ModelInfo {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/models")
        .join(name);
    engine.send(Request::LoadModel {
        name: folder.display().to_string(),
        device: DeviceChoice::Cpu,
        dtype: Precision::F32,
    });
    until(engine, |event| match event {
        Event::ModelLoaded(info) => Some((**info).clone()),
        _ => None,
    })
}

/// Everything that an encoder does not read.
fn of_a_denoiser(t: u32) -> RunSettings {
    RunSettings {
        t: t.into(),
        prompt: "a cat".to_owned(),
        seed: 7,
        ensemble: 3,
        latent: LatentMode::Sample,
        size: Some(WorkingSize::ShortSide(84)),
        ..RunSettings::default()
    }
}

#[test]
fn what_an_encoder_does_not_read_makes_no_other_pass() {
    let engine = engine(1 << 30);
    let info = load(&engine, "tiny-dinov2");
    assert!(!info.is_denoiser() && !info.reads_prompt && !info.takes_adapters);
    open(&engine, ImageSlot::A, "noto-cat-face");
    let first = run(&engine, of_a_denoiser(50), "vit-norm-out");
    let read = RunSettings {
        size: Some(WorkingSize::ShortSide(84)),
        ..RunSettings::default()
    };
    assert_eq!((&first.settings, first.ran.t_ran()), (&read, None));
    assert_eq!(info.read(&of_a_denoiser(50)), read);
    assert_eq!(first.ids.len(), 3 * 6 + 2, "all features are kept");
    let second = run(&engine, of_a_denoiser(900), "vit-block1-k");
    assert_eq!(second.pass, first.pass);
    let smaller = RunSettings {
        size: Some(WorkingSize::ShortSide(70)),
        ..of_a_denoiser(900)
    };
    assert_ne!(run(&engine, smaller, "vit-norm-out").pass, first.pass);
}

#[test]
fn its_maps_are_measured_without_the_tokens_that_have_no_position() {
    let engine = engine(1 << 30);
    load(&engine, "tiny-dinov3");
    open(&engine, ImageSlot::A, "noto-cat-face");
    engine.send(Request::Study {
        job: 1,
        study: Box::new(Study::Survey(SurveyQuery {
            slot: ImageSlot::A,
            settings: of_a_denoiser(50),
            noises: 4,
            maps: true,
            regions: Vec::new(),
        })),
    });
    let (mut found, mut noises) = (0, None);
    until_seen(
        &engine,
        |event| match event {
            Event::Study {
                event: StudyEvent::Found(measurement),
                ..
            } => {
                assert_eq!(measurement.unmeasured, None, "{}", measurement.id);
                found += 1;
            }
            Event::Study {
                event: StudyEvent::SurveyStarted(started),
                ..
            } => noises = Some(started.noises),
            _ => {}
        },
        |event| matches!(event, Event::StudyFinished { job: 1 }).then_some(()),
    );
    assert_eq!((found, noises), (3 * 7 + 2, Some(1)));
}

/// A click shows the weights of the patches in the patch's row; the tokens without a position have the rest of it.
#[test]
fn a_row_of_a_map_is_that_of_the_model() -> TestResult {
    const MAP: &str = "vit-block1-self-map";
    for (name, special) in [("tiny-dinov2-reg", 5), ("tiny-dinov3", 5), ("tiny-siglip-vision", 0)] {
        let engine = engine(1 << 30);
        let info = load(&engine, name);
        open(&engine, ImageSlot::A, "noto-cat-face");
        let capture = run(&engine, of_a_denoiser(50), MAP);
        let heat = HeatQuery {
            id: id(MAP),
            source: capture.pass,
            at: QueryAt::Point([30.0, 40.0]),
            targets: vec![(ImageSlot::A, capture.pass)],
            drop_massive: false,
            head: Some(1),
        };
        let view = match ask(&engine, ViewRequest::from(heat)) {
            Event::Answer(Answer::Heat(view)) => view,
            other => return Err(format!("a row was expected, came {other:?}").into()),
        };
        let request = ExtractRequest {
            model: info.name.clone(),
            pictures: vec!["sample:noto-cat-face".into()],
            settings: of_a_denoiser(50),
            select: Select::Ids(vec![MAP.to_owned()]),
            ..ExtractRequest::default()
        };
        let planned = plan(resolve(&info.name)?, &request)?;
        let mut model = Model::load(&planned.spec, Compute::CPU, LoadExtent::Whole, &mut no_progress)?;
        let extracted = planned.run(&request, &mut model, &mut no_progress)?;
        let (_, map) = extracted.activations.first().ok_or("a map")?;
        let [_, _, tokens, _] = map.shape[..] else {
            return Err("a map has four sides".into());
        };
        let target = view.targets.first().ok_or("a target")?;
        let (row, column) = *view.cells.first().ok_or("a cell")?;
        assert_eq!(tokens, special + target.grid.positions(), "{name}");
        let start = (tokens + special + target.grid.index(row, column)) * tokens + special;
        let wanted = &map.data[start..start + target.grid.positions()];
        for (x, y) in wanted.iter().zip(&target.scores) {
            assert!((x - y).abs() < 1e-5, "{name}: {x} {y}");
        }
        let sum: f32 = target.scores.iter().sum();
        assert!(
            if special == 0 {
                (sum - 1.0).abs() < 1e-4
            } else {
                sum < 0.999
            },
            "{name}: {sum}"
        );
    }
    Ok(())
}
