//! Picture to latent and latent to noisy latent, against the reference.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{TestResult, case_json, compare, expected, model};
use featscope::{
    activation::no_progress,
    components::{
        schedule::{DiscreteSchedule, Prediction},
        vae::{VaeConfig, VaeEncoder},
    },
    weights::{Store, read_json},
};

fn open(name: &str) -> featscope::Result<VaeEncoder> {
    let folder = model(name).join("vae");
    let config = VaeConfig::from_json(&read_json(&folder.join("config.json"))?)?;
    let store = Store::open_files(&[folder.join("diffusion_pytorch_model.safetensors")])?;
    VaeEncoder::new(config, store.var_builder(DType::F32, &Device::Cpu))
}

#[test]
fn posteriors_and_latents() -> TestResult {
    for case in [
        "sd15-all-64",
        "sd15-nonsquare-64x96",
        "sd15-practical-128",
        "sd15-size60",
        "sd15-batch2-resize2",
        "sd21-all-64",
    ] {
        let reference = expected(case);
        let name = case_json(case)["model"]
            .as_str()
            .expect("a model")
            .replace("models/", "");
        let vae = open(&name)?;
        let posterior = vae.encode(&reference["mid.image"], &mut no_progress)?;
        compare("mean", &reference["mid.vae_mean"], &posterior.mean)?;
        compare("std", &reference["mid.vae_std"], &posterior.std)?;
        let sample = match reference.get("in.vae_noise") {
            Some(noise) => (&posterior.mean + (&posterior.std * noise)?)?,
            None => posterior.mean,
        };
        compare("latents", &reference["mid.latents_clean"], &vae.scale(&sample)?)?;
    }
    Ok(())
}

/// |found/expected − 1| of alphas_cumprod, as the reference's tolerances say.
const ALPHA_RTOL: f64 = 1e-6;

#[test]
fn schedules_equal_the_reference() -> TestResult {
    let reference = expected("schedulers");
    let diffusers = |betas: &str| {
        DiscreteSchedule::from_json(&serde_json::json!({
            "beta_schedule": betas,
            "beta_start": if betas == "scaled_linear" { 0.00085 } else { 0.0001 },
            "beta_end": if betas == "scaled_linear" { 0.012 } else { 0.02 },
        }))
    };
    for (name, schedule) in [
        ("ddim_sd.alphas_cumprod", DiscreteSchedule::stable_diffusion()),
        ("pndm_sd15.alphas_cumprod", diffusers("scaled_linear")?),
        ("ddpm_scaled.alphas_cumprod", diffusers("scaled_linear")?),
        ("euler_sdxl_leading.alphas_cumprod", diffusers("scaled_linear")?),
        ("euler_sd21_linspace.alphas_cumprod", diffusers("scaled_linear")?),
        ("ddpm_linear.alphas_cumprod", diffusers("linear")?),
        ("dpm_pixart.alphas_cumprod", diffusers("linear")?),
        ("ddpm_cosine.alphas_cumprod", diffusers("squaredcos_cap_v2")?),
        ("adm_linear.alphas_cumprod_f64", DiscreteSchedule::linear(1000)),
        ("adm_cosine.alphas_cumprod_f64", DiscreteSchedule::cosine(1000)),
    ] {
        let table = common::numbers(&reference[name]);
        assert_eq!(table.len(), schedule.steps(), "{name}");
        for (t, (x, y)) in table.iter().zip(schedule.alphas_cumprod()).enumerate() {
            assert!(
                (y / x - 1.0).abs() <= ALPHA_RTOL,
                "{name}[{t}]: expected {x}, found {y}"
            );
        }
    }
    Ok(())
}

