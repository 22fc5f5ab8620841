//! What one VM may use of the process, enforced by wasmtime while the guest grows.
//!
//! A guest that asks for more gets what Wasm defines for "no": `memory.grow` answers -1 and the guest decides
//! (its allocator reports out of memory, usually a trap of its own making). The last refusal is remembered, so
//! that the trap that follows can be explained in the log.

use wasmtime::ResourceLimiter;

/// Bounds of one VM. Sizes are bytes, counts are elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory_bytes: usize,
    /// Elements of a table (function pointers).
    pub table_elements: usize,
}

/// A growth that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Linear memory would have passed its limit.
    #[error("memory of {wanted} bytes was refused: graft.limits.memory_bytes is {limit}")]
    Memory {
        /// Bytes that the guest wanted in all.
        wanted: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A table would have passed its limit.
    #[error("a table of {wanted} elements was refused: graft.limits.table_elements is {limit}")]
    Table {
        /// Elements that the guest wanted in all.
        wanted: usize,
        /// Elements allowed.
        limit: usize,
    },
}

/// Counts one VM against its [`Limits`].
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    refusal: Option<Refusal>,
    has_grown: bool,
}

impl Limiter {
    /// A limiter that has refused nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, refusal: None, has_grown: false }
    }

    /// Whether [`take_growth`](Self::take_growth) would answer that memory has grown.
    pub fn has_grown(&self) -> bool {
        self.has_grown
    }

    /// Whether memory has grown since the last time that this was asked.
    pub fn take_growth(&mut self) -> bool {
        std::mem::take(&mut self.has_grown)
    }

    /// The last growth that was refused.
    pub fn last_refusal(&self) -> Option<Refusal> {
        self.refusal
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.limits.memory_bytes;
        if desired > limit {
            self.refusal = Some(Refusal::Memory { wanted: desired, limit });
        }
        self.has_grown |= desired <= limit;
        Ok(desired <= limit)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.limits.table_elements;
        if desired > limit {
            self.refusal = Some(Refusal::Table { wanted: desired, limit });
        }
        Ok(desired <= limit)
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        usize::try_from(super::MOST_TABLES).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_up_to_the_limit_is_granted_and_beyond_it_is_remembered() {
        let mut limiter = Limiter::new(Limits { memory_bytes: 65_536, table_elements: 10 });
        assert!(limiter.memory_growing(0, 65_536, None).unwrap());
        assert_eq!(limiter.last_refusal(), None);
        assert!(limiter.take_growth() && !limiter.take_growth());
        assert!(!limiter.memory_growing(65_536, 131_072, None).unwrap());
        assert!(!limiter.take_growth());
        let refusal = limiter.last_refusal().unwrap();
        assert_eq!(
            refusal.to_string(),
            "memory of 131072 bytes was refused: graft.limits.memory_bytes is 65536"
        );
        assert!(!limiter.table_growing(10, 11, None).unwrap());
        assert!(limiter.last_refusal().unwrap().to_string().contains("table of 11"));
    }
}
