//! LoRAs and ControlNets in the settings of runs.

use std::path::{Path, PathBuf};

use super::*;
use crate::model::adapters::{ControlImage, ControlUse, LoraUse, Scale};

const ID: &str = "up-level1-repeat1-vit-block0-cross-q";

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/models")
        .join(name)
}

/// A small Stable Diffusion and a picture.
fn ready() -> Engine {
    let engine = engine(1 << 30);
    engine.send(Request::LoadModel {
        name: model("tiny-sd15").display().to_string(),
        device: DeviceChoice::Cpu,
        dtype: Precision::F32,
    });
    until(&engine, |event| matches!(event, Event::ModelLoaded(_)).then_some(()));
    open(&engine, ImageSlot::A, "noto-cat-face");
    engine
}

fn lora(scale: f64, on: bool) -> LoraUse {
    LoraUse {
        file: model("tiny-sd15-lora").join("lora_kohya.safetensors"),
        scale: Scale::try_from(scale).expect("a scale"),
        on,
    }
}

fn control(scale: f64, on: bool) -> ControlUse {
    ControlUse {
        net: model("tiny-controlnet"),
        image: ControlImage::Canny,
        scale: Scale::try_from(scale).expect("a scale"),
        on,
    }
}

fn with(loras: &[LoraUse], controls: &[ControlUse]) -> RunSettings {
    RunSettings {
        adapters: Adapters {
            loras: loras.to_vec(),
            controls: controls.to_vec(),
            ..Adapters::default()
        },
        ..settings(51)
    }
}

/// Runs, and gives the pass, the scores of a point and whether anything was computed. No model may be read on the way.
fn look(engine: &Engine, settings: RunSettings) -> (Capture, Vec<f32>, bool) {
    engine.send(Request::Run { settings, id: id(ID) });
    let no_loading = |event: &Event| assert!(!matches!(event, Event::ModelLoaded(_)), "no model is read");
    let capture = until_seen(engine, no_loading, captured);
    let computed = until_seen(engine, no_loading, |event| match event {
        Event::RunFinished { seconds } => Some(seconds.is_some()),
        _ => None,
    });
    let query = HeatQuery {
        id: id(ID),
        source: capture.pass,
        at: QueryAt::Point([80.0, 90.0]),
        targets: vec![(ImageSlot::A, capture.pass)],
        drop_massive: false,
        head: None,
    };
    let heat = match ask(engine, ViewRequest::Heat(query)) {
        Event::Answer(Answer::Heat(view)) => *view,
        other => panic!("a heat map was expected, came {other:?}"),
    };
    let scores = heat.targets[0].scores.to_vec();
    (capture, scores, computed)
}

#[test]
fn a_lora_acts_without_reading_the_model_and_leaves_no_trace() {
    let engine = ready();
    let (plain, without, _) = look(&engine, with(&[], &[]));
    assert!(plain.ran.adapters.loras.is_empty());
    let (full, strong, computed) = look(&engine, with(&[lora(1.0, true)], &[]));
    assert!(computed && full.pass != plain.pass && strong != without);
    let applied = &full.ran.adapters.loras[0];
    assert_eq!(
        (applied.scale, applied.kinds.as_slice()),
        (Scale::ONE, &["LoRA".to_owned()][..])
    );
    assert!(applied.layers > 100, "{applied:?}");
    let (half, weak, computed) = look(&engine, with(&[lora(0.5, true)], &[]));
    assert!(computed && half.pass != full.pass && weak != strong && weak != without);
    // Switched off it is as if it had never been there: what was kept answers.
    let (off, again, computed) = look(&engine, with(&[lora(1.0, false)], &[]));
    assert!(!computed && off.pass == plain.pass && again == without);
    assert!(off.settings.same_pass(&with(&[lora(1.0, false)], &[])));
    // Another timestep runs with the LoRA off.
    let later = |settings: RunSettings| RunSettings {
        t: 52.into(),
        ..settings
    };
    let (_, fresh, _) = look(&engine, later(with(&[lora(1.0, false)], &[])));
    let (_, same, computed) = look(&engine, later(with(&[], &[])));
    assert!(!computed && fresh == same);
}

#[test]
fn a_controlnet_acts_and_is_recorded() {
    let engine = ready();
    let (plain, without, _) = look(&engine, with(&[], &[]));
    let (controlled, scores, computed) = look(&engine, with(&[], &[control(1.0, true)]));
    assert!(computed && controlled.pass != plain.pass && scores != without);
    assert_eq!(controlled.ran.adapters.controls, [control(1.0, true)]);
    let (both, all, _) = look(&engine, with(&[lora(1.0, true)], &[control(1.0, true)]));
    assert!(all != scores && both.ran.adapters.loras.len() == 1);
    let (off, again, computed) = look(&engine, with(&[lora(1.0, false)], &[control(1.0, false)]));
    assert!(!computed && off.pass == plain.pass && again == without);
}

