//! The port itself: so many connections at one time, and the others wait to be taken.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Connections at one time: every user of the machine can make some, and they must not take all that the node may open.
const CONNECTIONS_MAX: usize = 64;

/// How long a client may keep its place without doing its part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until the head of a request is there whole, from the beginning of the connection or the answer before.
    pub(crate) head: Duration,
    /// Until the next bytes of a request's body are there.
    pub(crate) body: Duration,
    /// Until some of an answer is read.
    pub(crate) answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let all = Duration::from_secs(30);
        Self { head: all, body: all, answer: all }
    }
}

/// Takes connections while there are places.
#[derive(Debug)]
pub(crate) struct Listener {
    inner: TcpListener,
    patience: Patience,
    places: Arc<Semaphore>,
}

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    ///
    /// When it can not be had.
    pub(crate) async fn bind(address: SocketAddr, patience: Patience) -> io::Result<Self> {
        let (inner, places) = (TcpListener::bind(address).await?, Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        Ok(Self { inner, patience, places })
    }

    /// Returns how long clients may take.
    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    /// Returns the address, with the port that was had.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("places are never closed");
        let (stream, address) = serve::Listener::accept(&mut self.inner).await;
        (Connection { stream, patience: self.patience.answer, stalled: None, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection, with its place.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// How long nothing may be read of what is written.
    patience: Duration,
    /// Runs out when nothing was for so long.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, patience, stalled, .. } = &mut *self;
        let written = Pin::new(stream).poll_write(cx, bytes);
        if written.is_ready() {
            *stalled = None;
            return written;
        }
        let stalled = stalled.get_or_insert_with(|| Box::pin(sleep(*patience)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
