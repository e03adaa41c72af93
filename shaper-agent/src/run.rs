//! What each command does.

use std::{
    io::{self, Write as _},
    path::Path,
};

use clap::CommandFactory as _;
use health::{PATIENCE, Question};
use tokio::runtime::{self, Runtime};

use crate::{
    agent::{Agent, Conduct},
    choice,
    cli::{Clear, Cli, Command, Hold, OptionalTarget, Run, Set, TargetArgs},
    config::Config,
    error::AgentError,
    generate,
    ledger::Ledger,
    pins::Pins,
    privileges,
    sites::Sites,
    spec::{Direction, Settings, Spec, Target},
    status,
};

/// Does what the command line says.
///
/// # Errors
///
/// What could not be done, and why.
pub fn run(cli: &Cli) -> Result<(), AgentError> {
    match &cli.command {
        None => hold(&cli.hold, &cli.bpffs),
        Some(Command::Set(options)) => set(options, &cli.bpffs),
        Some(Command::Status(options)) => status::run(options, &Pins::locate(&cli.bpffs)?),
        Some(Command::Clear(options)) => clear(options, &cli.bpffs),
        Some(Command::Run(options)) => run_config(options, &cli.bpffs),
        Some(Command::Check(options)) => crate::check::run(options, &cli.bpffs),
        Some(Command::Health(options)) => {
            Ok(health::ask(options.listen, Question::Http("/healthz"), PATIENCE)?)
        }
        Some(Command::Completions { shell }) => print(Ok(generate::completions(*shell, Cli::command()))),
        Some(Command::Man) => print(generate::manual(Cli::command())),
    }
}

fn print(generated: io::Result<Vec<u8>>) -> Result<(), AgentError> {
    generated
        .and_then(|text| io::stdout().write_all(&text))
        .map_err(|error| AgentError::System("write to standard output", error))
}

fn hold(options: &Hold, bpffs: &Path) -> Result<(), AgentError> {
    let target = target(&options.target)?;
    let spec = Spec { target, settings: options.settings.settings() };
    let runtime = runtime()?;
    if options.dry_run {
        return runtime.block_on(dry_run(&spec));
    }
    privileges::check()?;
    let conduct = Conduct {
        reporting: &options.reporting,
        keep: options.keep,
        exit_when_gone: options.exit_when_gone,
        wait: options.wait,
        go_on: false,
    };
    let agent = Agent::new(Pins::locate(bpffs)?, conduct);
    runtime.block_on(agent.run(&|| Ok(vec![spec.clone()])))
}

fn run_config(options: &Run, bpffs: &Path) -> Result<(), AgentError> {
    let runtime = runtime()?;
    let read = || Ok(Config::read(&options.config)?.into_limits());
    if options.dry_run {
        for spec in read()? {
            runtime.block_on(dry_run(&spec))?;
        }
        return Ok(());
    }
    privileges::check()?;
    let conduct = Conduct {
        reporting: &options.reporting,
        keep: options.keep,
        exit_when_gone: false,
        wait: true,
        go_on: true,
    };
    let agent = Agent::new(Pins::locate(bpffs)?, conduct);
    runtime.block_on(agent.run(&read))
}

/// Says what a limit would come to, and changes nothing.
async fn dry_run(spec: &Spec) -> Result<(), AgentError> {
    let site = Sites::default().find(&spec.target).await?;
    for direction in Direction::ALL {
        if let Some(rate) = spec.settings.rate(direction) {
            println!("{} {direction}, at {}:", spec.target, site.describe());
            for line in choice::foresee(&spec.settings, rate, direction, &site)? {
                println!("  {line}");
            }
        }
    }
    Ok(())
}

