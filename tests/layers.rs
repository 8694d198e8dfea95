//! The layers of the program, as lists, and a test that reads what the files of `src/` import. An import that points
//! upwards, and a cycle among the files of the window, are told with file, line and path.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

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
    &["extract", "io"],
    &["analysis"],
    &["survey"],
    &["paint"],
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

/// Imports of the library that still point upwards: file, and what it imports. The list gets shorter, never longer.
const KNOWN: &[(&str, &str)] = &[
    ("extract/job.rs", "analysis::pool::adaptive_average_pool"),
    ("geometry/framing.rs", "image::picture::Picture"),
    ("geometry/framing.rs", "image::resize::Filter"),
    ("geometry/framing.rs", "image::resize::resize"),
    ("geometry/framing.rs", "image::resize::resize_window"),
    ("image/source.rs", "weights::embedded"),
    ("survey/colours.rs", "paint::ColourMap"),
    ("survey/sheet.rs", "paint::Canvas"),
    ("survey/sheet.rs", "paint::Lettering"),
    ("survey/sheet.rs", "paint::score_text"),
];

/// A file of the program: its path from `src/` on, and what is in it.
type Source<'a> = (&'a str, &'a str);

/// What a file imports: the line, and the path from the crate's root on, as its segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    line: usize,
    path: Vec<String>,
    /// Whether a `mod.rs` hands it on: what imports the name then imports the file it is from.
    is_reexport: bool,
    /// The name it is handed on by, `*` for all names.
    name: String,
}

/// A word or a sign of a file, and its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Words, `::`, and single signs; comments and literals are left out.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if is_word(bytes[at]) {
            let length = rest.bytes().take_while(|byte| is_word(*byte)).count();
            let text = &rest[..length];
            found.push(Token { text, line });
            length
        } else if rest.starts_with("::") {
            found.push(Token { text: "::", line });
            2
        } else {
            if !bytes[at].is_ascii_whitespace() {
                let text = &rest[..1];
                found.push(Token { text, line });
            }
            1
        };
        line += rest.as_bytes()[..taken].iter().filter(|byte| **byte == b'\n').count();
        at += taken;
    }
    found
}

/// The length of the text or character that begins here, if one does.
fn literal(rest: &str) -> Option<usize> {
    let prefix = rest
        .bytes()
        .take_while(|byte| matches!(byte, b'b' | b'r' | b'c'))
        .count();
    let after = rest.get(prefix.min(2)..)?;
    let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
    let is_raw = prefix > 0 && rest[..prefix.min(2)].contains('r');
    if is_raw && after[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = &after[hashes + 1..];
        let length = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(prefix + hashes + 1 + length);
    }
    let escaped = |body: &str, quote: u8| {
        let mut bytes = body.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\\' => drop(bytes.next()),
                byte if byte == quote => return Some(at + 1),
                _ => {}
            }
        }
        None
    };
    match rest.as_bytes()[0] {
        b'"' => Some(1 + escaped(&rest[1..], b'"').unwrap_or(rest.len() - 1)),
        b'b' | b'c' if rest[1..].starts_with('"') => Some(2 + escaped(&rest[2..], b'"').unwrap_or(rest.len() - 2)),
        b'\'' => {
            // A lifetime has no second quote right behind its first letter.
            let mut letters = rest[1..].chars();
            let first = letters.next()?;
            if first == '\\' {
                return escaped(&rest[1..], b'\'').map(|length| 1 + length);
            }
            (letters.next() == Some('\'')).then(|| 2 + first.len_utf8())
        }
        _ => None,
    }
}