#[test]
fn mixtures_equal_the_reference_at_the_t_that_ran() -> TestResult {
    let reference = expected("schedulers");
    let (x, noise) = (&reference["in.x"], &reference["in.noise"]);
    let mut compared = 0;
    for (name, schedule) in [
        ("ddpm_linear", DiscreteSchedule::from_json(&serde_json::json!({}))?),
        ("ddpm_scaled", DiscreteSchedule::stable_diffusion()),
        (
            "ddpm_cosine",
            DiscreteSchedule::from_json(&serde_json::json!({"beta_schedule": "squaredcos_cap_v2"}))?,
        ),
        ("pndm_sd15", DiscreteSchedule::stable_diffusion()),
        ("ddim_sd", DiscreteSchedule::stable_diffusion()),
        ("euler_sdxl_leading", DiscreteSchedule::stable_diffusion()),
        ("euler_sd21_linspace", DiscreteSchedule::stable_diffusion()),
        ("dpm_pixart", DiscreteSchedule::from_json(&serde_json::json!({}))?),
    ] {
        for asked in [1, 50, 261, 500, 999] {
            let Some(ran) = reference.get(&format!("{name}.t{asked}.real_t")) else {
                continue;
            };
            let ran = common::numbers(ran)[0];
            let mix = schedule.mixture((ran as u32).into())?;
            let found = ((x * mix.signal)? + (noise * mix.noise)?)?;
            compare(
                &format!("{name}.t{asked}"),
                &reference[&format!("{name}.t{asked}.model_input")],
                &found,
            )?;
            compared += 1;
        }
    }
    assert!(compared >= 30, "{compared}");
    Ok(())
}

