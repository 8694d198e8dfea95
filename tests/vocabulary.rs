//! Names, lists and selections of activations: properties that hold whatever the user writes.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use featscope::{
    activation::{Catalogue, Id, Selection, Tap, parse_layer_file},
    families::resolve,
    geometry::Size,
};
use std::{collections::BTreeSet, fs, sync::LazyLock};

use common::data;
use proptest::{
    collection::{btree_map, btree_set, vec},
    prelude::*,
    sample::{Index, select},
};

const LISTS: [&str; 9] = [
    "sd15",
    "sd21",
    "sdxl",
    "pgv2",
    "if_i_l",
    "pixart_alpha_512",
    "pixart_sigma_1024",
    "hunyuandit",
    "flux1_dev",
];

static PUBLISHED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let list = |name: &str| -> Vec<String> {
        let text = fs::read(data(&format!("ids/{name}.json"))).expect("a published list");
        serde_json::from_slice(&text).expect("a list of ids")
    };
    LISTS.into_iter().flat_map(list).collect()
});

static CATALOGUES: LazyLock<Vec<Catalogue>> = LazyLock::new(|| {
    let list = |key: &str| {
        let spec = resolve(key).expect("a key of the zoo");
        spec.plain_catalogue(Size::new(512, 512))
    };
    ["sd15", "sd21", "sdxl", "adm256", "demo"]
        .map(list)
        .into_iter()
        .collect()
});

fn taps(list: &Catalogue) -> impl Iterator<Item = Tap> {
    (0..u32::try_from(list.len()).expect("a list of some hundreds")).map(Tap)
}

fn name(list: &Catalogue, tap: Tap) -> String {
    list.entry(tap).expect("a tap of the list").id.to_string()
}

fn any_catalogue() -> impl Strategy<Value = &'static Catalogue> {
    select((0..CATALOGUES.len()).collect::<Vec<_>>()).prop_map(|index| &CATALOGUES[index])
}

fn a_published_id() -> impl Strategy<Value = &'static str> {
    any::<Index>().prop_map(|index| PUBLISHED[index.index(PUBLISHED.len())].as_str())
}

/// An id with one character lost, doubled or replaced.
fn misspelled() -> impl Strategy<Value = (String, String)> {
    (a_published_id(), any::<Index>(), 0..3, "[a-z0-9-]").prop_map(|(id, place, how, other)| {
        let mut letters: Vec<char> = id.chars().collect();
        let at = place.index(letters.len());
        match how {
            0 => {
                letters.remove(at);
            }
            1 => letters.insert(at, letters[at]),
            _ => letters[at] = other.chars().next().unwrap_or('x'),
        }
        (id.to_owned(), letters.into_iter().collect())
    })
}

#[test]
fn every_published_id_is_read_and_printed() {
    assert!(PUBLISHED.len() > 1000);
    for text in PUBLISHED.iter() {
        let id: Id = text.parse().expect("a published id");
        assert_eq!(id.to_string(), *text);
        assert_eq!(id.is_map(), text.ends_with("-map"));
        let json = serde_json::to_string(&id).expect("an id is text");
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Id>(&json).expect("its own JSON"), id);
    }
    let distinct: BTreeSet<Id> = PUBLISHED.iter().filter_map(|text| text.parse().ok()).collect();
    let texts: BTreeSet<&String> = PUBLISHED.iter().collect();
    assert_eq!(distinct.len(), texts.len(), "different names are different ids");
}

#[test]
fn every_id_of_a_catalogue_is_found_under_its_name() {
    for list in CATALOGUES.iter() {
        for tap in taps(list) {
            let name = name(list, tap);
            assert_eq!(list.find(&name).expect("its own name"), tap);
            assert_eq!(list.find(&format!("  {name}\t")).expect("spaces do not count"), tap);
            assert_eq!(list.nearest(&name).map(|id| id.to_string()), Some(name));
        }
    }
}

