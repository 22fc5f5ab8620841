//! Access logs: a root context logs exchanges that its plugin may never have seen.

use super::{CallError, Phase, Vm};
use crate::host::contexts::{Context, RootIndex};
use crate::host::stream::Stream;

impl<S: Stream> Vm<S> {
    /// Shows an exchange that is over to a root context: `proxy_on_log` with the root's id, as the built-in access logger
    /// does. While it runs the exchange's maps and properties can be read, and nothing else can be done with it.
    ///
    /// # Errors
    /// The guest trapped, or the VM had failed.
    pub fn log_as_root(&mut self, root: RootIndex, exchange: S) -> Result<(), CallError> {
        let Some(function) = &self.entry_points.on_log else { return self.alive(()) };
        let Some((index, id)) = self.inner.store.data_mut().contexts.add_log(root, exchange) else {
            return self.alive(());
        };
        let called = self.inner.call(Phase::Serve, Context::Stream(index), "proxy_on_log", function, id.0);
        self.inner.has_served |= called.is_ok();
        self.remove_stream(index);
        self.delete_done_roots();
        called
    }
}
