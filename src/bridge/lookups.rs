//! Who asks the resolver: VMs, which are told by the agenda, as of replies to calls.

use super::module;
use crate::host::agenda::Event;
use crate::host::calls::{Found, Reply, Token};
use crate::lifecycle::resolver::Asker;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Agenda;

impl Asker for Agenda {
    fn has(&self, vm: u64) -> bool {
        module::module().is_ok_and(|module| module.registry.commons().agenda.lease(vm).is_some())
    }

    fn answer(&self, vm: u64, token: Token, found: &Found) {
        if let Ok(module) = module::module() {
            module.registry.commons().agenda.post(vm, Event::Reply(token, Reply::of_lookup(found)));
        }
    }
}
