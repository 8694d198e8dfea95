//! PyTorch files as data: what is taken, what is skipped, and what is refused. `tests/data/pickles/make.py` writes
//! the files; their numbers are 0, 1, 2, … unless a test says otherwise.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{fs, path::PathBuf};

use candle_core::{DType, Device};
use common::{TestResult, data, model, numbers};
use featscope::weights::Store;

fn file(name: &str) -> PathBuf {
    data("pickles").join(format!("{name}.pt"))
}

fn open(name: &str) -> featscope::Result<Store> {
    Store::open(&file(name))
}

fn read(store: &Store, name: &str) -> candle_core::Result<Vec<f64>> {
    let shape = store.shape(name).expect("the tensor is there").to_vec();
    let tensor = store.var_builder(DType::F64, &Device::Cpu).get(shape, name)?;
    Ok(numbers(&tensor))
}

fn names(store: &Store) -> Vec<&str> {
    let mut names: Vec<&str> = store.names().collect();
    names.sort_unstable();
    names
}

/// Why a file is refused.
fn refusal(name: &str) -> String {
    match open(name) {
        Ok(store) => panic!("{name} was accepted with {:?}", names(&store)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn weights_are_found_wherever_checkpoints_keep_them() -> TestResult {
    for name in ["plain", "lightning", "model_key", "protocol4"] {
        let store = open(name)?;
        assert_eq!(names(&store), ["layer.bias", "layer.weight"], "{name}");
        assert_eq!(store.shape("layer.weight"), Some(&[2, 3][..]), "{name}");
        assert_eq!(read(&store, "layer.weight")?, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "{name}");
        assert_eq!(read(&store, "layer.bias")?, [0.0, 1.0], "{name}");
    }
    Ok(())
}

#[test]
fn nested_containers_give_dotted_names() -> TestResult {
    assert_eq!(names(&open("empty_state")?), ["inner.list.0", "inner.list.1.7"]);
    assert_eq!(names(&open("shared_lists")?), ["weight"]);
    Ok(())
}

#[test]
fn views_of_a_storage_are_read_in_row_major_order() -> TestResult {
    let store = open("layouts")?;
    let transposed = [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11].map(f64::from);
    assert_eq!(read(&store, "transposed")?, transposed);
    assert_eq!(read(&store, "slice")?, [5.0, 6.0, 9.0, 10.0]);
    assert_eq!(read(&store, "scalar")?, [11.0]);
    assert_eq!(store.shape("none"), Some(&[0, 3][..]));
    assert_eq!(read(&store, "repeated")?, [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    assert_eq!(read(&store, "parameter")?, [0.0, 1.0, 2.0]);
    assert_eq!(read(&store, "typed")?, [0.0, 1.0, 2.0]);
    Ok(())
}

#[test]
fn floats_of_every_type_are_read_and_integers_are_no_weights() -> TestResult {
    for (file, in_file) in [("types", 11), ("old_types", 10)] {
        let store = open(file)?;
        assert_eq!(names(&store).len(), in_file);
        for kind in ["Float", "Double", "Half", "BFloat16"] {
            assert_eq!(read(&store, kind)?, [0.0, 1.0, 2.0], "{file}: {kind}");
        }
        for (kind, says) in [
            ("Long", "I64"),
            ("Int", "I32"),
            ("Short", "I16"),
            ("Char", "I8"),
            ("Byte", "U8"),
            ("Bool", "BOOL"),
        ] {
            let error = read(&store, kind).expect_err("integers are no weights").to_string();
            assert!(
                error.contains(&format!("tensor {kind} holds integers ({says})"))
                    && error.contains(&format!("{file}.pt")),
                "{error}"
            );
        }
    }
    let complex = read(&open("types")?, "ComplexFloat").expect_err("complex numbers are not read");
    assert!(complex.to_string().contains("ComplexFloatStorage"), "{complex}");
    Ok(())
}

/// PyTorch writes types without a storage class of their own as bytes with the type beside them.
#[test]
fn floats_of_eight_bits_are_read_with_their_factors() -> TestResult {
    let store = open("float8")?;
    assert_eq!(names(&store), ["e4m3.weight", "e5m2.weight", "plain.weight"]);
    assert_eq!(read(&store, "plain.weight")?, [1.0, -448.0]);
    assert_eq!(read(&store, "e4m3.weight")?, [0.5, -1.0, 4.5, 1344.0]);
    assert_eq!(read(&store, "e5m2.weight")?, [0.25, -14336.0]);
    Ok(())
}

#[test]
fn the_layout_before_pytorch_1_6_is_read() -> TestResult {
    let store = open("old")?;
    assert_eq!(names(&store), ["layer.bias", "layer.weight", "part"]);
    assert_eq!(read(&store, "layer.weight")?, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(read(&store, "part")?, [1.0]);
    Ok(())
}

#[test]
fn what_a_tensor_claims_is_compared_with_what_is_there() {
    for (name, says) in [
        ("too_large_shape", "does not fit its storage of 6 numbers"),
        ("too_large_stride", "does not fit its storage of 6 numbers"),
        ("too_large_offset", "does not fit its storage of 6 numbers"),
        ("uncountable_shape", "has more numbers than can be counted"),
        ("huge_repeat", "does not fit its storage of 6 numbers"),
        ("negative_offset", "offset is not a number from 0 on"),
        ("negative_stride", "shape and strides are not up to"),
        ("negative_shape", "shape and strides are not up to"),
        ("not_described", "storage is not described"),
    ] {
        let error = refusal(name);
        assert!(
            error.contains(says) && error.contains("tensor weight"),
            "{name}: {error}"
        );
        assert!(error.contains(&format!("{name}.pt")), "{error}");
    }
    assert!(refusal("missing_storage").contains("tensor layer.bias: its storage 1 is missing"));
}

#[test]
fn files_that_are_no_checkpoints_are_refused_with_the_reason() {
    for (name, says) in [
        ("compressed", "compressed"),
        ("big_endian", "big-endian"),
        ("no_tensors", "holds no tensors"),
        ("sparse", "tensor a: it is made by torch._utils._rebuild_sparse_tensor"),
        ("whole_module", "holds no tensors"),
        ("circle", "holds no tensors"),
        ("pickle_deep", "holds no tensors"),
        ("old_cut", "cut off"),
        ("pickle_long_text", "cut off"),
        ("pickle_cut", "cut off"),
        ("pickle_empty_stack", "stack runs empty"),
        ("pickle_under_mark", "stack runs empty"),
        ("pickle_no_mark", "mark is missing"),
        ("pickle_unknown_memo", "refers to what it does not hold"),
        ("pickle_odd_items", "a key has no value"),
        ("not_torch", "no file of weights"),
        ("other_zip", "without data.pkl"),
        ("is_not_there", "No such file"),
    ] {
        let error = refusal(name);
        assert!(error.contains(says), "{name}: {error}");
    }
}

#[test]
fn code_in_a_file_is_never_run() {
    let before = fs::read_dir(".").expect("the folder of the test").count();
    assert!(refusal("runs_code").contains("holds no tensors"));
    assert_eq!(fs::read_dir(".").expect("the folder of the test").count(), before);
}

/// Cuts and single wrong bytes anywhere: an error or the right shapes, never a panic, never much memory.
#[test]
fn damage_is_survived() -> TestResult {
    let folder = tempfile::tempdir()?;
    for name in ["lightning", "old", "layouts"] {
        let whole = fs::read(file(name))?;
        let damaged = folder.path().join("damaged.pt");
        let mut readable = 0;
        for position in 0..whole.len() {
            fs::write(&damaged, &whole[..position])?;
            assert!(Store::open(&damaged).is_err(), "{name} cut at {position}");
            for value in [0xff, whole[position] ^ 1] {
                let mut changed = whole.clone();
                changed[position] = value;
                fs::write(&damaged, &changed)?;
                let Ok(store) = Store::open(&damaged) else {
                    continue;
                };
                for tensor in names(&store) {
                    readable += usize::from(read(&store, tensor).is_ok());
                }
            }
        }
        assert!(readable > 0, "{name}");
    }
    Ok(())
}

#[test]
fn a_wrong_byte_in_the_numbers_is_noticed() -> TestResult {
    let mut bytes = fs::read(file("plain"))?;
    let numbers: Vec<u8> = (0..6u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let position = bytes.windows(numbers.len()).position(|window| window == numbers);
    bytes[position.expect("the numbers are stored as they are") + 5] ^= 1;
    let folder = tempfile::tempdir()?;
    let damaged = folder.path().join("damaged.pt");
    fs::write(&damaged, bytes)?;
    let error = read(&Store::open(&damaged)?, "layer.weight").expect_err("the checksum differs");
    assert!(error.to_string().contains("tensor layer.weight"), "{error}");
    Ok(())
}

#[test]
fn both_formats_of_a_model_hold_the_same() -> TestResult {
    let folder = model("tiny-adm");
    let pickle = Store::open(&folder.join("model.pt"))?;
    let safe = Store::open_files(&[folder.join("model.safetensors")])?;
    assert_eq!(names(&pickle), names(&safe));
    for name in names(&pickle) {
        assert_eq!(pickle.shape(name), safe.shape(name), "{name}");
        assert_eq!(read(&pickle, name)?, read(&safe, name)?, "{name}");
    }
    Ok(())
}
