//! What a file imports: its `use` lines and the paths it writes out, read as words and signs.

use std::collections::BTreeSet;

/// What a file imports: the line, and the path from the crate's root on, as its segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub line: usize,
    pub path: Vec<String>,
    /// Whether a `mod.rs` hands it on: what imports the name then imports the file it is from.
    pub is_reexport: bool,
    /// The name it is handed on by, `*` for all names.
    pub name: String,
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
pub fn module_of(file: &str) -> Vec<String> {
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
pub fn imports(file: &str, text: &str, modules: &BTreeSet<Vec<String>>) -> Vec<Import> {
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
