//! What a person wants to know of a checkpoint before it is downloaded: how large its network is, and under which licence. Parameters are
//! those of denoiser or encoder, without text encoders and autoencoder, as published or as its configuration gives them.

/// What is known of a checkpoint with a short name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Card {
    /// Its short name.
    pub key: &'static str,
    /// Parameters of its denoiser or encoder, where known.
    pub parameters: Option<u64>,
    /// Bytes of what is downloaded of it in full, where these follow from the numbers of parameters of its networks and the format
    /// they are published in.
    pub download: Option<u64>,
    /// The licence of its weights, where known.
    pub licence: Option<&'static str>,
    /// Whether the hub asks for its licence to be accepted first.
    pub is_gated: bool,
}

const MILLION: u64 = 1_000_000;
const APACHE: &str = "Apache-2.0";
const MIT: &str = "MIT";
const OPENRAIL: &str = "CreativeML OpenRAIL-M";
const OPENRAIL_PLUS: &str = "CreativeML Open RAIL++-M";
const STABILITY: &str = "Stability AI Community License";
const DEEPFLOYD: &str = "DeepFloyd IF License";
const TENCENT: &str = "Tencent Hunyuan Community License";
const DINOV3: &str = "DINOv3 License";

/// A card of a checkpoint that anybody may download.
const fn open(key: &'static str, parameters: u64, licence: &'static str) -> Card {
    Card {
        key,
        parameters: Some(parameters),
        download: None,
        licence: Some(licence),
        is_gated: false,
    }
}

/// The same of one whose licence has to be accepted on the hub.
const fn gated(key: &'static str, parameters: u64, licence: &'static str) -> Card {
    Card {
        is_gated: true,
        ..open(key, parameters, licence)
    }
}

impl Card {
    /// The same with what is downloaded of it.
    const fn of_bytes(self, download: u64) -> Self {
        Self {
            download: Some(download),
            ..self
        }
    }

    /// The same where that are this many 32-bit numbers.
    const fn of_singles(self, count: u64) -> Self {
        self.of_bytes(4 * count)
    }

    /// The same without a licence that is known.
    const fn without_licence(self) -> Self {
        Self { licence: None, ..self }
    }

    /// The same without a known number of parameters.
    const fn uncounted(self) -> Self {
        Self {
            parameters: None,
            ..self
        }
    }

    /// What is not known of a checkpoint that has no card.
    const fn blank(key: &'static str) -> Self {
        open(key, 0, "").uncounted().without_licence()
    }

    /// "11.9 B", "611 M", or a dash.
    pub fn parameters_text(&self) -> String {
        match self.parameters {
            Some(count) if count >= 1000 * MILLION => format!("{:.1} B", count as f64 / (1000 * MILLION) as f64),
            Some(count) => format!("{:.0} M", count as f64 / MILLION as f64),
            None => UNKNOWN.to_owned(),
        }
    }

    /// The licence, or a dash; and whether it has to be accepted first.
    pub fn licence_text(&self) -> String {
        let gate = if self.is_gated {
            ", gated: accept it on the hub first"
        } else {
            ""
        };
        format!("{}{gate}", self.licence.unwrap_or(UNKNOWN))
    }
}

/// Stands for what is not known.
pub const UNKNOWN: &str = "-";

/// T5-XXL's encoder, CLIP-L's text tower and the autoencoder of Flux.1, in bf16 as its transformer.
const BESIDE_FLUX: u64 = 2 * (4_762_310_656 + 123_060_480 + 83_819_683);

/// The parameters of whole models that are published in 32-bit numbers: denoiser, text encoders and autoencoder.
const SD1: u64 = 859_520_964 + 123_060_480 + KL;
const SD2: u64 = 865_910_724 + 340_387_840 + KL;
const SDXL: u64 = 2_567_463_684 + 123_060_480 + 694_659_840 + KL;
const PIXART: u64 = 611_000_000 + 4_762_310_656 + KL;
const DIT: u64 = 675_129_632 + KL;
/// The autoencoder of all of them.
const KL: u64 = 83_653_863;

