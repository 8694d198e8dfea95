//! How often scores occur, and handles for the range that the colours span.

use egui::{
    Align2, Color32, CursorIcon, EventFilter, Id, Key, Painter, Rangef, Rect, Response, Role, Sense, Shape, Stroke,
    TextStyle, Ui, WidgetInfo,
    accesskit::{Action, ActionData},
    emath::{GuiRounding as _, smart_aim},
    pos2, vec2,
};

use super::colour_bar::colour_bar;
use crate::{
    app::theme::{self, Tokens, tokens},
    render::{ColourMap, score_text},
};

/// Bars of a histogram.
pub const BINS: usize = 48;
/// Height of the bars and of the colours below them, in points.
const BARS_HEIGHT: f32 = 56.0;
const COLOURS_HEIGHT: f32 = 8.0;
/// How far from its line a handle can be gripped, in points.
const GRIP_REACH: f32 = 7.0;
/// Half the width of the grip of a handle, and its height, in points.
const GRIP_HALF_WIDTH: f32 = 4.5;
const GRIP_HEIGHT: f32 = 9.0;
/// The least space between two value labels, in points.
const LABEL_GAP: f32 = 6.0;
/// What an arrow key moves a handle by, as a share of the extent; with Shift, and without.
const KEY_STEP_SHARE: f32 = 0.01;
const KEY_LARGE_STEP_SHARE: f32 = 0.1;

/// What a histogram shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Histogram<'a> {
    /// What the scores are, such as "cosine": for tooltips and screen readers.
    pub name: &'a str,
    /// How many scores lie in each of the equal parts of the extent; see [`bins`].
    pub counts: &'a [u32],
    /// The lowest and the highest score there is.
    pub extent: [f32; 2],
    /// The colours of the scores.
    pub map: ColourMap,
    /// Exponent of the share of the range, as in [`ScoreStyle`](crate::render::ScoreStyle).
    pub gamma: f32,
    /// The scores of the first and of the last colour, each with a handle; without one, the extent and no handles.
    pub range: Option<[f32; 2]>,
    /// A score that parts high from low, with a handle of its own.
    pub threshold: Option<f32>,
}

/// What the user moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HistogramChange {
    /// The range.
    Range([f32; 2]),
    /// The threshold.
    Threshold(f32),
}

/// How many finite scores lie in each of `count` equal parts of the extent. What lies outside is not counted; where all
/// scores are equal they are in the first part.
pub fn bins(scores: &[f32], [low, high]: [f32; 2], count: usize) -> Vec<u32> {
    let mut counts = vec![0; count];
    let parts_per_score = count as f32 / (high - low);
    for &score in scores.iter().filter(|score| (low..=high).contains(*score)) {
        let part = if parts_per_score.is_finite() {
            // A conversion from float ends at 0; the highest score belongs to the last part.
            ((score - low) * parts_per_score) as usize
        } else {
            0
        };
        if let Some(counted) = counts.get_mut(part.min(count.saturating_sub(1))) {
            *counted += 1;
        }
    }
    counts
}

/// A histogram as wide as there is room. A double click asks for the whole extent. Gives what the user moves, while it
/// is moved.
pub fn histogram_ui(ui: &mut Ui, histogram: &Histogram<'_>) -> Option<HistogramChange> {
    let text_height = ui.text_style_height(&TextStyle::Small);
    let above = histogram.threshold.map_or(0.0, |_| text_height + theme::SPACE_XS);
    let height = above + BARS_HEIGHT + COLOURS_HEIGHT + theme::SPACE_S + text_height;
    let size = vec2(ui.available_width(), height);
    // Nothing to be done with keys here: the handles take them.
    let (rect, response) = ui.allocate_exact_size(size, Sense::CLICK);
    let label = format!("Histogram of {}", histogram.name);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, ui.is_enabled(), &label));
    if rect.width() <= 2.0 * GRIP_REACH {
        return None;
    }
    let layout = Layout::new(rect.shrink2(vec2(GRIP_REACH, 0.0)), above);
    let id = response.id;
    let axis = histogram.axis(ui, id, layout.bars.x_range());
    histogram.paint(ui, &layout, &axis);

    let mut change = None;
    for handle in histogram.handles() {
        change = histogram.handle_ui(ui, handle, id, &layout, &axis).or(change);
    }
    histogram.paint_values(ui, &layout, &axis);
    if response.double_clicked() {
        change = histogram.whole().or(change);
    }
    if let Some(words) = response
        .hover_pos()
        .and_then(|pointer| histogram.words_at(&axis, pointer.x))
    {
        response.on_hover_text_at_pointer(words);
    }
    change
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handle {
    Low,
    High,
    Threshold,
}

