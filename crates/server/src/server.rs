//! The accept loop and the end of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use drystone_edge::admission::Admission;
use drystone_edge::answer::{BodyError, ResponseBody};
use drystone_edge::connection::{Active, Connection, Watched};
use drystone_edge::gate::Gate;
use drystone_edge::read_size::NARROW_BYTES;
use drystone_edge::semaphore::Permit;
use drystone_edge::{ChangeError, Deadlines, FIRST_BYTES};
use drystone_limits::{Plan, constants};
use drystone_store::Store;
use drystone_sync::PlainArc;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::Accept;

use crate::engine::Engine;
use crate::route::Router;
use crate::{ServerConfig, TlsAcceptor};

/// What one read of a wide connection may bring.
const READ_BYTES_MAX: usize = 128 << 10;
/// The longest head, and as long may be what follows the chunks of a body.
const HEAD_BYTES_MAX: usize = 16 << 10;
// What hyper has read for a wide connection and the body's reader has not taken: a piece that waits
// to be taken, and the next one.
const _: () = assert!(constants::WIDE_CONNECTION_BYTES >= 2 * READ_BYTES_MAX as u64);
// For another one: a head and what came with its last bytes; two pieces of a body; what an upload
// keeps of it before it has a place; and the tasks.
const _: () = assert!(
    constants::CONNECTION_BYTES
        >= (HEAD_BYTES_MAX + NARROW_BYTES + 2 * NARROW_BYTES + FIRST_BYTES + TASK_BYTES) as u64
);
/// The futures of a connection and of its request, by measurement.
const TASK_BYTES: usize = 16 << 10;
/// After this, another accept is tried.
const RETRY: Duration = Duration::from_millis(100);
/// Connections that the kernel keeps until they are accepted: a burst of as many clients as there
/// may be loses none.
const BACKLOG: u32 = 1024;
/// What the kernel takes of an answer that it cannot send yet; what is on its way comes on top.
const UNSENT_BYTES: u32 = 256 << 10;
/// A handshake that takes longer is not worth its connection.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A server that is bound and not yet running.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    engine: PlainArc<Engine>,
    router: PlainArc<Router>,
}

/// Changes what a running server allows, from any thread.
#[derive(Clone)]
pub struct Controls {
    engine: PlainArc<Engine>,
}

impl Controls {
    /// From now on these hold. Requests under way are not disturbed: where a ceiling is lowered
    /// below what is in use, new requests wait until enough of them have ended. Idle connections
    /// above their ceiling are closed.
    ///
    /// # Errors
    /// When another ceiling is raised, and there is no room for that before those have ended; or a
    /// thread cannot be started. Then everything is as it was.
    pub fn change(&self, plan: Plan, deadlines: Deadlines) -> Result<(), ChangeError> {
        self.engine.change(plan, deadlines)
    }
}

/// What is left of a server that has ended its connections: calls of the store that have not
/// returned, and the threads that make them.
#[derive(Clone)]
pub struct Closing {
    engine: PlainArc<Engine>,
}

/// Calls of the store that have not returned, by what they were made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Bodies on their way.
    pub transfers: usize,
    /// Of these, uploads that have buffers.
    pub uploads: usize,
    /// Requests without a body.
    pub calls: usize,
}

impl Closing {
    /// Waits for what is under way and ends the threads. Blocks for as long as the store does,
    /// which may be for ever where a disk hangs.
    pub fn close(self) {
        self.engine.close();
    }

    /// What `close` waits for.
    pub fn under_way(&self) -> UnderWay {
        let edge = &self.engine.edge;
        let now = |gate: &Gate| gate.usage().now;
        UnderWay {
            transfers: now(&edge.transfers),
            uploads: now(edge.ingest_slots.gate()),
            calls: now(&edge.calls),
        }
    }
}

impl Server {
    /// Binds the address and prepares to serve `store`. Within a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound, or a thread not started.
    pub async fn bind(
        address: SocketAddr,
        store: Store,
        config: ServerConfig,
        tls: Option<TlsAcceptor>,
    ) -> std::io::Result<Self> {
        let listener = listen(address)?;
        let engine = PlainArc::new(Engine::new(store, &config)?);
        let router = PlainArc::new(Router::new(&engine));
        Ok(Self { listener, tls, engine, router })
    }

    /// What changes its ceilings while it runs.
    pub fn controls(&self) -> Controls {
        Controls { engine: PlainArc::clone(&self.engine) }
    }

    /// The address that is listened on, with the port that was found.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What is to be ended once [`run`](Self::run) has returned, or was dropped.
    pub fn closing(&self) -> Closing {
        Closing { engine: PlainArc::clone(&self.engine) }
    }

