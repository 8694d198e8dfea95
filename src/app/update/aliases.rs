//! What people call actions besides their names: what they type into a palette, both spellings, and the names that actions
//! had before, which stay written in scripts.

use super::action::Action;
use crate::app::document::{page::Page, pane::PaneKind};

/// Other names of an action, in small letters.
pub const fn aliases_of(action: Action) -> &'static [&'static str] {
    match action {
        Action::PairMode => &["correspondence", "keypoints", "pairs", "annotate", "link points"],
        Action::CompletePair => &["accept match", "complete pair"],
        Action::PairInOrder => &["pair pins", "make pairs"],
        Action::SplitPair => &["unpair", "separate points"],
        Action::FurtherMatches => &["more matches", "second best", "top k", "rings"],
        Action::Maximise => &["maximize", "maximise", "enlarge pane", "single pane", "zoom pane"],
        Action::Presentation => &[
            "projector",
            "presenter",
            "talk",
            "large text",
            "lecture",
            "audience",
            "demo mode",
        ],
        Action::Page(Page::Correspond) => &["correspondence", "main view", "home", "pictures page"],
        Action::Page(Page::Layers) => &["survey", "all layers", "layers page", "overview"],
        Action::Page(Page::Compare) => &["wipe", "difference", "side by side", "compare page"],
        Action::Page(Page::Rank) => &["ranking", "pck", "which layer", "rank page"],
        Action::Page(Page::Timesteps) => &["film strip", "content shift", "timesteps page", "time steps"],
        Action::Recommend => &["which layer", "best layer", "suggest", "recommendation", "choose layer"],
        Action::Page(Page::Recommend) => &["which layer", "best layer", "suggest", "recommendation"],
        Action::Page(Page::Cka) => &["cka", "similarity matrix", "representation similarity"],
        Action::OpenPicture => &["open image", "open file", "load image", "import"],
        Action::AddPicture => &["add image", "another image"],
        Action::OpenModel => &["load model", "checkpoint", "weights"],
        Action::OpenWorkspace => &["load workspace", "open project", "open session"],
        Action::SaveWorkspace => &["save project", "save session"],
        Action::SaveWorkspaceAs => &["save project as"],
        Action::Recover => &["recovery", "restore", "crash", "unsaved work"],
        Action::Screenshot => &[
            "save image",
            "screen shot",
            "snapshot",
            "capture window",
            "save window",
            "save as png",
        ],
        Action::ExportPanes => &["save image", "save images", "save figures", "figure", "png"],
        Action::ExportPage => &["html", "web page", "share", "interactive page"],
        Action::ExtractMaps => &[
            "export features",
            "save features",
            "save activations",
            "safetensors",
            "numpy",
            "npz",
            "npy",
            "tensor",
        ],
        Action::SavePca => &["export pca", "save image"],
        Action::SaveHeat => &["export heatmap", "save heatmap", "save similarity", "save image"],
        Action::SaveMap => &[
            "numpy",
            "npy",
            "safetensors",
            "save feature map",
            "export map",
            "tensor",
        ],
        Action::SaveBasis => &["export basis", "save components"],
        Action::SaveMatches => &["export matches", "save correspondences", "csv", "keypoints"],
        Action::OpenPairs => &["load pairs", "annotations", "ground truth", "keypoints"],
        Action::SavePairs => &["export pairs", "annotations", "keypoints"],
        Action::Quit => &["exit", "close window", "leave"],
        Action::Undo => &["back", "revert"],
        Action::Redo => &["forward", "repeat"],
        Action::CopyImage => &["copy picture", "copy pane", "clipboard", "image to clipboard"],
        Action::CopyMatches => &["copy correspondences", "clipboard", "copy table", "copy pins"],
        Action::SwapPictures => &["exchange images", "swap images", "swap pictures", "flip"],
        Action::ClosePicture => &["close image", "remove image"],
        Action::Brush => &["region", "select area", "mask region", "paint", "lasso"],
        Action::AddPin => &[
            "pin",
            "add pin",
            "new pin",
            "marker",
            "point",
            "query point",
            "keypoint",
        ],
        Action::NextPin => &["select pin", "cycle pins"],
        Action::Unpin => &["deselect pin", "no pin", "hover"],
        Action::DeletePin => &["remove pin", "unpin"],
        Action::ClearPins => &["clear pins", "remove all pins"],
        Action::PinLeft | Action::PinRight | Action::PinUp | Action::PinDown => &["move pin", "nudge pin"],
        Action::Models => &[
            "download",
            "model manager",
            "hub",
            "hugging face",
            "huggingface",
            "zoo",
            "checkpoints",
            "switch model",
        ],
        Action::Run => &["compute", "execute", "start", "forward pass", "update", "refresh"],
        Action::Cancel => &["stop", "abort", "interrupt"],
        Action::NextLayer | Action::LayersForward => &["activation", "block", "later layer"],
        Action::PreviousLayer | Action::LayersBack => &["activation", "block", "earlier layer"],
        Action::SearchLayers => &["find layer", "filter layers", "layers", "activation", "block"],
        Action::HoldLayer => &["previous layer shown", "flicker layer"],
        Action::LaterTimestep => &["later t", "t", "time step", "more noise", "step"],
        Action::EarlierTimestep => &["earlier t", "t", "time step", "less noise", "step"],
        Action::LaterTimestepByOne => &["later t by one", "time step", "fine timestep"],
        Action::EarlierTimestepByOne => &["earlier t by one", "time step", "fine timestep"],
        Action::ZoomIn => &["magnify", "enlarge", "bigger"],
        Action::ZoomOut => &["shrink", "smaller"],
        Action::Fit => &["zoom to fit", "whole picture", "reset zoom", "reset view"],
        Action::OneToOne => &["actual size", "100 %", "pixel for pixel", "native zoom"],
        Action::Link => &["sync panes", "synchronise panes", "synchronize panes", "linked zoom"],
        Action::Grid => &["grid", "cells", "lines", "patches"],
        Action::Numbers => &["values in cells", "scores", "annotate"],
        Action::Loupe => &["magnifier", "magnifying glass", "lens"],
        Action::HoldSlot => &["flicker", "blink", "other image"],
        Action::ClosePane => &["remove pane", "close tab"],
        Action::NextPane => &["focus pane", "switch pane"],
        Action::ResetLayout => &["reset layout", "default layout", "reset panes", "restore layout"],
        Action::Settings => &[
            "preferences",
            "options",
            "left side",
            "sidebar",
            "side panel",
            "hide panel",
        ],
        Action::Inspector => &["right side", "sidebar", "side panel", "hide panel", "properties"],
        Action::Theme => &[
            "dark mode",
            "light mode",
            "theme",
            "night mode",
            "appearance",
            "preferences",
        ],
        Action::SystemTheme => &["system theme", "auto theme", "appearance", "dark mode"],
        Action::LargerInterface => &["increase font", "scale up", "font size", "ui scale", "hidpi"],
        Action::SmallerInterface => &["decrease font", "scale down", "font size", "ui scale"],
        Action::StandardInterface => &["reset font", "default scale", "font size", "ui scale"],
        Action::ResetSettings => &[
            "defaults",
            "restore defaults",
            "default settings",
            "reset all",
            "preferences",
        ],
        Action::Fullscreen => &["fullscreen", "maximise", "maximize", "presentation", "projector"],
        Action::Overlay => &[
            "heatmap",
            "overlay",
            "similarity",
            "cosine",
            "hide heatmap",
            "show heatmap",
        ],
        Action::OnSource => &["overlay on source", "heatmap on source", "self similarity"],
        Action::Normalise => &[
            "normalise",
            "normalize",
            "normalisation",
            "normalization",
            "auto range",
            "autoscale",
            "rescale",
            "contrast",
            "cosine range",
        ],
        Action::LockRange => &[
            "lock the range across panes",
            "lock range",
            "common range",
            "global range",
            "vmin vmax",
            "same range",
        ],
        Action::NextColours => &[
            "next colours",
            "next colors",
            "colormap",
            "colourmap",
            "color map",
            "color",
            "palette",
        ],
        Action::Smooth => &[
            "smooth scores",
            "smooth",
            "interpolation",
            "bilinear",
            "nearest",
            "upsample",
            "blur",
        ],
        Action::MoreOpaque => &["opacity up", "less transparent", "alpha"],
        Action::LessOpaque => &["opacity down", "more transparent", "alpha", "transparency"],
        Action::JointBasis => &["shared pca", "joint pca", "common basis", "fit pca together"],
        Action::Whiten => &["whitening", "standardise", "standardize"],
        Action::L2 => &["unit norm", "l2 normalize", "normalise vectors", "normalize vectors"],
        Action::Foreground => &["mask", "segmentation", "background", "threshold", "remove background"],
        Action::DropMassive => &[
            "leave out massive channels",
            "massive activations",
            "massive channels",
            "outliers",
            "drop channels",
        ],
        Action::NextHead => &["attention head", "multi-head"],
        Action::PreviousHead => &["attention head", "multi-head"],
        Action::NextChannel | Action::PreviousChannel => &["feature", "neuron", "dimension"],
        Action::Survey => &[
            "contact sheet",
            "measure layers",
            "all layers",
            "noise of layers",
            "snr",
            "statistics",
            "locality",
            "granularity",
        ],
        Action::CancelStudies => &["stop studies", "abort study"],
        Action::SaveSurvey => &["export survey", "report", "html", "csv"],
        Action::SetCompareSide => &["compare", "remember as b", "a/b", "keep for comparison", "reference"],
        Action::SwapSides => &["swap sides", "exchange a and b"],
        Action::HoldSide => &["flicker", "blink comparison"],
        Action::LaterFrame => &["next timestep of the strip", "animation"],
        Action::EarlierFrame => &["previous timestep of the strip", "animation"],
        Action::Palette => &["commands", "search", "find action"],
        Action::Tour => &[
            "help",
            "tutorial",
            "introduction",
            "getting started",
            "onboarding",
            "tour",
            "guide",
            "demo",
        ],
        Action::TourNext => &["next step"],
        Action::TourBack => &["last step of the tour", "previous step"],
        Action::Keys => &[
            "shortcuts",
            "keyboard",
            "keyboard shortcuts",
            "keybindings",
            "hotkeys",
            "help",
            "key sheet",
            "mouse",
        ],
        Action::Log => &["messages", "history", "errors", "console"],
        Action::FrameTimes => &["fps", "performance", "profiler", "frame rate"],
        Action::About => &["version", "licence", "license", "help", "credits"],
        Action::AddPane(kind) => aliases_of_pane(kind),
        Action::SavePane(_) => &["export", "csv", "json"],
    }
}