impl Handle {
    fn words(self) -> &'static str {
        match self {
            Self::Low => "Lowest",
            Self::High => "Highest",
            Self::Threshold => "Least",
        }
    }
}

/// Where the parts of a histogram lie.
struct Layout {
    bars: Rect,
    colours: Rect,
    /// The value of the threshold is written here, those of the range below.
    above: Rangef,
    below: Rangef,
}

impl Layout {
    fn new(rect: Rect, above: f32) -> Self {
        let bars = rect.with_min_y(rect.top() + above);
        let bars = bars.with_max_y(bars.top() + BARS_HEIGHT);
        let colours = Rect::from_x_y_ranges(rect.x_range(), bars.bottom()..=bars.bottom() + COLOURS_HEIGHT);
        Self {
            bars,
            colours,
            above: Rangef::new(rect.top(), bars.top()),
            below: Rangef::new(colours.bottom(), rect.bottom()),
        }
    }
}

/// From scores to places and back.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    scores: [f32; 2],
    x: Rangef,
}

impl Axis {
    /// Over all finite `scores`; where they are equal, with some room on both sides.
    fn over(scores: impl IntoIterator<Item = f32>, x: Rangef) -> Self {
        /// Farther out not even the length of the axis would be a number.
        const FARTHEST: f32 = f32::MAX / 4.0;
        let finite = scores.into_iter().filter(|score| score.is_finite());
        let finite = finite.map(|score| score.clamp(-FARTHEST, FARTHEST));
        let ends = finite.fold(None, |ends, score| {
            let [low, high] = ends.unwrap_or([score, score]);
            Some([low.min(score), high.max(score)])
        });
        let [low, high] = ends.unwrap_or([0.0, 1.0]);
        let scores = if low < high {
            [low, high]
        } else {
            let room = (low.abs() / 2.0).max(0.5);
            [low - room, low + room]
        };
        Self { scores, x }
    }

    fn span(&self) -> f32 {
        self.scores[1] - self.scores[0]
    }

    fn x_of(&self, score: f32) -> f32 {
        let share = (score - self.scores[0]) / self.span();
        // What is no number has to have a place, too.
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        self.x.min + share * self.x.span()
    }

    fn score_at(&self, x: f32) -> f32 {
        let share = ((x - self.x.min) / self.x.span()).clamp(0.0, 1.0);
        self.scores[0] + share * self.span()
    }

    /// The roundest score that lies within half a point.
    fn round_score_at(&self, x: f32) -> f32 {
        let [from, to] = [x - 0.5, x + 0.5].map(|x| f64::from(self.score_at(x)));
        smart_aim::best_in_range_f64(from, to) as f32
    }
}

