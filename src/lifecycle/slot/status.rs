//! What a slot tells people of itself: one picture, taken at a moment.

use std::sync::Arc;

use super::Slot;
use super::progress::Stage;
use crate::host::stream::Stream;
use crate::lifecycle::generation::Generation;

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Name of the plugin.
    pub plugin: String,
    /// Where the code comes from.
    pub source: String,
    /// Where the slot stands.
    pub stage: Stage,
    /// Why the last try failed, unless a later one did not.
    pub last_error: Option<String>,
    /// What is there: the one that serves, the one on trial, those that drain.
    pub generations: Vec<GenerationStatus>,
}

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationStatus {
    /// Its number, as in `graft_streams_active`.
    pub number: u64,
    /// What it does.
    pub role: Role,
    /// SHA-256 of its code.
    pub digest: String,
    /// What its source called that revision; empty where there is nothing to tell.
    pub revision: String,
    /// Streams that are on it now.
    pub streams: u64,
    /// Streams that have begun on it.
    pub begun: u64,
    /// Those of them that failed: traps, and local responses of 500 and above.
    pub failures: u64,
    /// VMs of its pool.
    pub vms: usize,
    /// Bytes of their memory.
    pub memory_bytes: usize,
}

/// What a generation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// New streams begin on it.
    Serving,
    /// Some of them do, of a hundred.
    OnTrial(u64),
    /// It was replaced, and its streams end.
    Draining,
}

impl<S: Stream> Slot<S> {
    /// The picture.
    pub fn status(&self) -> Status {
        let published = self.published.get().map(arc_swap::ArcSwap::load_full);
        let progress = self.progress.lock();
        let mut generations = Vec::new();
        if let Some(published) = &published {
            let revision = progress.loaded.as_ref().map_or("", |revision| &revision.0);
            generations.push(describe(&published.generation, Role::Serving, revision));
            if let Some(candidate) = &published.candidate {
                let revision = progress.trial.as_ref().map_or("", |trial| &trial.revision.0);
                let role = Role::OnTrial(candidate.percent());
                generations.push(describe(candidate.generation(), role, revision));
            }
        }
        let draining = progress.draining.list();
        generations.extend(draining.map(|(generation, _since)| describe(generation, Role::Draining, "")));
        Status {
            plugin: self.config.name.clone(),
            source: self.config.vm.code.to_string(),
            stage: progress.stage,
            last_error: progress.last_error.clone(),
            generations,
        }
    }
}

fn describe<S: Stream>(generation: &Arc<Generation<S>>, role: Role, revision: &str) -> GenerationStatus {
    let vms = generation.pool().vms();
    GenerationStatus {
        number: generation.plugin().key,
        role,
        digest: generation.pool().template().code().digest().to_string(),
        revision: revision.to_owned(),
        streams: generation.streams(),
        begun: generation.begun(),
        failures: generation.failures(),
        vms: vms.len(),
        memory_bytes: vms.iter().map(crate::host::vm::Lease::memory_bytes).sum(),
    }
}
