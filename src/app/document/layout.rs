//! Changes to the layout of panes.

use std::collections::HashSet;

use egui_tiles::{Container, Linear, LinearDir, SimplificationOptions, Tile, TileId, Tiles, Tree};

use crate::{
    app::document::pane::{Layout, Pane, PaneKind},
    engine::ImageSlot,
};

/// The panes with their tiles, in the order in which they were made.
pub fn panes(layout: &Layout) -> Vec<(TileId, &Pane)> {
    let mut panes: Vec<_> = layout
        .tiles
        .iter()
        .filter_map(|(id, tile)| match tile {
            Tile::Pane(pane) => Some((*id, pane)),
            Tile::Container(_) => None,
        })
        .collect();
    panes.sort_by_key(|(id, _)| id.0);
    panes
}

/// Any pane, the one made first.
pub fn first_pane(layout: &Layout) -> Option<TileId> {
    panes(layout).first().map(|(id, _)| *id)
}

/// The pane of a picture that was made last.
pub fn last_of(layout: &Layout, slot: ImageSlot) -> Option<TileId> {
    let panes = panes(layout);
    panes
        .iter()
        .rev()
        .find(|(_, pane)| pane.slot == slot)
        .map(|(id, _)| *id)
}

/// The pane after one, around the end.
pub fn next_pane(layout: &Layout, tile: TileId) -> Option<TileId> {
    let panes = panes(layout);
    let current = panes.iter().position(|(id, _)| *id == tile);
    let next = current.map_or(0, |index| (index + 1) % panes.len());
    panes.get(next).map(|(id, _)| *id)
}

/// A pane, to change it.
pub fn pane_mut(layout: &mut Layout, tile: TileId) -> Option<&mut Pane> {
    match layout.tiles.get_mut(tile)? {
        Tile::Pane(pane) => Some(pane),
        Tile::Container(_) => None,
    }
}

/// Where a new pane goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// To the right of another one, which keeps half of its width.
    Right,
    /// Below another one, which keeps half of its height.
    Below,
    /// In the place of another one, which stays behind its tab.
    Tab,
}

/// Puts a new pane beside another one (or beside everything) and gives its tile.
pub fn add_pane(layout: &mut Layout, beside: Option<TileId>, side: Side, pane: Pane) -> TileId {
    let added = layout.tiles.insert_pane(pane);
    let Some(root) = layout.root else {
        layout.root = Some(layout.tiles.insert_tab_tile(vec![added]));
        return added;
    };
    // Panes stand in tabs; the tabs stand in rows and columns.
    let neighbour = beside.filter(|tile| layout.tiles.get(*tile).is_some());
    let neighbour = neighbour.map(|tile| parent_of_kind(layout, tile)).unwrap_or(root);
    let direction = match side {
        Side::Right => LinearDir::Horizontal,
        Side::Below => LinearDir::Vertical,
        Side::Tab => {
            if let Some(Tile::Container(Container::Tabs(tabs))) = layout.tiles.get_mut(neighbour) {
                tabs.add_child(added);
                tabs.set_active(added);
                tidy(layout);
                return added;
            }
            LinearDir::Horizontal
        }
    };
    let tabs = layout.tiles.insert_tab_tile(vec![added]);
    let parent = layout.tiles.parent_of(neighbour);
    if let Some(Tile::Container(Container::Linear(linear))) = parent.and_then(|tile| layout.tiles.get_mut(tile))
        && linear.dir == direction
    {
        let place = linear.children.iter().position(|child| *child == neighbour);
        let place = place.map_or(linear.children.len(), |index| index + 1);
        linear.children.insert(place, tabs);
        // The others keep what they have.
        let half = linear.shares[neighbour] / 2.0;
        linear.shares.set_share(neighbour, half);
        linear.shares.set_share(tabs, half);
    } else {
        let both = layout.tiles.insert_new(Tile::Container(Container::Linear(Linear::new(
            direction,
            vec![neighbour, tabs],
        ))));
        match parent {
            Some(parent) => replace_child(layout, parent, neighbour, both),
            None => layout.root = Some(both),
        }
    }
    tidy(layout);
    added
}