#[test]
fn the_record_of_a_survey_names_its_own_adapters_and_prompt() {
    let engine = ready();
    for (job, loras) in [(1, vec![lora(1.0, true)]), (2, Vec::new())] {
        let study = Study::Survey(SurveyQuery {
            slot: ImageSlot::A,
            settings: RunSettings {
                prompt: "a cat".to_owned(),
                ..with(&loras, &[])
            },
            noises: 1,
            maps: false,
            regions: Vec::new(),
        });
        engine.send(Request::Study {
            job,
            study: Box::new(study),
        });
        // It is told before the pass.
        let started = until(&engine, |event| match event {
            Event::Study {
                event: StudyEvent::SurveyStarted(about),
                ..
            } => Some(about.ran.clone()),
            _ => None,
        });
        assert_eq!(started.adapters.loras.len(), loras.len(), "of survey {job}");
        let prompt: String = started.tokens.iter().map(|token| token.shown()).collect();
        assert!(prompt.contains("cat"), "{prompt}");
        engine.send(Request::CancelStudy { job });
    }
}

#[test]
fn what_does_not_fit_is_told_and_the_next_run_works() {
    let engine = ready();
    let mut wrong = lora(1.0, true);
    wrong.file = model("tiny-sd15").join("unet/diffusion_pytorch_model.safetensors");
    engine.send(Request::Run {
        settings: with(&[wrong], &[]),
        id: id(ID),
    });
    let (work, error) = until(&engine, |event| match event {
        Event::Failed { work, error } => Some((*work, error.to_string())),
        _ => None,
    });
    assert_eq!(work, TaskKind::Run);
    assert!(error.contains("is no LoRA"), "{error}");
    let (capture, _, _) = look(&engine, with(&[lora(1.0, true)], &[]));
    assert_eq!(capture.ran.adapters.loras.len(), 1);
}

#[test]
fn settings_cross_to_another_process_and_old_ones_are_read() -> TestResult {
    let settings = with(&[lora(0.8, false)], &[control(-1.5, true)]);
    let text = serde_json::to_string(&settings)?;
    assert_eq!(serde_json::from_str::<RunSettings>(&text)?, settings);
    let mut json: serde_json::Value = serde_json::from_str(&text)?;
    json.as_object_mut().ok_or("an object")?.remove("adapters");
    assert!(serde_json::from_value::<RunSettings>(json)?.adapters.is_empty());
    let hostile = text.replace("0.8", "1e300");
    assert!(serde_json::from_str::<RunSettings>(&hostile).is_err());
    Ok(())
}

/// Weights that are finite and make numbers that are not: told with the first such activation and the likely cause, and nothing
/// is computed from them.
#[test]
fn what_is_not_finite_is_told_and_nothing_is_computed_from_it() -> TestResult {
    const TOO_STRONG: f64 = 1e36;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("strong.safetensors");
    let mut tensors = candle_core::safetensors::load(lora(1.0, true).file, &candle_core::Device::Cpu)?;
    for (name, tensor) in &mut tensors {
        // A prompt that is not finite would be refused before any activation.
        if name.starts_with("lora_unet_") && name.contains("lora_up") {
            *tensor = (&*tensor * TOO_STRONG)?;
        }
    }
    candle_core::safetensors::save(&tensors, &file)?;
    let strong = LoraUse {
        file,
        ..lora(1.0, true)
    };
    let engine = ready();
    let capture = run(&engine, with(&[strong], &[]), ID);
    let (first, numbers) = capture.not_finite.first().expect("activations that are not finite");
    assert!(numbers.nan + numbers.infinite > 0);
    assert!(capture.not_finite.iter().any(|(found, _)| *found == id(ID)));
    let note = capture.ran.notes.last().expect("a note");
    for words in [
        first.to_string().as_str(),
        "is not finite: ",
        "likely because",
        "lower its scale",
    ] {
        assert!(note.contains(words), "{note}");
    }
    let pass = capture.pass;
    let channels = ViewRequest::Channels(ChannelsQuery { id: id(ID), pass });
    assert!(refusal(ask(&engine, channels)).contains("is not finite"));
    let query = ViewRequest::Heat(HeatQuery {
        id: id(ID),
        source: pass,
        at: QueryAt::Point([5.0, 5.0]),
        targets: vec![(ImageSlot::A, pass)],
        drop_massive: false,
        head: None,
    });
    assert!(refusal(ask(&engine, query)).contains("is not finite"));
    // Without it all is well.
    let capture = run(&engine, settings(51), ID);
    assert!(capture.not_finite.is_empty() && capture.ran.not_finite.is_empty());
    Ok(())
}
