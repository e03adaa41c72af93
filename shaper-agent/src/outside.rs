//! What others are told of the agent's limits while it holds them: Prometheus over HTTP, and systemd.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    error::AgentError,
    metrics::{Server, Snapshot},
    notify::Notifier,
};

/// Those who want to know.
pub(crate) struct Outside {
    manager: Notifier,
    served: Option<Served>,
}

struct Served {
    snapshots: watch::Sender<Arc<Snapshot>>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Outside {
    /// Serves metrics on an address, if one is given.
    ///
    /// # Errors
    ///
    /// The address cannot be had.
    pub(crate) async fn new(address: Option<SocketAddr>) -> Result<Self, AgentError> {
        let served = match address {
            None => None,
            Some(address) => {
                let (snapshots, latest) = watch::channel(Arc::default());
                let server = Server::listen(address, latest).await?;
                tracing::info!("serving metrics on http://{}/metrics", server.address());
                let (stop, stopped) = oneshot::channel();
                let server = tokio::spawn(server.run(async {
                    // That the sender is gone means the same.
                    let _ = stopped.await;
                }));
                Some(Served { snapshots, stop, server })
            }
        };
        Ok(Self { manager: Notifier::from_env(), served })
    }

    /// Whether anybody asks for snapshots.
    pub(crate) fn is_served(&self) -> bool {
        self.served.is_some()
    }

    /// The limits as they are now.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        if let Some(served) = &self.served {
            served.snapshots.send_replace(Arc::new(snapshot));
        }
    }

    /// The service manager.
    pub(crate) fn manager(&self) -> &Notifier {
        &self.manager
    }

    /// Ticks whenever the service manager wants a sign of life; never if it does not.
    pub(crate) fn watchdog(&self) -> Watchdog {
        Watchdog(self.manager.watchdog().map(|period: Duration| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        }))
    }

    /// Stops serving.
    pub(crate) async fn close(self) {
        if let Some(Served { stop, server, .. }) = self.served {
            // A server that has failed is closed already.
            let _ = stop.send(());
            let _ = server.await;
        }
    }
}

/// Times for signs of life.
pub(crate) struct Watchdog(Option<Interval>);

impl Watchdog {
    pub(crate) async fn tick(&mut self) {
        match &mut self.0 {
            Some(ticks) => {
                ticks.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}
