//! The calls of a VM: which tokens are under way, whose they are, and who has them in hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::orphans::Orphans;
use super::{CallLimits, Command, Excess, Held, Holdings, Kind, Outgoing, Reply, Token};
use crate::host::contexts::{Plugin, RootIndex, StreamIndex};

/// Who has a call in hand: what a guest asks of it later goes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum Place {
    /// The stream that made it.
    Stream(StreamIndex),
    /// The process.
    Process,
}

/// A call that is under way.
#[derive(Clone, Copy, Debug)]
pub(in crate::host) struct Call {
    /// Whose it is.
    pub(in crate::host) root: RootIndex,
    /// The stream that made it, as long as that lives.
    pub(in crate::host) origin: Option<StreamIndex>,
    pub(in crate::host) place: Place,
}

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum CallState {
    /// Its reply is awaited.
    UnderWay,
    /// A gRPC stream that the peer has ended and the guest has not.
    HalfClosed,
    /// No such call.
    Unknown,
}

/// Most half-closed streams that are remembered. A guest need not close a stream that the peer has closed.
const MOST_HALF_CLOSED: usize = 256;

/// See the module's text.
#[derive(Debug)]
pub(in crate::host) struct Calls {
    last: u32,
    limit: usize,
    holdings: Arc<Holdings>,
    /// Of a copy: the calls that other copies have left behind.
    orphans: Option<Orphans>,
    under_way: BTreeMap<Token, Call>,
    half_closed: VecDeque<Token>,
    /// Commands for the process, until the thread that is inside leaves.
    pub(in crate::host) outbox: Vec<Command>,
    /// The first call over a limit is told of in the log, the others are not.
    pub(in crate::host) is_limit_told: bool,
}

impl Calls {
    pub(in crate::host) fn new(limits: CallLimits) -> Self {
        Self {
            last: 0,
            limit: limits.calls,
            holdings: Holdings::new(limits.bytes),
            orphans: None,
            under_way: BTreeMap::new(),
            half_closed: VecDeque::new(),
            outbox: Vec::new(),
            is_limit_told: false,
        }
    }

    /// The number of the last token.
    pub(in crate::host) fn last(&self) -> u32 {
        self.last
    }

    /// Counts tokens on from a number.
    pub(in crate::host) fn after(self, last: u32) -> Self {
        Self { last, ..self }
    }

    /// They are those of a copy.
    pub(in crate::host) fn of_copy(self, orphans: &Orphans) -> Self {
        Self { orphans: Some(orphans.clone()), ..self }
    }

    /// A token for a new call of a plugin, and what it holds. `None`: there are as many as there may be.
    pub(in crate::host) fn begin(
        &mut self,
        kind: Kind,
        bytes: usize,
        plugin: &Arc<Plugin>,
    ) -> Option<(Token, Held)> {
        /// Two bits of a token are its kind.
        const LAST: u32 = u32::MAX >> 2;
        if self.under_way.len() >= self.limit {
            return None;
        }
        let mut held = self.holdings.nothing(plugin);
        held.more(bytes).ok()?;
        loop {
            self.last = if self.last >= LAST { 1 } else { self.last.saturating_add(1) };
            let token = Token((self.last << 2) | kind as u32);
            if !self.under_way.contains_key(&token) {
                return Some((token, held));
            }
        }
    }

    /// Bytes for a call of a plugin that is under way.
    pub(in crate::host) fn outgoing(&self, bytes: Vec<u8>, plugin: &Arc<Plugin>) -> Result<Outgoing, Excess> {
        let mut held = self.holdings.nothing(plugin);
        held.more(bytes.len())?;
        Ok(Outgoing::new(bytes, held))
    }

    pub(in crate::host) fn add(
        &mut self,
        token: Token,
        root: RootIndex,
        origin: Option<StreamIndex>,
        place: Place,
    ) {
        self.under_way.insert(token, Call { root, origin, place });
    }

