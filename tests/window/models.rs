//! The window of models: what is on this machine, and downloads over a real connection from a hub on this machine.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use egui::{Key, Rect, Theme, accesskit::Role, vec2};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use featscope::{
    app::{Action, Command, DownloadCommand, DownloadStage},
    weights::hub::{HubSettings, Variant},
};

use super::{
    driver::{CTRL, Opening, Window},
    kit::{contents, folder, model, settings},
    server::{Fault, ID, Server, Stored},
};

/// A window over a server.
fn opening(server: &Server) -> Opening {
    let mut opening = Opening::default();
    opening.hub = Some(settings(server, &opening.folder.path().join("hub")));
    opening
}

/// A server that stops in the middle of large files until it is told to go on.
fn stalling() -> (Server, Arc<AtomicBool>) {
    let stalls = Arc::new(AtomicBool::new(true));
    let stalled = Arc::clone(&stalls);
    let server = Server::scripted(model(400_000), move |asked| {
        match asked.by_cdn && asked.method == "GET" && stalled.load(Ordering::SeqCst) {
            true => Fault::StallAfter(20_000),
            false => Fault::None,
        }
    });
    (server, stalls)
}

/// The first thing whose name begins so.
#[track_caller]
fn find(window: &Window, beginning: &str) -> String {
    let mut words = window.words().into_iter();
    let found = words.find(|words| words.starts_with(beginning));
    found.unwrap_or_else(|| panic!("nothing begins with \"{beginning}\": {:#?}", window.words()))
}

#[track_caller]
fn click(window: &mut Window, beginning: &str) {
    let name = find(window, beginning);
    window.choose(&name);
}

/// Opens the window of models and asks for the server's model by its name.
fn ask_by_name(window: &mut Window) {
    window.key_with(CTRL.plus(egui::Modifiers::SHIFT), Key::M);
    window.settle();
    window.harness.get_by_label("Name of a model on the hub").focus();
    window.step();
    window.type_text(ID);
    click(window, "Find");
    window.until("an offer", |window| window.says("files of owner/tiny-model"));
}

fn stage(window: &Window) -> Option<DownloadStage> {
    window
        .state()
        .downloads
        .download(ID)
        .map(|download| download.stage.clone())
}

fn arrives(window: &Window) -> bool {
    matches!(stage(window), Some(DownloadStage::Arriving(arriving)) if arriving.progress.bytes_received > 0)
}

/// Where the window of models is.
fn place(window: &Window) -> Rect {
    let node = window.harness.get_by_role_and_label(Role::Window, "Models");
    node.rect()
}

