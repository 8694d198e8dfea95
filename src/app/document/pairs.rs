//! Pins of two pictures as pairs of points, and pairs of a file as pins.

use super::{
    places::representative,
    root::{Document, Pin},
};
use crate::{
    analysis::pairs::PointPair,
    engine::{ImageSlot, QueryAt},
};

/// The pins of source and target that belong together: those whose partner was chosen, and of the others the first with
/// the first, the second with the second and so on.
pub fn paired(document: &Document) -> Vec<(&Pin, &Pin)> {
    let [source, target] = document.rank.slots;
    let of = |slot: ImageSlot| {
        let points = move |pin: &&Pin| pin.slot == slot && !matches!(pin.at, QueryAt::Word(_));
        document.pins.iter().filter(points)
    };
    if source == target {
        return Vec::new();
    }
    let chosen = |pin: &Pin| document.rank.partners.get(&pin.number);
    let mut taken: Vec<u32> = Vec::new();
    for partner in of(source).filter_map(|pin| *chosen(pin)?) {
        if of(target).any(|pin| pin.number == partner) && !taken.contains(&partner) {
            taken.push(partner);
        }
    }
    let mut given: Vec<u32> = Vec::new();
    let mut free = of(target).filter(|pin| !taken.contains(&pin.number));
    let mut pairs = Vec::new();
    for pin in of(source) {
        let partner = match chosen(pin) {
            Some(None) => None,
            // One that was deleted, or that two were to have, is chosen no longer.
            Some(Some(number)) if taken.contains(number) && !given.contains(number) => {
                given.push(*number);
                of(target).find(|other| other.number == *number)
            }
            _ => free.next(),
        };
        pairs.extend(partner.map(|partner| (pin, partner)));
    }
    pairs
}

/// The pairs in pixels; the point that stands for a region is its first.
pub fn point_pairs(document: &Document) -> Vec<PointPair> {
    let pairs = paired(document).into_iter();
    pairs
        .filter_map(|(source, target)| {
            Some(PointPair {
                source: representative(&source.at)?,
                target: representative(&target.at)?,
            })
        })
        .collect()
}

/// Puts pins where the pairs of a file are, in place of the pins of both pictures.
pub fn set_pairs(document: &mut Document, pairs: &[PointPair]) {
    let [source, target] = document.rank.slots;
    document.delete_pins(|pin| pin.slot == source || pin.slot == target);
    document.rank.partners.clear();
    for pair in pairs {
        for (slot, at) in [(source, pair.source), (target, pair.target)] {
            let number = document.next_pin_number();
            let at = QueryAt::Point(at);
            document.pins.push(Pin { number, slot, at });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn with_pins(pins: &[(u32, ImageSlot)]) -> Document {
        let pins = pins
            .iter()
            .map(|&(number, slot)| Pin {
                number,
                slot,
                at: QueryAt::Point([f64::from(number), 1.0]),
            })
            .collect();
        Document {
            pins,
            ..Document::default()
        }
    }

    fn numbers(document: &Document) -> Vec<(u32, u32)> {
        paired(document).iter().map(|(a, b)| (a.number, b.number)).collect()
    }

    #[test]
    fn pins_pair_in_their_order_and_a_choice_moves_the_others_up() {
        let (a, b) = (ImageSlot::A, ImageSlot::B);
        let mut document = with_pins(&[(1, a), (2, a), (3, b), (4, b), (5, a), (6, b)]);
        assert_eq!(numbers(&document), [(1, 3), (2, 4), (5, 6)]);
        document.rank.partners.insert(5, Some(3));
        assert_eq!(numbers(&document), [(1, 4), (2, 6), (5, 3)]);
        document.rank.partners.insert(1, None);
        assert_eq!(numbers(&document), [(2, 4), (5, 3)]);
        // Two cannot have the same partner, and one that is gone is nobody's.
        document.rank.partners = BTreeMap::from([(1, Some(3)), (2, Some(3)), (5, Some(99))]);
        assert_eq!(numbers(&document), [(1, 3), (2, 4), (5, 6)]);
        document.rank.slots = [a, a];
        assert!(numbers(&document).is_empty());
        document.rank.slots = [b, a];
        assert_eq!(numbers(&document), [(3, 1), (4, 2), (6, 5)]);
    }

    #[test]
    fn pairs_of_a_file_take_the_place_of_the_pins_of_both_pictures() {
        let other = ImageSlot::nth(2).expect("a slot");
        let mut document = with_pins(&[(1, ImageSlot::A), (2, other), (3, ImageSlot::B)]);
        document.selected_pin = Some(1);
        let pair = |x: f64| PointPair {
            source: [x, 0.0],
            target: [0.0, x],
        };
        set_pairs(&mut document, &[pair(4.0), pair(5.0)]);
        assert_eq!(point_pairs(&document), [pair(4.0), pair(5.0)]);
        assert_eq!(document.pins.len(), 5);
        assert_eq!(
            (document.pin(2).map(|pin| pin.slot), document.selected_pin),
            (Some(other), None)
        );
    }
}
