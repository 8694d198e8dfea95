use super::driver::{Opening, Window};
use egui::{Key, Theme, vec2};
use featscope::app::{Action, Command, DownloadCommand, PathPurpose};
fn save(window: &mut Window, name: &str) {
    let p = format!("/tmp/mod/{name}.png");
    window.render().save(p).expect("saved");
}
#[test]
fn shots() {
    for (size, tag) in [(vec2(1280.0, 800.0), "1280"), (vec2(1920.0, 1080.0), "1920")] {
        for (theme, t) in [(Theme::Dark, "dark"), (Theme::Light, "light")] {
            let opening = Opening {
                size,
                theme,
                ..Opening::default()
            };
            let hub = opening.folder.path().join("hub");
            std::process::Command::new("cp")
                .arg("-a")
                .arg("/tmp/mod/hub")
                .arg(&hub)
                .status()
                .expect("cp");
            let mut w = opening.settled();
            w.act(Action::Models);
            w.settle();
            save(&mut w, &format!("models_{tag}_{t}"));
            w.apply(Command::Download(DownloadCommand::Select(Some(
                "owner/broken".to_owned(),
            ))));
            w.apply(Command::Download(DownloadCommand::Search("owner".to_owned())));
            w.apply(Command::Download(DownloadCommand::AskRemoval(
                "owner/broken".to_owned(),
                featscope::weights::hub::RemovalScope::Whole,
            )));
            w.until("it", |w| w.says("Other programs"));
            w.settle();
            save(&mut w, &format!("models_rm_{tag}_{t}"));
            w.act(Action::Models);
            w.settle();
            w.apply(Command::AskPath(PathPurpose::Picture(featscope::engine::ImageSlot::A)));
            w.settle();
            w.type_text("/work/w/mod/");
            w.settle();
            w.key(Key::ArrowDown);
            w.key(Key::ArrowDown);
            w.settle();
            save(&mut w, &format!("browser_{tag}_{t}"));
            w.key(Key::Escape);
            w.settle();
            w.apply(Command::AskPath(PathPurpose::SaveBasis));
            w.settle();
            save(&mut w, &format!("browser_save_{tag}_{t}"));
            w.key(Key::Escape);
            w.settle();
        }
    }
}
#[test]
fn dense_shot() {
    let mut w = Opening {
        size: vec2(3840.0, 2160.0),
        ..Opening::default()
    }
    .settled();
    save(&mut w, "dense");
}
#[test]
fn tour_shots() {
    for (size, tag) in [(vec2(1280.0, 800.0), "1280"), (vec2(1920.0, 1080.0), "1920")] {
        for (theme, t) in [(Theme::Dark, "dark"), (Theme::Light, "light")] {
            let mut o = Opening {
                size,
                theme,
                ..Opening::default()
            };
            o.arguments.model = Some("demo".to_owned());
            let mut w = o.settled();
            w.act(Action::Tour);
            w.settle();
            for i in 0..6 {
                save(&mut w, &format!("tour_{tag}_{t}_{i}"));
                if i < 5 {
                    w.press_button("Next");
                    w.settle();
                }
            }
        }
    }
}
