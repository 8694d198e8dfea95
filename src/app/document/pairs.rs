//! Marks of pictures: pins, and pairs of points that show the same in two pictures. In: the document and what is done to a
//! mark. Out: the same document, in which every number stands for one pin and the points of a pair lie in two pictures.

use super::{
    layout::panes,
    pane::PaneKind,
    places::{moved_to, representative},
    root::{Document, Mark, Pin, Spot},
};
use crate::{
    analysis::pairs::PointPair,
    engine::{ImageSlot, QueryAt},
};

/// A pair in pixels: its number, and the pictures and places of its points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The number of its pin.
    pub number: u32,
    /// The pictures of its two points.
    pub slots: [ImageSlot; 2],
    /// Its two points; one that stands for a region is the region's first.
    pub at: [[f64; 2]; 2],
}

/// All pairs, in the order they were made.
pub fn pairs(document: &Document) -> impl Iterator<Item = Pair> + '_ {
    document.pins.iter().filter_map(pair_of)
}

/// The pair that a pin is.
pub fn pair_of(pin: &Pin) -> Option<Pair> {
    let mate = pin.mate.as_ref()?;
    Some(Pair {
        number: pin.number,
        slots: [pin.slot, mate.slot],
        at: [representative(&pin.at)?, representative(&mate.at)?],
    })
}

/// The pairs of the ranking's source and target, in pixels, whichever of their points was marked first.
pub fn point_pairs(document: &Document) -> Vec<PointPair> {
    let [source, target] = document.rank.slots;
    let of_both = pairs(document).filter_map(|pair| match pair.slots {
        slots if slots == [source, target] => Some((pair.at[0], pair.at[1])),
        slots if slots == [target, source] => Some((pair.at[1], pair.at[0])),
        _ => None,
    });
    of_both.map(|(source, target)| PointPair { source, target }).collect()
}

/// The mark of a picture that is nearest to a point, no further away than `reach` pixels.
pub fn mark_near(document: &Document, slot: ImageSlot, [x, y]: [f64; 2], reach: f64) -> Option<Mark> {
    let marks = document.pins.iter().flat_map(Pin::marks);
    let distances = marks
        .filter(|(_, other, _)| *other == slot)
        .filter_map(|(mark, _, at)| {
            let [there_x, there_y] = representative(at)?;
            Some((mark, (there_x - x).hypot(there_y - y)))
        });
    distances
        .filter(|(_, distance)| *distance <= reach)
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(mark, _)| mark)
}

/// Adds a pin and selects it.
pub fn add_pin(document: &mut Document, slot: ImageSlot, at: QueryAt) -> Mark {
    let number = document.next_pin_number();
    document.pins.push(Pin::single(number, slot, at));
    let mark = Mark { number, mate: false };
    document.select(Some(mark));
    mark
}

/// A click at a point: selects the mark there, else moves the selected one, else, or if there is to be one more, adds a pin.
pub fn click(document: &mut Document, slot: ImageSlot, at: [f64; 2], reach: f64, another: bool) {
    if let Some(mark) = mark_near(document, slot, at, reach) {
        document.select(Some(mark));
        return;
    }
    let of_pair = |pin: &Pin| pin.marks().find(|(_, other, _)| *other == slot).map(|(mark, ..)| mark);
    let moved = match document.active_pin().filter(|_| !another) {
        // Of a pair the point of this picture.
        Some(pin) if pin.mate.is_some() => of_pair(pin),
        Some(pin) => Some(Mark {
            number: pin.number,
            mate: false,
        }),
        None => None,
    };
    match moved {
        Some(mark) => {
            place(document, mark, slot, QueryAt::Point(at));
            document.select(Some(mark));
        }
        None => {
            add_pin(document, slot, QueryAt::Point(at));
        }
    }
}

/// Has a mark at another place. Both points of a pair never lie in one picture: such a place is not taken.
pub fn place(document: &mut Document, mark: Mark, slot: ImageSlot, at: QueryAt) {
    let Some(pin) = document.pins.iter_mut().find(|pin| pin.number == mark.number) else {
        return;
    };
    match &mut pin.mate {
        Some(mate) if mark.mate && slot != pin.slot => *mate = Spot { slot, at },
        Some(mate) if !mark.mate && slot != mate.slot => (pin.slot, pin.at) = (slot, at),
        None if !mark.mate => (pin.slot, pin.at) = (slot, at),
        _ => {}
    }
}

