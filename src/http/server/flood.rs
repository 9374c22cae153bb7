//! Closes HTTP/2 connections that send too many control frames.
//!
//! h2 answers every SETTINGS and PING, and has no limit on them: a client can keep a core busy
//! without a single request. Frames are counted where bytes are read from the socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::telemetry::fault::Fault;

/// Maximum control frames per [`WINDOW`]. A usual client sends one for each of its requests at most.
const MAX_FRAMES: u32 = 1000;

/// Time over which frames are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// First bytes of an HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Size of a frame's head: length, type, flags and stream.
const HEAD_BYTES: usize = 9;

static FLOOD: Fault = Fault::warn("too many HTTP/2 control frames, closing connections");

/// A client's connection whose control frames are limited.
pub struct FloodGuard {
    stream: TcpStream,
    frames: FrameCounter,
}

impl FloodGuard {
    /// Limits the control frames of a connection, whatever its protocol.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, frames: FrameCounter::new(Instant::now()) }
    }
}

impl AsyncRead for FloodGuard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if self.frames.is_flood(&buffer.filled()[start..]) {
            counter!("qontak_receiver_connections_flooded_total").increment(1);
            FLOOD.occurred(format_args!("more than {MAX_FRAMES} in {WINDOW:?}"));
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FloodGuard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Finds the heads of frames in the bytes of a connection.
struct FrameCounter {
    place: Place,
    frames: u32,
    window_began: Instant,
}

/// What the next byte belongs to.
enum Place {
    /// The preface, of which so many bytes were read.
    Preface(usize),
    /// A head, of which so many bytes were read.
    Head([u8; HEAD_BYTES], usize),
    /// A payload, of which so many bytes are left.
    Payload(usize),
    /// Not HTTP/2.
    Other,
}

impl FrameCounter {
    const fn new(now: Instant) -> Self {
        Self { place: Place::Preface(0), frames: 0, window_began: now }
    }

    /// Whether these bytes, the next ones of the connection, exceed the limit.
    fn is_flood(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let used = match &mut self.place {
                Place::Other => return false,
                Place::Preface(read) => {
                    let expected = &PREFACE[*read..];
                    let used = bytes.len().min(expected.len());
                    *read += used;
                    if bytes[..used] != expected[..used] {
                        self.place = Place::Other;
                    } else if *read == PREFACE.len() {
                        self.place = Place::Head([0; HEAD_BYTES], 0);
                    }
                    used
                }
                Place::Head(head, read) => {
                    let used = bytes.len().min(HEAD_BYTES - *read);
                    head[*read..*read + used].copy_from_slice(&bytes[..used]);
                    *read += used;
                    if *read == HEAD_BYTES {
                        let [a, b, c, kind, ..] = *head;
                        self.place = Place::Payload(u32::from_be_bytes([0, a, b, c]) as usize);
                        self.frames += u32::from(is_control(kind));
                    }
                    used
                }
                Place::Payload(left) => {
                    let used = bytes.len().min(*left);
                    *left -= used;
                    used
                }
            };
            if matches!(self.place, Place::Payload(0)) {
                self.place = Place::Head([0; HEAD_BYTES], 0);
            }
            bytes = &bytes[used..];
        }
        if self.frames > MAX_FRAMES {
            // The clock is read only here, so that usual traffic does not pay for it.
            if self.window_began.elapsed() < WINDOW {
                return true;
            }
            (self.frames, self.window_began) = (0, Instant::now());
        }
        false
    }
}

/// Whether a frame is none of a request (DATA, HEADERS, CONTINUATION) or of flow control
/// (WINDOW_UPDATE), which follows from the size of responses.
const fn is_control(kind: u8) -> bool {
    !matches!(kind, 0 | 1 | 8 | 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(kind: u8, length: u8, count: u32) -> Vec<u8> {
        let frame = [&[0, 0, length, kind, 0, 0, 0, 0, 0][..], &vec![7; length.into()]].concat();
        [PREFACE, &frame.repeat(count as usize)].concat()
    }

    #[test]
    fn control_frames_are_counted_however_their_bytes_are_split() {
        for size in [1, 7, 9, 64, 100_000] {
            let is_flood = |count| {
                let mut counter = FrameCounter::new(Instant::now());
                frames(6, 8, count).chunks(size).any(|part| counter.is_flood(part))
            };
            assert!(!is_flood(MAX_FRAMES), "{size}");
            assert!(is_flood(MAX_FRAMES + 1), "{size}");
        }
    }

    #[test]
    fn requests_and_other_protocols_are_not_limited() {
        let is_flood = |bytes: &[u8]| FrameCounter::new(Instant::now()).is_flood(bytes);
        for kind in [0, 1, 8, 9] {
            assert!(!is_flood(&frames(kind, 4, 5 * MAX_FRAMES)), "{kind}");
        }
        for kind in [2, 3, 4, 6, 42] {
            assert!(is_flood(&frames(kind, 0, 5 * MAX_FRAMES)), "{kind}");
        }
        assert!(!is_flood(&b"POST / HTTP/1.1\r\n".repeat(5 * MAX_FRAMES as usize)));
    }

    #[test]
    fn frames_of_an_earlier_window_do_not_count() {
        let start = Instant::now().checked_sub(WINDOW).unwrap();
        let mut counter = FrameCounter::new(start);
        assert!(!counter.is_flood(&frames(6, 8, MAX_FRAMES + 1)));
    }
}
