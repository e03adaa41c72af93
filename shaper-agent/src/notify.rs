//! Tells systemd how the service is: the protocol of `sd_notify(3)`, without its library.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};

/// Where the service manager listens; none outside of one. Telling it nothing is no fault: what cannot be sent is
/// logged and forgotten.
#[derive(Debug)]
pub struct Notifier {
    manager: Option<Manager>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// The service manager that has started this process, by `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    #[must_use]
    pub fn from_env() -> Self {
        let get = |name: &str| env::var_os(name);
        Self::from_variables(
            get("NOTIFY_SOCKET").as_deref(),
            get("WATCHDOG_USEC").as_deref(),
            get("WATCHDOG_PID").as_deref(),
        )
    }

    fn from_variables(socket: Option<&OsStr>, watchdog: Option<&OsStr>, watched: Option<&OsStr>) -> Self {
        let manager = socket.and_then(|name| match Manager::new(name) {
            Ok(manager) => Some(manager),
            Err(error) => {
                tracing::warn!(
                    "cannot tell the service manager anything: NOTIFY_SOCKET={}: {error}",
                    name.display()
                );
                None
            }
        });
        let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
        // Without WATCHDOG_PID it is for whoever reads it.
        let ours = watched.is_none_or(|pid| number(pid) == Some(u64::from(std::process::id())));
        let timeout = watchdog.filter(|_| ours).and_then(number).filter(|us| *us > 0);
        let watchdog = manager.is_some().then_some(timeout).flatten().map(|us| Duration::from_micros(us) / 2);
        Self { manager, watchdog }
    }

    /// How often [`Notifier::alive`] must be called, half of what the manager waits; none if it does not watch.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The service is up, or done with a reload. `status` is one line for people.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The service reads its configuration again; [`Notifier::ready`] ends it.
    pub fn reloading(&self) {
        let mut message = "RELOADING=1".to_owned();
        match clock_gettime(ClockId::CLOCK_MONOTONIC) {
            // By it the manager tells this reload from an earlier one.
            Ok(now) => {
                let usec = Duration::from(now).as_micros();
                // Writing to a String cannot fail.
                write!(message, "\nMONOTONIC_USEC={usec}").unwrap_or_default();
            }
            Err(error) => tracing::debug!("cannot read the monotonic clock: {error}"),
        }
        self.send(&message);
    }

    /// What the service does, in one line for people (`systemctl status` shows it).
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// The service is about to end.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// The service is alive.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        let Some(Manager { socket, address }) = &self.manager else { return };
        match socket.send_to_addr(message.as_bytes(), address) {
            Ok(_) => tracing::trace!("told the service manager {message:?}"),
            Err(error) => tracing::debug!("cannot tell the service manager {message:?}: {error}"),
        }
    }
}

impl Manager {
    fn new(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "only /PATH and @NAME are known")),
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold the limits up.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service manager's socket and a notifier that talks to it.
    fn manager(address: &SocketAddr, name: &str) -> (UnixDatagram, Notifier) {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        (socket, Notifier::from_variables(Some(OsStr::new(name)), None, None))
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn tells(socket: &UnixDatagram, notifier: &Notifier) {
        notifier.ready("500 limits\nREADY=0");
        assert_eq!(received(socket), "READY=1\nSTATUS=500 limits READY=0");
        notifier.status("499 of 500 limits in force");
        assert_eq!(received(socket), "STATUS=499 of 500 limits in force");
        let now = || Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_micros();
        let before = now();
        notifier.reloading();
        let message = received(socket);
        let usec: u128 = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((before..=now()).contains(&usec), "{message}");
        notifier.alive();
        assert_eq!(received(socket), "WATCHDOG=1");
        notifier.stopping();
        assert_eq!(received(socket), "STOPPING=1");
    }

    #[test]
    fn a_manager_with_a_path_hears_everything() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let address = SocketAddr::from_pathname(&path).unwrap();
        let (socket, notifier) = manager(&address, path.to_str().unwrap());
        tells(&socket, &notifier);
    }

    #[test]
    fn a_manager_with_an_abstract_name_hears_everything() {
        let name = format!("sluice-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let (socket, notifier) = manager(&address, &format!("@{name}"));
        tells(&socket, &notifier);
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        for name in [None, Some("/no/such/socket"), Some(""), Some("vsock:2:1234"), Some("relative")] {
            let notifier = Notifier::from_variables(name.map(OsStr::new), Some(OsStr::new("1000")), None);
            notifier.ready("");
            notifier.reloading();
            notifier.stopping();
        }
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nothing_up() {
        let name = format!("sluice-deaf-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let (socket, notifier) = manager(&address, &format!("@{name}"));
        for _ in 0..10_000 {
            notifier.alive();
        }
        assert_eq!(received(&socket), "WATCHDOG=1");
    }

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_it_wants() {
        let own = std::process::id().to_string();
        let cases = [
            (Some("30000000"), None, Some(Duration::from_secs(15))),
            (Some("30000000"), Some(own.as_str()), Some(Duration::from_secs(15))),
            (Some("30000000"), Some("1"), None),
            (Some("30000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, Some(own.as_str()), None),
        ];
        for (usec, pid, expected) in cases {
            let notifier =
                Notifier::from_variables(Some(OsStr::new("@x")), usec.map(OsStr::new), pid.map(OsStr::new));
            assert_eq!(notifier.watchdog(), expected, "{usec:?} {pid:?}");
        }
        // Nobody would hear it.
        assert_eq!(Notifier::from_variables(None, Some(OsStr::new("30000000")), None).watchdog(), None);
    }
}