/// Moves a mark with all of its region.
pub fn drag_to(document: &mut Document, mark: Mark, there: [f64; 2]) {
    let pin = document.pin(mark.number);
    let found = pin.and_then(|pin| pin.marks().find(|(other, ..)| *other == mark));
    if let Some((_, slot, at)) = found {
        let at = moved_to(at, there);
        place(document, mark, slot, at);
    }
}

/// Makes a pair of two places in two pictures and selects its first point. Pins that stand there alone become its points.
pub fn pair_up(document: &mut Document, first: Spot, second: Spot) {
    if first.slot == second.slot {
        return;
    }
    let alone = |document: &Document, spot: &Spot| {
        let mut pins = document.pins.iter();
        let pin = pins.find(|pin| pin.mate.is_none() && pin.slot == spot.slot && pin.at == spot.at);
        pin.map(|pin| pin.number)
    };
    if let Some(number) = alone(document, &second) {
        document.delete_pins(|pin| pin.number == number);
    }
    let number = alone(document, &first).unwrap_or_else(|| add_pin(document, first.slot, first.at).number);
    if let Some(pin) = document.pins.iter_mut().find(|pin| pin.number == number) {
        pin.mate = Some(second);
    }
    document.select(Some(Mark { number, mate: false }));
}

/// Makes two pins of a pair.
pub fn split(document: &mut Document, number: u32) {
    let pin = document.pins.iter_mut().find(|pin| pin.number == number);
    if let Some(Spot { slot, at }) = pin.and_then(|pin| pin.mate.take()) {
        let number = document.next_pin_number();
        document.pins.push(Pin::single(number, slot, at));
        if document.selected_mate {
            document.select(Some(Mark { number, mate: false }));
        }
    }
}

/// Takes the marks of a picture away. The other point of a pair stays as a pin.
pub fn forget_picture(document: &mut Document, slot: ImageSlot) {
    for pin in &mut document.pins {
        if let Some(mate) = pin.mate.take_if(|mate| mate.slot == slot || pin.slot == slot)
            && pin.slot == slot
        {
            (pin.slot, pin.at) = (mate.slot, mate.at);
        }
    }
    document.delete_pins(|pin| pin.slot == slot);
}

/// Pins of source and target that stand alone, which would become pairs in their order.
fn alone_in_order(document: &Document) -> Vec<(u32, u32)> {
    let [source, target] = document.rank.slots;
    let of = |slot: ImageSlot| {
        let alone = move |pin: &&Pin| pin.mate.is_none() && pin.slot == slot && !matches!(pin.at, QueryAt::Word(_));
        document.pins.iter().filter(alone).map(|pin| pin.number)
    };
    if source == target {
        return Vec::new();
    }
    of(source).zip(of(target)).collect()
}

/// Whether there are pins of source and target that stand alone.
pub fn can_pair_in_order(document: &Document) -> bool {
    !alone_in_order(document).is_empty()
}

/// Makes pairs of the pins of source and target that stand alone: the first with the first, the second with the second.
pub fn pair_in_order(document: &mut Document) {
    let together = alone_in_order(document);
    join(document, &together);
}

/// The second pin of each becomes the mate of the first.
fn join(document: &mut Document, together: &[(u32, u32)]) {
    for (first, second) in together {
        let Some(taken) = document.pins.iter().position(|pin| pin.number == *second) else {
            continue;
        };
        let Pin { slot, at, .. } = document.pins.remove(taken);
        if let Some(pin) = document.pins.iter_mut().find(|pin| pin.number == *first) {
            pin.mate = Some(Spot { slot, at });
        }
        if document.selected_pin == Some(*second) {
            document.select(Some(Mark {
                number: *first,
                mate: true,
            }));
        }
    }
}

