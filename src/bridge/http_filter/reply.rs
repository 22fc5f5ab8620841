//! A local response of the plugin: shown to the plugin itself first, then sent.

use super::{HttpFilter, http_mut};
use crate::abi::HttpFilterHandle;
use crate::bridge::entering;
use crate::bridge::local_response::{self, LocalReply};
use crate::bridge::stream::EnvoyStream;
use crate::host::contexts::StreamIndex;
use crate::host::stream::{Effect, LocalResponse};
use crate::host::types::Direction;
use crate::host::vm::{CallError, Vm};
use crate::lifecycle::generation::Begun;

impl HttpFilter {
    /// Answers the stream for the plugin. During the request the plugin sees its own reply first.
    pub(super) fn reply(&self, envoy: HttpFilterHandle, begun: &Begun<EnvoyStream>, response: LocalResponse) {
        if self.has_replied.get() {
            return;
        }
        if response.status >= 500 {
            begun.note_failure();
        }
        let reply = LocalReply::new(&envoy, response);
        if self.is_responding.get() {
            self.has_replied.set(true);
            let mut envoy = envoy;
            reply.send(&mut envoy);
            return;
        }
        let shown = entering::enter(&begun.lease, |vm| {
            if vm.has_failed() {
                // It answered and then trapped: nobody is left to look at the reply.
                return Some((Ok(Some(reply)), envoy));
            }
            let stream = http_mut(vm, begun.stream)?;
            stream.attach(envoy, None);
            let shown = show(vm, begun.stream, reply);
            if let Err(error) = &shown {
                vm.log_failure(error);
            }
            let stream = http_mut(vm, begun.stream)?;
            stream.local_reply = None;
            Some((shown, stream.detach()?))
        });
        let Some((shown, mut envoy)) = shown.flatten() else { return };
        self.has_replied.set(true);
        match shown {
            Ok(Some(reply)) => reply.send(&mut envoy),
            Ok(None) | Err(_) => local_response::send_failure(&mut envoy),
        }
    }
}

/// Shows a reply to the plugin that made it, headers and then the body, and answers what the plugin made of it. A
/// plugin that replies to its own reply replaces it, and that one is not shown. Holding one's own reply has no effect.
fn show(
    vm: &mut Vm<EnvoyStream>,
    index: StreamIndex,
    reply: LocalReply,
) -> Result<Option<LocalReply>, CallError> {
    let has_body = reply.has_body();
    let Some(stream) = http_mut(vm, index) else { return Ok(Some(reply)) };
    stream.local_reply = Some(reply);
    vm.on_headers(index, Direction::Response, !has_body)?;
    let replaced = vm.take_effects(index).into_iter().find_map(|effect| match effect {
        Effect::LocalResponse(response) => Some(*response),
        Effect::Continue(_) | Effect::Close(_) => None,
    });
    if replaced.is_none() && has_body {
        vm.on_body(index, Direction::Response, true)?;
        drop(vm.take_effects(index));
    }
    let edited = http_mut(vm, index).and_then(|stream| stream.local_reply.take());
    Ok(edited.map(|edited| match replaced {
        Some(response) => edited.replaced_by(response),
        None => edited,
    }))
}
