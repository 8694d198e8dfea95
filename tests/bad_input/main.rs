//! Broken files and impossible requests, through the program: a clear refusal, quickly, and nothing left behind.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

#[path = "../common/mod.rs"]
mod common;

mod extracted_files;
mod families;
mod memory;
mod models;
mod outputs;
mod pipes;
mod places;
mod requests;

use std::{collections::BTreeMap, time::Duration};

use common::{
    case_file, model,
    program::{Place, Ran, run},
};

/// A refusal comes before the work, also in a slow build on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Arguments of an extraction that would succeed, from which a test takes or to which it adds.
struct Request {
    arguments: BTreeMap<&'static str, Vec<String>>,
}

impl Request {
    fn of_adm(place: &Place) -> Self {
        let mut request = Self {
            arguments: BTreeMap::new(),
        };
        let image = case_file("adm-all", "image0.png").display().to_string();
        let out = place.text("out.safetensors");
        request
            .with("--model", &model("tiny-adm").display().to_string())
            .with("--image", &image)
            .with("--t", "150")
            .with("--size", "32")
            .with("--activations", "b1")
            .with("--out", &out);
        request
    }

    fn of_sd15(place: &Place) -> Self {
        let mut request = Self::of_adm(place);
        request
            .with("--model", &model("tiny-sd15").display().to_string())
            .with("--activations", "unet-in");
        request
    }

    fn with(&mut self, option: &'static str, value: &str) -> &mut Self {
        self.arguments.insert(option, vec![value.to_owned()]);
        self
    }

    fn without(&mut self, option: &str) -> &mut Self {
        self.arguments.remove(option);
        self
    }

    fn run(&self) -> Ran {
        // The values directly after their option, so that none is taken for an option.
        let arguments = self
            .arguments
            .iter()
            .flat_map(|(option, values)| std::iter::once((*option).to_owned()).chain(values.clone()));
        run(std::iter::once("extract".to_owned()).chain(arguments))
    }

    /// Refused soon, and the folder is what it was.
    #[track_caller]
    fn refused(&self, place: &Place, code: i32, words: &[&str]) {
        let before = place.contents();
        let ran = self.run().refused(code, words);
        assert!(ran.took < SOON, "{:?}", ran.took);
        assert_eq!(place.contents(), before, "nothing is left behind");
    }
}

/// An activation extracted into a file, for the commands that read one.
fn extracted(place: &Place) -> String {
    let file = place.text("extracted.safetensors");
    Request::of_adm(place)
        .with("--activations", "b1,b5-attn-map")
        .with("--out", &file)
        .run()
        .good();
    file
}
