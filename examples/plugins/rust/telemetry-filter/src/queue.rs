//! Puts a message on a queue, and lives if the queue is full.
//!
//! The SDK's own function panics on any status but "ok" and "not found", and a host whose queues are bounded has a
//! third: a queue that nobody reads would end this plugin, and with it the streams of its VM.

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_enqueue_shared_queue(queue: u32, message: *const u8, size: usize) -> u32;
}

/// Whether the message is on the queue now.
pub fn enqueue(queue: u32, message: &[u8]) -> bool {
    // SAFETY: the host reads `size` bytes from `message` before it returns, and both are those of one slice.
    let status = unsafe { proxy_enqueue_shared_queue(queue, message.as_ptr(), message.len()) };
    status == 0
}
