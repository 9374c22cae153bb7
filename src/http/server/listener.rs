//! Listening sockets that pass from one process to the next without a connection refused.
//!
//! Either systemd keeps the socket and passes it to each process (`LISTEN_FDS`), or the next process
//! binds the same port while this one still listens (`SO_REUSEPORT`).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use listenfd::ListenFd;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tracing::warn;

/// Length of the queue of new connections.
const BACKLOG: i32 = 1024;

/// Time for connections that are being opened when a socket ends. A round trip to a proxy, or to a
/// client nearby.
const OPENING_TIME: Duration = Duration::from_millis(200);

/// A listening socket.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    is_inherited: bool,
}

/// Sockets that systemd has opened for this process, in the order of its unit.
pub struct Inherited {
    sockets: ListenFd,
    taken: usize,
}

impl Inherited {
    /// Finds them by the variables `LISTEN_FDS` and `LISTEN_PID`.
    pub fn find() -> Self {
        Self { sockets: ListenFd::from_env(), taken: 0 }
    }

    /// Takes the next socket, or binds an address if there is none. `is_handover`: whether the port may
    /// be that of a process that this one replaces.
    pub fn next_or_bind(&mut self, address: SocketAddr, is_handover: bool) -> io::Result<Listener> {
        let inherited = self.sockets.take_tcp_listener(self.taken)?;
        self.taken += 1;
        let is_inherited = inherited.is_some();
        let socket = match inherited {
            Some(socket) => socket,
            None => bind(address, is_handover)?.into(),
        };
        socket.set_nonblocking(true)?;
        Ok(Listener { socket: TcpListener::from_std(socket)?, is_inherited })
    }
}

/// Binds an address, and lets a later process of the same user bind it too.
///
/// A port in use is an error unless `is_handover`: two installations on one port would each get half of
/// the webhooks.
fn bind(address: SocketAddr, is_handover: bool) -> io::Result<Socket> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        io::Result::Ok(socket)
    };
    let mut socket = open()?;
    match socket.bind(&address.into()) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_handover => {
            socket = open()?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
        }
        bound => bound.and_then(|()| socket.set_reuse_port(true))?,
    }
    socket.listen(BACKLOG)?;
    Ok(socket)
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self { socket, is_inherited: false }
    }
}

impl Listener {
    /// Returns when the socket can be closed without refusing a connection that another process would
    /// accept. Connections have to be accepted meanwhile.
    ///
    /// The kernel chooses one of several sockets when a connection begins, and resets those of a socket
    /// that is closed. So new ones are ignored first: clients repeat their first packet after a second,
    /// and then it goes to the other process.
    pub async fn end(&self) {
        // What waits in the queue of an inherited socket is for the next process.
        if self.is_inherited {
            return;
        }
        match ignore_new_connections(&self.socket) {
            Ok(()) => sleep(OPENING_TIME).await,
            Err(error) => warn!(%error, "connections may be refused while the port is closed"),
        }
    }
}

/// Lets the kernel drop packets that open a connection.
#[cfg(target_os = "linux")]
fn ignore_new_connections(socket: &TcpListener) -> io::Result<()> {
    use socket2::SockFilter;
    // Classic BPF on the TCP header: its flags, of which SYN without ACK opens a connection.
    SockRef::from(socket).attach_filter(&[
        SockFilter::new(0x30, 0, 0, 13),
        SockFilter::new(0x54, 0, 0, 0x12),
        SockFilter::new(0x15, 0, 1, 0x02),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
fn ignore_new_connections(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
