//! What the user configures.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What the user configures.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// What `iss` must be.
    pub issuer: String,
    /// `aud` must hold one of these. None: it is not looked at.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Where the keys are.
    pub jwks: Jwks,
    /// By how much clocks may differ.
    #[serde(default = "default_leeway")]
    pub leeway_seconds: u64,
    /// How long a request may wait for keys.
    #[serde(default = "default_wait")]
    pub wait_ms: u64,
    /// Claims that the upstream gets, and the headers they go to. Clients cannot set these headers.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, String>,
}

/// Where the keys are.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwks {
    /// The cluster of the issuer.
    pub cluster: String,
    /// Its host name; the cluster's name if it is not given.
    #[serde(default)]
    pub authority: Option<String>,
    /// The path of the key set.
    #[serde(default = "default_path")]
    pub path: String,
    /// How long fetching may take.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// How old keys may get.
    #[serde(default = "default_refresh")]
    pub refresh_seconds: u64,
    /// How long a failure, or a token of an unknown key, waits for the next attempt.
    #[serde(default = "default_retry")]
    pub retry_seconds: u64,
}

fn default_leeway() -> u64 {
    60
}

fn default_wait() -> u64 {
    5000
}

fn default_path() -> String {
    "/.well-known/jwks.json".to_owned()
}

fn default_timeout() -> u64 {
    5000
}

fn default_refresh() -> u64 {
    300
}

fn default_retry() -> u64 {
    5
}

impl Configuration {
    /// Reads a configuration; the error says what is wrong with it.
    ///
    /// # Errors
    /// What is no JSON, has unknown or missing fields, or cannot work.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let mut own: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if own.issuer.is_empty() {
            return Err("issuer: must not be empty".to_owned());
        }
        if own.jwks.cluster.is_empty() || !own.jwks.path.starts_with('/') {
            return Err("jwks: cluster must not be empty, and path begins with /".to_owned());
        }
        if own.jwks.timeout_ms == 0 || own.jwks.refresh_seconds == 0 || own.jwks.retry_seconds == 0 {
            return Err("jwks: timeout_ms, refresh_seconds and retry_seconds must not be 0".to_owned());
        }
        for header in own.claims_to_headers.values_mut() {
            if header.is_empty() || header.starts_with(':') {
                return Err(format!("claims_to_headers: {header:?} is no header that can be set"));
            }
            header.make_ascii_lowercase();
        }
        Ok(own)
    }
}

impl Jwks {
    /// The host name of the issuer.
    pub fn authority(&self) -> &str {
        self.authority.as_deref().unwrap_or(&self.cluster)
    }

    /// The name of what VMs share about these keys. Plugins with one VM id that trust one issuer share them, too.
    pub fn name(&self, what: &str) -> String {
        format!("jwks/{what}/{}/{}{}", self.cluster, self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_has_to_be_said() {
        let own = Configuration::read(br#"{"issuer": "i", "jwks": {"cluster": "idp"}}"#).unwrap();
        assert_eq!((own.leeway_seconds, own.wait_ms, own.jwks.refresh_seconds), (60, 5000, 300));
        assert_eq!(own.jwks.name("keys"), "jwks/keys/idp/idp/.well-known/jwks.json");
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        for wrong in [
            "",
            "{}",
            r#"{"issuer": "", "jwks": {"cluster": "idp"}}"#,
            r#"{"issuer": "i", "jwks": {"cluster": ""}}"#,
            r#"{"issuer": "i", "jwks": {"cluster": "idp", "path": "keys"}}"#,
            r#"{"issuer": "i", "jwks": {"cluster": "idp", "refresh_seconds": 0}}"#,
            r#"{"issuer": "i", "jwks": {"cluster": "idp"}, "claims_to_headers": {"sub": ":path"}}"#,
            r#"{"issuer": "i", "jwks": {"cluster": "idp"}, "typo": 1}"#,
        ] {
            assert!(Configuration::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