/// The tabs around a pane, or the tile itself.
fn parent_of_kind(layout: &Layout, tile: TileId) -> TileId {
    layout
        .tiles
        .parent_of(tile)
        .filter(|parent| matches!(layout.tiles.get(*parent), Some(Tile::Container(Container::Tabs(_)))))
        .unwrap_or(tile)
}

fn replace_child(layout: &mut Layout, parent: TileId, old: TileId, new: TileId) {
    if let Some(Tile::Container(container)) = layout.tiles.get_mut(parent) {
        // Where the child was is known already.
        let _ = container.replace_child(old, new);
    }
}

/// How layouts are kept simple: every pane has a tab that it can be dragged by.
pub const RULES: SimplificationOptions = SimplificationOptions {
    prune_empty_tabs: true,
    prune_empty_containers: true,
    prune_single_child_tabs: true,
    prune_single_child_containers: true,
    all_panes_must_have_tabs: true,
    join_nested_linear_containers: true,
    flatten_tabs_in_tabs: true,
};

/// Brings a layout into the form that painting it would bring it into. Otherwise it would change by itself some frames
/// later, as a step that nobody made and that comes again whenever it is undone.
pub fn tidy(layout: &mut Layout) {
    // Each pass may leave something for the next one, but less.
    const MOST_PASSES: usize = 16;
    for _ in 0..MOST_PASSES {
        let before = layout.clone();
        layout.simplify(&RULES);
        drop_what_hangs_nowhere(layout);
        for tile in layout.tiles.tile_ids().collect::<Vec<_>>() {
            tidy_container(layout, tile);
        }
        if *layout == before {
            return;
        }
    }
}

fn drop_what_hangs_nowhere(layout: &mut Layout) {
    let mut hanging = HashSet::new();
    let mut next: Vec<TileId> = layout.root.into_iter().collect();
    while let Some(tile) = next.pop() {
        if let (true, Some(Tile::Container(container))) = (hanging.insert(tile), layout.tiles.get(tile)) {
            next.extend(container.children());
        }
    }
    for tile in layout.tiles.tile_ids().collect::<Vec<_>>() {
        if !hanging.contains(&tile) {
            layout.tiles.remove(tile);
        }
    }
}

/// A tab that is there is open, and only what is there has a share.
fn tidy_container(layout: &mut Layout, tile: TileId) {
    let active = match layout.tiles.get(tile) {
        Some(Tile::Container(Container::Tabs(tabs))) => tabs.next_active(&layout.tiles),
        _ => None,
    };
    match layout.tiles.get_mut(tile) {
        Some(Tile::Container(Container::Tabs(tabs))) => tabs.active = active,
        Some(Tile::Container(Container::Linear(linear))) => {
            let children = linear.children.clone();
            linear.shares.retain(|child| children.contains(&child));
            // Where there is no room, dragging an edge divides by nothing.
            let unusable = linear
                .shares
                .iter()
                .filter(|(_, share)| !(share.is_finite() && **share > 0.0));
            for child in unusable.map(|(child, _)| *child).collect::<Vec<_>>() {
                linear.shares.set_share(child, 1.0);
            }
        }
        _ => {}
    }
}

/// Shows something else in a pane.
pub fn change_pane(layout: &mut Layout, tile: TileId, pane: Pane) {
    if let Some(there) = pane_mut(layout, tile) {
        *there = pane;
    }
}

/// Closes a pane, or all panes in a tile, and what held it alone.
pub fn close_pane(layout: &mut Layout, tile: TileId) {
    layout.remove_recursively(tile);
    if first_pane(layout).is_none()
        && let Some(root) = layout.root.take()
    {
        layout.remove_recursively(root);
    }
    tidy(layout);
}

