//! What the keeper does for a pool: spares that are missing, and homes in which no stream begins.

use std::time::Duration;

use super::{Caller, HomeError, Pool};
use crate::host::stream::Stream;
use crate::host::vm::{Lease, StartError, Vm};

impl<S: Stream> Pool<S> {
    /// Makes the spares that are missing, and homes for those that failed where nobody else would notice it. Takes as
    /// long as to start and configure each. Answers how long they have to wait yet, if VMs fail one after the other.
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
        while self.spares.has_room() {
            if let Err(wait) = self.spares.tries.may_begin(self.rules.back_off, self.now()) {
                return Ok(Some(wait));
            }
            let spare = self.start_vm().and_then(|mut vm| {
                vm.rest();
                self.furnish(&mut vm).map(|()| vm)
            });
            self.spares.tries.note(spare.is_ok());
            // Or each stream that begins would ask for another one that does not start.
            let spare = spare.inspect_err(|_told| self.spares.give_up())?;
            self.spares.put(Lease::apart(spare, &self.watch));
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

    fn furnish(&self, vm: &mut Vm<S>) -> Result<(), StartError> {
        self.spares.plugins().iter().try_for_each(|plugin| self.root(vm, plugin).map(drop))
    }

    /// The same for a home. A plugin that refuses leaves it alive, with the roots of the others: so it stays, and no breaker
    /// of its place would keep the next try from coming at once. Answers how long that has to wait yet.
    fn furnish_home(&self, worker: usize, vm: &mut Vm<S>) -> Result<Option<Duration>, StartError> {
        let Some(tries) = self.furnishings.get(worker) else { return Ok(None) };
        let plugins = self.spares.plugins();
        if plugins.iter().all(|plugin| vm.root(plugin.key).is_some()) {
            tries.note(true);
            return Ok(None);
        }
        if let Err(wait) = tries.may_begin(self.rules.back_off, self.now()) {
            return Ok(Some(wait));
        }
        // Each is tried, whatever the one before it answered.
        let mut furnished = Ok(());
        for plugin in &plugins {
            furnished = furnished.and(self.root(vm, plugin).map(drop));
        }
        tries.note(furnished.is_ok());
        furnished.map(|()| None)
    }
}
