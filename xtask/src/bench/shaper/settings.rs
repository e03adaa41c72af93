//! What is measured on one kernel: the command line with everything that it leaves open decided.

use clap::ValueEnum;

use super::contender::Contender;
use super::options::{Options, Where};
use super::pair::Family;
use super::part::Part;
use crate::rate::Rate;

/// Rates in bit/s, lowest first.
const RATES: [u64; 5] = [64_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
/// The same of a quick run.
const QUICK_RATES: [u64; 3] = [64_000, 1_000_000, 100_000_000];
/// The highest rate in a guest, which has one slow processor, and in a quick run there.
const GUEST_RATE: u64 = 100_000_000;
const QUICK_GUEST_RATE: u64 = 1_000_000;
/// The parts on the machine's own kernel.
const PARTS: [Part; 8] =
    [Part::Rate, Part::Small, Part::Fair, Part::Ecn, Part::Delay, Part::Change, Part::Cpu, Part::Program];
/// The parts in a guest: there the processor's time says nothing.
const GUEST_PARTS: [Part; 6] = [Part::Rate, Part::Small, Part::Fair, Part::Ecn, Part::Delay, Part::Change];
/// The parts of a quick run, of those above.
const QUICK_PARTS: [Part; 6] = [Part::Rate, Part::Small, Part::Fair, Part::Change, Part::Cpu, Part::Program];

/// What is measured on one kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The contenders.
    pub contenders: Vec<Contender>,
    /// The parts of the table.
    pub parts: Vec<Part>,
    /// Rates in bit/s, lowest first.
    pub rates: Vec<u64>,
    /// Congestion controls.
    pub congestion: Vec<String>,
    /// How long each upload runs, in seconds, if the user has said so.
    pub seconds: Option<u64>,
    /// Versions of the Internet Protocol.
    pub families: Vec<Family>,
    /// Whether it is to be over soon.
    pub quick: bool,
}

impl Settings {
    /// What `options` mean on this kernel.
    pub fn new(options: &Options, place: Where) -> Self {
        let quick = options.quick;
        let is_guest = place != Where::Host;
        let highest = match (is_guest, quick) {
            (false, _) => u64::MAX,
            (true, false) => GUEST_RATE,
            (true, true) => QUICK_GUEST_RATE,
        };
        let usual: &[u64] = if quick { &QUICK_RATES } else { &RATES };
        let mut rates: Vec<u64> = options.rates.iter().filter_map(|rate| rate.bit_s()).collect();
        if rates.is_empty() {
            rates = usual.iter().copied().filter(|&rate| rate <= highest).collect();
        }
        rates.sort_unstable();
        rates.dedup();
        let usual: &[Part] = if is_guest { &GUEST_PARTS } else { &PARTS };
        let quickly = |part: &Part| !quick || QUICK_PARTS.contains(part);
        let parts = match options.parts.is_empty() {
            true => usual.iter().copied().filter(quickly).collect(),
            false => options.parts.clone(),
        };
        let usual: &[&str] = if quick { &["cubic"] } else { &["cubic", "bbr"] };
        let congestion = match options.cc.is_empty() {
            true => usual.iter().map(|&name| name.to_owned()).collect(),
            false => options.cc.clone(),
        };
        // Who names wondershaper wants to be told what it needs; else it is left out in silence without its script.
        let wanted = |each: &Contender| match options.only.is_empty() {
            true => *each != Contender::Wondershaper || options.wondershaper.is_some(),
            false => options.only.contains(each),
        };
        Self {
            contenders: Contender::all().filter(wanted).collect(),
            parts,
            rates,
            congestion,
            seconds: options.seconds,
            families: options.family.clone(),
            quick,
        }
    }

    /// How long an upload at `rate` bit/s runs, in seconds.
    pub fn seconds_at(&self, rate: u64) -> u64 {
        self.seconds.unwrap_or(match (self.quick, rate) {
            (false, ..100_000) => 60,
            (false, ..=1_000_000) => 30,
            (false, ..=10_000_000) => 25,
            (false, _) => 12,
            (true, ..=1_000_000) => 10,
            (true, _) => 5,
        })
    }

    /// The same as arguments, for a run on the kernel on which these settings are right.
    pub fn arguments(&self) -> Vec<String> {
        let names = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(",");
        let family = |family: &Family| family.to_possible_value().map(|value| value.get_name().to_owned());
        let mut arguments = vec![
            "--only".into(),
            names(&mut self.contenders.iter().map(Contender::to_string)),
            "--parts".into(),
            names(&mut self.parts.iter().map(Part::to_string)),
            "--rates".into(),
            names(&mut self.rates.iter().map(|&rate| Rate::Limit(rate).to_string())),
            "--cc".into(),
            self.congestion.join(","),
            "--family".into(),
            names(&mut self.families.iter().filter_map(family)),
        ];
        if let Some(seconds) = self.seconds {
            arguments.extend(["--seconds".into(), seconds.to_string()]);
        }
        if self.quick {
            arguments.push("--quick".into());
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(line: &str, place: Where) -> Settings {
        Settings::new(&Options::of_line(line), place)
    }

    #[test]
    fn a_guest_is_told_all_that_was_decided() {
        let guest = Where::Guest(crate::vm::kernel::Kernel::Uml612);
        for line in
            ["", "--quick", "--only police,tbf --rates 2mbit,64kbit --cc reno --seconds 9 --family 4,6"]
        {
            let decided = settings(line, guest);
            let told = settings(&decided.arguments().join(" "), Where::Host);
            assert_eq!(told, decided, "{line}");
        }
    }

    #[test]
    fn what_the_kernels_are_for() {
        let host = settings("", Where::Host);
        assert!(host.parts.contains(&Part::Cpu));
        assert_eq!((host.rates.len(), host.seconds_at(64_000)), (5, 60));
        let guest = settings("--quick", Where::Guest(crate::vm::kernel::Kernel::Uml612));
        assert_eq!(guest.rates, [64_000, 1_000_000]);
        assert!(!guest.parts.contains(&Part::Cpu) && !guest.parts.contains(&Part::Delay));
        assert_eq!(settings("--seconds 7", Where::Host).seconds_at(1_000_000_000), 7);
    }
}