#[test]
fn a_model_is_downloaded_by_its_name_and_loaded() {
    let server = Server::new(model(400_000));
    let mut window = opening(&server).settled();
    window.act(Action::Models);
    window.settle();
    window.assert_says("Stable Diffusion 1.5");
    window.assert_says("lllyasviel/sd-controlnet-depth: not here");
    assert_eq!(server.asked(), [], "nothing is asked of the hub without a click");
    window.act(Action::Models);
    ask_by_name(&mut window);
    assert_eq!(server.gets(), [], "nothing is downloaded without another");
    let hub = window.path("hub").display().to_string();
    window.assert_says(&format!("10 files of owner/tiny-model, into {hub}"));
    click(&mut window, "half precision, ");
    let half = match stage(&window) {
        Some(DownloadStage::Offered { offers, chosen }) => offers[chosen].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(half.variant, Variant::Fp16);
    click(&mut window, "Download ");
    window.until("the end of it", |window| window.state().downloads.orders.is_empty());
    window.until("a look at it", |window| window.says("Load owner/tiny-model"));
    let snapshot = folder(&window.path("hub")).join("snapshots");
    let files = contents(&snapshot);
    assert!(files.keys().any(|path| path.ends_with("fp16.safetensors")) && files.len() == 10);
    click(&mut window, "Load owner/tiny-model");
    assert_eq!(window.document().model.as_deref(), Some(ID));
    window.assert_says("loaded");
}

#[test]
fn a_model_that_is_not_here_is_offered_and_loaded_when_it_is() {
    let server = Server::new(model(1000));
    let mut window = opening(&server).settled();
    let before = window.document().clone();
    window.apply(Command::LoadModel(ID.to_owned()));
    window.until("the window of models", |window| window.state().overlays.models);
    window.settle();
    assert_eq!(server.asked(), []);
    window.assert_says("Chosen, and not on this machine");
    assert_eq!(window.document().model, before.model, "the one that is there stays");
    click(&mut window, "Download… owner/tiny-model");
    window.until("an offer", |window| {
        matches!(stage(window), Some(DownloadStage::Offered { .. }))
    });
    window.apply(Command::Download(DownloadCommand::Fetch(ID.to_owned())));
    window.until("the model", |window| window.document().model.as_deref() == Some(ID));
    window.settle();
    assert_eq!(window.state().model.error, None);
    window.assert_silent("Chosen, and not on this machine");
}

#[test]
fn who_has_chosen_another_model_since_keeps_it() {
    let (server, stalls) = stalling();
    let mut window = opening(&server).settled();
    window.apply(Command::LoadModel(ID.to_owned()));
    window.until("the window of models", |window| window.state().overlays.models);
    click(&mut window, "Download… owner/tiny-model");
    window.until("an offer", |window| {
        matches!(stage(window), Some(DownloadStage::Offered { .. }))
    });
    window.apply(Command::Download(DownloadCommand::Fetch(ID.to_owned())));
    window.until("bytes", arrives);
    window.apply_and_settle(Command::LoadModel("fake-other".to_owned()));
    // It is ended and begun anew, because a connection that says nothing is waited for.
    click(&mut window, "Cancel owner/tiny-model");
    window.until("the end of it", |window| stage(window).is_none());
    stalls.store(false, Ordering::SeqCst);
    window.apply(Command::Download(DownloadCommand::Ask(ID.to_owned())));
    window.until("an offer", |window| {
        matches!(stage(window), Some(DownloadStage::Offered { .. }))
    });
    window.assert_says("are here already");
    window.apply(Command::Download(DownloadCommand::Fetch(ID.to_owned())));
    window.until("the end of it", |window| stage(window).is_none());
    window.settle();
    assert_eq!(window.document().model.as_deref(), Some("fake-other"));
}

#[test]
fn a_short_name_leads_to_its_entry() {
    let server = Server::new(model(1000));
    let mut window = opening(&server).settled();
    window
        .harness
        .get_by_role_and_label(Role::ComboBox, "Model")
        .click_accesskit();
    window.step();
    window.settle();
    window.choose("pgv2");
    window.until("the window of models", |window| window.state().overlays.models);
    window.settle();
    let list = place(&window);
    let button = window.named("Download… pgv2").next().expect("it is offered").rect();
    assert!(list.contains_rect(button), "{button} in {list}");
    window.assert_says("pgv2, playgroundai/playground-v2-1024px-aesthetic, 1024 px, 2.6 B parameters, Playground v2 Community License: not here");
    // This hub does not have it, which is said there, with a way on.
    click(&mut window, "Download… pgv2");
    window.until("an error", |window| window.says("Try again pgv2"));
    window.assert_says("playgroundai/playground-v2-1024px-aesthetic");
    window.choose("Dismiss pgv2");
    window.until("nothing of it", |window| window.state().downloads.orders.is_empty());
    // Closed, it stays so, also when what is here is looked at again.
    window.act(Action::Models);
    window.apply(Command::LoadModel("fake-small".to_owned()));
    window.settle();
    assert!(!window.state().overlays.models);
    // What is no name on the hub is an error alone.
    window.apply(Command::LoadModel("missing".to_owned()));
    window.until("an error", |window| window.state().model.error.is_some());
    window.settle();
    assert!(!window.state().overlays.models);
}

#[test]
fn a_download_is_seen_and_ended_while_everything_goes_on() {
    let (server, _) = stalling();
    let mut window = opening(&server).settled();
    ask_by_name(&mut window);
    let place_before = place(&window);
    click(&mut window, "Download ");
    window.until("bytes", arrives);
    assert_eq!(place(&window), place_before, "the window keeps its size and place");
    window.assert_silent("Downloading owner/tiny-model");
    window.assert_says("of 10 files, ");
    // The model runs meanwhile.
    window.act(Action::LaterTimestep);
    window.settle();
    window.assert_says("t 120 ran");
    // Where that window is closed, the strip below has the same.
    window.act(Action::Models);
    window.settle();
    window.assert_says("Downloading owner/tiny-model");
    window.press_button("Cancel");
    window.until("the end of it", |window| window.state().downloads.orders.is_empty());
    window.settle();
    window.assert_silent("Downloading");
    assert_eq!(
        window.state().messages.toasts.len(),
        0,
        "who ends it needs no explanation"
    );
}

#[test]
fn without_a_hub_nothing_is_offered_and_why_is_said() {
    let mut window = Window::settled();
    window.act(Action::Models);
    window.settle();
    window.assert_says("HF_HUB_OFFLINE is set");
    window.assert_silent("Download… sd15");
    assert!(window.harness.query_by_label("Name of a model on the hub").is_none());
    window.assert_says("Load demo");
    window.assert_says("Open a file… adm256");
}

#[test]
fn a_gated_model_says_where_its_licence_is() {
    let server = Server::scripted(BTreeMap::<String, Stored>::new(), |_| {
        Fault::Status(401, vec![("X-Error-Code", "GatedRepo".to_owned())])
    });
    let mut window = opening(&server).settled();
    window.act(Action::Models);
    window.settle();
    window.apply(Command::Download(DownloadCommand::Ask(ID.to_owned())));
    window.until("an error", |window| window.says("is gated"));
    window.assert_says(&format!("{}/{ID}", server.endpoint));
    window.assert_says("/settings/tokens");
    let asked = server.asked().len();
    click(&mut window, "Try again owner/tiny-model");
    window.until("the same again", |window| {
        server.asked().len() > asked && window.says("is gated")
    });
}

#[test]
fn controlnets_that_are_here_are_offered() {
    let opening = Opening::default();
    let snapshot = "hub/models--lllyasviel--sd-controlnet-canny/snapshots/abc";
    let snapshot = opening.folder.path().join(snapshot);
    fs::create_dir_all(&snapshot).expect("a folder");
    fs::write(snapshot.join("config.json"), r#"{"_class_name": "ControlNetModel"}"#).expect("a file");
    fs::write(snapshot.join("diffusion_pytorch_model.safetensors"), "weights").expect("a file");
    let mut window = opening.settled();
    window.choose("Add ControlNet…");
    window.choose("lllyasviel/sd-controlnet-canny");
    let controls = |window: &Window| -> Vec<_> {
        let controls = window.document().settings.adapters.controls.iter();
        controls.map(|control| control.net.clone()).collect()
    };
    assert_eq!(controls(&window), std::slice::from_ref(&snapshot));
    window.act(Action::Undo);
    window.settle();
    assert_eq!(controls(&window), [""; 0].map(std::path::PathBuf::from));
    window.act(Action::Models);
    window.settle();
    window.choose("Add to the model lllyasviel/sd-controlnet-canny");
    assert_eq!(controls(&window), [snapshot]);
}

#[test]
fn it_fits_into_small_windows_in_both_themes() {
    for (size, theme) in [(vec2(720.0, 480.0), Theme::Dark), (vec2(1360.0, 860.0), Theme::Light)] {
        let (server, _stalls) = stalling();
        let mut window = Opening {
            size,
            theme,
            ..opening(&server)
        }
        .settled();
        window.act(Action::Models);
        window.settle();
        let inside = Rect::from_min_size(egui::Pos2::ZERO, size);
        let first = place(&window);
        let check = |window: &mut Window| {
            window.harness.run_ok();
            let now = place(window);
            assert!(inside.contains_rect(now), "{now} in {size}");
            assert_eq!(now, first, "nothing jumps");
            let nodes = window.harness.root().children_recursive();
            for node in nodes.filter(|node| node.accesskit_node().role() == Role::Button) {
                let named = node
                    .accesskit_node()
                    .label()
                    .is_some_and(|name| !name.trim().is_empty());
                assert!(named, "a button at {} has no name", node.rect());
            }
        };
        check(&mut window);
        window.apply(Command::Download(DownloadCommand::Ask(ID.to_owned())));
        window.until("an offer", |window| {
            matches!(stage(window), Some(DownloadStage::Offered { .. }))
        });
        check(&mut window);
        window.apply(Command::Download(DownloadCommand::Fetch(ID.to_owned())));
        window.until("bytes", arrives);
        check(&mut window);
    }
}

#[test]
fn a_cache_that_makes_no_sense_harms_nothing() {
    let opening = Opening::default();
    let file = opening.folder.path().join("hub");
    fs::write(&file, "no folder").expect("a file");
    let hub = HubSettings {
        symlinks: false,
        offline: true,
        ..HubSettings::new(file)
    };
    let mut window = Opening {
        hub: Some(hub),
        ..opening
    }
    .settled();
    window.act(Action::Models);
    window.settle();
    window.assert_says("Load demo");
    assert_eq!(
        window
            .state()
            .downloads
            .shelf
            .as_ref()
            .map(|shelf| shelf.control_nets().count()),
        Some(0)
    );
}
