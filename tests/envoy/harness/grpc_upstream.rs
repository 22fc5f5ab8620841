//! A gRPC server: tonic speaks the protocol, hyper moves the frames.
//!
//! Messages are plain text, so no schema is needed. The first word of a message says what the service
//! `graft.test.Echo` does; see [`Said`]. Its methods are `Say` (one message, one answer) and `Chat` (messages both
//! ways, as long as both like). Every answer begins with the metadata `x-initial: first`; every failure ends with
//! `x-final: last`.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Code, Request, Response, Status, Streaming};

use super::Bootstrap;
use super::http2::RUNTIME;
use super::upstream::Protocol;

/// The name of the cluster.
const CLUSTER: &str = "grpc";

/// A gRPC server. It serves until the test process ends.
#[derive(Debug)]
pub struct GrpcUpstream {
    address: SocketAddr,
    seen: Mutex<Vec<String>>,
}

impl GrpcUpstream {
    pub fn start() -> Arc<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let upstream =
            Arc::new(Self { address: listener.local_addr().expect("the port"), seen: Mutex::default() });
        listener.set_nonblocking(true).expect("an option of the socket");
        let server = Arc::clone(&upstream);
        RUNTIME.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listening socket");
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&server);
                let service = hyper::service::service_fn(move |request| serve(Arc::clone(&server), request));
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

    /// Adds the cluster `grpc`, which is this server.
    pub fn add_to(&self, bootstrap: Bootstrap) -> Bootstrap {
        bootstrap.cluster(CLUSTER, self.address, Protocol::Http2)
    }

    /// What happened at the server so far: `Say: MESSAGE`; `Chat: MESSAGE`, `Chat: half-closed`, `Chat: reset`.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, what: String) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

async fn serve(
    upstream: Arc<GrpcUpstream>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Body>, std::convert::Infallible> {
    let mut grpc = Grpc::new(Text);
    Ok(match request.uri().path() {
        "/graft.test.Echo/Say" => grpc.unary(Say(upstream), request).await,
        "/graft.test.Echo/Chat" => grpc.streaming(Chat(upstream), request).await,
        _ => Status::unimplemented("no such method").into_http(),
    })
}

/// What a message asks for.
enum Said {
    /// `fail CODE MESSAGE`: the call ends with this status.
    Fail(Status),
    /// `hang`: no answer.
    Hang,
    /// `slow MS`: the answer `slow`, after so many milliseconds.
    Slow(u64),
    /// `metadata`: the request's metadata, sorted, without `x-forwarded-for`, which is another one on each machine.
    Metadata,
    /// `bytes N`: so many bytes.
    Bytes(usize),
    /// `bye`: a conversation ends well; an answer like any other, where there is none.
    Bye,
    /// Anything else comes back as it is.
    Echo(Vec<u8>),
}

impl Said {
    fn read(message: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&message).into_owned();
        let mut words = text.splitn(3, ' ');
        let (verb, argument) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let number = || argument.parse().unwrap_or(0);
        match verb {
            "fail" => {
                let mut last = MetadataMap::new();
                last.insert("x-final", tonic::metadata::MetadataValue::from_static("last"));
                let code = Code::from(argument.parse::<i32>().unwrap_or(2));
                Self::Fail(Status::with_metadata(code, words.next().unwrap_or_default(), last))
            }
            "hang" => Self::Hang,
            "slow" => Self::Slow(number()),
            "metadata" => Self::Metadata,
            "bytes" => Self::Bytes(argument.parse().unwrap_or(0)),
            "bye" => Self::Bye,
            _ => Self::Echo(message),
        }
    }

    /// The answer to one message.
    async fn answer(self, metadata: &str) -> Result<Vec<u8>, Status> {
        Ok(match self {
            Self::Fail(status) => return Err(status),
            Self::Hang => std::future::pending().await,
            Self::Slow(milliseconds) => {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                b"slow".to_vec()
            }
            Self::Metadata => metadata.as_bytes().to_vec(),
            Self::Bytes(count) => vec![b'b'; count],
            Self::Bye => b"bye".to_vec(),
            Self::Echo(message) => message,
        })
    }
}

/// Metadata as text, a line each, sorted. Binary values stand in base64, as on the wire.
fn listed(metadata: &MetadataMap) -> String {
    let mut lines: Vec<_> = metadata
        .iter()
        .filter(|field| !matches!(field, KeyAndValueRef::Ascii(key, _) if key.as_str() == "x-forwarded-for"))
        .map(|field| match field {
            KeyAndValueRef::Ascii(key, value) => format!("{key}: {}", value.to_str().unwrap_or("?")),
            KeyAndValueRef::Binary(key, value) => {
                format!("{key}: {}", String::from_utf8_lossy(value.as_encoded_bytes()))
            }
        })
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// An answer, with the metadata that stand before it.
fn with_initial<T>(answer: T) -> Response<T> {
    let mut response = Response::new(answer);
    response.metadata_mut().insert("x-initial", tonic::metadata::MetadataValue::from_static("first"));
    response
}

type Answering<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

struct Say(Arc<GrpcUpstream>);

impl UnaryService<Vec<u8>> for Say {
    type Response = Vec<u8>;
    type Future = Answering<Vec<u8>>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        let upstream = Arc::clone(&self.0);
        Box::pin(async move {
            let metadata = listed(request.metadata());
            let message = request.into_inner();
            upstream.remember(format!("Say: {}", message.escape_ascii()));
            Said::read(message).answer(&metadata).await.map(with_initial)
        })
    }
}

struct Chat(Arc<GrpcUpstream>);

impl StreamingService<Vec<u8>> for Chat {
    type Response = Vec<u8>;
    type ResponseStream = ReceiverStream<Result<Vec<u8>, Status>>;
    type Future = Answering<Self::ResponseStream>;

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        let upstream = Arc::clone(&self.0);
        Box::pin(async move {
            let metadata = listed(request.metadata());
            let (answers, stream) = channel(1);
            tokio::spawn(chat(upstream, request.into_inner(), metadata, answers));
            Ok(with_initial(ReceiverStream::new(stream)))
        })
    }
}

/// Answers each message until one of the two ends the conversation.
async fn chat(
    upstream: Arc<GrpcUpstream>,
    mut messages: Streaming<Vec<u8>>,
    metadata: String,
    answers: Sender<Result<Vec<u8>, Status>>,
) {
    loop {
        let message = match messages.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return upstream.remember("Chat: half-closed".to_owned()),
            Err(_) => return upstream.remember("Chat: reset".to_owned()),
        };
        upstream.remember(format!("Chat: {}", message.escape_ascii()));
        let said = Said::read(message);
        if matches!(said, Said::Bye) {
            return;
        }
        let answer = said.answer(&metadata).await;
        let is_over = answer.is_err();
        if answers.send(answer).await.is_err() || is_over {
            return;
        }
    }
}

/// Messages as the bytes that they are.
#[derive(Clone, Copy)]
struct Text;

impl Codec for Text {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Text {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}
