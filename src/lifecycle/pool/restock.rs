//! What the keeper does for a pool: spares that are missing, and homes in which no stream begins.

use std::sync::Arc;
use std::time::Duration;

use super::{Caller, HomeError, Pool};
use crate::host::contexts::Plugin;
use crate::host::stream::Stream;
use crate::host::vm::{Lease, StartError, Vm};

impl<S: Stream> Pool<S> {
    /// Makes the spares that are missing, the roots that ready ones lack, and homes for those that failed where nobody
    /// else would notice it. Takes as long as to start and configure each. Answers how long they have to wait yet, if VMs
    /// fail one after the other.
    ///
    /// # Errors
    /// A VM or a plugin did not start.
    pub fn restock(&self) -> Result<Option<Duration>, StartError> {
        if self.generations() == 0 {
            // It only drains.
            return Ok(None);
        }
        if self.rules.keeps_homes
            && let Some(wait) = self.restock_homes()?
        {
            return Ok(Some(wait));
        }
        if let Some(wait) = self.furnish_spares()? {
            return Ok(Some(wait));
        }
        while self.spares.has_room() {
            if let Err(wait) = self.spares.tries.may_begin(self.rules.back_off, self.now()) {
                return Ok(Some(wait));
            }
            let plugins = self.spares.plugins();
            let spare = self.start_vm().and_then(|mut vm| {
                vm.rest();
                self.furnish(&mut vm, &plugins).map(|()| vm)
            });
            self.spares.tries.note(spare.is_ok());
            // Or each stream that begins would ask for another one that does not start.
            let spare = Lease::apart(spare.inspect_err(|_told| self.spares.give_up())?, &self.watch);
            self.spares.put(spare.clone());
            self.retire_the_gone(&mut spare.lock(), &plugins);
        }
        Ok(None)
    }

    /// Spares that are ready get the roots of generations that came later.
    fn furnish_spares(&self) -> Result<Option<Duration>, StartError> {
        self.spares.drop_failed();
        let plugins = self.spares.plugins();
        for spare in self.spares.vms() {
            if has_all(&spare.lock(), &plugins) {
                continue;
            }
            if let Err(wait) = self.spares.tries.may_begin(self.rules.back_off, self.now()) {
                return Ok(Some(wait));
            }
            if !self.spares.withdraw(&spare) {
                continue;
            }
            let furnished = self.furnish(&mut spare.lock(), &plugins);
            self.spares.tries.note(furnished.is_ok());
            // One that has failed goes with the others that have, at the next look.
            self.spares.put(spare.clone());
            self.retire_the_gone(&mut spare.lock(), &plugins);
            furnished?;
        }
        Ok(None)
    }

    /// Each is looked at, whatever the one before it answered. Places that nobody has used are left alone.
    fn restock_homes(&self) -> Result<Option<Duration>, StartError> {
        let mut shortest = Ok(None);
        for worker in 0..self.places().count() {
            if self.place(worker).lock().is_unused() {
                continue;
            }
            shortest = match (shortest, self.restock_home(worker)) {
                (Ok(one), Ok(other)) => Ok(one.into_iter().chain(other).min()),
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            };
        }
        shortest
    }

    fn restock_home(&self, worker: usize) -> Result<Option<Duration>, StartError> {
        loop {
            let home = self.place(worker).lock().home().cloned();
            // A VM that fails has somebody inside yet, who is waited for.
            let home = match home.filter(|home| !home.lock().has_failed()) {
                Some(home) => home,
                None => match self.find_home(worker, Caller::Ahead) {
                    Ok(home) => home,
                    Err(HomeError::BackingOff(wait)) => return Ok(Some(wait)),
                    Err(HomeError::Start(error)) => return Err(error),
                    Err(HomeError::Busy(_)) => return Ok(None),
                },
            };
            let mut vm = home.lock();
            if !vm.has_failed() {
                return self.furnish_home(worker, &mut vm);
            }
        }
    }

    /// Makes the roots that a VM lacks. Each is tried, whatever the one before it answered.
    fn furnish(&self, vm: &mut Vm<S>, plugins: &[Arc<Plugin>]) -> Result<(), StartError> {
        let mut furnished = Ok(());
        for plugin in plugins {
            furnished = furnished.and(self.root(vm, plugin).map(drop));
        }
        furnished
    }

    /// Makes those that a home lacks. A plugin that refuses leaves it alive, with the roots of the others: so it stays, and
    /// no breaker of its place would keep the next try from coming at once. Answers how long that has to wait yet.
    fn furnish_home(&self, worker: usize, vm: &mut Vm<S>) -> Result<Option<Duration>, StartError> {
        let Some(tries) = self.furnishings.get(worker) else { return Ok(None) };
        let plugins = self.spares.plugins();
        if has_all(vm, &plugins) {
            tries.note(true);
            return Ok(None);
        }
        if let Err(wait) = tries.may_begin(self.rules.back_off, self.now()) {
            return Ok(Some(wait));
        }
        let furnished = self.furnish(vm, &plugins);
        tries.note(furnished.is_ok());
        self.retire_the_gone(vm, &plugins);
        furnished.map(|()| None)
    }

    /// Plugins may have gone since the list was made, and have not found the roots that were made for them afterwards.
    fn retire_the_gone(&self, vm: &mut Vm<S>, plugins: &[Arc<Plugin>]) {
        for plugin in plugins.iter().filter(|plugin| !self.spares.serves(plugin)) {
            if let Some(root) = vm.root(plugin.key) {
                vm.retire_root(root);
            }
        }
    }
}

/// Whether a VM has the roots of all plugins.
fn has_all<S: Stream>(vm: &Vm<S>, plugins: &[Arc<Plugin>]) -> bool {
    plugins.iter().all(|plugin| vm.root(plugin.key).is_some())
}