fn set(options: &Set, bpffs: &Path) -> Result<(), AgentError> {
    let target = target(&options.target)?;
    let wanted = [
        options.rate.is_some(),
        options.download.is_some(),
        options.burst.is_some(),
        options.latency.is_some(),
        options.overhead.is_some(),
        options.small_packet_reserve.is_some(),
    ];
    if !wanted.contains(&true) {
        return Err(AgentError::Usage("nothing to set; give --rate, --download, --burst, …".to_owned()));
    }
    privileges::check()?;
    let Some(mut ledger) = Ledger::open(&Pins::locate(bpffs)?)? else {
        return Err(AgentError::NoLimit(target.to_string()));
    };
    let slots = find(&ledger, &target)?;
    let mut changed = false;
    for slot in slots {
        let Some(record) = ledger.limits().find(|limit| limit.slot == slot).map(|limit| limit.record.clone())
        else {
            continue;
        };
        let old = record.settings();
        let rate = match record.direction {
            Direction::Upload => options.rate,
            Direction::Download => options.download,
        };
        let settings = Settings {
            upload: options.rate.or(old.upload),
            download: options.download.or(old.download),
            burst: options.burst.or(old.burst),
            latency: options.latency.or(old.latency),
            overhead: options.overhead.unwrap_or(old.overhead),
            reserve: options.small_packet_reserve.unwrap_or(old.reserve),
            ..old
        };
        // A rate that is given is for its direction alone; all else is for both.
        if rate.is_none() && !wanted[2..].contains(&true) {
            continue;
        }
        changed = true;
        let rate = settings.rate(record.direction).map_or_else(String::new, |rate| rate.to_string());
        if options.dry_run {
            println!("{}: would be limited to {rate}", record.title());
        } else {
            ledger.change(slot, &settings)?;
            println!("{}: limited to {rate} from now on", record.title());
        }
    }
    if changed {
        Ok(())
    } else {
        let direction = if options.rate.is_some() { Direction::Upload } else { Direction::Download };
        Err(AgentError::NoLimit(format!("{target} {direction}")))
    }
}

fn clear(options: &Clear, bpffs: &Path) -> Result<(), AgentError> {
    let target = cleared(&options.target)?;
    if !options.dry_run {
        privileges::check()?;
    }
    let pins = Pins::locate(bpffs)?;
    let ledger = match Ledger::open(&pins) {
        Err(AgentError::OtherVersion | AgentError::Map { .. }) if target.is_none() => {
            return clear_foreign(&pins, options.dry_run);
        }
        ledger => ledger?,
    };
    let Some(mut ledger) = ledger else {
        return match target {
            Some(target) => Err(AgentError::NoLimit(target.to_string())),
            None => Ok(()),
        };
    };
    let slots = match &target {
        Some(target) => find(&ledger, target)?,
        None => ledger.limits().map(|limit| limit.slot).collect(),
    };
    for slot in slots {
        let title = ledger.limits().find(|limit| limit.slot == slot).map(|limit| limit.record.title());
        let title = title.unwrap_or_default();
        if options.dry_run {
            println!("{title}: would be removed");
        } else {
            ledger.remove(slot)?;
            println!("{title}: the limit is removed");
        }
    }
    if options.dry_run { Ok(()) } else { ledger.close() }
}

/// Removes the pins of an agent with other maps, and so its limits.
fn clear_foreign(pins: &Pins, dry_run: bool) -> Result<(), AgentError> {
    println!("limits of another version of shaper-agent{}", if dry_run { ": would be removed" } else { "" });
    if dry_run {
        return Ok(());
    }
    let lock = pins.lock()?;
    crate::queue::remove_all()?;
    pins.remove()?;
    drop(lock);
    pins.release();
    Ok(())
}

/// The slots of a target's limits, which must be there.
fn find(ledger: &Ledger, target: &Target) -> Result<Vec<u32>, AgentError> {
    let slots = ledger.of(target);
    if slots.is_empty() { Err(AgentError::NoLimit(target.to_string())) } else { Ok(slots) }
}

fn target(arguments: &TargetArgs) -> Result<Target, AgentError> {
    arguments.target()?.ok_or_else(|| AgentError::Usage("no target; give --iface, --container, …".to_owned()))
}

/// The one target to clear, or none for all.
fn cleared(arguments: &OptionalTarget) -> Result<Option<Target>, AgentError> {
    let OptionalTarget { iface, container, pid, netns, cgroup, all: _ } = arguments.clone();
    Ok(TargetArgs { iface, container, pid, netns, cgroup }.target()?)
}

fn runtime() -> Result<Runtime, AgentError> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| AgentError::System("start the event loop", error))
}