/// Pins of a file of the first format that were paired for a ranking become pairs: those whose partner was chosen, and, where
/// a ranking is open, of the others the first with the first, the second with the second and so on.
pub fn pair_as_before(document: &mut Document) {
    let partners = std::mem::take(&mut document.rank.partners);
    let ranks = panes(&document.layout)
        .iter()
        .any(|(_, pane)| pane.kind == PaneKind::Rank);
    let [source, target] = document.rank.slots;
    if source == target || !ranks && partners.is_empty() {
        return;
    }
    let of = |slot: ImageSlot| {
        let points = move |pin: &&Pin| pin.slot == slot && !matches!(pin.at, QueryAt::Word(_));
        document.pins.iter().filter(points).map(|pin| pin.number)
    };
    let mut taken: Vec<u32> = Vec::new();
    for partner in of(source).filter_map(|number| *partners.get(&number)?) {
        if of(target).any(|number| number == partner) && !taken.contains(&partner) {
            taken.push(partner);
        }
    }
    let mut given: Vec<u32> = Vec::new();
    let mut free = of(target).filter(|number| !taken.contains(number));
    let mut together = Vec::new();
    for number in of(source) {
        let partner = match partners.get(&number) {
            Some(None) => None,
            // One that was deleted, or that two were to have, is chosen no longer.
            Some(Some(chosen)) if taken.contains(chosen) && !given.contains(chosen) => {
                given.push(*chosen);
                Some(*chosen)
            }
            _ => free.next(),
        };
        together.extend(partner.map(|partner| (number, partner)));
    }
    join(document, &together);
}

