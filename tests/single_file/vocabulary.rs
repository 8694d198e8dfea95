//! CLIP's vocabulary inside the program.

use featscope::components::text::{Padding, Tokenizer};

use crate::common::TestResult;

const START: u32 = 49406;
const END: u32 = 49407;

fn ids(padding: Padding, prompt: &str) -> featscope::Result<Vec<u32>> {
    Ok(Tokenizer::embedded(padding)?.encode(prompt)?.ids)
}

/// Ids as published with CLIP and with Stable Diffusion.
#[test]
fn prompts_have_the_published_ids() -> TestResult {
    for (prompt, expected) in [
        ("a photo of a cat", &[320, 1125, 539, 320, 2368][..]),
        ("hello world!", &[3306, 1002, 256]),
        ("", &[]),
    ] {
        let found = ids(Padding::EndOfText, prompt)?;
        let mut whole = vec![START];
        whole.extend(expected);
        whole.resize(77, END);
        assert_eq!(found, whole, "{prompt}");
    }
    Ok(())
}

#[test]
fn open_clip_pads_with_zero() -> TestResult {
    let found = ids(Padding::Zero, "a cat")?;
    assert_eq!(found[..4], [START, 320, 2368, END]);
    assert!(found[4..].iter().all(|id| *id == 0) && found.len() == 77);
    Ok(())
}

/// Every byte alone and at the end of a word, the merges, the two special tokens.
#[test]
fn the_vocabulary_has_its_order() -> TestResult {
    let tokenizer = Tokenizer::embedded(Padding::EndOfText)?;
    for (id, piece) in [
        (0, "!"),
        (93, "~"),
        (94, "¡"),
        (187, "ÿ"),
        (188, "Ā"),
        (255, "Ń"),
        (256, "!</w>"),
        (511, "Ń</w>"),
        (512, "in"),
        (513, "th"),
        (49405, "jekyll</w>"),
        (START, "<|startoftext|>"),
        (END, "<|endoftext|>"),
    ] {
        assert_eq!(tokenizer.piece(id), piece, "{id}");
    }
    assert_eq!(tokenizer.piece(END + 1), "");
    Ok(())
}
