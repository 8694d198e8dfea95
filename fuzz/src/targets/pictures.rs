//! Pictures, and what is made of them for a model.

use featscope::{
    geometry::{
        PixelRange,
        framing::{SizeRule, WorkingSize},
    },
    image::{
        canny::canny,
        picture::{Picture, WHITE},
        prepare::prepare,
    },
};

use super::read;

/// A picture in any format.
pub fn pictures(bytes: &[u8]) {
    /// Larger pictures take time and show nothing new.
    const MOST_PIXELS: usize = 1 << 10;
    let Some(picture) = read(Picture::decode(bytes, WHITE, "the input")) else {
        return;
    };
    let size = picture.size();
    assert_eq!(picture.rgb().len(), size.pixels() * 3);
    if size.pixels() > MOST_PIXELS {
        return;
    }
    let exact = WorkingSize::Exact { width: 32, height: 48 };
    for (wanted, rule) in [
        (exact, SizeRule::Latent { multiple: 16 }),
        (WorkingSize::ShortSide(16), SizeRule::Latent { multiple: 8 }),
        (
            WorkingSize::Exact { width: 16, height: 16 },
            SizeRule::Adm { multiple: 16 },
        ),
    ] {
        if let Some(prepared) = read(prepare(&picture, &wanted, rule)) {
            let working = prepared.picture.size();
            assert_eq!(working, prepared.framing.working);
            assert_eq!(prepared.picture.to_chw(PixelRange::Latent).len(), working.pixels() * 3);
        }
    }
    let edges = read(canny(&picture)).expect("every picture has edges or none");
    assert_eq!(edges.size(), size);
}