/// Marks the pairs of a file in both pictures of the ranking, in place of the pairs that these have; other pins stay.
pub fn set_pairs(document: &mut Document, pairs: &[PointPair]) {
    let [source, target] = document.rank.slots;
    let both = [[source, target], [target, source]];
    document.delete_pins(|pin| {
        pin.mate
            .as_ref()
            .is_some_and(|mate| both.contains(&[pin.slot, mate.slot]))
    });
    for pair in pairs.iter().filter(|_| source != target) {
        let number = document.next_pin_number();
        let mate = Some(Spot {
            slot: target,
            at: QueryAt::Point(pair.target),
        });
        document.pins.push(Pin {
            mate,
            ..Pin::single(number, source, QueryAt::Point(pair.source))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::app::document::{
        layout::{Shapes, standard_layout},
        undo::History,
        validate::validate_document,
    };

    const A: ImageSlot = ImageSlot::A;
    const B: ImageSlot = ImageSlot::B;

    fn third() -> ImageSlot {
        ImageSlot::nth(2).expect("a third slot")
    }

    fn point(x: f64) -> QueryAt {
        QueryAt::Point([x, 1.0])
    }

    fn spot(slot: ImageSlot, x: f64) -> Spot {
        Spot { slot, at: point(x) }
    }

    fn with_pins(pins: &[(u32, ImageSlot)]) -> Document {
        let pins = pins.iter();
        Document {
            pins: pins
                .map(|&(number, slot)| Pin::single(number, slot, point(f64::from(number))))
                .collect(),
            ..Document::default()
        }
    }

    /// A number, and its pictures.
    fn numbers(document: &Document) -> Vec<(u32, ImageSlot, Option<ImageSlot>)> {
        let pins = document.pins.iter();
        pins.map(|pin| (pin.number, pin.slot, pin.mate.as_ref().map(|mate| mate.slot)))
            .collect()
    }

    /// The x of the points of each pair, which are the numbers that its pins had.
    fn had(document: &Document) -> Vec<(f64, f64)> {
        pairs(document).map(|pair| (pair.at[0][0], pair.at[1][0])).collect()
    }

    fn before(pins: &[(u32, ImageSlot)], partners: &[(u32, Option<u32>)], ranks: bool) -> Document {
        let mut document = with_pins(pins);
        document.rank.partners = partners.iter().copied().collect::<BTreeMap<_, _>>();
        document.layout = standard_layout(&[A, B], Shapes::default());
        if ranks {
            let pane = crate::app::document::pane::Pane::new(PaneKind::Rank, A);
            let tile = document.layout.tiles.insert_pane(pane);
            let root = document.layout.root.expect("it has a root");
            document.layout.root = Some(document.layout.tiles.insert_horizontal_tile(vec![root, tile]));
        }
        pair_as_before(&mut document);
        assert!(document.rank.partners.is_empty());
        document
    }

    #[test]
    fn pins_of_an_older_file_pair_as_they_did_for_the_ranking() {
        let pins = [(1, A), (2, A), (3, B), (4, B), (5, A), (6, B)];
        let paired = |partners: &[(u32, Option<u32>)], ranks| had(&before(&pins, partners, ranks));
        assert_eq!(paired(&[], true), [(1.0, 3.0), (2.0, 4.0), (5.0, 6.0)]);
        assert_eq!(paired(&[(5, Some(3))], true), [(1.0, 4.0), (2.0, 6.0), (5.0, 3.0)]);
        assert_eq!(paired(&[(5, Some(3)), (1, None)], false), [(2.0, 4.0), (5.0, 3.0)]);
        // Two cannot have the same partner, and one that is gone is nobody's.
        let chosen = [(1, Some(3)), (2, Some(3)), (5, Some(99))];
        assert_eq!(paired(&chosen, true), [(1.0, 3.0), (2.0, 4.0), (5.0, 6.0)]);
        // Where nothing was ranked nothing was paired.
        assert!(paired(&[], false).is_empty());
        let document = before(&[(1, A), (2, B), (3, B), (4, third())], &[], true);
        assert_eq!(
            numbers(&document),
            [(1, A, Some(B)), (3, B, None), (4, third(), None)],
            "the others stay"
        );
    }

    #[test]
    fn the_pin_that_was_selected_is_still_the_one_whose_similarities_are_shown() {
        let mut document = with_pins(&[(1, A), (2, B)]);
        document.selected_pin = Some(2);
        pair_in_order(&mut document);
        let (mark, slot, at) = document.active_mark().expect("it is selected");
        assert_eq!((mark.number, mark.mate, slot, at), (1, true, B, &point(2.0)));
        split(&mut document, 1);
        assert_eq!(numbers(&document), [(1, A, None), (2, B, None)]);
        assert_eq!(document.active_mark().map(|(mark, ..)| mark.number), Some(2));
    }

    #[test]
    fn a_pair_takes_the_pins_that_stand_where_its_points_are() {
        let mut document = with_pins(&[(1, A), (2, B), (3, A)]);
        pair_up(&mut document, spot(A, 3.0), spot(B, 2.0));
        assert_eq!(numbers(&document), [(1, A, None), (3, A, Some(B))]);
        assert_eq!(document.selected_pin, Some(3));
        pair_up(&mut document, spot(B, 7.0), spot(third(), 8.0));
        assert_eq!(numbers(&document)[2], (2, B, Some(third())), "the smallest free number");
        let before = document.clone();
        pair_up(&mut document, spot(A, 4.0), spot(A, 5.0));
        assert_eq!(document, before, "two points of one picture are no pair");
    }

    #[test]
    fn the_ranking_takes_the_pairs_of_its_pictures_in_its_direction() {
        let mut document = Document::default();
        pair_up(&mut document, spot(A, 1.0), spot(B, 2.0));
        pair_up(&mut document, spot(B, 3.0), spot(A, 4.0));
        pair_up(&mut document, spot(A, 5.0), spot(third(), 6.0));
        let xs = |document: &Document| {
            let pairs = point_pairs(document).into_iter();
            pairs.map(|pair| (pair.source[0], pair.target[0])).collect::<Vec<_>>()
        };
        assert_eq!(xs(&document), [(1.0, 2.0), (4.0, 3.0)]);
        document.rank.slots = [B, A];
        assert_eq!(xs(&document), [(2.0, 1.0), (3.0, 4.0)]);
        document.rank.slots = [third(), A];
        assert_eq!(xs(&document), [(6.0, 5.0)]);
        document.rank.slots = [A, A];
        assert!(xs(&document).is_empty());
    }

    #[test]
    fn pairs_of_a_file_take_the_place_of_the_pairs_of_both_pictures() {
        let mut document = with_pins(&[(1, A), (2, third())]);
        pair_up(&mut document, spot(B, 3.0), spot(A, 4.0));
        pair_up(&mut document, spot(B, 5.0), spot(third(), 6.0));
        let pair = |x: f64| PointPair {
            source: [x, 0.0],
            target: [0.0, x],
        };
        set_pairs(&mut document, &[pair(4.0), pair(5.0)]);
        assert_eq!(point_pairs(&document), [pair(4.0), pair(5.0)]);
        assert_eq!(document.pins.len(), 5);
        assert_eq!(
            document.pin(4).map(|pin| pin.slot),
            Some(B),
            "pairs with other pictures stay"
        );
    }

    #[test]
    fn a_picture_that_goes_leaves_the_other_points() {
        let mut document = with_pins(&[(1, A), (2, B)]);
        pair_up(&mut document, spot(A, 3.0), spot(B, 4.0));
        pair_up(&mut document, spot(B, 5.0), spot(A, 6.0));
        forget_picture(&mut document, B);
        let left: Vec<_> = document.pins.iter().map(|pin| (pin.number, pin.at.clone())).collect();
        assert_eq!(left, [(1, point(1.0)), (3, point(3.0)), (4, point(6.0))]);
        assert!(document.pins.iter().all(|pin| pin.slot == A && pin.mate.is_none()));
    }

    /// Something done to marks; slots and numbers go a little beyond those that there are.
    #[derive(Debug, Clone)]
    enum Deed {
        Click(u8, f64, bool),
        Place(u32, bool, u8, f64),
        Pair(u8, f64, u8, f64),
        Select(u32, bool),
        Delete(u32),
        Split(u32),
        InOrder,
        File(usize),
        Forget(u8),
        Undo,
        Redo,
    }

    fn deeds() -> impl Strategy<Value = Deed> {
        let (slot, x, number) = (|| 0_u8..3, || 0.0..8.0_f64, || 0_u32..7);
        prop_oneof![
            (slot(), x(), any::<bool>()).prop_map(|(slot, x, more)| Deed::Click(slot, x, more)),
            (number(), any::<bool>(), slot(), x())
                .prop_map(|(number, mate, slot, x)| Deed::Place(number, mate, slot, x)),
            (slot(), x(), slot(), x()).prop_map(|(a, x, b, y)| Deed::Pair(a, x, b, y)),
            (number(), any::<bool>()).prop_map(|(number, mate)| Deed::Select(number, mate)),
            number().prop_map(Deed::Delete),
            number().prop_map(Deed::Split),
            Just(Deed::InOrder),
            (0_usize..3).prop_map(Deed::File),
            slot().prop_map(Deed::Forget),
            Just(Deed::Undo),
            Just(Deed::Redo),
        ]
    }

    fn do_it(document: &mut Document, history: &mut History, deed: &Deed) {
        let slot = |index: u8| ImageSlot::nth(usize::from(index)).expect("a slot");
        match *deed {
            Deed::Click(place, x, more) => click(document, slot(place), [x, 1.0], 0.5, more),
            Deed::Place(number, mate, to, x) => place(document, Mark { number, mate }, slot(to), point(x)),
            Deed::Pair(a, x, b, y) => pair_up(document, spot(slot(a), x.round()), spot(slot(b), y.round())),
            Deed::Select(number, mate) => document.select(Some(Mark { number, mate })),
            Deed::Delete(number) => document.delete_pins(|pin| pin.number == number),
            Deed::Split(number) => split(document, number),
            Deed::InOrder => pair_in_order(document),
            Deed::File(count) => {
                let pair = |x: usize| PointPair {
                    source: [x as f64, 0.0],
                    target: [x as f64, 1.0],
                };
                set_pairs(document, &(0..count).map(pair).collect::<Vec<_>>());
            }
            Deed::Forget(of) => forget_picture(document, slot(of)),
            Deed::Undo => *document = history.undo().unwrap_or_else(|| document.clone()),
            Deed::Redo => *document = history.redo().unwrap_or_else(|| document.clone()),
        }
    }

    proptest! {
        #[test]
        fn whatever_is_done_a_number_is_one_pin_and_a_pair_lies_in_two_pictures(done in prop::collection::vec(deeds(), 1..40)) {
            let (mut document, mut history) = (Document::default(), History::default());
            history.watch(&document, 0.0, false);
            for (step, deed) in done.iter().enumerate() {
                do_it(&mut document, &mut history, deed);
                history.watch(&document, step as f64, false);
                let mut numbers: Vec<u32> = document.pins.iter().map(|pin| pin.number).collect();
                numbers.sort_unstable();
                numbers.dedup();
                prop_assert_eq!(numbers.len(), document.pins.len(), "no number twice");
                prop_assert!(!numbers.contains(&0));
                for pair in pairs(&document) {
                    prop_assert_ne!(pair.slots[0], pair.slots[1]);
                }
                prop_assert!(document.selected_pin.is_none() || document.active_mark().is_some());
                prop_assert!(document.selected_pin.is_some() || !document.selected_mate);
                prop_assert_eq!(validate_document(document.clone()), Ok(document.clone()));
            }
        }
    }
}
