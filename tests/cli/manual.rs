//! Lists and texts about the program itself: models, completions, pages for `man`.

use serde_json::Value;

use crate::common::{TestResult, program::run};

#[test]
fn models_are_listed_without_a_word_more_and_as_json() -> TestResult {
    let listed = run(["models", "list"]).good().stdout;
    assert_eq!(run(["models"]).good().stdout, listed);
    let json = run(["models", "list", "--json"]).good().stdout;
    assert_eq!(run(["models", "--json"]).good().stdout, json);
    let json: Value = serde_json::from_str(&json)?;
    let models = json["models"].as_array().ok_or("a list")?;
    let first_words = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let keys: Vec<String> = listed.lines().filter_map(first_words).collect();
    let in_json: Vec<&str> = models.iter().filter_map(|model| model["key"].as_str()).collect();
    assert_eq!(keys, in_json);
    let of = |key: &str| models.iter().find(|model| model["key"] == key).ok_or("a known key");
    let demo = of("demo")?;
    assert_eq!(
        (&demo["is_here"], &demo["bytes_in_cache"]),
        (&true.into(), &Value::Null)
    );
    let sd15 = of("sd15")?;
    assert_eq!(
        (&sd15["is_here"], &sd15["side"], &sd15["default_t"]),
        (&false.into(), &512.into(), &51.into())
    );
    assert_eq!(of("dinov2-base")?["default_t"], Value::Null);
    Ok(())
}

#[test]
fn shells_complete_every_command() {
    for (shell, words) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef featscope"),
        ("fish", "complete -c featscope"),
    ] {
        let ran = run(["completions", shell]).good();
        assert!(ran.stdout.contains(words), "{shell}");
        for name in ["extract", "survey", "--weights-memory", "completions"] {
            let name = if shell == "fish" {
                name.trim_start_matches("--")
            } else {
                name
            };
            assert!(ran.stdout.contains(name), "{name} in {shell}");
        }
        // What the program starts itself is nothing to type.
        assert!(!ran.stdout.contains("self-check"), "{shell}");
    }
    run(["completions", "csh"]).refused(2, &["csh", "bash"]);
}

#[test]
fn man_has_a_page_for_the_program_and_for_each_command() {
    let page = run(["man"]).good().stdout;
    assert!(
        page.contains(".TH featscope 1") && page.contains("featscope\\-extract(1)"),
        "{page}"
    );
    assert!(!page.contains("worker"), "{page}");
    let page = run(["man", "extract"]).good().stdout;
    assert!(
        page.contains(".TH featscope-extract 1") && page.contains("\\-\\-activations"),
        "{page}"
    );
    run(["man", "extrat"]).refused(2, &["\"extrat\"", "did you mean \"extract\"?"]);
}