impl Histogram<'_> {
    fn handles(&self) -> impl Iterator<Item = Handle> + use<> {
        let of_range = self.range.map(|_| [Handle::Low, Handle::High]);
        let of_threshold = self.threshold.map(|_| Handle::Threshold);
        of_range.into_iter().flatten().chain(of_threshold)
    }

    fn value(&self, handle: Handle) -> f32 {
        let [low, high] = self.range();
        match handle {
            Handle::Low => low,
            Handle::High => high,
            Handle::Threshold => self.threshold.unwrap_or(low),
        }
    }

    /// The scores of the first and of the last colour.
    fn range(&self) -> [f32; 2] {
        self.range.unwrap_or(self.extent)
    }

    /// What a double click asks for.
    fn whole(&self) -> Option<HistogramChange> {
        let known = self.range.is_some() && self.extent.iter().all(|end| end.is_finite());
        known.then_some(HistogramChange::Range(self.extent))
    }

    /// Over all scores and all handles. While a handle is dragged it stays: a handle that comes back from outside of the
    /// extent would otherwise pull the axis along.
    fn axis(&self, ui: &Ui, id: Id, x: Rangef) -> Axis {
        let handles = self.handles().map(|handle| self.value(handle));
        let axis = Axis::over(self.extent.into_iter().chain(handles), x);
        let dragged = ui.ctx().dragged_id();
        let held = self.handles().any(|handle| dragged == Some(handle_id(id, handle)));
        let before = ui.data(|data| data.get_temp::<[f32; 2]>(id)).filter(|_| held);
        let scores = before.unwrap_or(axis.scores);
        ui.data_mut(|data| data.insert_temp(id, scores));
        Axis { scores, x }
    }

    /// One handle; gives what it was moved to.
    fn handle_ui(&self, ui: &Ui, handle: Handle, id: Id, layout: &Layout, axis: &Axis) -> Option<HistogramChange> {
        let id = handle_id(id, handle);
        let value = self.value(handle);
        let response = ui.interact(self.grip(handle, layout, axis), id, Sense::click_and_drag());
        let response = response.on_hover_cursor(CursorIcon::ResizeHorizontal);
        if response.clicked() || response.drag_started() {
            response.request_focus();
        }
        self.describe(ui, &response, handle, axis);
        paint_handle(ui, &response, handle, layout, axis.x_of(value));

        let mut moved = value;
        if response.dragged()
            && let Some(pointer) = response.interact_pointer_pos()
        {
            moved = axis.round_score_at(pointer.x);
        }
        moved += self.keyed(ui, &response, axis);
        if let Some(asked) = asked_value(ui, response.id) {
            moved = asked;
        }
        if response.double_clicked() {
            return self.whole();
        }
        response.on_hover_text(format!(
            "{} {} shown: {}. Drag it, or press the left and right arrows, with Shift for larger steps",
            handle.words(),
            self.name,
            score_text(value)
        ));
        // What is no number stays as it is until it is moved.
        (moved != value && !moved.is_nan()).then(|| self.changed(handle, moved))
    }

    /// The place where a handle can be gripped: no handle covers the other one's.
    fn grip(&self, handle: Handle, layout: &Layout, axis: &Axis) -> Rect {
        let x = axis.x_of(self.value(handle));
        let around = Rect::from_x_y_ranges(
            x - GRIP_REACH..=x + GRIP_REACH,
            layout.bars.top()..=layout.colours.bottom() + GRIP_HEIGHT,
        );
        let middle = (axis.x_of(self.value(Handle::Low)) + axis.x_of(self.value(Handle::High))) / 2.0;
        match handle {
            Handle::Low => around.with_max_x(around.right().min(middle)),
            Handle::High => around.with_min_x(around.left().max(middle)),
            Handle::Threshold => around.with_min_y(layout.above.min).with_max_y(layout.bars.center().y),
        }
    }

    /// How far the arrow keys and a screen reader move a handle in this frame.
    fn keyed(&self, ui: &Ui, response: &Response, axis: &Axis) -> f32 {
        let mut steps = ui.input(|input| {
            input.num_accesskit_action_requests(response.id, Action::Increment) as f32
                - input.num_accesskit_action_requests(response.id, Action::Decrement) as f32
        });
        if response.has_focus() {
            let filter = EventFilter {
                horizontal_arrows: true,
                ..EventFilter::default()
            };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
            steps +=
                ui.input(|input| input.num_presses(Key::ArrowRight) as f32 - input.num_presses(Key::ArrowLeft) as f32);
        }
        let share = if ui.input(|input| input.modifiers.shift) {
            KEY_LARGE_STEP_SHARE
        } else {
            KEY_STEP_SHARE
        };
        steps * share * self.step_base(axis)
    }

    /// What a step is a share of: the extent, or the axis where all scores are equal.
    fn step_base(&self, axis: &Axis) -> f32 {
        let span = self.extent[1] - self.extent[0];
        if span.is_finite() && span > 0.0 {
            span
        } else {
            axis.span()
        }
    }

    fn changed(&self, handle: Handle, moved: f32) -> HistogramChange {
        let [low, high] = self.range();
        match handle {
            // The ends of the range push each other no further than to one score.
            Handle::Low => HistogramChange::Range([if moved > high { high } else { moved }, high]),
            Handle::High => HistogramChange::Range([low, if moved < low { low } else { moved }]),
            Handle::Threshold => HistogramChange::Threshold(moved),
        }
    }

    fn describe(&self, ui: &Ui, response: &Response, handle: Handle, axis: &Axis) {
        let value = f64::from(self.value(handle));
        let label = format!("{} {}", handle.words(), self.name);
        response.widget_info(|| WidgetInfo::slider(ui.is_enabled(), value, &label));
        ui.ctx().accesskit_node_builder(response.id, |node| {
            node.set_min_numeric_value(f64::from(axis.scores[0]));
            node.set_max_numeric_value(f64::from(axis.scores[1]));
            node.set_numeric_value_step(f64::from(KEY_STEP_SHARE * self.step_base(axis)));
            for action in [Action::SetValue, Action::Increment, Action::Decrement] {
                node.add_action(action);
            }
        });
    }

    /// Bars and colours.
    fn paint(&self, ui: &Ui, layout: &Layout, axis: &Axis) {
        let tokens = tokens(ui);
        let painter = ui.painter();
        painter.rect_filled(layout.bars, theme::RADIUS_SMALL, tokens.inset);
        let highest = self.counts.iter().copied().max().unwrap_or(0);
        if highest == 0 {
            let font = TextStyle::Small.resolve(ui.style());
            let middle = layout.bars.center();
            painter.text(middle, Align2::CENTER_CENTER, "no scores", font, tokens.text_weak);
        }
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let [from, to] = self.bin(index);
            // Square roots, so that rare scores are seen beside common ones.
            let height = (*count as f32 / highest as f32).sqrt() * BARS_HEIGHT;
            let left = axis.x_of(from);
            let bar = Rect::from_min_max(
                pos2(left, layout.bars.bottom() - height),
                pos2(axis.x_of(to).max(left + theme::STROKE_HAIR), layout.bars.bottom()),
            );
            painter.rect_filled(bar, 0.0, self.bar_colour((from + to) / 2.0, tokens));
        }
        self.paint_colours(painter, layout, axis);
    }

    /// The scores from and to which a part reaches.
    fn bin(&self, index: usize) -> [f32; 2] {
        let [low, high] = self.extent;
        let width = (high - low) / self.counts.len() as f32;
        [low + index as f32 * width, low + (index + 1) as f32 * width]
    }

    fn bar_colour(&self, score: f32, tokens: &Tokens) -> Color32 {
        let [low, high] = self.range();
        let below_threshold = self.threshold.is_some_and(|threshold| score < threshold);
        if below_threshold || score < low || score > high {
            tokens.bar_outside
        } else {
            tokens.bar
        }
    }

    /// Each score's colour: outside of the range that of its end.
    fn paint_colours(&self, painter: &Painter, layout: &Layout, axis: &Axis) {
        let [from, to] = self.range().map(|end| axis.x_of(end));
        let part = |left: f32, right: f32| Rect::from_x_y_ranges(left..=right, layout.colours.y_range());
        let [first, .., last] = self.map.table();
        for (rect, [red, green, blue]) in [(part(axis.x.min, from), *first), (part(to, axis.x.max), *last)] {
            painter.rect_filled(rect, 0.0, Color32::from_rgb(red, green, blue));
        }
        let between = part(from, to);
        // A bar of colours that is higher than wide would run upwards.
        if between.width() >= between.height() {
            colour_bar(painter, between, self.map, self.gamma);
        } else if between.is_positive() {
            let [red, green, blue] = *last;
            painter.rect_filled(between, 0.0, Color32::from_rgb(red, green, blue));
        }
    }

    /// The scores of the handles: below, and that of the threshold above.
    fn paint_values(&self, ui: &Ui, layout: &Layout, axis: &Axis) {
        let tokens = tokens(ui);
        let font = TextStyle::Small.resolve(ui.style());
        let painter = ui.painter();
        let text = |score: f32| painter.layout_no_wrap(score_text(score), font.clone(), tokens.text_weak);
        let [low, high] = self.range().map(text);
        let widths = [low.size().x, high.size().x];
        let places = spread(self.range().map(|end| axis.x_of(end)), widths, axis.x);
        for (galley, left) in [low, high].into_iter().zip(places) {
            let top = layout.below.max - galley.size().y;
            painter.galley(pos2(left, top), galley, tokens.text_weak);
        }
        if let Some(threshold) = self.threshold {
            let galley = text(threshold);
            let [left, _] = spread([axis.x_of(threshold), f32::INFINITY], [galley.size().x, 0.0], axis.x);
            painter.galley(pos2(left, layout.above.min), galley, tokens.text);
        }
    }

    /// What a tooltip says of a place.
    fn words_at(&self, axis: &Axis, x: f32) -> Option<String> {
        let score = axis.score_at(x);
        let index = (0..self.counts.len()).find(|index| {
            let [from, to] = self.bin(*index);
            (from..=to).contains(&score)
        })?;
        let [from, to] = self.bin(index).map(score_text);
        Some(format!(
            "{} from {from} to {to}: {} cells",
            self.name, self.counts[index]
        ))
    }
}

