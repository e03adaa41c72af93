//! Whether packets wait or are dropped, and what that comes to.

use shaper_common::units::Rate;

use crate::{
    error::AgentError,
    hook,
    kernel::Kernel,
    limit::Wanted,
    plan::Plan,
    queue,
    record::Queue,
    site::Site,
    spec::{Direction, Mode, Settings},
};

/// Chooses the mode and makes the queue that it needs. Says why, if the user left the choice.
///
/// # Errors
///
/// The mode that was asked for cannot be, or the settings make no limit.
pub(crate) fn choose(
    kernel: &Kernel,
    wanted: Wanted<'_>,
    site: &Site,
) -> Result<(Mode, Option<Queue>, String, Plan), AgentError> {
    let Wanted { direction, rate, settings, .. } = wanted;
    let plan = |mode| Plan::new(settings, rate, direction, site.interface(), mode);
    let police = |reason: String| Ok((Mode::Police, None, reason, plan(Mode::Police)?));
    let interface = match (settings.mode, site) {
        (Mode::Police, _) => return police("asked for".to_owned()),
        (Mode::Shape, Site::Cgroup(..)) => {
            return Err(AgentError::Unsupported {
                what: "mode shape at a cgroup".to_owned(),
                cause: "there is no queue at a cgroup's egress".to_owned(),
                next: "use --mode police or auto",
            });
        }
        (Mode::Auto, Site::Cgroup(..)) => {
            return police("there is no queue at a cgroup's egress".to_owned());
        }
        (Mode::Auto | Mode::Shape, Site::Interface(interface)) => interface,
    };
    if settings.mode == Mode::Auto && direction == Direction::Upload {
        let (others, ours) = (hook::full_chain(interface, direction)?, kernel.ours(direction));
        if let Some(other) = others.iter().find(|entry| !ours.is(entry)) {
            return police(format!("`{}` on the same hook would not see packets that wait", other.name));
        }
    }
    let shape = plan(Mode::Shape)?;
    match queue::make(interface, direction) {
        Ok(queue) => {
            let reason = if settings.mode == Mode::Auto { "the kernel has fq" } else { "asked for" };
            Ok((Mode::Shape, Some(queue), reason.to_owned(), shape))
        }
        Err(error) if settings.mode == Mode::Auto => match error {
            AgentError::Unsupported { what, cause, .. } => police(format!("no {what}: {cause}")),
            error => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// What attaching would come to, in lines for people. Nothing is made: whether the kernel has a queue is found out only by
/// making one.
///
/// # Errors
///
/// The settings make no limit.
pub(crate) fn foresee(
    settings: &Settings,
    rate: Rate,
    direction: Direction,
    site: &Site,
) -> Result<Vec<String>, AgentError> {
    let plan =
        |mode| Plan::new(settings, rate, direction, site.interface(), mode).map(|plan| plan.to_string());
    Ok(match (settings.mode, site) {
        (Mode::Police, _) | (Mode::Auto, Site::Cgroup(..)) => vec![plan(Mode::Police)?],
        (Mode::Shape, _) => vec![plan(Mode::Shape)?],
        (Mode::Auto, Site::Interface(_)) => {
            vec![plan(Mode::Shape)?, format!("or, where the kernel has no fq: {}", plan(Mode::Police)?)]
        }
    })
}