/// The cards.
const CARDS: &[Card] = &[
    open("adm256", 0, MIT).uncounted(),
    open("sd15", 860 * MILLION, OPENRAIL).of_singles(SD1),
    open("sd14", 860 * MILLION, OPENRAIL).of_singles(SD1),
    open("sd20", 870 * MILLION, OPENRAIL_PLUS).of_singles(SD2),
    open("sd21-base", 870 * MILLION, OPENRAIL_PLUS).of_singles(SD2),
    open("sd21", 870 * MILLION, OPENRAIL_PLUS).of_singles(SD2),
    open("cleandift-sd21", 870 * MILLION, "").without_licence(),
    open("cleandift-sd15", 860 * MILLION, "").without_licence(),
    open("sdxl", 2600 * MILLION, OPENRAIL_PLUS).of_singles(SDXL),
    open("sdxl-turbo", 2600 * MILLION, "")
        .without_licence()
        .of_singles(SDXL),
    open("pgv2", 2600 * MILLION, "Playground v2 Community License").of_singles(SDXL),
    open("pixart-alpha-512", 610_856_096, OPENRAIL_PLUS).of_singles(PIXART),
    open("pixart-alpha", 611_349_152, OPENRAIL_PLUS).of_singles(PIXART),
    open("pixart-sigma", 610_856_096, OPENRAIL_PLUS),
    gated("flux.1-dev", 11_901_408_320, "FLUX.1 [dev] Non-Commercial License")
        .of_bytes(2 * 11_901_408_320 + BESIDE_FLUX),
    open("flux.1-schnell", 11_891_178_560, APACHE).of_bytes(2 * 11_891_178_560 + BESIDE_FLUX),
    gated("sd3-medium", 2_028_328_000, STABILITY),
    gated("sd3.5-medium", 2_243_171_520, STABILITY),
    gated("sd3.5-large", 8_056_627_520, STABILITY),
    open("dit-xl-2-256", 675 * MILLION, "CC-BY-NC-4.0").of_singles(DIT),
    open("dit-xl-2-512", 675 * MILLION, "CC-BY-NC-4.0").of_singles(DIT),
    open("sit-xl-2", 675 * MILLION, MIT),
    open("repa-xl-2", 675 * MILLION, MIT),
    open("hunyuandit-1.1", 1_516_534_048, TENCENT),
    open("hunyuandit-1.2", 1_499_952_032, TENCENT),
    gated("deepfloyd-if-i-m", 0, DEEPFLOYD).uncounted(),
    gated("deepfloyd-if-i-l", 940 * MILLION, DEEPFLOYD),
    gated("deepfloyd-if-i-xl", 0, DEEPFLOYD).uncounted(),
    open("z-image-turbo", 6000 * MILLION, APACHE),
    open("flux.2-klein-4b", 4000 * MILLION, APACHE),
    open("dinov2-small", 22_100_000, APACHE).of_singles(22_100_000),
    open("dinov2-base", 86_600_000, APACHE).of_singles(86_600_000),
    open("dinov2-large", 304 * MILLION, APACHE).of_singles(304 * MILLION),
    open("dinov2-giant", 1140 * MILLION, APACHE).of_singles(1140 * MILLION),
    open("dinov2-small-reg", 22_100_000, APACHE).of_singles(22_100_000),
    open("dinov2-base-reg", 86_600_000, APACHE).of_singles(86_600_000),
    open("dinov2-large-reg", 304 * MILLION, APACHE).of_singles(304 * MILLION),
    open("dinov2-giant-reg", 1140 * MILLION, APACHE).of_singles(1140 * MILLION),
    gated("dinov3-small", 21_600_000, DINOV3).of_singles(21_600_000),
    gated("dinov3-base", 85_700_000, DINOV3).of_singles(85_700_000),
    gated("dinov3-large", 303 * MILLION, DINOV3).of_singles(303 * MILLION),
    gated("dinov3-huge-plus", 841 * MILLION, DINOV3).of_singles(841 * MILLION),
    gated("dinov3-7b", 6700 * MILLION, DINOV3).of_singles(6700 * MILLION),
    open("mae-base", 86 * MILLION, APACHE).of_singles(111_907_840),
    open("mae-large", 303 * MILLION, APACHE).of_singles(329_541_888),
    open("mae-huge", 631 * MILLION, APACHE).of_singles(657_074_508),
    open("clip-base-16", 86 * MILLION, MIT).of_singles(149_620_737),
    open("clip-large-14", 303 * MILLION, MIT).of_singles(427_616_513),
    open("clip-large-14-336", 303 * MILLION, MIT).of_singles(427_944_193),
    open("siglip-base", 86 * MILLION, APACHE).of_singles(203_155_970),
    open("siglip-so400m", 413 * MILLION, APACHE).of_singles(877_960_498),
];

/// What is known of the checkpoint with a short name.
pub fn card(key: &'static str) -> Card {
    let known = CARDS.iter().find(|card| card.key == key);
    known.copied().unwrap_or(Card::blank(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::known::{known_checkpoint, known_checkpoints};

    #[test]
    fn every_card_is_of_a_checkpoint_and_only_what_is_unknown_is_a_dash() {
        for card in CARDS {
            assert!(known_checkpoint(card.key).is_some(), "{}", card.key);
            assert_eq!(
                CARDS.iter().filter(|other| other.key == card.key).count(),
                1,
                "{}",
                card.key
            );
            assert!(card.parameters != Some(0) && card.licence != Some(""), "{}", card.key);
        }
        // What is inside the program needs no card.
        for known in known_checkpoints().filter(|known| known.is_on_the_hub()) {
            assert!(card(known.key) != Card::blank(known.key), "{} has no card", known.key);
        }
        let demo = card("demo");
        assert_eq!(
            (demo.parameters_text(), demo.licence_text()),
            ("-".to_owned(), "-".to_owned())
        );
    }

    #[test]
    fn counts_are_told_in_two_figures_or_three() {
        assert_eq!(card("flux.1-dev").parameters_text(), "11.9 B");
        assert_eq!(card("pixart-alpha-512").parameters_text(), "611 M");
        assert_eq!(card("dinov2-small").parameters_text(), "22 M");
        assert!(card("sd3-medium").licence_text().contains("gated"));
    }
}