#[test]
fn all_and_all_maps() {
    for list in CATALOGUES.iter() {
        let all = Selection::parse("all", list).expect("a word");
        let with_maps = Selection::parse(" all-maps ", list).expect("a word");
        assert_eq!(with_maps.len(), list.len());
        for tap in taps(list) {
            assert!(with_maps.contains(tap));
            assert_eq!(all.contains(tap), !name(list, tap).ends_with("-map"));
        }
    }
}

/// As "all", a pattern takes the list without attention maps; those, and what is beside the list, where it fits nothing else.
#[test]
fn patterns_select_what_they_fit() {
    let list = |model: &str| {
        let spec = resolve(model).expect("a known model");
        spec.plain_catalogue(Size::new(spec.native_side, spec.native_side))
    };
    let ids = |text: &str, list: &Catalogue| -> Vec<String> {
        let selection = Selection::parse(text, list).expect("a pattern that fits");
        let entries = selection.iter().filter_map(|tap| list.entry(tap));
        entries.map(|entry| entry.id.to_string()).collect()
    };
    let demo = list("demo");
    assert_eq!(Selection::parse("*", &demo).ok(), Selection::parse("all", &demo).ok());
    assert_eq!(ids("b11,b2", &demo), ids("b2, b11", &demo));
    let maps = ids("b*-map", &demo);
    assert!(maps.len() > 1 && maps.iter().all(|id| id.ends_with("-map")), "{maps:?}");
    let sd = list("sd15");
    let queries = ids("up-*-cross-q", &sd);
    assert_eq!(queries.len(), 9, "three levels of three transformers: {queries:?}");
    assert!(
        queries
            .iter()
            .all(|id| id.starts_with("up-") && id.ends_with("-cross-q"))
    );
    let pixart = list("pixart-alpha-512");
    let extra = ids("vit-block?-norm1-out", &pixart);
    assert_eq!(extra.len(), 10, "{extra:?}");
    let wrong = Selection::parse("up-*-cros-q", &sd)
        .expect_err("it fits nothing")
        .to_string();
    assert!(wrong.contains("near are up-") && wrong.contains("-cross-q"), "{wrong}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        if let Ok(id) = text.parse::<Id>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn texts_made_of_the_vocabularys_parts(text in "(unet|down-level[0-9]{1,6}|mid|up-level0?[0-9]|b[0-9]{1,3}|vit-block[0-9]{1,5})(-repeat[0-9]{1,6})?(-(res-out|vit-out|in|out|attn-q|self-map|vit-block0{1,2}-out|upsampler-out))?") {
        if let Ok(id) = text.parse::<Id>() {
            prop_assert_eq!(id.to_string(), text, "an id has one spelling");
        }
    }

    #[test]
    fn a_misspelled_id_is_another_or_none((id, text) in misspelled()) {
        match text.parse::<Id>() {
            Ok(other) => prop_assert_eq!(other.to_string(), text),
            Err(error) => {
                prop_assert!(text != id);
                prop_assert!(error.to_string().contains(&text));
            }
        }
    }

    #[test]
    fn the_suggestion_is_the_nearest(list in any_catalogue(), (_, text) in misspelled()) {
        let Err(error) = list.find(&text) else { return Ok(()) };
        let nearest = list.nearest(&text).expect("a list that is not empty").to_string();
        let distance = |name: &str| strsim::damerau_levenshtein(name, &text);
        let letters = text.chars().count();
        let is_near = letters > 1 && distance(&nearest) <= (letters / 3).max(1);
        prop_assert_eq!(error.to_string().contains(&format!("did you mean \"{nearest}\"?")), is_near, "{}", error);
        for tap in taps(list) {
            prop_assert!(distance(&nearest) <= distance(&name(list, tap)));
        }
    }

    #[test]
    fn any_text_may_be_looked_for(list in any_catalogue(), text in ".*") {
        if let Ok(tap) = list.find(&text) {
            prop_assert_eq!(name(list, tap), text.trim());
        }
        let _ = Selection::parse(&text, list);
        let _ = list.nearest(&text);
    }

    #[test]
    fn search_gives_what_has_every_word(list in any_catalogue(), words in vec(select(vec!["up", "LEVEL1", "self", "q", "map", "b1", "res", "-", "0", "x"]), 0..4)) {
        let found = list.search(&words.join("  "));
        let expected: Vec<Tap> = taps(list)
            .filter(|tap| words.iter().all(|word| name(list, *tap).contains(&word.to_lowercase())))
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn search_takes_any_text(list in any_catalogue(), query in ".*") {
        for tap in list.search(&query) {
            let name = name(list, tap);
            prop_assert!(query.split_whitespace().all(|word| name.contains(&word.to_lowercase())));
        }
    }

    #[test]
    fn a_selection_is_a_set(numbers in vec(0..700_u32, 0..60), others in vec(0..800_u32, 0..60)) {
        let selection: Selection = numbers.iter().copied().map(Tap).collect();
        let set: BTreeSet<u32> = numbers.iter().copied().collect();
        prop_assert_eq!(selection.iter().map(|tap| tap.0).collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(selection.len(), set.len());
        prop_assert_eq!(selection.is_empty(), set.is_empty());
        prop_assert_eq!(selection.last().map(|tap| tap.0), set.last().copied());
        for other in others {
            prop_assert_eq!(selection.contains(Tap(other)), set.contains(&other));
        }
        let reversed: Selection = numbers.iter().rev().copied().map(Tap).collect();
        prop_assert_eq!(reversed, selection);
    }

    #[test]
    fn a_selection_by_names_is_that_of_their_taps(
        list in any_catalogue(),
        chosen in vec(any::<Index>(), 1..20),
        separator in select(vec![",", " ,", ", ", ",,", " , , "]),
    ) {
        let chosen: Vec<Tap> = chosen
            .iter()
            .map(|index| Tap(u32::try_from(index.index(list.len())).expect("a short list")))
            .collect();
        let names: Vec<String> = chosen.iter().map(|tap| name(list, *tap)).collect();
        let expected: Selection = chosen.into_iter().collect();
        prop_assert_eq!(&Selection::parse(&names.join(separator), list).expect("names of the list"), &expected);
        let file = serde_json::to_string(&names).expect("JSON");
        let from_file = parse_layer_file(&file).expect("an array of names");
        let from_file = Selection::from_names(from_file.iter().map(String::as_str), list);
        prop_assert_eq!(&from_file.expect("names of the list"), &expected);
    }

    #[test]
    fn a_layer_file_asks_for_what_is_true(layers in btree_map("[a-z0-9-]{1,20}", any::<bool>(), 0..20)) {
        let asked = parse_layer_file(&serde_json::to_string(&layers).expect("JSON")).expect("a layer file");
        let asked: BTreeSet<String> = asked.into_iter().collect();
        let on: BTreeSet<String> = layers.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        prop_assert_eq!(asked, on);
    }

    #[test]
    fn any_text_is_a_layer_file_or_refused(text in ".*") {
        if let Err(error) = parse_layer_file(&text) {
            prop_assert!(error.to_string().contains("layer file"));
        }
    }

    /// Sizes change shapes, never ids or their order.
    #[test]
    fn a_catalogue_has_the_same_ids_at_every_size(sides in btree_set(1..40_usize, 2..3), key in select(vec!["sd15", "sdxl", "adm256", "demo"])) {
        let spec = resolve(key).expect("a key of the zoo");
        let multiple = spec.size_rule().multiple();
        let sides: Vec<usize> = sides.into_iter().map(|side| side * multiple).collect();
        let list = spec.plain_catalogue(Size::new(sides[0], sides[1]));
        let native = spec.plain_catalogue(Size::new(512, 512));
        prop_assert_eq!(list.len(), native.len());
        for (at_size, at_native) in list.entries().iter().zip(native.entries()) {
            prop_assert_eq!(at_size.id, at_native.id);
            prop_assert!(at_size.shape.bytes() > 0);
            prop_assert_eq!(at_size.shape.bytes(), at_size.shape.dims().iter().product::<usize>() * 4);
        }
    }
}