/// Fits the panes to what a window begins with: so many files that were named, or else samples. How the user arranged the
/// last window stays, but for panes of pictures that are not to come.
pub fn begin(layout: &mut Layout, files: usize, samples: usize) {
    let first = |count: usize| -> Vec<ImageSlot> { ImageSlot::all().take(count).collect() };
    let nobody_arranged = (1..=ImageSlot::MOST).any(|count| is_standard(layout, &first(count)));
    if nobody_arranged {
        *layout = standard_layout(&first(if files == 0 { samples } else { files }), Shapes::default());
        return;
    }
    if files == 0 {
        return;
    }
    let empty = panes(layout)
        .into_iter()
        .filter(|(_, pane)| pane.kind.is_of_picture() && pane.slot.index() >= files);
    for tile in empty.map(|(tile, _)| tile).collect::<Vec<_>>() {
        close_pane(layout, tile);
    }
}

/// Whether a layout is one that nobody has changed, for some slots and pictures of any shape.
pub fn is_standard(layout: &Layout, slots: &[ImageSlot]) -> bool {
    let mut grids = Grids::of(slots.len());
    grids.any(|grid| *layout == laid_out(slots, grid))
}

/// Puts a row of picture and PCA below the others for a picture that no pane shows.
pub fn show_slot(layout: &mut Layout, slot: ImageSlot) {
    if panes(layout).iter().any(|(_, pane)| pane.slot == slot) {
        return;
    }
    let panes = [PaneKind::Picture, PaneKind::Pca].map(|kind| layout.tiles.insert_pane(Pane::new(kind, slot)));
    let tabs = panes.map(|pane| layout.tiles.insert_tab_tile(vec![pane]));
    let row = layout.tiles.insert_horizontal_tile(tabs.to_vec());
    let Some(root) = layout.root else {
        layout.root = Some(row);
        return;
    };
    match layout.tiles.get_mut(root) {
        Some(Tile::Container(Container::Linear(linear))) if linear.dir == LinearDir::Vertical => {
            linear.children.push(row);
        }
        _ => {
            let mut column = Linear::new(LinearDir::Vertical, vec![root, row]);
            column.shares.set_share(root, rows_in(layout, root) as f32);
            let column = Tile::Container(Container::Linear(column));
            layout.root = Some(layout.tiles.insert_new(column));
        }
    }
    tidy(layout);
}

/// How many panes stand below each other in a tile, at most.
fn rows_in(layout: &Layout, tile: TileId) -> usize {
    let Some(Tile::Container(Container::Linear(linear))) = layout.tiles.get(tile) else {
        return 1;
    };
    let rows = linear.children.iter().map(|child| rows_in(layout, *child));
    match linear.dir {
        LinearDir::Horizontal => rows.max().unwrap_or(1),
        LinearDir::Vertical => rows.sum(),
    }
}

/// Pictures up to which each has its own colours; of more, the first is the one to point at and the others answer.
const MOST_WITH_COLOURS: usize = 4;
/// Height of the first picture's pane where the colours below it have 1.
const HEIGHT_OF_FIRST: f32 = 1.7;
/// Width of the room for panes where its height is 1, as long as it was not painted.
const ROOM_ASPECT: f32 = 1.2;
/// Height of that room, in points, as long as it was not painted.
const ROOM_HEIGHT: f32 = 700.0;

/// Widths where heights are 1, and the room there is: panes are laid out so that pictures are as large as can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shapes {
    /// Of the pictures, in the middle.
    pub picture: f32,
    /// Of the room for all panes.
    pub room: f32,
    /// Height of that room, in points.
    pub height: f32,
}

impl Default for Shapes {
    /// Square pictures in a window as it is opened.
    fn default() -> Self {
        Self {
            picture: 1.0,
            room: ROOM_ASPECT,
            height: ROOM_HEIGHT,
        }
    }
}

/// The panes of a document that nobody has changed: two pictures.
pub fn first_layout() -> Layout {
    standard_layout(&[ImageSlot::A, ImageSlot::B], Shapes::default())
}

