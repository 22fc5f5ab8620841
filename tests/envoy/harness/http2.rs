//! HTTP/2, as client and as upstream, by hyper.
//!
//! The stories are told by threads that wait; the frames are moved by a small runtime beside them.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::client::{End, Request, Response};
use super::pace::Pace;
use super::upstream::{Finish, Seen, Upstream};
use super::{Headers, header};

pub(super) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});

/// A body that is sent while it is made. An error in place of a frame resets the stream.
pub(super) struct Frames(pub(super) Receiver<Result<Frame<Bytes>, std::io::Error>>);

pub(super) type FrameSender = Sender<Result<Frame<Bytes>, std::io::Error>>;

impl Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context)
    }
}

/// Sends a request with prior knowledge and reads the whole answer.
pub fn send(address: SocketAddr, pace: &Pace, patience: Duration, request: &Request) -> Response {
    let (sender, frames) = channel(1);
    let head = request_head(request).body(Frames(frames)).expect("a valid request");
    let exchange = RUNTIME.spawn(async move {
        tokio::time::timeout(patience, exchange(address, head))
            .await
            .unwrap_or_else(|_| Response::nothing(End::Silent))
    });
    // A frame that nobody takes any more is no error here: the response tells how the stream ended.
    let _ = send_frames(&sender, Some(pace), &request.chunks, &request.trailers, Finish::Complete);
    // The end of the body.
    drop(sender);
    RUNTIME.block_on(exchange).expect("the exchange")
}

fn request_head(request: &Request) -> hyper::http::request::Builder {
    let authority = header(&request.headers, "host").unwrap_or("example.test");
    let mut head = hyper::Request::builder()
        .method(request.method.as_str())
        .uri(format!("http://{authority}{}", request.path))
        .version(hyper::Version::HTTP_2);
    for (name, value) in request.headers.iter().filter(|(name, _)| name != "host") {
        head = head.header(name, value);
    }
    head
}

async fn exchange(address: SocketAddr, request: hyper::Request<Frames>) -> Response {
    let stream = TcpStream::connect(address).await.expect("connecting to Envoy");
    stream.set_nodelay(true).expect("an option of the socket");
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let Ok(response) = client.send_request(request).await else { return Response::nothing(End::Broken) };
    let (head, body) = response.into_parts();
    let (body, trailers, complete) = collect(body).await;
    let end = if complete { End::Complete } else { End::Broken };
    Response { status: head.status.as_u16(), headers: plain(&head.headers), body, trailers, end }
}

/// Reads a body to its end, or until the stream is reset.
async fn collect(mut body: Incoming) -> (Vec<u8>, Headers, bool) {
    let (mut bytes, mut trailers) = (Vec::new(), Headers::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (bytes, trailers, false) };
        match frame.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.trailers_ref().map(plain).unwrap_or_default(),
        }
    }
    (bytes, trailers, true)
}

/// Sends the parts of a body, each after Envoy has read the one before; `None` if nobody takes them.
fn send_frames(
    sender: &FrameSender,
    pace: Option<&Pace>,
    chunks: &[Vec<u8>],
    trailers: &Headers,
    finish: Finish,
) -> Option<()> {
    let mut position = pace.map_or(0, Pace::position);
    for chunk in chunks {
        sender.blocking_send(Ok(Frame::data(Bytes::from(chunk.clone())))).ok()?;
        if let Some(pace) = pace {
            position += chunk.len() as u64;
            pace.wait_for(position);
        }
    }
    if finish == Finish::Broken {
        return sender.blocking_send(Err(std::io::Error::other("the answer breaks here"))).ok();
    }
    if !trailers.is_empty() {
        sender.blocking_send(Ok(Frame::trailers(map(trailers)))).ok()?;
    }
    Some(())
}

/// Serves an upstream on a listening socket, for as long as the process lives.
pub fn serve(listener: std::net::TcpListener, upstream: Arc<Upstream>) {
    listener.set_nonblocking(true).expect("an option of the socket");
    RUNTIME.spawn(async move {
        let listener = TcpListener::from_std(listener).expect("a listening socket");
        while let Ok((stream, _)) = listener.accept().await {
            let upstream = Arc::clone(&upstream);
            let service = hyper::service::service_fn(move |request| answer(Arc::clone(&upstream), request));
            tokio::spawn(async move {
                // A connection that ends in an error is Envoy's choice.
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
}

async fn answer(
    upstream: Arc<Upstream>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Frames>, std::io::Error> {
    let (head, body) = request.into_parts();
    let (body, trailers, complete) = collect(body).await;
    let mut fields = plain(&head.headers);
    if let Some(authority) = head.uri.authority() {
        fields.insert(0, ("host".to_owned(), authority.to_string()));
    }
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let seen = Seen { method: head.method.to_string(), path, headers: fields, body, trailers, complete };
    let answer = upstream.receive(seen);
    let (sender, frames) = channel(1);
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    let pace = upstream.pace();
    tokio::task::spawn_blocking(move || {
        send_frames(&sender, pace.as_ref(), &answer.chunks, &answer.trailers, answer.finish)
    });
    response.body(Frames(frames)).map_err(std::io::Error::other)
}

fn plain(map: &HeaderMap) -> Headers {
    map.iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

fn map(headers: &Headers) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            (name, HeaderValue::from_str(value).expect("a header value"))
        })
        .collect()
}