const fn aliases_of_pane(kind: PaneKind) -> &'static [&'static str] {
    match kind {
        PaneKind::Picture => &["image pane", "view image"],
        PaneKind::Pca => &["principal components", "pca colours", "pca colors", "components"],
        PaneKind::Heat => &["heatmap pane", "similarity map", "attention map", "cosine"],
        PaneKind::Channel => &["single channel", "feature", "neuron"],
        PaneKind::Sheet => &[
            "new contact sheet",
            "contact sheet",
            "thumbnails",
            "all layers",
            "layers",
            "overview",
            "noise",
        ],
        PaneKind::Plot => &["chart", "graph", "noise plot", "depth"],
        PaneKind::Strip => &["filmstrip", "timesteps", "seeds", "animation", "over time"],
        PaneKind::Cka => &["similarity of layers", "representation similarity", "cka"],
        PaneKind::Shift => &["drift", "content shift"],
        PaneKind::Rank => &[
            "rank layers",
            "pck",
            "best layer",
            "correspondence",
            "benchmark",
            "evaluation",
            "matching accuracy",
        ],
        PaneKind::Recommend => &["which layer", "suggestion"],
        PaneKind::Compare => &["compare", "wipe", "difference", "diff", "side by side", "a/b", "blend"],
    }
}

