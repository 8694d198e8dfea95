//! What the window keeps in files.

use featscope::{activation::FeatureMap, app::WorkspaceFile, engine::SavedBasis, geometry::Grid};

use super::{read, scratch::with_file};

/// A workspace: what is opened can be saved, and is the same when it is opened again.
pub fn workspace(bytes: &[u8]) {
    let Some(opened) = with_file("w.featscope.json", bytes, |path| read(WorkspaceFile::read(path))) else {
        return;
    };
    let saved = WorkspaceFile::holding(opened.document.clone());
    let json = serde_json::to_vec(&saved).expect("a workspace is JSON");
    let again = with_file("again.featscope.json", &json, |path| read(WorkspaceFile::read(path)));
    assert_eq!(again.expect("what is saved is opened").document, opened.document);
}

/// A PCA basis, and a map that it is applied to.
pub fn basis(bytes: &[u8]) {
    /// Wider maps take time and show nothing new.
    const MOST_CHANNELS: usize = 1 << 10;
    let Some(basis) = with_file("basis.json", bytes, |path| read(SavedBasis::read(path))) else {
        return;
    };
    let channels = basis.map_channels();
    if channels > MOST_CHANNELS {
        return;
    }
    let grid = Grid::new(2, 3);
    let vectors = (0..channels * grid.positions()).map(|index| index as f32).collect();
    let map = FeatureMap::from_positions(channels, grid, vectors).expect("a map");
    if let Some(scores) = read(basis.project(&map)) {
        assert_eq!(scores.grid, grid);
    }
}
