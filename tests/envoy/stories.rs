//! The stories, one file each. Each is told on every supported Envoy.

mod access_logs;
mod bodies;
mod chains;
mod closing;
mod environment;
mod failures;
mod headers;
mod hostile;
mod listeners;
mod loading;
mod local_responses;
mod logs;
mod metrics;
mod network;
mod pausing;
mod per_route;
mod properties;
mod rejections;
mod sdks;
mod trailers;
mod validation;
mod workers;
