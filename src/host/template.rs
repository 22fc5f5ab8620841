//! A template: code that is linked and checked, from which the VMs of one key are made.
//!
//! Whatever can be wrong with code itself is found here, once, before any VM exists: no ABI marker, no
//! allocator, an import that this host does not have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{ExternType, InstancePre, Linker, UnknownImportError};

use super::calls::CallLimits;
use super::commons::Commons;
use super::entry_points::{EntryPoints, Exports};
use super::hostcalls;
use super::shared::Space;
use super::stream::Stream;
use super::types::AbiVersion;
use super::vm::{LogLimit, State};
use crate::engine::code::Code;
use crate::engine::limits::Limits;
use crate::engine::wasi::{self, Environment};
use crate::engine::{Engine, EngineError};

/// How long a guest may take. Wall clock, because that is what the requests behind it feel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For the start of the code and `proxy_on_vm_start`, each.
    pub start: Duration,
    /// For `proxy_on_configure`.
    pub configure: Duration,
    /// For any other entry point.
    pub call: Duration,
}

/// Which functions a guest may import and which of its entry points are called
/// (`capability_restriction_config.allowed_capabilities`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Capabilities {
    /// No restriction.
    #[default]
    All,
    /// Only these names.
    Only(BTreeSet<String>),
}

impl Capabilities {
    /// Whether a function is allowed, by its bare name (`proxy_log`, `fd_write`, `proxy_on_log`).
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// What all VMs of a key have in common beside their code.
#[derive(Debug)]
pub struct Settings {
    /// The key that the user gave (`vm_config.vm_id`); may be empty.
    pub vm_id: String,
    /// What `proxy_on_vm_start` reads.
    pub configuration: Vec<u8>,
    /// What WASI's `environ_get` answers.
    pub environment: Environment,
    /// Memory and tables.
    pub limits: Limits,
    /// Time.
    pub deadlines: Deadlines,
    /// Restriction.
    pub capabilities: Capabilities,
    /// Whether a local response that would reach nobody is refused.
    pub strict_local_responses: bool,
    /// Callouts under way.
    pub calls: CallLimits,
    /// Bytes of data and queues that plugins of this VM id share; the first of them decides.
    pub shared_bytes: usize,
    /// How many lines its guests may log, all VMs together.
    pub log_limit: LogLimit,
}

/// Why code cannot run here. The messages complete "the code …".
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No export says which ABI the code is written for.
    #[error(
        "exports no Proxy-Wasm ABI marker, expected a function named proxy_abi_version_0_1_0, \
         proxy_abi_version_0_2_0 or proxy_abi_version_0_2_1 (is it a Proxy-Wasm plugin?)"
    )]
    NoAbiMarker,
    /// The host could never hand data to the guest.
    #[error("exports no allocator, expected a function named malloc or proxy_on_memory_allocate")]
    NoAllocator,
    /// The host could not reach the guest's memory.
    #[error("exports no memory, expected a memory named \"memory\"")]
    NoMemory,
    /// An import that no Proxy-Wasm host has.
    #[error("imports {module}.{name}, expected only functions of Proxy-Wasm {abi} and WASI preview 1")]
    UnknownImport {
        /// Its module.
        module: String,
        /// Its name.
        name: String,
        /// The ABI that the code is written for.
        abi: AbiVersion,
    },
    /// An import of a known name and another type, or one that is not a function.
    #[error("has an import that does not fit: {0}")]
    WrongImport(String),
    /// The engine itself failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// See the module's text.
pub struct Template<S: Stream> {
    pub(super) engine: Arc<Engine>,
    pub(super) instance: InstancePre<State<S>>,
    pub(super) abi: AbiVersion,
    pub(super) settings: Arc<Settings>,
    pub(super) commons: Arc<Commons<S>>,
    pub(super) space: Arc<Space>,
    pub(super) exports: Exports,
    /// Those of all its VMs, if they are copies that have a dispatcher.
    pub(super) entry_points: Option<Arc<EntryPoints>>,
    code: Code,
}

impl<S: Stream> Template<S> {
    /// Links code with the hostcalls of its ABI and with WASI.
    ///
    /// # Errors
    /// [`LinkError`] says what about the code does not fit.
    pub fn link(
        engine: &Arc<Engine>,
        code: &Code,
        settings: Settings,
        commons: &Arc<Commons<S>>,
    ) -> Result<Self, LinkError> {
        let space = commons.shared.space(&settings.vm_id, settings.shared_bytes);
        Self::link_in(engine, code, Arc::new(settings), commons, space)
    }

    /// Links other code for the same VMs: code that starts where one of them is.
    ///
    /// # Errors
    /// As for [`link`](Self::link).
    pub(super) fn link_snapshot(&self, code: &Code) -> Result<Self, LinkError> {
        let (settings, space) = (Arc::clone(&self.settings), Arc::clone(&self.space));
        Self::link_in(&self.engine, code, settings, &self.commons, space)
    }

    fn link_in(
        engine: &Arc<Engine>,
        code: &Code,
        settings: Arc<Settings>,
        commons: &Arc<Commons<S>>,
        space: Arc<Space>,
    ) -> Result<Self, LinkError> {
        let abi = AbiVersion::detect(code.exported_functions()).ok_or(LinkError::NoAbiMarker)?;
        let is_allocator = |name| matches!(name, "malloc" | "proxy_on_memory_allocate");
        if !code.exported_functions().any(is_allocator) {
            return Err(LinkError::NoAllocator);
        }
        let memory = code.module().get_export("memory");
        if !matches!(memory, Some(ExternType::Memory(_))) {
            return Err(LinkError::NoMemory);
        }
        let instance = linker(engine, abi, &settings.capabilities)
            .and_then(|linker| linker.instantiate_pre(code.module()))
            .map_err(|error| match error.downcast_ref::<UnknownImportError>() {
                Some(import) => LinkError::UnknownImport {
                    module: import.module().to_owned(),
                    name: import.name().to_owned(),
                    abi,
                },
                None => LinkError::WrongImport(format!("{error:#}")),
            })?;
        let exports = Exports::find(code, |name| settings.capabilities.allows(name));
        Ok(Self {
            engine: Arc::clone(engine),
            instance,
            abi,
            space,
            entry_points: exports.numbered(abi),
            exports,
            settings,
            commons: Arc::clone(commons),
            code: code.clone(),
        })
    }

    /// The ABI that the code is written for.
    pub fn abi(&self) -> AbiVersion {
        self.abi
    }

    /// The code itself.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// What the VMs have in common.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

fn linker<S: Stream>(
    engine: &Engine,
    abi: AbiVersion,
    capabilities: &Capabilities,
) -> wasmtime::Result<Linker<State<S>>> {
    let mut linker = Linker::new(engine.handle());
    wasi::add_to_linker(&mut linker, |name| capabilities.allows(name))?;
    hostcalls::add_to_linker(&mut linker, abi, capabilities)?;
    Ok(linker)
}
