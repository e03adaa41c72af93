//! The kernel program in force: its maps, its counters, its place on the hook.

use std::time::Duration;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapError, PerCpuArray},
    programs::SchedClassifier,
};
use aya_log::{EbpfLogger, Level};
use nix::time::{ClockId, clock_gettime};
use shaper_common::{
    bucket::{TICK_SHIFT, ticks},
    layout::{self, CONFIG_MAP, COUNTERS_MAP, PROGRAM, STATE_MAP},
};

use crate::{
    OBJECT,
    cli::Hook,
    error::{AgentError, chain},
    holder,
    hook::{self, Attachment},
    interface::Interface,
    plan::Plan,
    pod,
};

/// Below every level of the kernel program's messages: the verifier then removes their code.
const SILENT: u8 = 0;

/// Reads the kernel program's messages and hands them to the `log` crate.
pub(crate) type KernelLog = EbpfLogger<&'static dyn log::Log>;

/// A limit in force. Dropping it removes it as well, but only [`Limit::detach`] says if that fails.
#[derive(Debug)]
pub struct Limit {
    attachment: Attachment,
    ebpf: Ebpf,
    interface: Interface,
    program: u32,
}

impl Limit {
    /// Loads the program, tells it the plan, attaches it and makes sure that the kernel runs it.
    ///
    /// `verbose` lets the program report each packet that it drops, through a ring buffer.
    ///
    /// # Errors
    ///
    /// Another agent limits the interface, or the kernel refuses the program or the hook. Nothing is left attached.
    pub fn attach(plan: &Plan, hook: Hook, verbose: bool) -> Result<Self, AgentError> {
        let interface = plan.interface.clone();
        let tcx = hook::tcx_chain(&interface.name);
        hook::refuse_second(&interface, tcx.as_deref().unwrap_or_default())?;

        let mut ebpf = load(plan, verbose)?;
        let program = classifier(&mut ebpf)?;
        program.load().map_err(|error| AgentError::Load(chain(&error)))?;
        let id = program.info().map_err(|error| AgentError::Load(chain(&error)))?.id();
        let attachment = match (hook, tcx) {
            (Hook::Auto | Hook::Tcx, Ok(_)) => hook::attach_tcx(program, &interface)?,
            (Hook::Tcx, Err(error)) => {
                let cause = format!("this kernel has no TCX hook ({}); use --attach clsact", chain(&error));
                return Err(AgentError::Attach { iface: interface.name, cause });
            }
            (Hook::Clsact, _) | (Hook::Auto, Err(_)) => hook::attach_clsact(program, &interface)?,
        };
        let limit = Self { attachment, ebpf, interface, program: id };
        match limit.verify() {
            Ok(()) => Ok(limit),
            Err(error) => {
                limit.detach()?;
                Err(error)
            }
        }
    }

    /// The kernel's number of the program.
    #[must_use]
    pub fn program(&self) -> u32 {
        self.program
    }

