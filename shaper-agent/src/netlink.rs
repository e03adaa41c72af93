//! Questions and orders to the kernel's routing socket.

use std::{cell::RefCell, io};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Asks and returns what the kernel answers before it acknowledges.
pub(crate) fn request(message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    exchange(message, NLM_F_REQUEST | NLM_F_ACK)
}

/// Orders the kernel to make an object that is not there yet.
pub(crate) fn create(message: RouteNetlinkMessage) -> io::Result<()> {
    exchange(message, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL).map(drop)
}

/// Asks for every object that fits.
pub(crate) fn dump(message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    exchange(message, NLM_F_REQUEST | NLM_F_DUMP)
}

thread_local! {
    /// One socket a thread: a thread in another namespace needs its own, and closing one takes milliseconds.
    static SOCKET: RefCell<Option<Socket>> = const { RefCell::new(None) };
}

fn exchange(message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
    SOCKET.with_borrow_mut(|kept| {
        let mut socket = match kept.take() {
            Some(socket) => socket,
            None => open()?,
        };
        // A conversation that failed may leave half an answer, which the next question would get: that socket goes.
        let answers = ask(&mut socket, message, flags)?;
        *kept = Some(socket);
        answers
    })
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// The outer result is of the conversation, the inner one the kernel's answer.
fn ask(
    socket: &mut Socket,
    message: RouteNetlinkMessage,
    flags: u16,
) -> io::Result<io::Result<Vec<RouteNetlinkMessage>>> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut answers = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            // Messages are padded to four bytes.
            let length = (answer.header.length as usize).next_multiple_of(4).min(rest.len());
            if length == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the kernel sent a message of no length",
                ));
            }
            rest = &rest[length..];
            match answer.payload {
                NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                NetlinkPayload::Done(_) => return Ok(Ok(answers)),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(Ok(answers)),
                NetlinkPayload::Error(error) => return Ok(Err(error.to_io())),
                _ => {}
            }
        }
    }
}
