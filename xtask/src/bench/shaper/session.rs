//! The measurements on the kernel that this program runs on, one batch after another.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};

use super::cell::{Cell, Finding, Outcome};
use super::contender::Contender;
use super::lane::{self, Lane};
use super::limit::Limit;
use super::pair::{Family, Pair, Path};
use super::part::Part;
use super::plan::Batch;
use super::programs::Programs;
use super::results::NotHere;
use super::{change, program};
use crate::interrupt::{Interrupt, Interrupted};
use crate::terminal::StatusLine;

/// The rate at which it is tried whether a limit can be set.
const TRIAL: u64 = 1_000_000;

/// Tries which contenders this machine can run, and says why not for the others.
///
/// # Errors
///
/// If no path can be made at all.
pub fn probe(contenders: &[Contender], programs: &Programs) -> Result<(Vec<Contender>, Vec<NotHere>)> {
    let (mut here, mut not_here) = (Vec::new(), Vec::new());
    for &contender in contenders {
        let pair = Pair::create(Path { family: Family::V4, ecn: false, delay: Duration::ZERO })?;
        match Limit::set(contender, &pair, TRIAL, programs).and_then(Limit::remove) {
            Ok(()) => here.push(contender),
            Err(error) => not_here.push(NotHere { what: contender.to_string(), why: format!("{error:#}") }),
        }
    }
    Ok((here, not_here))
}

/// Whether a path can be given a round trip; why not, if it cannot.
pub fn probe_delay() -> Option<NotHere> {
    let path = Path { family: Family::V4, ecn: false, delay: Duration::from_millis(1) };
    let error = Pair::create(path).err()?;
    Some(NotHere { what: Part::Delay.to_string(), why: format!("{error:#}") })
}

/// Whether the kernel has a congestion control; why not, if it lacks it. One that is a module is loaded by this, and not by
/// several uploads that begin at once, of which some would be refused meanwhile.
pub fn probe_congestion(control: &str) -> Option<NotHere> {
    let set = || -> Result<()> {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(setsockopt(&socket, sockopt::TcpCongestion, &OsString::from(control))?)
    };
    let error = set().err()?;
    Some(NotHere {
        what: control.to_owned(),
        why: format!("this kernel has no such congestion control: {error:#}"),
    })
}

/// Measures the batches. After a signal, gives what was measured until then.
pub fn measure(batches: &[Batch], programs: &Programs, interrupt: &Interrupt) -> Vec<Outcome> {
    let (begin, mut status, mut outcomes) = (Instant::now(), StatusLine::default(), Vec::new());
    let total: Duration = batches.iter().map(Batch::takes).sum();
    for batch in batches {
        if interrupt.is_set() {
            break;
        }
        status.show(&format!(
            "   {} of about {}: {batch}",
            crate::clock::minutes(begin.elapsed()),
            crate::clock::minutes(total)
        ));
        outcomes.extend(measure_batch(batch.cells(), programs, interrupt));
    }
    outcomes
}

/// Measures cells at the same time. Everything is set up before the first packet is sent and taken down after the
/// last one, because starting programs takes processor time.
fn measure_batch(cells: &[Cell], programs: &Programs, interrupt: &Interrupt) -> Vec<Outcome> {
    let mut ready: Vec<(&Cell, Result<Lane>)> = Vec::new();
    let mut outcomes = Vec::new();
    for cell in cells {
        let finding = match cell.part {
            Part::Change => change::measure(cell, programs, interrupt),
            Part::Program => program::measure(cell, programs),
            _ => {
                ready.push((cell, Lane::prepare(cell, programs)));
                continue;
            }
        };
        outcomes.extend(outcome(cell, finding));
    }
    let sent: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = ready
            .iter()
            .map(|(cell, lane)| {
                let pair = lane.as_ref().ok().map(|lane| &lane.pair);
                pair.map(|pair| scope.spawn(|| lane::send(pair, &cell.load(), interrupt)))
            })
            .collect();
        threads.into_iter().map(|thread| thread.map(std::thread::ScopedJoinHandle::join)).collect()
    });
    for ((cell, lane), sent) in ready.into_iter().zip(sent) {
        let finding = match (lane, sent) {
            (Err(error), _) => Err(error),
            (Ok(lane), Some(Ok(sent))) => sent.and_then(|sent| lane.finish(cell, &sent)),
            (Ok(_), _) => Err(anyhow::anyhow!("a thread panicked")),
        };
        outcomes.extend(outcome(cell, finding.map(|traffic| Finding::Traffic(Box::new(traffic)))));
    }
    outcomes
}

/// A failure is a finding too; an interruption is none.
fn outcome(cell: &Cell, finding: Result<Finding>) -> Option<Outcome> {
    let finding = match finding {
        Ok(finding) => finding,
        Err(error) if error.is::<Interrupted>() => return None,
        Err(error) => Finding::Failed(format!("{error:#}")),
    };
    Some(Outcome { cell: cell.clone(), finding })
}
