//! Attention by heads, against the maps that an extraction writes.

use std::path::PathBuf;

use super::*;
use crate::{
    extract::{job, request::ExtractRequest, select::Select},
    families::resolve,
    io::array::Array,
    sources::open_device,
};

const CLOSE: f32 = 2e-6;
/// Attention inside a picture and to text, on grids of 4 x 4 for pictures of 64 x 64.
const SELF_MAP: &str = "up-level1-repeat1-vit-block0-self-map";
const TEXT_MAP: &str = "up-level1-repeat1-vit-block0-cross-map";
const SAMPLE: &str = "noto-cat-face";

fn tiny() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/tiny-sd15");
    path.display().to_string()
}

/// (1, heads, queries, keys) as `extract` gives it.
fn extracted(settings: &RunSettings, wanted: &str) -> Result<Array, Box<dyn std::error::Error>> {
    let request = ExtractRequest {
        model: tiny(),
        pictures: vec![PictureSource::Sample(SAMPLE.into()).path()],
        settings: RunSettings {
            adapters: Adapters::default(),
            ..settings.clone()
        },
        select: Select::of(wanted),
        device: DeviceChoice::Cpu,
        ..ExtractRequest::default()
    };
    let planned = job::plan(resolve(&request.model)?, &request)?;
    let mut model = job::load(&planned.spec, open_device(request.device, request.dtype)?, &mut |_| {
        Ok(())
    })?;
    let extracted = planned.run(&request, &mut model, &mut |_| Ok(()))?;
    let (_, array) = extracted.activations.into_iter().next().ok_or("an activation")?;
    Ok(array)
}

fn of_tiny() -> (Engine, RunSettings) {
    let engine = engine(1 << 28);
    engine.send(Request::LoadModel {
        name: tiny(),
        device: DeviceChoice::Cpu,
        dtype: Precision::F32,
    });
    until(&engine, |event| matches!(event, Event::ModelLoaded(_)).then_some(()));
    open(&engine, ImageSlot::A, SAMPLE);
    let settings = RunSettings {
        prompt: "a cat".into(),
        ..settings(51)
    };
    (engine, settings)
}

fn heat(engine: &Engine, query: HeatQuery) -> HeatView {
    match ask(engine, ViewRequest::Heat(query)) {
        Event::Answer(Answer::Heat(view)) => *view,
        other => panic!("a heat map was expected, came {other:?}"),
    }
}

fn far(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn rows_of_heads_are_those_of_the_map() -> TestResult {
    let (engine, settings) = of_tiny();
    let capture = run(&engine, settings.clone(), SELF_MAP);
    let map = extracted(&settings, SELF_MAP)?;
    let [_, heads, queries, keys] = map.shape[..] else {
        panic!("a map of heads")
    };
    assert!(heads > 1);
    // The position under the point.
    let at = [40.0, 90.0];
    let grid = Grid::new(queries.isqrt(), queries.isqrt());
    let (row, column) = capture.framing.cell_from_original(at, grid).ok_or("a cell")?;
    let position = grid.index(row, column);
    let row_of = |head: usize| {
        let begin = (head * queries + position) * keys;
        &map.data[begin..begin + keys]
    };
    let query = |head| HeatQuery {
        id: id(SELF_MAP),
        source: capture.pass,
        at: QueryAt::Point(at),
        targets: vec![(ImageSlot::A, capture.pass)],
        drop_massive: false,
        head,
    };
    for head in 0..heads {
        let view = heat(&engine, query(Some(head)));
        assert!(far(&view.targets[0].scores, row_of(head)) < CLOSE, "head {head}");
        assert_eq!(view.heads.len(), heads);
        assert_eq!(view.heads[head], view.targets[0].scores);
    }
    let mean: Vec<f32> = (0..keys)
        .map(|key| (0..heads).map(|head| row_of(head)[key]).sum::<f32>() / heads as f32)
        .collect();
    assert!(far(&heat(&engine, query(None)).targets[0].scores, &mean) < CLOSE);
    match ask(&engine, ViewRequest::Heat(query(Some(heads)))) {
        Event::Failed { error, .. } => assert!(error.to_string().contains("heads"), "{error}"),
        other => panic!("there is no such head, came {other:?}"),
    }
    Ok(())
}

#[test]
fn words_of_heads_are_those_of_the_map_and_their_mean_is_kept() -> TestResult {
    let (engine, settings) = of_tiny();
    let capture = run(&engine, settings.clone(), TEXT_MAP);
    let map = extracted(&settings, TEXT_MAP)?;
    let [_, heads, positions, tokens] = map.shape[..] else {
        panic!("a map of heads")
    };
    let weight = |head: usize, position: usize, token: usize| map.data[(head * positions + position) * tokens + token];
    let token = 2;
    let query = |head| HeatQuery {
        id: id(TEXT_MAP),
        source: capture.pass,
        at: QueryAt::Word(token),
        targets: vec![(ImageSlot::A, capture.pass)],
        drop_massive: false,
        head,
    };
    for head in 0..heads {
        let wanted: Vec<f32> = (0..positions).map(|position| weight(head, position, token)).collect();
        let view = heat(&engine, query(Some(head)));
        assert!(far(&view.targets[0].scores, &wanted) < CLOSE, "head {head}");
        assert_eq!((view.heads.len(), &view.heads[head]), (heads, &view.targets[0].scores));
    }
    let mean: Vec<f32> = (0..positions)
        .map(|position| (0..heads).map(|head| weight(head, position, token)).sum::<f32>() / heads as f32)
        .collect();
    assert!(far(&heat(&engine, query(None)).targets[0].scores, &mean) < CLOSE);
    // At a point, the words of the head.
    let point = HeatQuery {
        at: QueryAt::Point([1.0, 1.0]),
        ..query(Some(1))
    };
    let view = heat(&engine, point);
    let wanted: Vec<f32> = (0..tokens).map(|token| weight(1, 0, token)).collect();
    assert_eq!(view.cells, [(0, 0)]);
    assert!(far(&view.words, &wanted) < CLOSE);
    Ok(())
}
