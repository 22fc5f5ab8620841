//! An upstream for load: it remembers nothing, and answers at once.
//!
//! A request without a body gets a short answer; one with a body gets it back, part by part as it comes, for as long as it
//! comes. Either has trailers, and the header `x-request-generation` with what the request had as `x-generation`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc::channel;

use super::http2::{FrameSender, Frames, RUNTIME};
use crate::support::wasm::GENERATION;

/// The header that tells which generation of a plugin saw the request.
pub const REQUEST_GENERATION: &str = "x-request-generation";

/// The upstream; it speaks HTTP/2 with prior knowledge, and serves until the test process ends.
#[derive(Debug)]
pub struct SteadyUpstream {
    address: SocketAddr,
    served: AtomicU64,
}

impl SteadyUpstream {
    pub fn start() -> Arc<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("the port");
        listener.set_nonblocking(true).expect("an option of the socket");
        let upstream = Arc::new(Self { address, served: AtomicU64::new(0) });
        let server = Arc::clone(&upstream);
        RUNTIME.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listening socket");
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let server = Arc::clone(&server);
                let service = hyper::service::service_fn(move |request| {
                    server.served.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(answer(request))
                });
                tokio::spawn(async move {
                    // A connection that ends in an error is Envoy's choice.
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        upstream
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests came so far.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

fn answer(request: hyper::Request<Incoming>) -> Result<hyper::Response<Frames>, std::io::Error> {
    let mut response = hyper::Response::builder();
    if let Some(generation) = request.headers().get(GENERATION) {
        response = response.header(REQUEST_GENERATION, generation);
    }
    let (sender, frames) = channel(4);
    tokio::spawn(send(sender, request.into_body()));
    response.body(Frames(frames)).map_err(std::io::Error::other)
}

/// Sends a body and trailers, until nobody takes them any more.
async fn send(sender: FrameSender, mut body: Incoming) -> Option<()> {
    if body.is_end_stream() {
        sender.send(Ok(Frame::data(Bytes::from_static(b"steady")))).await.ok()?;
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // The request broke off, and so does its answer.
            return sender.send(Err(std::io::Error::other("the request broke off"))).await.ok();
        };
        if let Ok(data) = frame.into_data() {
            sender.send(Ok(Frame::data(data))).await.ok()?;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", HeaderValue::from_static("yes"));
    sender.send(Ok(Frame::trailers(trailers))).await.ok()
}
