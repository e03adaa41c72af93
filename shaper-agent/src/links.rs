//! News of network interfaces: which come, go or change.

use std::io;

use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};

use crate::error::AgentError;

/// `RTNLGRP_LINK`: additions, changes and removals of interfaces.
const GROUP: u32 = 1;

/// Wakes whenever an interface of this network namespace has come, gone or changed.
pub(crate) struct Links {
    socket: TokioSocket,
}

impl Links {
    /// Subscribes.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub(crate) fn subscribe() -> Result<Self, AgentError> {
        let failed = |error: io::Error| AgentError::System("listen for news of interfaces", error);
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 0)).map_err(failed)?;
        socket.socket_mut().add_membership(GROUP).map_err(failed)?;
        Ok(Self { socket })
    }

    /// Waits for news. What they are is for the caller to look up: some may be lost, and several come as one.
    pub(crate) async fn changed(&mut self) {
        // An error is an overrun: news were lost, so there are some.
        let _ = self.socket.recv_from_full().await;
    }
}