fn handle_id(id: Id, handle: Handle) -> Id {
    id.with(handle.words())
}

/// A value that a screen reader asks for.
fn asked_value(ui: &Ui, id: Id) -> Option<f32> {
    ui.input(|input| {
        let requests = input.accesskit_action_requests(id, Action::SetValue);
        let values = requests.filter_map(|request| match request.data {
            Some(ActionData::NumericValue(value)) => Some(value as f32),
            _ => None,
        });
        values.last()
    })
}

/// Left ends of two labels of these widths, each centred at its place if there is room: they stay inside, and apart.
fn spread(centres: [f32; 2], widths: [f32; 2], inside: Rangef) -> [f32; 2] {
    let place = |centre: f32, width: f32| {
        let last = (inside.max - width).max(inside.min);
        (centre - width / 2.0).clamp(inside.min, last)
    };
    let [mut first, mut second] = [place(centres[0], widths[0]), place(centres[1], widths[1])];
    let overlap = first + widths[0] + LABEL_GAP - second;
    if overlap > 0.0 {
        let give_left = (overlap / 2.0).min(first - inside.min);
        let give_right = (overlap - give_left).min((inside.max - widths[1] - second).max(0.0));
        first -= (overlap - give_right).min(first - inside.min);
        second += give_right;
    }
    [first, second]
}

