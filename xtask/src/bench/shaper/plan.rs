//! Which cells are measured, and which of them at the same time.

use std::fmt;
use std::time::Duration;

use super::cell::Cell;
use super::change;
use super::contender::Contender;
use super::part::Part;
use super::settings::Settings;
use crate::rate::Rate;

/// The congestion controls of the uploads that shall share a rate.
const MIXES: [[&str; 4]; 2] = [["cubic"; 4], ["cubic", "cubic", "bbr", "bbr"]];
/// Their rate, in bit/s, and for how long they run, in seconds.
const FAIR: (u64, u64) = (1_000_000, 30);
/// The rate at which the processor's time is taken, how long, and how often.
const CPU: (u64, u64, usize) = (1_000_000_000, 5, 3);
/// Round trips of a delayed path, in milliseconds.
const DELAYS_MS: [u64; 2] = [50, 200];
/// The highest rate at which ECN and delayed paths are measured, in bit/s.
const MODEST: u64 = 10_000_000;
/// From this rate on a cell has the machine for itself, in bit/s.
const ALONE: u64 = 50_000_000;
/// How long an upload with ECN or over a delayed path runs at most unless the user says otherwise, in seconds.
const MODEST_SECONDS: u64 = 20;
/// How many cells at once, one at 10 Mbit/s counting for as many as this.
const AT_ONCE: usize = 16;
const HEAVY: usize = 3;
/// What setting a cell up and taking it down takes.
const SET_UP: Duration = Duration::from_millis(250);

/// Cells that are measured at the same time.
#[derive(Debug, Clone)]
pub struct Batch(Vec<Cell>);

impl Batch {
    /// Its cells.
    pub fn cells(&self) -> &[Cell] {
        &self.0
    }

    /// About how long it takes.
    pub fn takes(&self) -> Duration {
        let longest = self.0.iter().map(|cell| cell.seconds).max().unwrap_or(0);
        Duration::from_secs(longest) + SET_UP * self.0.len() as u32
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.first() else { return f.write_str("nothing") };
        match self.0.len() {
            1 => write!(f, "{} of {}", first.part, first.limit)?,
            count => write!(f, "{}, {count} at once", first.part)?,
        }
        match first.rate_bit_s {
            0 => Ok(()),
            rate => write!(f, ", at {}", Rate::Limit(rate)),
        }
    }
}

/// The cells of all parts for the contenders that can run, in batches.
pub fn plan(settings: &Settings, contenders: &[Contender]) -> Vec<Batch> {
    let mut cells: Vec<Cell> = Vec::new();
    for &part in &settings.parts {
        for &family in &settings.families {
            for &limit in contenders.iter().filter(|&&limit| part.concerns(limit)) {
                cells.extend(of_part(
                    settings,
                    part,
                    Cell {
                        part,
                        limit,
                        rate_bit_s: 0,
                        family,
                        congestion: Vec::new(),
                        ecn: part == Part::Ecn,
                        delay_ms: 0,
                        seconds: 0,
                    },
                ));
            }
        }
    }
    // Contenders at one rate one after another, so that they find the machine in the same state.
    cells.sort_by_key(|cell| (settings.parts.iter().position(|part| *part == cell.part), cell.rate_bit_s));
    let mut batches = batches(cells);
    // The same again, so that a disturbance of the machine does not hit one contender only.
    let cpu: Vec<Batch> = batches.iter().filter(|batch| batch.0[0].part == Part::Cpu).cloned().collect();
    for _ in 1..if settings.quick { 1 } else { CPU.2 } {
        batches.extend(cpu.iter().cloned());
    }
    batches
}

