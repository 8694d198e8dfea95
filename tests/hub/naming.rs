//! Names and the environment.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use featscope::{
    error::{Error, Result},
    weights::hub::{Checksum, DownloadPlan, HubSettings, Repo, Token, Variant},
};
use proptest::prelude::*;

fn settings(variables: &[(&str, &str)]) -> Result<HubSettings> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    HubSettings::from_lookup(
        |name| variables.get(name).map(OsString::from),
        Some(PathBuf::from("/home/me")),
    )
}

#[test]
fn the_cache_is_where_python_looks() {
    for (variables, expected) in [
        (&[][..], "/home/me/.cache/huggingface/hub"),
        (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
        (&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/h/hub"),
        (&[("HF_HOME", "~/h")], "/home/me/h/hub"),
        (&[("HF_HOME", "~someone/h")], "~someone/h/hub"),
        (
            &[("HF_HOME", "$DATA/${SUB}x/$NONE"), ("DATA", "/d"), ("SUB", "s")],
            "/d/sx/$NONE/hub",
        ),
        (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/h")], "/old"),
        (
            &[
                ("HF_HUB_CACHE", "/new"),
                ("HUGGINGFACE_HUB_CACHE", "/old"),
                ("HF_HOME", "/h"),
            ],
            "/new",
        ),
        (&[("HF_HUB_CACHE", ""), ("HF_HOME", "/h")], "/h/hub"),
    ] as [(&[(&str, &str)], &str); 9]
    {
        assert_eq!(
            settings(variables).expect("settings").cache,
            Path::new(expected),
            "{variables:?}"
        );
    }
    let nowhere = HubSettings::from_lookup(|_| None, None)
        .expect_err("it is refused")
        .to_string();
    assert!(nowhere.contains("HF_HUB_CACHE"), "{nowhere}");
}

#[test]
fn switches_and_the_endpoint_are_read() {
    let plain = settings(&[]).expect("settings");
    assert_eq!(
        (plain.endpoint.as_str(), plain.offline, plain.symlinks),
        ("https://huggingface.co", false, true)
    );
    for (value, on) in [
        ("1", true),
        ("true", true),
        ("Yes", true),
        ("ON", true),
        ("0", false),
        ("no", false),
        ("", false),
    ] {
        let read = settings(&[("HF_HUB_OFFLINE", value), ("HF_HUB_DISABLE_SYMLINKS", value)]).expect("settings");
        assert_eq!((read.offline, read.symlinks), (on, !on), "{value}");
    }
    assert!(!settings(&[("TRANSFORMERS_OFFLINE", "1")]).expect("settings").offline);
    let mirror = settings(&[("HF_ENDPOINT", "https://mirror.test/hf//")]).expect("settings");
    assert_eq!(mirror.endpoint, "https://mirror.test/hf");
    for bad in [
        "mirror.test",
        "ftp://mirror.test",
        "https://",
        "https://a b",
        "https://user:pass@mirror.test",
    ] {
        // What is wrong is told where the hub is asked; the cache is where it was.
        let read = settings(&[("HF_ENDPOINT", bad)]).expect("settings");
        assert!(
            matches!(&read.trouble, Some(Error::Usage(text)) if text.contains("HF_ENDPOINT")),
            "{bad}: {read:?}"
        );
        assert_eq!(read.cache, Path::new("/home/me/.cache/huggingface/hub"));
    }
}

#[test]
fn the_token_is_found_and_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let token = |text: &str| Some(Token::new(text, "the test").expect("a token"));
    assert_eq!(settings(&[("HF_HOME", &path(""))]).expect("settings").token, None);
    fs::write(path("token"), "hf_file\r\n").expect("a file");
    fs::write(path("other"), "hf_other").expect("a file");
    fs::write(path("empty"), "\n").expect("a file");
    let home = path("");
    for (variables, expected) in [
        (&[][..], token("hf_file")),
        (&[("HF_TOKEN_PATH", path("other"))], token("hf_other")),
        (&[("HF_TOKEN_PATH", path("empty"))], None),
        (&[("HF_TOKEN_PATH", path("missing"))], None),
        (&[("HF_TOKEN", " hf_env\n".to_owned())], token("hf_env")),
        (&[("HF_TOKEN", " ".to_owned())], token("hf_file")),
        (&[("HUGGING_FACE_HUB_TOKEN", "hf_old".to_owned())], token("hf_old")),
    ] as [(&[(&str, String)], Option<Token>); 7]
    {
        let mut all = vec![("HF_HOME", home.as_str())];
        all.extend(variables.iter().map(|(name, value)| (*name, value.as_str())));
        let read = settings(&all).expect("settings");
        assert_eq!(read.token, expected, "{variables:?}");
        assert!(!format!("{read:?}").contains("hf_"), "{read:?}");
    }
    let trouble = |variables: &[(&str, &str)]| {
        let read = settings(variables).expect("settings");
        assert_eq!(read.token, None);
        read.trouble.map(|error| error.to_string()).unwrap_or_default()
    };
    for bad in ["hf_a\nEvil: header", "hf_ä"] {
        let told = trouble(&[("HF_TOKEN", bad)]);
        assert!(told.contains("HF_TOKEN") && !told.contains("Evil"), "{told}");
    }
    for junk in [&b"<html>not found</html> \n"[..], b"\xff\xfe", &[b'a'; 100_000]] {
        fs::write(path("junk"), junk).expect("a file");
        let told = trouble(&[("HF_TOKEN_PATH", &path("junk"))]);
        assert!(told.contains("junk") && told.len() < 1000, "{told}");
    }
}

#[test]
fn names_of_repositories_are_checked() {
    for id in [
        "gpt2",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "CompVis/cleandift",
        "a/b.c_d",
        "_a/_b",
    ] {
        assert_eq!(Repo::new(id).expect("a name").id(), id);
    }
    for id in [
        "", "/", "a/", "/a", "a/b/c", "../a", "a/..", "a/b--c", "a..b/c", "a/b.git", "-a/b", "a/b-", ".a/b", "a b/c",
        "a/ü", "a\\b", "a/b\0",
    ] {
        assert!(matches!(Repo::new(id), Err(Error::Usage(_))), "{id:?}");
    }
    assert!(Repo::new(&"a".repeat(97)).is_err());
    for revision in ["main", "v1.0", "refs/pr/3", "0123456789abcdef0123456789abcdef01234567"] {
        assert_eq!(
            Repo::new("a/b")
                .and_then(|repo| repo.at(revision))
                .expect("a revision")
                .revision(),
            revision
        );
    }
    for revision in ["", "..", "a/../b", "/a", "a/", "a//b", "a\\b", "C:x", "a\nb", ".", " "] {
        assert!(
            Repo::new("a/b").and_then(|repo| repo.at(revision)).is_err(),
            "{revision:?}"
        );
    }
}

#[test]
fn what_was_saved_is_checked_when_it_is_read_again() {
    let repo = Repo::new("a/b").and_then(|repo| repo.at("v1")).expect("a repository");
    let text = serde_json::to_string(&repo).expect("text");
    assert_eq!(text, r#"{"id":"a/b","revision":"v1"}"#);
    assert_eq!(serde_json::from_str::<Repo>(&text).expect("the same"), repo);
    assert!(serde_json::from_str::<Repo>(r#"{"id":"../b","revision":"v1"}"#).is_err());
    assert!(serde_json::from_str::<Repo>(r#"{"id":"a/b","revision":"../v1"}"#).is_err());
    assert!(serde_json::from_str::<Checksum>(r#""../../etc/passwd""#).is_err());
    assert!(serde_json::from_str::<DownloadPlan>("{}").is_err());
    assert_eq!("fp16".parse::<Variant>().expect("a variant"), Variant::Fp16);
    assert!(matches!("fp8".parse::<Variant>(), Err(Error::Usage(text)) if text.contains("fp8")));
}

proptest! {
    #[test]
    fn no_text_makes_names_fail_badly(text in ".{0,60}") {
        if let Ok(repo) = Repo::new(&text) {
            prop_assert!(!repo.id().contains("..") && repo.id().matches('/').count() <= 1);
        }
        if let Ok(repo) = Repo::new("a/b").and_then(|repo| repo.at(&text)) {
            let path = Path::new(repo.revision());
            prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{path:?}");
        }
        let _ = Checksum::from_etag(&text);
        let _ = Token::new(&text, "a test");
        let _ = settings(&[("HF_HOME", &text), ("HF_ENDPOINT", &text)]);
    }

    #[test]
    fn entity_tags_are_read_in_each_of_their_forms(digits in "[0-9a-fA-F]{40}|[0-9a-fA-F]{64}") {
        let plain = Checksum::new(&digits);
        prop_assert!(plain.is_some());
        for form in [format!("\"{digits}\""), format!("W/\"{digits}\""), format!(" {digits} ")] {
            prop_assert_eq!(&Checksum::from_etag(&form), &plain);
        }
    }
}
