//! Sockets that never block us: connecting, and waiting for them in short slices.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, ipproto, sockopt};

use super::Error;

/// How long any wait lasts before we look whether to go on.
pub(super) const SLICE: Duration = Duration::from_millis(50);

/// Asked between any two waits whether to go on.
pub(super) type GoOn<'a> = &'a mut dyn FnMut() -> Result<(), Error>;

/// The address of `host`, which is an address nearly always.
pub(super) fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    (host, port).to_socket_addrs()?.next().ok_or_else(none)
}

/// Begins to connect; the socket becomes writable when that is settled.
pub(super) fn begin(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(e) => return Err(e.into()),
    }
    let stream = TcpStream::from(socket);
    // Keystrokes must not wait for the acknowledgement of the former ones.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How a connection that was begun ended: `Ok` when it stands.
pub(super) fn settled(stream: &TcpStream) -> io::Result<()> {
    Ok(sockopt::socket_error(stream)??)
}

/// Connects; gives up when `go_on` says so.
pub(super) fn connect(host: &str, port: u16, go_on: GoOn<'_>) -> Result<io::Result<TcpStream>, Error> {
    let stream = match resolve(host, port).and_then(begin) {
        Ok(stream) => stream,
        Err(e) => return Ok(Err(e)),
    };
    loop {
        go_on()?;
        if !wait(&mut [PollFd::new(&stream, PollFlags::OUT)], SLICE).is_empty() {
            return Ok(settled(&stream).map(|()| stream));
        }
    }
}

/// Waits for any of `fds`, at most `time`; returns which of them are ready.
pub(super) fn wait(fds: &mut [PollFd<'_>], time: Duration) -> Vec<usize> {
    let time = Timespec::try_from(time).ok();
    // An interrupted wait is a short wait.
    match poll(fds, time.as_ref()) {
        Ok(1..) => fds.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty()).map(|(i, _)| i).collect(),
        _ => Vec::new(),
    }
}

/// Waits until `fd` takes more, at most a slice.
pub(super) fn wait_writable(fd: BorrowedFd<'_>) {
    wait(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], SLICE);
}

/// What lies ready to be read, without taking it away; empty at the end of the stream.
pub(super) fn peek<'b>(stream: &TcpStream, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let (_, length) = rustix::net::recv(stream, &mut *buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(&buffer[..length.min(buffer.len())])
}
