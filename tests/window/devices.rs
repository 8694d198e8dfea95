//! Where the model computes, chosen in the window.

use featscope::{
    app::Command,
    device::{DeviceChoice, Precision},
};

use super::driver::Window;

fn computes_on(window: &Window) -> (String, String) {
    let info = window.state().model.info.as_ref().expect("a model is loaded");
    (info.device.clone(), info.dtype.clone())
}

#[test]
fn nothing_is_shown_where_there_is_nothing_to_choose() {
    let window = Window::settled();
    window.assert_silent("Device");
}

#[test]
fn another_device_or_format_reads_the_model_again_for_it() {
    let mut window = Window::settled();
    window.apply_and_settle(Command::LookForDevices);
    window.assert_says("Device");
    window.assert_says("a third GPU does not answer");
    window.apply_and_settle(Command::Device(DeviceChoice::Cuda(1), Precision::F16));
    assert_eq!(computes_on(&window), ("cuda:1".to_owned(), "f16".to_owned()));
    window.assert_says("computes on cuda:1 in f16");
    let captured = window.state().open_slots().all(|slot| window.state().is_captured(slot));
    assert!(captured, "the pictures are looked at with the model as it is now");
    window.apply_and_settle(Command::Device(DeviceChoice::Cpu, Precision::F16));
    assert_eq!(computes_on(&window).0, "paper");
    // What was chosen counts for the next model too.
    window.apply_and_settle(Command::Device(DeviceChoice::Cuda(0), Precision::Bf16));
    window.apply_and_settle(Command::LoadModel("fake-other".to_owned()));
    assert_eq!(computes_on(&window), ("cuda:0".to_owned(), "bf16".to_owned()));
}