    /// Serves until `stop` changes; then takes no more connections, lets requests end, and returns.
    /// What they have begun in the store may still be under way: see
    /// [`closing`](Self::closing).
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let upkeep = tokio::spawn(PlainArc::clone(&self.engine.edge).upkeep());
        let (closing, closed) = watch::channel(false);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                (permit, socket, peer) = accept(&self.listener, &self.engine.edge.admission) => {
                    let connection = self.engine.edge.connection();
                    let serve = self.serve(socket, peer, connection, closed.clone(), permit);
                    connections.spawn(serve);
                    while connections.try_join_next().is_some() {}
                }
            }
        }
        drop(self.listener);
        self.router.drain();
        closing.send_replace(true);
        let patience = self.engine.edge.deadlines.get().drain;
        let drained = tokio::time::timeout(patience, async {
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(
                left = connections.len(),
                "requests did not end in time and are broken off"
            );
            connections.shutdown().await;
        }
        upkeep.abort();
    }

    /// One connection from its beginning to its end.
    fn serve(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        connection: PlainArc<Connection>,
        closed: watch::Receiver<bool>,
        permit: Permit,
    ) -> impl Future<Output = ()> + use<> {
        let router = PlainArc::clone(&self.router);
        let head_max = self.engine.edge.deadlines.get().head;
        let tls = self.tls.clone();
        async move {
            let _permit = permit;
            // Without it a response in two writes waits for the client's acknowledgement.
            let _ = socket.set_nodelay(true);
            // Nor does the kernel keep much for a client that does not read: it counts for the
            // control group, too.
            let _ = SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES);
            match tls {
                None => speak(socket, peer, connection, closed, router, head_max).await,
                Some(tls) => {
                    connection.shakes_hands();
                    let shaken = tokio::select! {
                        shaken = tokio::time::timeout(HANDSHAKE_MAX, shake_hands(&tls, socket)) => shaken,
                        why = connection.watch() => {
                            tracing::debug!(%peer, why, "a TLS handshake is broken off");
                            return;
                        }
                    };
                    match shaken {
                        Ok(Ok(socket)) => {
                            connection.has_shaken_hands();
                            speak(socket, peer, connection, closed, router, head_max).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                    }
                }
            }
        }
    }
}

/// Binds an address.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the standard library does: a restart finds the address free.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn shake_hands(tls: &TlsAcceptor, socket: TcpStream) -> Accept<TcpStream> {
    // As the plan counts it.
    tls.accept_with(socket, |session| session.set_buffer_limit(Some(constants::TLS_SEND_BYTES)))
}

/// The next connection, and a permit for it. At most this one has been accepted without a permit.
async fn accept(listener: &TcpListener, admission: &Admission) -> (Permit, TcpStream, SocketAddr) {
    let (socket, peer) = loop {
        match listener.accept().await {
            Ok(accepted) => break accepted,
            Err(error) => {
                // Out of descriptors, most likely; not a reason to spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    (admission.admit().await, socket, peer)
}

async fn speak<S>(
    socket: S,
    peer: SocketAddr,
    connection: PlainArc<Connection>,
    mut closed: watch::Receiver<bool>,
    router: PlainArc<Router>,
    head_max: Duration,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let socket = TokioIo::new(Watched::new(socket, PlainArc::clone(&connection)));
    let service = service_fn(|request: Request<Incoming>| {
        let active = connection.begin();
        let router = PlainArc::clone(&router);
        async move {
            let response = router.answer(request, peer).await;
            Ok::<_, Infallible>(response.map(|body| Counted { body, _active: active }))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(head_max)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(READ_BYTES_MAX)
        // The router dates every answer.
        .auto_date_header(false)
        // A client that has sent its whole request may close its sending side and still read. A
        // client that has gone is noticed when its answer cannot be written, or by the
        // deadline for reading it.
        .half_close(true);
    let mut speaking = std::pin::pin!(http.serve_connection(socket, service));
    let mut closing = false;
    loop {
        tokio::select! {
            ended = &mut speaking => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "a connection broke off");
                }
                return;
            }
            why = connection.watch() => {
                tracing::debug!(%peer, why, "a connection is closed");
                return;
            }
            _ = closed.wait_for(|closed| *closed), if !closing => {
                closing = true;
                speaking.as_mut().graceful_shutdown();
            }
        }
    }
}

pin_project! {
    /// A response's body that keeps its connection from counting as idle until it is sent.
    struct Counted {
        #[pin]
        body: ResponseBody,
        _active: Active,
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