/// The action that a name written down means, in whatever case: its own name, or one that it alone has besides.
pub fn action_named(name: &str) -> Option<Action> {
    let wanted = name.trim().trim_end_matches('…');
    let called = |action: &&Action| action.name().trim_end_matches('…').eq_ignore_ascii_case(wanted);
    let also_called = |action: &&Action| {
        aliases_of(**action)
            .iter()
            .any(|alias| alias.eq_ignore_ascii_case(wanted))
    };
    let by_name = Action::ALL.iter().find(called);
    let mut by_alias = Action::ALL.iter().filter(also_called);
    let only = by_alias.next().filter(|_| by_alias.next().is_none());
    by_name.or(only).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_in_small_letters_and_say_something_that_the_name_does_not() {
        for action in Action::ALL {
            for alias in aliases_of(*action) {
                assert_eq!(*alias, alias.to_lowercase(), "{action:?}");
                assert!(!alias.eq_ignore_ascii_case(action.name()), "{action:?}");
            }
            assert!(!aliases_of(*action).is_empty(), "{action:?}");
        }
    }

    #[test]
    fn the_names_that_actions_had_before_are_understood() {
        for (before, action) in [
            ("Later t", Action::LaterTimestep),
            ("Earlier t", Action::EarlierTimestep),
            ("Normalise", Action::Normalise),
            ("Lock the range across panes", Action::LockRange),
            ("Next colours", Action::NextColours),
            ("Smooth scores", Action::Smooth),
            ("Leave out massive channels", Action::DropMassive),
            ("New contact sheet", Action::AddPane(PaneKind::Sheet)),
            ("Last step of the tour", Action::TourBack),
        ] {
            assert_eq!(action_named(before), Some(action), "{before}");
        }
        assert_eq!(action_named("OPEN PICTURE…"), Some(Action::OpenPicture));
        assert_eq!(action_named("clipboard"), None, "two actions are called that");
        assert_eq!(action_named("no such thing"), None);
    }
}
