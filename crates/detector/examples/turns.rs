//! Runs a network when told to, so that several engines can take turns on one machine.
//!
//! `turns MODEL ENGINE THREADS BATCH INPUT OUTPUT`: `ENGINE` is `kernels`, a precision of theirs, an instruction set for which
//! there are kernels, or `candle`. `INPUT` holds one picture as little-endian `f32` in the order channel,
//! row, column; the raw outputs of the first picture of a batch of `BATCH` times that one go to `OUTPUT` in the same form.
//! Then, for every line with a number on standard input, so many runs, whose times in milliseconds are printed as a JSON
//! array. `cargo xtask bench inference` is what uses it.

use std::error::Error;
use std::io::{BufRead, Write};
use std::num::NonZeroUsize;
use std::time::Instant;

use candle_core::{Device, Tensor};
use detector::{Detector, DeviceKind, LoadOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, engine, threads, batch, input, output] = &arguments[..] else {
        return Err(
            "usage: turns MODEL kernels|PRECISION|INSTRUCTION-SET|candle THREADS BATCH INPUT OUTPUT".into()
        );
    };
    let mut options = LoadOptions { threads: NonZeroUsize::new(threads.parse()?), ..LoadOptions::default() };
    match engine.as_str() {
        "kernels" => {}
        "candle" => options.device = DeviceKind::CpuThroughCandle,
        name => match name.parse() {
            Ok(precision) => options.precision = Some(precision),
            Err(_) => options.instruction_set = Some(name.parse()?),
        },
    }
    let batch: usize = batch.parse()?;
    let detector = Detector::load(model.as_ref(), &options)?;
    let (height, width) = (detector.info().input_height as usize, detector.info().input_width as usize);
    let values: Vec<f32> = std::fs::read(input)?
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    let picture = Tensor::from_vec(values, (1, 3, height, width), &Device::Cpu)?;
    let pictures = Tensor::cat(&vec![&picture; batch], 0)?;
    let mut bytes = Vec::new();
    for head in detector.heads(&pictures)? {
        let values = head.get(0)?.flatten_all()?.to_vec1::<f32>()?;
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    std::fs::write(output, bytes)?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "ready")?;
    stdout.flush()?;
    for line in std::io::stdin().lock().lines() {
        let mut times = Vec::new();
        for _ in 0..line?.trim().parse::<usize>()? {
            let begin = Instant::now();
            std::hint::black_box(detector.heads(&pictures)?);
            times.push(format!("{:.3}", begin.elapsed().as_secs_f64() * 1e3));
        }
        writeln!(stdout, "[{}]", times.join(", "))?;
        stdout.flush()?;
    }
    Ok(())
}
