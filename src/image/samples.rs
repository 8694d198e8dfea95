//! Pictures inside the program, so that it shows something before anything is opened. `assets/README.md` names where
//! each comes from.

/// A picture inside the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its name without an ending: `photo-cat`.
    pub name: &'static str,
    /// Its PNG file.
    pub bytes: &'static [u8],
}

macro_rules! sample {
    ($name:literal) => {
        Sample {
            name: $name,
            bytes: include_bytes!(concat!("../../assets/samples/", $name, ".png")),
        }
    };
}

/// The pictures in the order in which they are offered: photographs, scenes, then animals, the styles of one animal
/// side by side.
pub static SAMPLES: &[Sample] = &[
    sample!("photo-cat"),
    sample!("photo-astronaut"),
    sample!("photo-coffee"),
    sample!("scene-cat-and-dog"),
    sample!("scene-fox-and-panda"),
    sample!("noto-cat-face"),
    sample!("noto-v1-cat-face"),
    sample!("fluent-cat-face"),
    sample!("fluent-flat-cat-face"),
    sample!("noto-dog-face"),
    sample!("noto-v1-dog-face"),
    sample!("fluent-dog-face"),
    sample!("fluent-flat-dog-face"),
    sample!("noto-fox"),
    sample!("fluent-flat-fox"),
    sample!("noto-wolf"),
    sample!("fluent-flat-wolf"),
    sample!("noto-bear"),
    sample!("fluent-flat-bear"),
    sample!("noto-panda"),
    sample!("fluent-flat-panda"),
    sample!("noto-lion"),
    sample!("fluent-flat-lion"),
    sample!("noto-tiger-face"),
    sample!("fluent-flat-tiger-face"),
    sample!("noto-rabbit-face"),
    sample!("fluent-flat-rabbit-face"),
    sample!("noto-mouse-face"),
    sample!("fluent-flat-mouse-face"),
];

/// The picture of a name.
pub fn sample(name: &str) -> Option<&'static Sample> {
    SAMPLES.iter().find(|sample| sample.name == name)
}
