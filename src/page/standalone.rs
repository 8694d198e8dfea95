//! A page that needs no other file: data inside of its script, and a policy that lets nothing else run.

use std::fmt::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    words::json_lines,
};

/// Where a template takes in the style and the functions that all pages share.
const SHARED_STYLE: &str = "/*__SHARED_STYLE__*/";
const SHARED_SCRIPT: &str = "/*__SHARED_SCRIPT__*/";

/// A template with its data in the place of `marker` (with its quotes), and with the policy that lets only its own script and
/// style run.
///
/// # Errors
///
/// Where the template has no script or no style.
pub(crate) fn filled(template: &str, marker: &str, data: &Value) -> Result<String> {
    let template = template
        .replace(SHARED_STYLE, include_str!("shared.css"))
        .replace(SHARED_SCRIPT, include_str!("shared.js"))
        // Browsers hash what they read, where every line ends in one sign.
        .replace('\r', "");
    let between = |start: &str, end: &str| {
        let (before, rest) = template.split_once(start)?;
        let (inside, after) = rest.split_once(end)?;
        Some((before, inside, after))
    };
    let broken = || Error::failed("the template of the page has no script or no style".to_owned());
    let (_, style, _) = between("<style>", "</style>").ok_or_else(broken)?;
    let (head, script, foot) = between("<script>", "</script>").ok_or_else(broken)?;
    let script = script.replace(&format!("\"{marker}\""), &harmless(&data.to_string()));
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(&script),
        hash(style)
    );
    let head = head.replace("__POLICY__", &policy);
    Ok(format!("{head}<script>{script}</script>{foot}"))
}

/// JSON inside of a script element: no sign of HTML's is left in its strings, where these can only be.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json_lines(json).chars() {
        if matches!(character, '<' | '>' | '&') {
            // Writing into a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json as value;

    use super::*;

    /// The name of a picture, as bad as a file system lets it be.
    const NAME: &str = "<!--<script></script>&amp;\u{2028}\u{1b}'\"__POLICY__ __SURVEY__ __PAGE__ /*__SHARED_SCRIPT__*/ \u{202e}\u{5d0}.png";

    fn stays_data(template: &str, marker: &str, start: &str) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let data = value!({ "made_by": { "prompt": NAME } });
        let page = filled(template, marker, &data)?;
        let (head, rest) = page.split_once("<script>").ok_or("a script")?;
        let (script, foot) = rest.split_once("</script>").ok_or("its end")?;
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(foot.trim(), "</html>");
        let json = script.trim_start().strip_prefix(start).ok_or("the data")?;
        let json = json.lines().next().ok_or("a line")?.trim_end_matches(';');
        assert!(
            !json.contains(['<', '>', '&', '\u{202e}', '\u{2028}', '\u{1b}']),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Value>(json)?["made_by"]["prompt"], NAME);
        let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
        let (_, style) = head.split_once("<style>").ok_or("a style")?;
        let (style, _) = style.split_once("</style>").ok_or("its end")?;
        let policy = head
            .split_once("Content-Security-Policy\" content=\"")
            .ok_or("a policy")?
            .1;
        let (policy, after) = policy.split_once('"').ok_or("its end")?;
        assert!(after.contains("<style>"), "the policy comes before what it is about");
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(
            policy.contains(&hash(script)) && policy.contains(&hash(style)),
            "{policy}"
        );
        assert!(!page.contains("src=\"") && !page.contains("<link") && !page.contains(" style=\""));
        assert!(
            !page.contains("http://") && !page.contains("https://"),
            "it stands alone"
        );
        assert!(!head.contains("__SHARED") && !script.replace(json, "").contains("__SHARED"));
        Ok(())
    }

    #[test]
    fn a_name_stays_data() -> std::result::Result<(), Box<dyn std::error::Error>> {
        stays_data(include_str!("page.html"), "__PAGE__", "const page = ")?;
        stays_data(include_str!("../survey/page.html"), "__SURVEY__", "const survey = ")
    }

    #[test]
    fn a_template_without_script_is_refused() {
        assert!(filled("<style></style>", "__PAGE__", &Value::Null).is_err());
    }
}