/// Picture and PCA for each of some slots, in the rows and columns that make them largest. Of many, the first is large, with
/// colours below it, and the others stand in a grid beside it.
pub fn standard_layout(slots: &[ImageSlot], shapes: Shapes) -> Layout {
    let largest = Grids::of(slots.len()).max_by(|a, b| {
        // Of equals the last would be taken.
        a.width_in(shapes)
            .total_cmp(&b.width_in(shapes))
            .then(std::cmp::Ordering::Greater)
    });
    laid_out(slots, largest.unwrap_or(Grids::ALL[0]))
}

fn laid_out(slots: &[ImageSlot], grid: Grids) -> Layout {
    let mut tiles = Tiles::default();
    let root = match slots {
        [first, others @ ..] if slots.len() > MOST_WITH_COLOURS => first_and_others(&mut tiles, *first, others),
        _ => grid.of_all(&mut tiles, slots),
    };
    Tree::new(egui::Id::unique("panes"), root, tiles)
}

/// Where pictures and their colours stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grids {
    /// Pictures in a row, the colours of each below it.
    ColoursBelow(usize),
    /// A row for each picture, with its colours beside it.
    ColoursBeside(usize),
    /// All in one row.
    Row(usize),
    /// All below each other.
    Column(usize),
}

impl Grids {
    const ALL: [Self; 4] = [
        Self::ColoursBelow(1),
        Self::ColoursBeside(1),
        Self::Row(1),
        Self::Column(1),
    ];

    /// All for so many pictures.
    fn of(pictures: usize) -> impl Iterator<Item = Self> {
        [
            Self::ColoursBelow(pictures),
            Self::ColoursBeside(pictures),
            Self::Row(pictures),
            Self::Column(pictures),
        ]
        .into_iter()
    }

    /// Columns and rows.
    fn size(self) -> [usize; 2] {
        match self {
            Self::ColoursBelow(pictures) => [pictures, 2],
            Self::ColoursBeside(pictures) => [2, pictures],
            Self::Row(pictures) => [2 * pictures, 1],
            Self::Column(pictures) => [1, 2 * pictures],
        }
    }

    /// Width of a picture in it, where the room is 1 high.
    fn width_in(self, shapes: Shapes) -> f32 {
        let [columns, rows] = self.size().map(|count| count.max(1) as f32);
        (shapes.room / columns).min(shapes.picture / rows)
    }

    fn of_all(self, tiles: &mut Tiles<Pane>, slots: &[ImageSlot]) -> TileId {
        let pairs: Vec<[TileId; 2]> = slots
            .iter()
            .map(|slot| [PaneKind::Picture, PaneKind::Pca].map(|kind| row_of(tiles, [Pane::new(kind, *slot)])))
            .collect();
        let rows: Vec<Vec<TileId>> = match self {
            Self::ColoursBelow(_) => [0, 1].map(|of| pairs.iter().map(|pair| pair[of]).collect()).to_vec(),
            Self::ColoursBeside(_) => pairs.iter().map(|pair| pair.to_vec()).collect(),
            Self::Row(_) => vec![pairs.concat()],
            Self::Column(_) => pairs.concat().into_iter().map(|tile| vec![tile]).collect(),
        };
        let rows: Vec<TileId> = rows
            .into_iter()
            .map(|row| match row.as_slice() {
                [alone] => *alone,
                _ => tiles.insert_horizontal_tile(row),
            })
            .collect();
        match rows.as_slice() {
            [alone] => *alone,
            _ => tiles.insert_vertical_tile(rows),
        }
    }
}

fn first_and_others(tiles: &mut Tiles<Pane>, first: ImageSlot, others: &[ImageSlot]) -> TileId {
    let picture = row_of(tiles, [Pane::new(PaneKind::Picture, first)]);
    // The colours of two pictures show what corresponds: those of the first and of the one that is least like it in order.
    let coloured = [Some(&first), others.last()].into_iter().flatten();
    let colours = row_of(tiles, coloured.map(|slot| Pane::new(PaneKind::Pca, *slot)));
    let mut column = Linear::new(LinearDir::Vertical, vec![picture, colours]);
    column.shares.set_share(picture, HEIGHT_OF_FIRST);
    let column = tiles.insert_new(Tile::Container(Container::Linear(column)));
    // The half of the window beside the first is about twice as high as wide.
    let columns = (others.len() as f32 / 2.0).sqrt().ceil() as usize;
    let rows = others
        .chunks(columns)
        .map(|slots| row_of(tiles, slots.iter().map(|slot| Pane::new(PaneKind::Picture, *slot))))
        .collect();
    let grid = tiles.insert_vertical_tile(rows);
    tiles.insert_horizontal_tile(vec![column, grid])
}

