//! The layers of the program, as lists, and a test that reads what the files of `src/` import. An import that points
//! upwards, and a cycle among the files of the window, are told with file, line and path.

#[path = "layers/imports.rs"]
mod imports;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    process::Command,
};

use imports::{Import, imports, module_of};

/// The folders and files of `src/` from the bottom to the top. Those on one line may import each other, and everything
/// above their line.
const LIBRARY: &[&[&str]] = &[
    &["error", "words", "files", "device"],
    &["geometry"],
    &["activation"],
    &["image"],
    &["weights", "ops", "nn", "components"],
    &["model"],
    &["families"],
    &["extract", "io", "sources"],
    &["analysis", "render"],
    &["api"],
    &["page"],
    &["survey"],
    &["recommend"],
    &["engine"],
    &["app"],
    &["cli"],
];

/// The folders of `src/app/` from the bottom to the top; here those on one line may not import each other.
const WINDOW: &[&[&str]] = &[
    &["theme"],
    &["document"],
    &["gpu", "state"],
    &["export"],
    &["update"],
    &["widgets"],
    &["views", "panels"],
    &["shell"],
];

/// Crates of the window, of the command line and of downloads, which a build of the library alone must not have.
const OF_PROGRAMS: [&str; 9] = [
    "clap",
    "eframe",
    "egui",
    "indicatif",
    "rfd",
    "rustls",
    "ureq",
    "wgpu",
    "winit",
];

/// A file of the program: its path from `src/` on, and what is in it.
type Source<'a> = (&'a str, &'a str);

/// One file that imports another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    line: usize,
    path: String,
    to: String,
}

/// Who imports whom, names that a `mod.rs` hands on followed to the file they are from.
fn edges(sources: &[Source<'_>]) -> Vec<Edge> {
    let is_test = |file: &str| file.ends_with("tests.rs") || file.contains("/tests/");
    let sources: Vec<Source<'_>> = sources.iter().copied().filter(|(file, _)| !is_test(file)).collect();
    let files: BTreeMap<Vec<String>, &str> = sources.iter().map(|(file, _)| (module_of(file), *file)).collect();
    let prefixes = |module: &Vec<String>| {
        (0..=module.len())
            .map(|length| module[..length].to_vec())
            .collect::<Vec<_>>()
    };
    let modules: BTreeSet<Vec<String>> = files.keys().flat_map(prefixes).collect();
    let all: Vec<(&str, Vec<Import>)> = sources
        .iter()
        .map(|(file, text)| (*file, imports(file, text, &modules)))
        .collect();
    let handed_on: BTreeMap<Vec<String>, Vec<&Import>> = all
        .iter()
        .map(|(file, imports)| {
            (
                module_of(file),
                imports.iter().filter(|import| import.is_reexport).collect(),
            )
        })
        .collect();
    let mut edges = BTreeSet::new();
    for (file, imports) in &all {
        let hands_on = file.ends_with("mod.rs") || *file == "lib.rs";
        for import in imports.iter().filter(|import| !(hands_on && import.is_reexport)) {
            let module = origin(&import.path, &modules, &handed_on, 0);
            if let Some(to) = files.get(&module).filter(|to| *to != file) {
                edges.insert(Edge {
                    from: (*file).to_owned(),
                    line: import.line,
                    path: import.path.join("::"),
                    to: (*to).to_owned(),
                });
            }
        }
    }
    edges.into_iter().collect()
}

/// The module that a path leads into, through the names that others hand on.
fn origin(
    path: &[String],
    modules: &BTreeSet<Vec<String>>,
    handed_on: &BTreeMap<Vec<String>, Vec<&Import>>,
    followed: usize,
) -> Vec<String> {
    const FURTHEST: usize = 8;
    let longest = (0..=path.len()).rev().find(|length| modules.contains(&path[..*length]));
    let (module, rest) = path.split_at(longest.unwrap_or(0));
    let (Some(name), Some(imports)) = (rest.first(), handed_on.get(module)) else {
        return module.to_vec();
    };
    if followed < FURTHEST
        && let Some(import) = imports.iter().find(|import| import.name == *name)
    {
        let path: Vec<String> = import.path.iter().chain(&rest[1..]).cloned().collect();
        return origin(&path, modules, handed_on, followed + 1);
    }
    module.to_vec()
}

/// The line of a list that a file is on: by its folder, or by its own name.
fn layer(file: &str, within: &str, layers: &[&[&str]]) -> Option<(usize, String)> {
    let file = file.strip_prefix(within)?;
    let name = file.split('/').next()?.trim_end_matches(".rs");
    let place = layers.iter().position(|names| names.contains(&name))?;
    Some((place, name.to_owned()))
}

/// Imports that point upwards in a list. Where `apart`, those on one line may not import each other either.
fn upward<'a>(edges: &'a [Edge], within: &str, layers: &[&[&str]], apart: bool) -> Vec<&'a Edge> {
    let points_up = |edge: &&Edge| {
        let (Some(from), Some(to)) = (layer(&edge.from, within, layers), layer(&edge.to, within, layers)) else {
            return false;
        };
        to.0 > from.0 || apart && to.0 == from.0 && to.1 != from.1
    };
    edges.iter().filter(points_up).collect()
}