    pub(in crate::host) fn state(&self, token: Token) -> CallState {
        if self.under_way.contains_key(&token) {
            CallState::UnderWay
        } else if self.half_closed.contains(&token) {
            CallState::HalfClosed
        } else {
            CallState::Unknown
        }
    }

    /// A reply is about to be delivered: whose call it is. The last reply ends the call.
    pub(in crate::host) fn delivered(&mut self, token: Token, reply: &Reply) -> Option<Call> {
        let call = *self.under_way.get(&token)?;
        let is_last = match reply {
            Reply::Http { .. } | Reply::HttpFailed | Reply::GrpcClose(..) | Reply::Addresses(_) => true,
            Reply::GrpcMessage(_) => token.kind() == Kind::GrpcCall,
            Reply::GrpcInitial(_) | Reply::GrpcTrailing(_) => false,
        };
        if is_last {
            self.under_way.remove(&token);
            if token.kind() == Kind::GrpcStream {
                if self.half_closed.len() >= MOST_HALF_CLOSED {
                    self.half_closed.pop_front();
                }
                self.half_closed.push_back(token);
            }
        }
        Some(call)
    }

    /// The process takes over what a stream had in hand.
    pub(in crate::host) fn hand_over(&mut self, command: Command) {
        if let Command::Start(request) = &command
            && let Some(call) = self.under_way.get_mut(&request.token)
        {
            call.place = Place::Process;
        }
        self.outbox.push(command);
    }

    pub(in crate::host) fn get(&mut self, token: Token) -> Option<&mut Call> {
        self.under_way.get_mut(&token)
    }

    pub(in crate::host) fn remove(&mut self, token: Token) -> Option<Call> {
        self.half_closed.retain(|half_closed| *half_closed != token);
        self.under_way.remove(&token)
    }

    /// A stream has ended: its calls are the root's alone.
    pub(in crate::host) fn forget_stream(&mut self, stream: StreamIndex) {
        for call in self.under_way.values_mut().filter(|call| call.origin == Some(stream)) {
            call.origin = None;
        }
    }

    /// The VM goes, and its calls with it. Those that a copy's stream did not wait for go on, and nobody is told of the
    /// reply: what a plugin sends at the end of a stream arrives. As many as one VM may have under way, of all copies.
    pub(in crate::host) fn end(&mut self) {
        let goes_on = |token: &Token, call: &Call| {
            call.place == Place::Process && matches!(token.kind(), Kind::Http | Kind::GrpcCall)
        };
        let count = self.under_way.iter().filter(|(token, call)| goes_on(token, call)).count();
        if count > 0
            && let Some(orphans) = self.orphans.as_ref().and_then(|orphans| orphans.adopt(count, self.limit))
        {
            self.holdings.leave(orphans);
            self.under_way.retain(|token, call| !goes_on(token, call));
        }
        self.cancel(None);
    }

    /// Ends all calls of a root, or of every root.
    pub(in crate::host) fn cancel(&mut self, root: Option<RootIndex>) {
        let is_meant = |call: &Call| root.is_none_or(|root| call.root == root);
        let tokens: Vec<Token> =
            self.under_way.iter().filter(|(_, call)| is_meant(call)).map(|(token, _)| *token).collect();
        for token in tokens {
            // Those in the hands of streams end with these; their replies find no call. Nor does that of a lookup.
            let is_carried = token.kind() != Kind::Lookup;
            if self.remove(token).is_some_and(|call| call.place == Place::Process) && is_carried {
                self.outbox.push(Command::Cancel(token));
            }
        }
    }

    /// Bytes that they hold.
    pub(in crate::host) fn held_bytes(&self) -> usize {
        self.holdings.bytes.load(Ordering::Relaxed)
    }

    /// Calls under way.
    pub(in crate::host) fn count(&self) -> usize {
        self.under_way.len()
    }
}
