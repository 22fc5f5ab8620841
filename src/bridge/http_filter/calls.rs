//! Calls of this stream: what Envoy tells of them, and how the guest sees the replies.

use super::{HttpFilter, http_mut};
use crate::abi::{CallEvent, HttpFilterHandle};
use crate::bridge::callouts::StreamCalls;
use crate::bridge::entering;
use crate::bridge::stream::EnvoyStream;
use crate::host::calls::{Command, Reply, Token};
use crate::host::stream::Effect;
use crate::lifecycle::generation::Begun;

impl HttpFilter {
    /// Envoy tells something of a call of this stream.
    #[allow(clippy::needless_pass_by_value)] // The seam hands it over.
    pub fn on_call_event(&self, mut envoy: HttpFilterHandle, number: u64, event: CallEvent<'_>) {
        let Some(begun) = self.begun() else { return };
        let replies = self.calls.feed(&mut envoy, number, &event);
        if !replies.is_empty() {
            self.deliver(envoy, begun, replies);
        }
    }

    /// The whole answer to a call of this stream came.
    pub fn on_call_done(&self, mut envoy: HttpFilterHandle, number: u64, answer: &[CallEvent<'_>]) {
        let Some(begun) = self.begun() else { return };
        let replies: Vec<_> =
            answer.iter().flat_map(|event| self.calls.feed(&mut envoy, number, event)).collect();
        if !replies.is_empty() {
            self.deliver(envoy, begun, replies);
        }
    }

    /// Has the guest see replies, those that were brought and those that came by way of the process, and does what it and
    /// others asked of this stream.
    pub(super) fn deliver(
        &self,
        envoy: HttpFilterHandle,
        begun: &Begun<EnvoyStream>,
        replies: Vec<(Token, Reply)>,
    ) {
        // Given back when this thread is inside that VM already.
        let mut kept = Some((envoy, replies));
        let entered = entering::enter(&begun.lease, |vm| {
            let (envoy, mut replies) = kept.take()?;
            let Some(stream) = http_mut(vm, begun.stream) else { return Some(Err(envoy)) };
            stream.attach(envoy, None);
            replies.extend(vm.take_replies(begun.stream));
            for (token, reply) in replies {
                if let Err(error) = vm.deliver(token, reply) {
                    vm.log_failure(&error);
                }
            }
            let effects = vm.take_effects(begun.stream);
            let is_held = self.holds_request.get() || self.holds_response.get();
            let goes_on = effects.iter().any(|effect| matches!(effect, Effect::Continue(_)));
            let commands = StreamCalls::take(vm, begun.stream, is_held && !goes_on);
            let has_failed = vm.has_failed();
            let envoy = http_mut(vm, begun.stream)?.detach()?;
            Some(Ok((envoy, effects, commands, has_failed)))
        });
        if let Some((envoy, replies)) = kept {
            self.calls.keep(replies);
            self.schedule(&envoy);
        }
        let Some(Some(Ok((mut envoy, others, commands, has_vm_failed)))) = entered else { return };
        self.run(&mut envoy, commands);
        if self.has_failed.get() || self.has_replied.get() {
            return;
        }
        let mut effects = self.deferred.take();
        effects.extend(others);
        if has_vm_failed && effects.is_empty() {
            return self.fail_what_waits(envoy);
        }
        self.apply(envoy, begun, effects);
    }

    /// Does what the guest asked of calls.
    pub(super) fn run(&self, envoy: &mut HttpFilterHandle, commands: Vec<Command>) {
        if !commands.is_empty() && self.calls.run(envoy, commands) {
            self.schedule(envoy);
        }
    }
}