/// Groups of files that import each other in a ring.
fn cycles(edges: &[Edge], within: &str) -> Vec<BTreeSet<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges {
        if edge.from.starts_with(within) && edge.to.starts_with(within) {
            next.entry(&edge.from).or_default().insert(&edge.to);
        }
    }
    let reached = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for to in next.get(file).into_iter().flatten() {
                if seen.insert(to) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let all: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|file| (*file, reached(file))).collect();
    let ring_of = |file: &str| -> BTreeSet<String> {
        let mutual = all[file].iter().filter(|other| {
            let back = all.get(**other);
            back.is_some_and(|back| back.contains(file))
        });
        mutual.map(|other| (*other).to_owned()).collect()
    };
    let rings: BTreeSet<BTreeSet<String>> = all.keys().map(|file| ring_of(file)).collect();
    rings.into_iter().filter(|ring| !ring.is_empty()).collect()
}

/// An import in words.
fn told(edge: &Edge) -> String {
    format!("src/{}:{} imports {} ({})", edge.from, edge.line, edge.path, edge.to)
}

/// Every file of `src/`, by its path from there.
fn program() -> io::Result<Vec<(String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).map_err(io::Error::other)?;
                let name: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
                files.push((name.join("/"), fs::read_to_string(&path)?));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn edges_of_program() -> io::Result<Vec<Edge>> {
    let files = program()?;
    let sources: Vec<Source<'_>> = files
        .iter()
        .map(|(file, text)| (file.as_str(), text.as_str()))
        .collect();
    Ok(edges(&sources))
}

#[test]
fn layers_of_the_library_import_only_what_is_below_them() -> io::Result<()> {
    let edges = edges_of_program()?;
    let upward: Vec<String> = upward(&edges, "", LIBRARY, false).into_iter().map(told).collect();
    assert!(upward.is_empty(), "these imports point upwards:\n{}", upward.join("\n"));
    Ok(())
}

#[test]
fn layers_of_the_window_import_only_what_is_below_them() -> io::Result<()> {
    let edges = edges_of_program()?;
    let upward: Vec<String> = upward(&edges, "app/", WINDOW, true).into_iter().map(told).collect();
    assert!(upward.is_empty(), "these imports point upwards:\n{}", upward.join("\n"));
    Ok(())
}

#[test]
fn no_files_of_the_window_import_each_other_in_a_ring() -> io::Result<()> {
    let edges = edges_of_program()?;
    let rings = cycles(&edges, "app/");
    let within = |ring: &BTreeSet<String>| {
        let inside = |edge: &&Edge| ring.contains(&edge.from) && ring.contains(&edge.to);
        edges.iter().filter(inside).map(told).collect::<Vec<_>>().join("\n")
    };
    let rings: Vec<String> = rings.iter().map(within).collect();
    assert!(
        rings.is_empty(),
        "these files import each other:\n{}",
        rings.join("\n\n")
    );
    Ok(())
}

#[test]
fn the_window_changes_in_one_place() -> io::Result<()> {
    let homes = [("impl App {", "app/update/"), ("impl State {", "app/state/")];
    let mut away = Vec::new();
    for (file, text) in program()? {
        let here = |(block, home): &&(&str, &str)| text.lines().any(|line| line == *block) && !file.starts_with(home);
        away.extend(homes.iter().filter(here).map(|(block, _)| format!("{file}: {block}")));
    }
    assert!(away.is_empty(), "methods away from their type: {away:?}");
    Ok(())
}

#[test]
fn every_part_of_the_program_is_in_a_list() -> io::Result<()> {
    let files = program()?;
    let roots = ["lib.rs", "main.rs", "bin/", "app/mod.rs"];
    let placed = |file: &str| match file.strip_prefix("app/") {
        Some(_) => layer(file, "app/", WINDOW).is_some(),
        None => layer(file, "", LIBRARY).is_some(),
    };
    let lost: Vec<&String> = files
        .iter()
        .map(|(file, _)| file)
        .filter(|file| !placed(file) && !roots.iter().any(|root| file.starts_with(root)))
        .collect();
    assert!(lost.is_empty(), "in no layer: {lost:?}");
    Ok(())
}

