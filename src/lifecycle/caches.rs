//! The caches of this process: one for each directory that a plugin names. Plugins that name none share the one that the
//! environment names. Compiled code lies there between two starts.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::CacheConfig;
use crate::engine::code::Shelf;
use crate::source::cache::{Cache, Kind, Limits};
use crate::telemetry::{self, Level};

/// See the module's text.
#[derive(Debug, Default)]
pub struct Caches {
    opened: Mutex<HashMap<Option<PathBuf>, Opened>>,
}

/// What became of a directory.
#[derive(Debug)]
enum Opened {
    Cache(Arc<Cache>),
    /// It cannot be used: why, as it was told last.
    Refused(String),
}

impl Caches {
    /// The cache that a plugin uses, if it has one. A directory that cannot be used is told of once, and tried anew for
    /// the next plugin. Of plugins with the same directory, the one that is loaded last says how much is kept.
    pub fn cache(
        &self,
        config: &CacheConfig,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Option<Arc<Cache>> {
        if config.disabled {
            return None;
        }
        let limits = Limits { max_bytes: config.max_bytes, max_age: config.max_age };
        let directory = config.resolve(lookup);
        let mut opened = self.opened.lock();
        let known = opened.get(&directory);
        if let Some(Opened::Cache(cache)) = known {
            cache.set_limits(limits);
            let cache = Arc::clone(cache);
            drop(opened);
            cache.look_after();
            return Some(cache);
        }
        let refusal = match &directory {
            Some(path) => match Cache::open(path, limits) {
                Ok(cache) => {
                    let cache = Arc::new(cache);
                    opened.insert(directory, Opened::Cache(Arc::clone(&cache)));
                    return Some(cache);
                }
                Err(error) => error.to_string(),
            },
            None => "none of GRAFT_CACHE_DIRECTORY, XDG_CACHE_HOME and HOME names an absolute path, \
                     expected one of them (or graft.cache.directory)"
                .to_owned(),
        };
        let is_told = matches!(known, Some(Opened::Refused(told)) if *told == refusal);
        if !is_told {
            let line = format_args!("graft: no cache: {refusal}; plugins are compiled at each start");
            telemetry::log(Level::Warn, line);
            opened.insert(directory, Opened::Refused(refusal));
        }
        None
    }

    /// The same, for compiled code.
    pub fn shelf(
        &self,
        config: &CacheConfig,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Option<Arc<dyn Shelf>> {
        let cache = self.cache(config, lookup)?;
        Some(cache)
    }
}

impl Shelf for Cache {
    fn take(&self, key: &[u8; 32]) -> Option<Vec<u8>> {
        self.read(Kind::Compiled, key)
    }

    fn put(&self, key: &[u8; 32], compiled: &[u8]) {
        self.write(Kind::Compiled, key, compiled);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn nothing(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn plugins_with_the_same_directory_share_a_cache() {
        let folder = tempfile::tempdir().unwrap();
        let caches = Caches::default();
        let config = CacheConfig { directory: Some(folder.path().join("c")), ..CacheConfig::default() };
        let one = caches.cache(&config, nothing).unwrap();
        let shorter = CacheConfig { max_age: Duration::from_mins(2), ..config.clone() };
        assert!(Arc::ptr_eq(&one, &caches.cache(&shorter, nothing).unwrap()));
        let other = CacheConfig { directory: Some(folder.path().join("d")), ..config.clone() };
        assert!(!Arc::ptr_eq(&one, &caches.cache(&other, nothing).unwrap()));
        let environment = |name: &str| (name == "HOME").then(|| folder.path().as_os_str().to_owned());
        let default = caches.cache(&CacheConfig::default(), environment).unwrap();
        assert_eq!(default.directory(), folder.path().join(".cache/graft/plugins"));
    }

    #[test]
    fn nobody_has_to_have_one() {
        let caches = Caches::default();
        assert!(caches.cache(&CacheConfig::default(), nothing).is_none());
        let disabled = CacheConfig { disabled: true, ..CacheConfig::default() };
        assert!(caches.cache(&disabled, |_| panic!("asked for a directory")).is_none());
    }

    #[test]
    fn a_directory_that_was_refused_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        std::fs::write(&path, "").unwrap();
        let caches = Caches::default();
        let config = CacheConfig { directory: Some(path.clone()), ..CacheConfig::default() };
        assert!(caches.cache(&config, nothing).is_none());
        std::fs::remove_file(&path).unwrap();
        assert!(caches.cache(&config, nothing).is_some());
    }
}