/// The module of a file: `app/state/mod.rs` is `app::state`.
fn module_of(file: &str) -> Vec<String> {
    let mut module: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// A path of a file as a path from the crate's root on; none for one that begins in another crate.
fn absolute(path: &[&str], module: &[String], children: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let mut base: Vec<String> = module.to_vec();
    let mut rest = path;
    match *path.first()? {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {}
        first => {
            let child: Vec<String> = base.iter().cloned().chain([first.to_owned()]).collect();
            children.contains(&child).then_some(())?;
        }
    }
    while rest.first() == Some(&"super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend(rest.iter().map(|part| (*part).to_owned()));
    Some(base)
}

/// The leaves of the tree of a `use`, each as its segments and the name it is known by; gives where the tree ends.
fn leaves<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    before: &[&'a str],
    found: &mut Vec<(usize, Vec<&'a str>, &'a str)>,
) -> usize {
    let mut path = before.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    let mut name = None;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = leaves(tokens, at, &path, found);
                    if tokens.get(at).is_some_and(|token| token.text == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "}" | "," | ";" => break,
            "as" => {
                name = tokens.get(at + 1).map(|token| token.text);
                at += 1;
            }
            "::" => {}
            part => path.push(part),
        }
        at += 1;
    }
    if path.len() > 1 && path.last() == Some(&"self") {
        path.pop();
    }
    if let Some(last) = path.last().copied() {
        found.push((line, path, name.unwrap_or(last)));
    }
    at
}

/// Everything of the program that a file names, tests in it left out.
fn imports(file: &str, text: &str, modules: &BTreeSet<Vec<String>>) -> Vec<Import> {
    let tokens = tokens(text);
    let mut module = module_of(file);
    // Where the modules written in this file end, by their depth.
    let mut ends: Vec<usize> = Vec::new();
    let (mut depth, mut at) = (0_usize, 0);
    let mut found = Vec::new();
    let text_at = |at: usize| tokens.get(at).map_or("", |token| token.text);
    while at < tokens.len() {
        match text_at(at) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if ends.last() == Some(&depth) {
                    ends.pop();
                    module.pop();
                }
            }
            "mod" if text_at(at + 2) == "{" => {
                if is_for_tests(&tokens[..at]) {
                    at = end_of_block(&tokens, at + 2);
                    continue;
                }
                module.push(text_at(at + 1).to_owned());
                ends.push(depth);
                depth += 1;
                at += 2;
            }
            "use" if at == 0 || matches!(text_at(at - 1), ";" | "}" | "{" | "]" | "pub" | ")") => {
                let is_public = at > 0 && matches!(text_at(at - 1), "pub" | ")");
                let mut paths = Vec::new();
                let end = leaves(&tokens, at + 1, &[], &mut paths);
                for (line, path, name) in paths {
                    if let Some(path) = absolute(&path, &module, modules) {
                        found.push(Import {
                            line,
                            path,
                            is_reexport: is_public,
                            name: name.to_owned(),
                        });
                    }
                }
                at = end;
                continue;
            }
            "crate" | "super" | "self"
                if text_at(at + 1) == "::" && (at == 0 || !matches!(text_at(at - 1), "in" | "::")) =>
            {
                let line = tokens[at].line;
                let mut path = vec![text_at(at)];
                while text_at(at + 1) == "::" && text_at(at + 2).starts_with(|first: char| first.is_alphanumeric()) {
                    path.push(text_at(at + 2));
                    at += 2;
                }
                if let Some(path) = absolute(&path, &module, modules) {
                    found.push(Import {
                        line,
                        path,
                        is_reexport: false,
                        name: String::new(),
                    });
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Whether what follows is compiled for tests alone.
fn is_for_tests(before: &[Token<'_>]) -> bool {
    let mut end = before.len();
    // Attributes, from the last to the first.
    while end > 0 && before[end - 1].text == "]" {
        let begin = before[..end].iter().rposition(|token| token.text == "#").unwrap_or(0);
        let words: Vec<&str> = before[begin..end].iter().map(|token| token.text).collect();
        if words.contains(&"cfg") && words.contains(&"test") {
            return true;
        }
        end = begin;
    }
    false
}

/// The place behind the block that begins at a brace.
fn end_of_block(tokens: &[Token<'_>], begin: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(begin) {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

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
    let upward = upward(&edges, "", LIBRARY, false);
    let is_known = |edge: &Edge| {
        let known = |(file, path): &(&str, &str)| *file == edge.from && *path == edge.path;
        KNOWN.iter().position(known)
    };
    let unknown: Vec<String> = upward
        .iter()
        .filter(|edge| is_known(edge).is_none())
        .map(|edge| told(edge))
        .collect();
    assert!(
        unknown.is_empty(),
        "these imports point upwards:\n{}",
        unknown.join("\n")
    );
    let met: BTreeSet<usize> = upward.iter().filter_map(|edge| is_known(edge)).collect();
    let gone: Vec<_> = (0..KNOWN.len())
        .filter(|index| !met.contains(index))
        .map(|index| KNOWN[index])
        .collect();
    assert!(
        gone.is_empty(),
        "these are no longer there, take them out of the list: {gone:?}"
    );
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