/// Schedules that end in pure noise, and betas that are listed: the share of the picture, √ā, as diffusers has it in f32. Roots
/// of torch's vector instructions are not rounded as IEEE says, so that the last bits are the machine's.
#[test]
fn rescaled_and_listed_betas_equal_the_reference() -> TestResult {
    const LAST_BITS: f32 = 2.0 * f32::EPSILON;
    let cases = read_json(&common::data("unets/schedules.json"))?;
    let mut compared = 0;
    for case in cases.as_array().ok_or("cases")? {
        let schedule = DiscreteSchedule::from_json(&case["config"])?;
        assert_eq!(Some(schedule.steps() as u64), case["steps"].as_u64());
        for (t, expected) in case["alphas_cumprod"].as_object().ok_or("numbers")? {
            let found = schedule.alphas_cumprod()[t.parse::<usize>()?] as f32;
            let expected = expected.as_f64().ok_or("a number")? as f32;
            assert!(
                (found.sqrt() - expected.sqrt()).abs() <= LAST_BITS,
                "{} at {t}: {found}, expected {expected}",
                case["config"]
            );
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
    Ok(())
}

#[test]
fn a_schedule_that_ends_in_noise_is_read_only_where_its_scheduler_reads_it() -> TestResult {
    let json = |class: &str| serde_json::json!({"_class_name": class, "rescale_betas_zero_snr": true});
    let error = DiscreteSchedule::from_json(&json("PNDMScheduler"))
        .expect_err("unread")
        .to_string();
    assert!(
        error.contains("rescale_betas_zero_snr") && error.contains("PNDMScheduler"),
        "{error}"
    );
    let schedule = DiscreteSchedule::from_json(&json("DDIMScheduler"))?;
    assert_eq!(schedule.mixture(999.into())?.signal, 0.0);
    // Nothing of the picture is left there, so noise that is predicted does not tell it.
    let x = Tensor::ones((1, 4, 2, 2), DType::F32, &Device::Cpu)?;
    let error = schedule.ddim_step(&x, &x, 999.into()).expect_err("lost").to_string();
    assert!(error.contains("timestep 999"), "{error}");
    let found = schedule.with_prediction(Prediction::V).split(&x, &x, 999.into())?.0;
    assert!(common::numbers(&found).iter().all(|x| *x == -1.0));
    Ok(())
}

/// What hub folders have; of all of them the betas count.
#[test]
fn only_the_betas_of_known_schedulers_count() -> TestResult {
    let of_class = |class: &str| {
        DiscreteSchedule::from_json(&serde_json::json!({
            "_class_name": class,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "timestep_spacing": "trailing",
            "use_karras_sigmas": true,
            "final_sigmas_type": "zero",
            "sigma_max": null,
            "trained_betas": null,
        }))
    };
    for class in [
        "DDIMScheduler",
        "PNDMScheduler",
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "DPMSolverMultistepScheduler",
        "LCMScheduler",
        "UniPCMultistepScheduler",
    ] {
        let schedule = of_class(class)?;
        assert_eq!(
            schedule.alphas_cumprod(),
            DiscreteSchedule::stable_diffusion().alphas_cumprod()
        );
        assert_eq!(schedule.scales_input, class.starts_with("Euler"), "{class}");
    }
    for class in [
        "EDMDPMSolverMultistepScheduler",
        "EDMEulerScheduler",
        "FlowMatchEulerDiscreteScheduler",
        "ScoreSdeVeScheduler",
    ] {
        let error = of_class(class).expect_err("another mixture").to_string();
        assert!(error.contains(class) && error.contains("betas"), "{error}");
    }
    Ok(())
}

/// Whatever a network predicts of one mixture, the mixture a step before is the same.
#[test]
fn a_step_back_is_the_mixture_of_the_timestep_before() -> TestResult {
    let reference = expected("schedulers");
    let (picture, noise) = (&reference["in.x"], &reference["in.noise"]);
    let mix = |schedule: &DiscreteSchedule, t: u32| -> Result<Tensor, Box<dyn std::error::Error>> {
        let shares = schedule.mixture(t.into())?;
        Ok(((picture * shares.signal)? + (noise * shares.noise)?)?)
    };
    for t in [1, 51, 261, 999] {
        let schedule = DiscreteSchedule::stable_diffusion();
        let shares = schedule.mixture(t.into())?;
        let v = ((noise * shares.signal)? - (picture * shares.noise)?)?;
        for (prediction, output) in [
            (Prediction::Epsilon, noise),
            (Prediction::V, &v),
            (Prediction::Sample, picture),
        ] {
            let schedule = schedule.clone().with_prediction(prediction);
            let found = schedule.ddim_step(&mix(&schedule, t)?, output, t.into())?;
            compare(&format!("{prediction:?} at {t}"), &mix(&schedule, t - 1)?, &found)?;
            assert!(compare("another t", &mix(&schedule, t)?, &found).is_err(), "{t}");
        }
    }
    let schedule = DiscreteSchedule::stable_diffusion();
    compare(
        "the last step",
        picture,
        &schedule.ddim_step(&mix(&schedule, 0)?, noise, 0.into())?,
    )?;
    Ok(())
}

#[test]
fn the_schedule_names_its_range_and_what_it_predicts() -> TestResult {
    let sd21 = DiscreteSchedule::from_json(&read_json(&model("tiny-sd21").join("scheduler/scheduler_config.json"))?)?;
    assert_eq!(sd21.prediction, Prediction::V);
    let error = sd21.mixture(1000.into()).expect_err("outside the schedule").to_string();
    assert!(error.contains("1000") && error.contains("999"), "{error}");
    let mix = sd21.mixture(261.into())?;
    assert!((mix.signal - 0.809_734).abs() < 1e-6 && (mix.noise - 0.586_797).abs() < 1e-6);
    assert!((mix.signal.powi(2) + mix.noise.powi(2) - 1.0).abs() < 1e-12);
    Ok(())
}

#[test]
fn an_encoding_tells_every_part_of_its_work_and_ends_with_all_of_it() -> TestResult {
    let vae = open("tiny-sd15")?;
    let mut told = Vec::new();
    vae.encode(&Tensor::zeros((1, 3, 64, 64), DType::F32, &Device::Cpu)?, &mut |done| {
        told.push(done);
        Ok(())
    })?;
    assert!(told.is_sorted_by(|before, now| before < now), "{told:?}");
    assert!(told.last().is_some_and(|last| (last - 1.0).abs() < 1e-6), "{told:?}");
    Ok(())
}

#[test]
fn a_cancelled_encoding_ends() -> TestResult {
    let vae = open("tiny-sd15")?;
    let picture = Tensor::zeros((1, 3, 64, 64), DType::F32, &Device::Cpu)?;
    let ended = vae.encode(&picture, &mut |_| Err(featscope::Error::Cancelled));
    assert!(matches!(ended, Err(featscope::Error::Cancelled)));
    Ok(())
}
