//! Lets the kernel tell senders how fast they may go, so that a limit that polices has next to nothing to drop.
//!
//! A container's sockets belong to its cgroup, wherever its interfaces are, and the limits of an interface know no
//! cgroup. So one program for all limits of a network namespace is attached to the root of the cgroups; which sockets
//! are meant, the limits' programs note (see `shaper-ebpf`'s `pacing`). What a socket is told stays until it is told
//! something else: at the end, a second program goes through all sockets and lets them go.

use std::{fs::File, io, path::Path};

use aya::{
    Btf, Ebpf,
    maps::{HashMap, Map, MapData},
    programs::{CgroupAttachMode, Iter, Program, SockOps, links::FdLink},
};
use shaper_common::layout::{PACE_PROGRAM, PACED_MAP, RELEASE_PROGRAM};

use crate::{
    error::chain,
    hook,
    kernel::{self, Kernel},
    netns, pod, release,
    spec::{Direction, Mode, Pacing},
    target,
};

/// Whether the senders behind an interface are to be told how fast they may go, if they can be. What waits in a queue
/// holds them back by itself; and only a container's end has a cap on its packets: without one they are long beside the
/// burst, and the debt tells no pace.
pub(crate) fn is_wanted(pacing: Pacing, mode: Mode, direction: Direction) -> bool {
    pacing == Pacing::Auto && mode == Mode::Police && direction == Direction::Upload
}

/// Paces the senders whose limits say so; says whether that is possible here, and warns once if not. The lock is held.
pub(crate) fn start(kernel: &Kernel) -> bool {
    kernel.paces(|| {
        let started = try_to_start(kernel);
        if let Err(cause) = &started {
            tracing::warn!("senders are not told how fast they may go, so more is dropped: {cause}");
        }
        started.is_ok()
    })
}

fn try_to_start(kernel: &Kernel) -> Result<(), String> {
    let pin = kernel.pins().pacing(kernel.build());
    if pin.exists() {
        return Ok(());
    }
    let mut ebpf = kernel.load().map_err(|error| error.to_string())?;
    let link = attach(&mut ebpf)?;
    let others = kernel.pins().pacings();
    link.pin(pin).map_err(|error| chain(&error))?;
    for other in others {
        hook::unpin(&other).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Whether senders could be paced here; nothing is left.
///
/// # Errors
///
/// Why not.
pub(crate) fn try_start() -> Result<(), String> {
    let mut ebpf = kernel::open_unpinned().map_err(|error| error.to_string())?;
    attach(&mut ebpf).map(drop)
}

fn attach(ebpf: &mut Ebpf) -> Result<FdLink, String> {
    let running = release::running();
    if !release::is_at_least(&running, release::PACING) {
        return Err(format!("it takes Linux 6.1, this is {running}"));
    }
    let root = target::unified()?;
    let cgroup = File::open(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    let program: &mut SockOps = program(ebpf, PACE_PROGRAM)?;
    program.load().map_err(|error| chain(&error))?;
    // A link leaves room for others' whatever its mode, and the kernel takes no flags with it.
    let link = program
        .attach(cgroup, CgroupAttachMode::Single)
        .and_then(|link| program.take_link(link))
        .map_err(|error| format!("{}: {}", root.display(), chain(&error)))?;
    FdLink::try_from(link).map_err(|error| chain(&error))
}

/// Lets all senders go as fast as they can; the limits are gone, and the program that would tell them goes with the pins.
/// The lock is held.
pub(crate) fn stop(kernel: &Kernel) {
    if kernel.pins().pacings().is_empty() || !has_told(&kernel.pins().map(PACED_MAP)) {
        return;
    }
    if let Err(cause) = let_go(kernel) {
        tracing::warn!("connections that are open keep the pace that they were told ({cause})");
    }
}

/// Whether any socket was ever noted.
fn has_told(pin: &Path) -> bool {
    let Ok(data) = MapData::from_pin(pin) else { return false };
    HashMap::<_, u64, pod::Paced>::try_from(Map::LruHashMap(data))
        .is_ok_and(|paced| paced.keys().next().is_some_and(|cookie| cookie.is_ok()))
}

fn let_go(kernel: &Kernel) -> Result<(), String> {
    let mut ebpf = kernel.load().map_err(|error| error.to_string())?;
    let types = Btf::from_sys_fs().map_err(|error| chain(&error))?;
    let program: &mut Iter = program(&mut ebpf, RELEASE_PROGRAM)?;
    program.load("tcp", &types).map_err(|error| chain(&error))?;
    for (path, namespace) in netns::visible() {
        let released = netns::run_in(&namespace, || go_through(program).map_err(io::Error::other));
        // It may have gone meanwhile, and its sockets with it.
        if let Err(error) = released {
            tracing::debug!("connections in {} keep their pace: {error}", path.display());
        }
    }
    Ok(())
}

/// Runs the program on all TCP sockets of the thread's network namespace.
fn go_through(program: &mut Iter) -> Result<(), String> {
    let link = program.attach().and_then(|link| program.take_link(link)).map_err(|error| chain(&error))?;
    let mut sockets = link.into_file().map_err(|error| chain(&error))?;
    io::copy(&mut sockets, &mut io::sink()).map(drop).map_err(|error| error.to_string())
}

fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, String>
where
    &'a mut T: TryFrom<&'a mut Program, Error = aya::programs::ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or_else(|| format!("the object holds no program `{name}`"))?;
    program.try_into().map_err(|error| chain(&error))
}