    /// The hook that the program is on: `tcx` or `clsact`.
    #[must_use]
    pub fn hook(&self) -> &'static str {
        self.attachment.name()
    }

    /// What the program has counted on all CPUs.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn counters(&self) -> Result<layout::Counters, AgentError> {
        let map: PerCpuArray<_, pod::Counters> = open(self.ebpf.map(COUNTERS_MAP), COUNTERS_MAP)?;
        let cpus = map.get(&0, 0).map_err(|error| unreachable_map(COUNTERS_MAP, &error))?;
        Ok(layout::Counters::sum(cpus.iter().map(|cpu| &cpu.0)))
    }

    /// How long the container would have to be silent for the bucket to be full again.
    ///
    /// # Errors
    ///
    /// The map or the clock cannot be read.
    pub fn debt(&self) -> Result<Duration, AgentError> {
        let map: Array<_, u64> = open(self.ebpf.map(STATE_MAP), STATE_MAP)?;
        let arrival = map.get(&0, 0).map_err(|error| unreachable_map(STATE_MAP, &error))?;
        // The clock of bpf_ktime_get_ns.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_err(|error| AgentError::System("read the monotonic clock", error.into()))?;
        let now = ticks(Duration::from(now).as_nanos() as u64);
        Ok(Duration::from_nanos(arrival.saturating_sub(now) >> TICK_SHIFT))
    }

    /// The reader of the kernel program's messages; none if they are off.
    pub(crate) fn kernel_log(&mut self) -> Option<KernelLog> {
        EbpfLogger::init(&mut self.ebpf)
            .inspect_err(|error| tracing::warn!("no messages from the kernel program: {}", chain(error)))
            .ok()
    }

    /// Fails unless the kernel still runs the program on the interface.
    ///
    /// # Errors
    ///
    /// [`AgentError::InterfaceGone`], [`AgentError::Removed`], or the kernel does not say.
    pub fn check(&self) -> Result<(), AgentError> {
        if self.chain()?.contains(&self.program) {
            Ok(())
        } else {
            Err(AgentError::Removed(self.interface.name.clone()))
        }
    }

    /// Removes the limit.
    ///
    /// # Errors
    ///
    /// The kernel refuses. That the interface is gone is no error: the limit went with it.
    pub fn detach(self) -> Result<(), AgentError> {
        let Self { attachment, ebpf: _, interface, program: _ } = self;
        match attachment.remove(&interface) {
            Err(_) if interface.current_name().is_none() => Ok(()),
            result => result,
        }
    }

    /// Makes sure that the program is in force, and warns of those that run before it.
    fn verify(&self) -> Result<(), AgentError> {
        let chain = self.chain()?;
        let Some(position) = chain.iter().position(|id| *id == self.program) else {
            return Err(AgentError::NotInForce(self.interface.name.clone()));
        };
        for before in &chain[..position] {
            tracing::warn!(
                "{} runs before the limit on `{}`: what it accepts, redirects or drops is not limited",
                holder::describe(*before),
                self.interface.name
            );
        }
        Ok(())
    }

    /// The programs up to and on the hook. The interface may have been renamed since it was found.
    fn chain(&self) -> Result<Vec<u32>, AgentError> {
        let gone = || AgentError::InterfaceGone(self.interface.name.clone());
        let name = self.interface.current_name().ok_or_else(gone)?;
        let chain = self.attachment.chain(&Interface { name, ..self.interface.clone() });
        // It may go between the two calls.
        if self.interface.current_name().is_none() { Err(gone()) } else { chain }
    }
}

/// Loads the object and tells it the plan, before it can see a packet.
fn load(plan: &Plan, verbose: bool) -> Result<Ebpf, AgentError> {
    let level = if verbose { Level::Debug as u8 } else { SILENT };
    let mut ebpf = EbpfLoader::new()
        .override_global(aya_log::LEVEL, &level, true)
        .load(OBJECT)
        .map_err(|error| AgentError::Load(chain(&error)))?;
    let mut config: Array<_, pod::Config> = open(ebpf.map_mut(CONFIG_MAP), CONFIG_MAP)?;
    config.set(0, pod::Config(plan.config()), 0).map_err(|error| unreachable_map(CONFIG_MAP, &error))?;
    Ok(ebpf)
}

fn classifier(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, AgentError> {
    ebpf.program_mut(PROGRAM)
        .ok_or_else(|| AgentError::Load(format!("the object holds no program `{PROGRAM}`")))?
        .try_into()
        .map_err(|error| AgentError::Load(chain(&error)))
}

/// A map of the object as the type that it has.
fn open<M, T: TryFrom<M, Error = MapError>>(map: Option<M>, name: &'static str) -> Result<T, AgentError> {
    let missing = || AgentError::Map { name, cause: "the object does not hold it".to_owned() };
    map.ok_or_else(missing)?.try_into().map_err(|error| unreachable_map(name, &error))
}

fn unreachable_map(name: &'static str, error: &MapError) -> AgentError {
    AgentError::Map { name, cause: chain(error) }
}
