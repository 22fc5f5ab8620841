//! The metrics that the guests of a pool have defined, for those who must not wait.
//!
//! Envoy's main thread asks while a configuration is made, and a metric that it is not told then goes by another name
//! there. It must not look into the places of workers for that: a worker holds its place while it starts a VM, which takes
//! as long as the guest likes. So what each VM defines is kept here, too, from its start on.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::host::metrics::Outside;

/// See the module's text. Any thread.
pub(super) struct Defined<M>(Mutex<Vec<Outside<M>>>);

impl<M> Default for Defined<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M: Clone> Defined<M> {
    /// A VM has started.
    pub(super) fn add(&self, vm: Outside<M>) {
        let mut vms = self.0.lock();
        forget(&mut vms);
        vms.push(vm);
    }

    /// What is known, some of it more than once.
    pub(super) fn all(&self) -> Vec<M> {
        let mut vms = self.0.lock();
        forget(&mut vms);
        vms.iter().flat_map(|vm| vm.lock().clone()).collect()
    }
}

/// Forgets VMs that are gone, but for the one that had defined most: it is remembered until another has defined as many,
/// which its successor has not before it is configured.
fn forget<M>(vms: &mut Vec<Outside<M>>) {
    let gone = vms.extract_if(.., |vm| Arc::strong_count(vm) == 1).max_by_key(|vm| vm.lock().len());
    let Some(gone) = gone else { return };
    let most = gone.lock().len();
    if vms.iter().all(|vm| vm.lock().len() < most) {
        vms.push(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(metrics: &[&'static str]) -> Outside<&'static str> {
        Arc::new(Mutex::new(metrics.to_vec()))
    }

    #[test]
    fn what_a_vm_defines_later_is_known_as_well() {
        let defined = Defined::default();
        let one = vm(&["a"]);
        defined.add(Arc::clone(&one));
        one.lock().push("b");
        assert_eq!(defined.all(), ["a", "b"]);
    }

    #[test]
    fn a_vm_that_is_gone_is_remembered_until_another_has_defined_as_many() {
        let defined = Defined::default();
        defined.add(vm(&["a", "b"]));
        defined.add(vm(&["c"]));
        assert_eq!(defined.all(), ["a", "b"], "and no more than one");
        let next = vm(&[]);
        defined.add(Arc::clone(&next));
        next.lock().push("a");
        assert_eq!(defined.all(), ["a", "a", "b"]);
        next.lock().push("b");
        assert_eq!(defined.all(), ["a", "b"]);
    }
}
