//! From a configuration to what VMs are found by and made with.

use sha2::{Digest as _, Sha256};

use super::Use;
use crate::config::{self, GraftConfig, Isolation, PluginConfig};
use crate::engine::code::{Digest, Tier, Wasm};
use crate::engine::limits::Limits;
use crate::engine::wasi::Environment;
use crate::host::calls::CallLimits;
use crate::host::contexts::Plugin;
use crate::host::template::{Capabilities, Deadlines, Settings};
use crate::host::vm::LogLimit;
use crate::lifecycle::failure::BackOff;
use crate::lifecycle::pool::Rules;

/// A digest over parts; the same parts give the same key.
pub(super) type Key = [u8; 32];

/// What decides which plugins share VMs.
pub(super) fn pool_key(
    purpose: Use,
    config: &PluginConfig,
    code: &Digest,
    variables: &[(String, String)],
    tier: Tier,
) -> Key {
    let mut parts: Vec<Vec<u8>> = vec![
        vec![purpose as u8, tier as u8],
        config.vm.vm_id.clone().into_bytes(),
        config.vm.configuration.clone(),
        code.as_bytes().to_vec(),
        vm_settings(config).into_bytes(),
    ];
    match &config.capabilities {
        config::Capabilities::All => parts.push(b"all".to_vec()),
        config::Capabilities::Only(names) => {
            // Counted, so that the last names are not taken for variables.
            parts.push(format!("only {}", names.len()).into_bytes());
            parts.extend(names.iter().map(|name| name.clone().into_bytes()));
        }
    }
    for (name, value) in variables {
        parts.push(name.clone().into_bytes());
        parts.push(value.clone().into_bytes());
    }
    digest(&parts)
}

/// What a VM is made with, and what decides how many there are. Where its compiled code is kept is none of it, nor how it
/// is swapped.
fn vm_settings(config: &PluginConfig) -> String {
    let GraftConfig { isolation, pool, limits, cache: _, strict_local_responses, swap: _, source: _ } =
        &config.graft;
    format!("{isolation:?} {pool:?} {limits:?} {strict_local_responses} {:?}", config.reload)
}

pub(super) fn generation_key(pool: &Key, plugin: &Plugin) -> Key {
    digest(&[
        pool.to_vec(),
        plugin.name.clone().into_bytes(),
        plugin.root_id.clone().into_bytes(),
        plugin.configuration.clone(),
        vec![u8::from(plugin.allow_on_headers_stop_iteration)],
    ])
}

/// Lengths first, so that parts cannot be shifted against each other.
fn digest(parts: &[Vec<u8>]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

pub(super) fn rules(purpose: Use, config: &PluginConfig) -> Rules {
    let pool = &config.graft.pool;
    let is_vm_per_stream = config.graft.isolation == Isolation::Stream;
    Rules {
        is_vm_per_stream,
        keeps_homes: is_vm_per_stream || purpose != Use::Filter,
        spare_vms: match purpose {
            Use::Filter => pool.spare_vms,
            // Nobody waits for a service, and its start is to be seen once for each VM that works.
            Use::Service | Use::Singleton => 0,
        },
        max_vms: pool.max_vms,
        max_wait: pool.max_wait,
        back_off: BackOff { base: config.reload.base_interval, longest: config.reload.max_interval },
    }
}

pub(super) fn settings(config: &PluginConfig, variables: &[(String, String)]) -> Settings {
    let limits = &config.graft.limits;
    Settings {
        vm_id: config.vm.vm_id.clone(),
        configuration: config.vm.configuration.clone(),
        environment: Environment::new(variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
        limits: Limits {
            memory_bytes: usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX),
            table_elements: usize::try_from(limits.table_elements).unwrap_or(usize::MAX),
        },
        deadlines: Deadlines {
            start: limits.start_deadline,
            configure: limits.configure_deadline,
            call: limits.call_deadline,
        },
        strict_local_responses: config.graft.strict_local_responses,
        calls: CallLimits {
            calls: usize::try_from(limits.callouts).unwrap_or(usize::MAX),
            bytes: usize::try_from(limits.callout_bytes).unwrap_or(usize::MAX),
        },
        shared_bytes: usize::try_from(limits.shared_bytes).unwrap_or(usize::MAX),
        log_limit: LogLimit::new(limits.log_lines_per_second),
        capabilities: match &config.capabilities {
            config::Capabilities::All => Capabilities::All,
            config::Capabilities::Only(names) => Capabilities::Only(names.clone()),
        },
    }
}

/// What decides whether bytes are compiled once more.
pub(super) fn code_key(wasm: &Wasm, config: &PluginConfig, tier: Tier) -> Key {
    digest(&[
        b"code".to_vec(),
        wasm.digest().as_bytes().to_vec(),
        vec![u8::from(config.graft.isolation == Isolation::Stream), tier as u8],
    ])
}
