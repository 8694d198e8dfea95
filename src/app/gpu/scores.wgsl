// Draws a map of scores: interpolates scores, never colours, and looks the colour up last.
// `ScoreMap::score_at` and `Scale::index` are the same computation on the CPU; keep them together.

struct Look {
    // Where the map lies, as in `Placement`.
    min_px: vec2<f32>,
    max_px: vec2<f32>,
    uv_min: vec2<f32>,
    uv_per_px: vec2<f32>,
    screen_px: vec2<f32>,
    // How scores become colours, as in `Scale`.
    low: f32,
    inverse_span: f32,
    gamma: f32,
    opacity: f32,
    table_row: u32,
    bilinear: u32,
};

@group(0) @binding(0) var<uniform> look: Look;
// The bits of the scores: as integers they pass through every driver unchanged, also where they are not numbers.
@group(0) @binding(1) var score_bits: texture_2d<u32>;
// One row for each colour map, in sRGB.
@group(0) @binding(2) var tables: texture_2d<f32>;

const EXPONENT_BITS: u32 = 0x7f800000u;

@vertex
fn vs_main(@builtin(vertex_index) corner: u32) -> @builtin(position) vec4<f32> {
    let share = vec2<f32>(f32(corner & 1u), f32(corner >> 1u));
    let place = mix(look.min_px, look.max_px, share) / look.screen_px;
    return vec4<f32>(2.0 * place.x - 1.0, 1.0 - 2.0 * place.y, 0.0, 1.0);
}

// Cells beyond an edge repeat the edge.
fn cell(place: vec2<f32>) -> u32 {
    let last = vec2<i32>(textureDimensions(score_bits)) - 1;
    return textureLoad(score_bits, clamp(vec2<i32>(place), vec2<i32>(0), last), 0).r;
}

fn is_finite(bits: u32) -> bool {
    return (bits & EXPONENT_BITS) != EXPONENT_BITS;
}

// (share · score, share), nothing for a cell without a score.
fn weighed(place: vec2<f32>, share: f32) -> vec2<f32> {
    let bits = cell(place);
    if is_finite(bits) {
        return vec2<f32>(share * bitcast<f32>(bits), share);
    }
    return vec2<f32>(0.0);
}

fn colour(score: f32) -> vec3<f32> {
    let share = clamp((score - look.low) * look.inverse_span, 0.0, 1.0);
    var bent = share;
    if look.gamma != 1.0 && share > 0.0 {
        bent = pow(share, look.gamma);
    }
    let table_len = i32(textureDimensions(tables).x);
    let index = min(i32(bent * f32(table_len)), table_len - 1);
    return textureLoad(tables, vec2<i32>(index, i32(look.table_row)), 0).rgb;
}

// Premultiplied and in gamma space, the way egui itself paints.
fn painted(position: vec2<f32>) -> vec4<f32> {
    let uv = look.uv_min + (position - look.min_px) * look.uv_per_px;
    if any(uv < vec2<f32>(0.0)) || any(uv >= vec2<f32>(1.0)) {
        return vec4<f32>(0.0);
    }
    let place = uv * vec2<f32>(textureDimensions(score_bits));
    let nearest = cell(floor(place));
    if !is_finite(nearest) {
        return vec4<f32>(0.0);
    }
    var score = bitcast<f32>(nearest);
    if look.bilinear != 0u {
        let corner = floor(place - 0.5);
        let share = place - 0.5 - corner;
        let sum = weighed(corner, (1.0 - share.x) * (1.0 - share.y))
            + weighed(corner + vec2<f32>(1.0, 0.0), share.x * (1.0 - share.y))
            + weighed(corner + vec2<f32>(0.0, 1.0), (1.0 - share.x) * share.y)
            + weighed(corner + vec2<f32>(1.0, 1.0), share.x * share.y);
        score = sum.x / sum.y;
    }
    return vec4<f32>(colour(score) * look.opacity, look.opacity);
}

@fragment
fn fs_gamma_target(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    return painted(position.xy);
}

// For a target that turns linear values into sRGB when it stores them.
@fragment
fn fs_linear_target(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let gamma = painted(position.xy);
    let low = gamma.rgb / 12.92;
    let high = pow((gamma.rgb + 0.055) / 1.055, vec3<f32>(2.4));
    return vec4<f32>(select(high, low, gamma.rgb < vec3<f32>(0.04045)), gamma.a);
}