/// The line of a handle, and the grip at its end.
fn paint_handle(ui: &Ui, response: &Response, handle: Handle, layout: &Layout, x: f32) {
    let tokens = tokens(ui);
    let painter = ui.painter();
    let x = x.round_to_pixel_center(painter.pixels_per_point());
    let held = response.hovered() || response.dragged() || response.has_focus();
    let (fill, edge) = if held {
        (tokens.accent, tokens.text_strong)
    } else {
        (tokens.text, tokens.panel)
    };
    let (line, tip_y) = match handle {
        Handle::Threshold => (layout.bars.y_range(), layout.bars.top()),
        Handle::Low | Handle::High => (
            Rangef::new(layout.bars.top(), layout.colours.bottom()),
            layout.colours.center().y,
        ),
    };
    painter.vline(x, line, Stroke::new(theme::STROKE_HAIR, fill));
    let point = |along: f32, down: f32| pos2(x + along * GRIP_HALF_WIDTH, tip_y + down * GRIP_HEIGHT);
    let outline = match handle {
        // Points down at the bars.
        Handle::Threshold => vec![point(-1.0, 0.0), point(1.0, 0.0), point(0.0, 1.0)],
        // Points up at the colour.
        Handle::Low | Handle::High => vec![
            point(0.0, 0.0),
            point(1.0, 0.5),
            point(1.0, 1.0),
            point(-1.0, 1.0),
            point(-1.0, 0.5),
        ],
    };
    painter.add(Shape::convex_polygon(
        outline,
        fill,
        Stroke::new(theme::STROKE_HAIR, edge),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_counted_in_equal_parts() {
        let scores = [0.0, 0.24, 0.25, 0.5, 0.75, 1.0, 2.0, -1.0, f32::NAN, f32::INFINITY];
        assert_eq!(bins(&scores, [0.0, 1.0], 4), [2, 1, 1, 2]);
        assert_eq!(bins(&[3.0, 3.0], [3.0, 3.0], 3), [2, 0, 0], "equal scores");
        assert_eq!(bins(&[], [0.0, 1.0], 2), [0, 0]);
        assert_eq!(bins(&[0.5], [0.0, 1.0], 0), Vec::<u32>::new());
        assert_eq!(bins(&[0.5], [f32::NAN, 1.0], 2), [0, 0]);
    }

    #[test]
    fn the_axis_holds_all_scores_and_is_never_empty() {
        let x = Rangef::new(10.0, 110.0);
        let axis = Axis::over([0.0, f32::NAN, 2.0, -2.0], x);
        assert_eq!(axis.scores, [-2.0, 2.0]);
        assert_eq!((axis.x_of(0.0), axis.score_at(60.0)), (60.0, 0.0));
        assert_eq!(axis.x_of(9.0), 110.0);
        assert_eq!(Axis::over([3.0, 3.0], x).scores, [1.5, 4.5]);
        assert_eq!(Axis::over([f32::NAN], x).scores, [0.0, 1.0]);
    }

    #[test]
    fn labels_stay_inside_and_apart() {
        let inside = Rangef::new(0.0, 100.0);
        assert_eq!(spread([20.0, 80.0], [10.0, 10.0], inside), [15.0, 75.0]);
        assert_eq!(spread([0.0, 100.0], [10.0, 10.0], inside), [0.0, 90.0]);
        for (centres, widths) in [
            ([50.0, 50.0], [20.0, 20.0]),
            ([0.0, 1.0], [20.0, 30.0]),
            ([99.0, 100.0], [20.0, 20.0]),
        ] {
            let [first, second] = spread(centres, widths, inside);
            assert!(first >= 0.0 && second + widths[1] <= 100.0, "{centres:?}");
            assert!(
                second - first >= widths[0] + LABEL_GAP - 1e-3,
                "{centres:?}: {first} {second}"
            );
        }
    }
}
