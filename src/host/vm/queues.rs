//! The queues that a VM's root contexts registered. They are told of messages from when the VM goes to work until it fails,
//! or the root goes: a VM in which a plugin is only tried takes no queue from those that work.

use std::sync::Arc;

use super::{Role, State};
use crate::host::shared::{Queue, Reader};
use crate::host::stream::Stream;

impl<S: Stream> State<S> {
    /// A root has registered a queue.
    pub(in crate::host) fn read_queue(&mut self, queue: Arc<Queue>, root: u32) {
        // A copy ends with its stream, so whoever is told now goes on being told.
        if self.is_copy {
            return;
        }
        self.queues.retain(|(other, reader)| *reader != root || !Arc::ptr_eq(other, &queue));
        if let Some(role) = self.role {
            self.join_queue(&queue, root, role);
        }
        self.queues.push((queue, root));
    }

    /// The VM goes to work.
    pub(super) fn join_queues(&mut self, role: Role) {
        self.role = Some(role);
        for (queue, root) in &self.queues {
            self.join_queue(queue, *root, role);
        }
    }

    fn join_queue(&self, queue: &Arc<Queue>, root: u32, role: Role) {
        let reader = Reader { vm: self.number, root };
        self.commons.agenda.wake(queue, queue.add_reader(reader, role == Role::Other));
    }

    /// A root is gone; `None`: the VM is.
    pub(super) fn leave_queues(&mut self, root: Option<u32>) {
        let is_its = |(_, reader): &mut (Arc<Queue>, u32)| root.is_none_or(|root| root == *reader);
        for (queue, root) in self.queues.extract_if(.., is_its) {
            let reader = Reader { vm: self.number, root };
            self.commons.agenda.wake(&queue, queue.remove_reader(reader));
        }
    }
}