/// Panes side by side, each with a tab that it can be dragged by; one alone needs no row.
pub(super) fn row_of(tiles: &mut Tiles<Pane>, panes: impl IntoIterator<Item = Pane>) -> TileId {
    let panes: Vec<TileId> = panes.into_iter().map(|pane| tiles.insert_pane(pane)).collect();
    let tabs: Vec<TileId> = panes
        .into_iter()
        .map(|pane| tiles.insert_tab_tile(vec![pane]))
        .collect();
    match tabs.as_slice() {
        [alone] => *alone,
        _ => tiles.insert_horizontal_tile(tabs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(layout: &Layout) -> Vec<String> {
        panes(layout).iter().map(|(_, pane)| pane.title()).collect()
    }

    fn of_many(count: usize) -> Layout {
        standard_layout(&ImageSlot::all().take(count).collect::<Vec<_>>(), Shapes::default())
    }

    /// Every tile but the root has a parent, and every child is there.
    fn is_whole(layout: &Layout) -> bool {
        let children_exist = layout.tiles.tiles().all(|tile| match tile {
            Tile::Container(container) => container.children().all(|child| layout.tiles.get(*child).is_some()),
            Tile::Pane(_) => true,
        });
        let panes_hang = panes(layout)
            .iter()
            .all(|(id, _)| layout.root == Some(*id) || layout.tiles.parent_of(*id).is_some());
        children_exist && panes_hang
    }

    #[test]
    fn panes_are_added_beside_others_and_closed() {
        let mut layout = standard_layout(&[ImageSlot::A, ImageSlot::B], Shapes::default());
        let first = first_pane(&layout);
        let heat = add_pane(&mut layout, first, Side::Right, Pane::new(PaneKind::Heat, ImageSlot::B));
        assert_eq!(titles(&layout).len(), 5);
        assert!(is_whole(&layout));
        for (tile, _) in panes(&layout)
            .into_iter()
            .map(|(id, pane)| (id, pane.clone()))
            .collect::<Vec<_>>()
        {
            close_pane(&mut layout, tile);
            assert!(is_whole(&layout));
        }
        assert!(layout.root.is_none() && layout.tiles.is_empty());
        assert_eq!(next_pane(&layout, heat), None);
        add_pane(&mut layout, None, Side::Right, Pane::new(PaneKind::Pca, ImageSlot::A));
        add_pane(&mut layout, None, Side::Right, Pane::new(PaneKind::Heat, ImageSlot::A));
        assert_eq!(titles(&layout), ["PCA of A", "Heat map of A"]);
        assert!(is_whole(&layout));
    }

    #[test]
    fn what_holds_panes_is_closed_with_them() {
        let mut layout = standard_layout(&[ImageSlot::A, ImageSlot::B], Shapes::default());
        let first = first_pane(&layout).expect("there are panes");
        let tabs = layout.tiles.parent_of(first).expect("panes stand in tabs");
        let row = layout.tiles.parent_of(tabs).expect("tabs stand in a row");
        close_pane(&mut layout, row);
        assert_eq!(titles(&layout), ["PCA of A", "PCA of B"]);
        assert!(is_whole(&layout));
        let root = layout.root.expect("it is not empty");
        close_pane(&mut layout, root);
        assert!(layout.tiles.is_empty() && layout.is_empty());
    }

    #[test]
    fn a_tidy_layout_stays_as_it_is_whatever_is_closed() {
        for closed in 0..9 {
            let slots: Vec<ImageSlot> = ImageSlot::all().take(3).collect();
            let mut layout = standard_layout(&slots, Shapes::default());
            let all: Vec<TileId> = panes(&layout).into_iter().map(|(tile, _)| tile).collect();
            // Panes that others are dragged to stand in tabs with them.
            layout.move_tile_to_container(all[closed % 6], all[(closed + 2) % 6], 0, false);
            layout.move_tile_to_container(all[(closed + 1) % 6], all[(closed + 4) % 6], 0, false);
            tidy(&mut layout);
            close_pane(&mut layout, all[(closed * closed) % 6]);
            assert!(is_whole(&layout));
            let mut again = layout.clone();
            tidy(&mut again);
            assert_eq!(layout, again);
        }
    }

    #[test]
    fn a_new_picture_gets_a_row_of_its_own_once() {
        let mut layout = standard_layout(&[ImageSlot::A], Shapes::default());
        for _ in 0..2 {
            show_slot(&mut layout, ImageSlot::B);
        }
        assert_eq!(titles(&layout), ["Picture A", "PCA of A", "Picture B", "PCA of B"]);
        assert!(is_whole(&layout));
        // Below three rows it is as high as each of them.
        let mut layout = of_many(7);
        let (above, added) = (
            layout.root.expect("it is not empty"),
            ImageSlot::nth(7).expect("a letter"),
        );
        show_slot(&mut layout, added);
        let Some(Tile::Container(Container::Linear(root))) = layout.root.and_then(|root| layout.tiles.get(root)) else {
            panic!("rows stand in a column");
        };
        let shares: Vec<(TileId, f32)> = root.shares.iter().map(|(tile, share)| (*tile, *share)).collect();
        assert_eq!((root.children.len(), shares), (2, vec![(above, 3.0)]));
        assert!(is_whole(&layout));
    }

    #[test]
    fn a_window_begins_with_panes_for_what_comes() {
        let (of_files, of_samples) = (
            standard_layout(&[ImageSlot::A, ImageSlot::B], Shapes::default()),
            of_many(7),
        );
        let begun = |mut layout: Layout, files| {
            begin(&mut layout, files, 7);
            layout
        };
        // What nobody arranged follows what comes.
        for remembered in [&of_files, &of_samples] {
            assert_eq!(begun(remembered.clone(), 0), of_samples);
            for files in [1, 2, 3] {
                assert_eq!(begun(remembered.clone(), files), of_many(files), "no pane is empty");
            }
        }
        // What the user arranged stays, but for panes that nothing is in.
        let mut own = of_samples.clone();
        add_pane(&mut own, None, Side::Right, Pane::new(PaneKind::Plot, ImageSlot::A));
        assert_eq!(begun(own.clone(), 0), own);
        assert_eq!(begun(own.clone(), 7), own);
        let left = begun(own, 1);
        assert_eq!(titles(&left), ["Picture A", "PCA of A", "Plot"]);
        assert!(is_whole(&left));
    }

    #[test]
    fn of_many_pictures_the_first_is_large_and_all_others_are_there() {
        for count in 2..=ImageSlot::MOST {
            let layout = of_many(count);
            assert!(is_whole(&layout));
            let mut tidied = layout.clone();
            tidy(&mut tidied);
            assert_eq!(layout, tidied, "{count} pictures");
            let pictures: Vec<ImageSlot> = panes(&layout)
                .into_iter()
                .filter(|(_, pane)| pane.kind == PaneKind::Picture)
                .map(|(_, pane)| pane.slot)
                .collect();
            assert_eq!(pictures, ImageSlot::all().take(count).collect::<Vec<_>>());
            assert!(panes(&layout).iter().any(|(_, pane)| pane.kind == PaneKind::Pca));
        }
    }

    #[test]
    fn walking_through_panes_comes_around() {
        let layout = standard_layout(&[ImageSlot::A, ImageSlot::B], Shapes::default());
        let first = first_pane(&layout).expect("there are panes");
        let mut tile = first;
        for _ in 0..4 {
            tile = next_pane(&layout, tile).expect("there are panes");
        }
        assert_eq!(tile, first);
    }
}