/// The names of the crates that a build with these features has, on this machine's system.
fn linked_crates(features: &[&str]) -> io::Result<BTreeSet<String>> {
    let tree = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "tree", "--frozen", "--edges", "normal", "--prefix", "none", "--format", "{p}",
        ])
        .args(features)
        .output()?;
    if !tree.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&tree.stderr)));
    }
    let text = String::from_utf8_lossy(&tree.stdout);
    let names = text.lines().filter_map(|line| line.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

#[test]
fn the_library_alone_links_neither_window_nor_command_line_nor_network() -> io::Result<()> {
    let alone = linked_crates(&["--no-default-features"])?;
    let found: Vec<&str> = OF_PROGRAMS.into_iter().filter(|name| alone.contains(*name)).collect();
    assert!(found.is_empty(), "a build without default features has {found:?}");
    let all = linked_crates(&[])?;
    let lost: Vec<&str> = OF_PROGRAMS.into_iter().filter(|name| !all.contains(*name)).collect();
    assert!(
        lost.is_empty(),
        "no longer in the program, take them out of the list: {lost:?}"
    );
    Ok(())
}

#[test]
fn planted_imports_are_found() {
    let planted = [
        ("app/mod.rs", "mod state;\npub use state::root::State;\n"),
        (
            "app/document/root.rs",
            "use crate::app::{\n    theme,\n    State as Shown,\n};\n",
        ),
        (
            "app/state/root.rs",
            "/// In `crate::cli`, not.\npub struct State;\nfn name() -> &'static str { \"crate::cli::name\" }\n",
        ),
        (
            "app/theme.rs",
            "pub fn look() -> u8 { super::super::cli::colour('\"') }\n",
        ),
        (
            "cli/mod.rs",
            "pub fn colour(_: char) -> u8 { 0 }\n#[cfg(test)]\nmod tests {\n    use crate::nowhere::*;\n}\n",
        ),
    ];
    let edges = edges(&planted);
    let words = |edges: Vec<&Edge>| edges.into_iter().map(told).collect::<Vec<_>>();
    assert_eq!(
        words(upward(&edges, "app/", WINDOW, true)),
        ["src/app/document/root.rs:3 imports app::State (app/state/root.rs)"]
    );
    assert_eq!(
        words(upward(&edges, "", LIBRARY, false)),
        ["src/app/theme.rs:1 imports cli::colour (cli/mod.rs)"]
    );
}

#[test]
fn layers_on_one_line_of_the_window_are_kept_apart() {
    let planted = [
        (
            "app/views/plot.rs",
            "use crate::app::panels::menus::line;\nuse super::matrix::cell;\n",
        ),
        ("app/views/matrix.rs", "pub fn cell() {}\n"),
        ("app/panels/menus.rs", "pub fn line() {}\n"),
    ];
    let edges = edges(&planted);
    let apart: Vec<String> = upward(&edges, "app/", WINDOW, true).into_iter().map(told).collect();
    assert_eq!(
        apart,
        ["src/app/views/plot.rs:1 imports app::panels::menus::line (app/panels/menus.rs)"]
    );
    assert!(upward(&edges, "app/", WINDOW, false).is_empty());
}

#[test]
fn planted_rings_are_found() {
    let planted = [
        ("app/mod.rs", "pub use one::One;\nmod one;\nmod two;\nmod three;\n"),
        ("app/one.rs", "use super::two::{self, Two as Other};\npub struct One;\n"),
        (
            "app/two.rs",
            "fn f() { let _ = r#\"use \"#; let _ = crate::app::three::three(); }\n",
        ),
        ("app/three.rs", "pub fn three() -> super::One { super::One }\n"),
        (
            "app/four.rs",
            "use super::{one::One, two};\npub(in crate::app) fn four() {}\n",
        ),
    ];
    let rings = cycles(&edges(&planted), "app/");
    let expected: BTreeSet<String> = ["app/one.rs", "app/two.rs", "app/three.rs"].map(str::to_owned).into();
    assert_eq!(rings, [expected]);
    let straight = [
        ("app/one.rs", "use super::two::Two;\n"),
        (
            "app/two.rs",
            "pub struct Two;\n#[cfg(test)]\n#[allow(clippy::expect_used)]\nmod tests {\n    use super::super::one::One;\n}\n",
        ),
    ];
    assert!(cycles(&edges(&straight), "app/").is_empty());
}
