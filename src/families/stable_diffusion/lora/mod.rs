//! LoRA files and their relatives: changes to the weights of a U-Net and its text encoders. In: a file with the names of
//! kohya's scripts, LyCORIS, PEFT, ComfyUI or diffusers, old or new. Out: changes of [layers](crate::nn::adaptable). `extract`
//! calls it when the LoRAs of a request change.
//!
//! | kind | W′ at a scale s, with f = alpha / rank | as in |
//! |---|---|---|
//! | LoRA, LoCon, Tucker | W + s·f·up·(core·)down | kohya's scripts, PEFT |
//! | LoHa, LoKr, GLoRA | W + s·f·Δ, Δ of products, for GLoRA of W too | LyCORIS |
//! | differences of weights, biases, norms | W + s·Δ | LyCORIS |
//! | whole weights and biases that PEFT saved | what the file has, at any s | PEFT |
//! | DoRA as `dora_scale` | (W + f·Δ)·(s·(g/norm − 1) + 1) | LyCORIS |
//! | DoRA as `lora_magnitude_vector` | (W + s·f·Δ)·g/norm | PEFT |
//! | OFT, BOFT | every block of W by s·(R − I) + I; `rescale` at any s | LyCORIS |
//! | OFT of PEFT, (IA)³ | the same; W·(1 + s·(l − 1)) | LyCORIS, at s = 1 PEFT |
//!
//! Of several adapters every change is made of the weight as it was read, and their differences from it add up.

mod file;
mod kinds;
mod ldm_names;
mod locate;
mod names;
mod put;
mod scale;

pub use file::{Factors, Fit, LoraFile};
pub use names::Part;
pub use put::{layers_of, put};