/// The cells of one part for one contender and protocol, made from `cell`.
fn of_part(settings: &Settings, part: Part, cell: Cell) -> Vec<Cell> {
    let rates = &settings.rates;
    let single = |rate: u64, control: &String| Cell {
        rate_bit_s: rate,
        congestion: vec![control.clone()],
        seconds: settings.seconds_at(rate),
        ..cell.clone()
    };
    let each = |rates: &mut dyn Iterator<Item = u64>| -> Vec<Cell> {
        rates.flat_map(|rate| settings.congestion.iter().map(move |control| single(rate, control))).collect()
    };
    let modest = || {
        let cells = each(&mut rates.iter().copied().filter(|&rate| rate <= MODEST));
        cells.into_iter().map(|cell| match settings.seconds {
            Some(_) => cell,
            None => Cell { seconds: cell.seconds.min(MODEST_SECONDS), ..cell },
        })
    };
    match part {
        _ if cell.limit == Contender::Unlimited => {
            let control = settings.congestion.first().map_or("cubic", String::as_str).to_owned();
            vec![Cell { congestion: vec![control], seconds: CPU.1, ..cell }]
        }
        Part::Rate => each(&mut rates.iter().copied()),
        Part::Ecn => modest().collect(),
        Part::Small => each(&mut rates.iter().copied().take(1)),
        Part::Delay => DELAYS_MS
            .iter()
            .flat_map(|&delay_ms| modest().map(move |cell| Cell { delay_ms, ..cell }))
            .collect(),
        Part::Fair => MIXES
            .iter()
            .map(|mix| Cell {
                rate_bit_s: FAIR.0,
                congestion: mix.map(str::to_owned).to_vec(),
                seconds: settings.seconds_at(FAIR.0).min(FAIR.1),
                ..cell.clone()
            })
            .collect(),
        Part::Cpu => vec![Cell { seconds: CPU.1, ..single(CPU.0, &"cubic".to_owned()) }],
        Part::Change => vec![Cell { rate_bit_s: change::HIGH, seconds: 5, ..cell }],
        Part::Program => vec![Cell { seconds: 2, ..cell }],
    }
}

/// Puts cells together that may run at the same time: of one part, equally long, and with a moderate sum of rates.
fn batches(cells: Vec<Cell>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for cell in cells {
        let fits = |batch: &Batch| {
            let first = &batch.0[0];
            let sum: usize = batch.0.iter().map(weight).sum();
            first.part == cell.part && first.seconds == cell.seconds && sum + weight(&cell) <= AT_ONCE
        };
        match batches.iter_mut().find(|batch| fits(batch)) {
            Some(batch) => batch.0.push(cell),
            None => batches.push(Batch(vec![cell])),
        }
    }
    batches
}

fn weight(cell: &Cell) -> usize {
    let alone = matches!(cell.part, Part::Cpu | Part::Change | Part::Program);
    match cell.rate_bit_s {
        _ if alone || cell.limit == Contender::Unlimited => AT_ONCE,
        ALONE.. => AT_ONCE,
        MODEST.. => HEAVY,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{Options, Where};
    use super::*;

    fn batches(line: &str, place: Where) -> Vec<Batch> {
        let settings = Settings::new(&Options::of_line(line), place);
        plan(&settings, &settings.contenders)
    }

    #[test]
    fn a_run_is_bounded() {
        // A machine whose kernel has neither fq, fq_codel nor netem, so that a guest shows these.
        let parts = |parts: &str| format!("--only police,tbf,cni,cilium,unlimited --parts {parts}");
        let guest = Where::Guest(crate::vm::kernel::Kernel::Uml612);
        let minutes = |host: String, inside: &str| {
            let all = [batches(&host, Where::Host), batches(inside, guest)].concat();
            all.iter().map(Batch::takes).sum::<Duration>().as_secs_f64() / 60.0
        };
        let long = minutes(parts("rate,small,fair,ecn,change,cpu,program"), "");
        assert!(long < 25.0, "{long} minutes");
        let quick = minutes(parts("rate,small,fair,change,cpu,program") + " --quick", "--quick");
        assert!(quick < 4.0, "{quick} minutes");
    }

    #[test]
    fn fast_uploads_have_the_machine_for_themselves() {
        for batch in batches("", Where::Host) {
            let sum: u64 = batch.cells().iter().map(|cell| cell.rate_bit_s).sum();
            assert!(batch.cells().len() == 1 || sum <= ALONE, "{batch:?}");
            assert!(batch.cells().iter().all(|cell| cell.part == batch.cells()[0].part));
        }
    }

    #[test]
    fn the_machines_work_is_measured_in_turns() {
        let line = "--parts cpu --only tbf,cilium";
        let cpu: Vec<Contender> =
            batches(line, Where::Host).iter().map(|batch| batch.cells()[0].limit).collect();
        assert_eq!(cpu, [Contender::Tbf, Contender::Cilium].repeat(CPU.2));
        assert_eq!(batches("--parts cpu --only tbf,cilium --quick", Where::Host).len(), 2);
    }
}
