//! What the service is asked, and what its answer means.

use serde::Deserialize;

/// What the user configures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The cluster of the service.
    pub cluster: String,
    /// Put before the path of the request.
    #[serde(default)]
    pub path_prefix: String,
    /// How long the service may take.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u32,
    /// Headers of the request that the service sees.
    #[serde(default = "default_request_headers")]
    pub request_headers: Vec<String>,
    /// Headers of the service's consent that the upstream sees. Clients cannot set them.
    #[serde(default)]
    pub upstream_headers: Vec<String>,
    /// Headers of the service's refusal that the client sees.
    #[serde(default = "default_client_headers")]
    pub client_headers: Vec<String>,
    /// What becomes of a request when there is no verdict.
    #[serde(default)]
    pub on_error: OnError,
}

/// What becomes of a request when the service gives no verdict.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It passes, without the service's headers.
    Allow,
    /// It is answered with 503.
    #[default]
    Deny,
}

fn default_timeout() -> u32 {
    1000
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn default_request_headers() -> Vec<String> {
    names(&["authorization", "cookie"])
}

fn default_client_headers() -> Vec<String> {
    names(&["content-type", "location", "set-cookie", "www-authenticate"])
}

/// Headers as the host hands them out: any bytes may be in a value.
pub type Headers = [(String, Vec<u8>)];

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request passes.
    Allow,
    /// The client gets the service's answer, with this status.
    Deny(u32),
    /// There is no verdict: no answer in time, or the service has failed.
    Unknown,
}

impl Configuration {
    /// Reads a configuration; the error says what is wrong with it.
    ///
    /// # Errors
    /// What is no JSON, has unknown or missing fields, or names no service.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let mut own: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if own.cluster.is_empty() {
            return Err("cluster: the name of the service's cluster is empty".to_owned());
        }
        if !own.path_prefix.is_empty() && !own.path_prefix.starts_with('/') {
            return Err(format!("path_prefix: {:?} does not begin with /", own.path_prefix));
        }
        // 0 would mean "without end" to the host, and a request must not wait for ever.
        if own.timeout_ms == 0 {
            return Err("timeout_ms: 0 is no time to answer in".to_owned());
        }
        for list in [&mut own.request_headers, &mut own.upstream_headers, &mut own.client_headers] {
            for name in list.iter_mut() {
                if name.is_empty() || name.starts_with(':') {
                    return Err(format!("{name:?} is no header that can be copied"));
                }
                name.make_ascii_lowercase();
            }
        }
        Ok(own)
    }

    /// The headers of the question: method, path and host of the request, and the headers that the service may see.
    ///
    /// A value that is no text is left out, since it cannot be what a service checks.
    pub fn question<'a>(&'a self, request: &'a Headers) -> Vec<(&'a str, String)> {
        let first = |name: &str| text_of(request, name).next().unwrap_or_default();
        let mut question = vec![
            (":method", first(":method").to_owned()),
            (":path", format!("{}{}", self.path_prefix, first(":path"))),
            (":authority", first(":authority").to_owned()),
        ];
        for name in &self.request_headers {
            question.extend(text_of(request, name).map(|value| (name.as_str(), value.to_owned())));
        }
        question
    }

    /// What an answer with this status means; without a status there was no answer.
    pub fn verdict(status: Option<u32>) -> Verdict {
        match status {
            Some(200) => Verdict::Allow,
            // What is no final answer, or says that the service itself has failed, decides nothing.
            None | Some(..200 | 500..) => Verdict::Unknown,
            Some(status) => Verdict::Deny(status),
        }
    }

    /// The headers of a refusal that the client sees.
    pub fn for_client<'a>(&self, answer: &'a Headers) -> Vec<(&'a str, &'a str)> {
        let is_text = |(name, value): &'a (String, Vec<u8>)| {
            self.client_headers.contains(name).then_some((name.as_str(), std::str::from_utf8(value).ok()?))
        };
        answer.iter().filter_map(is_text).collect()
    }

    /// The headers of a consent that the upstream sees.
    pub fn for_upstream<'a>(&self, answer: &'a Headers) -> Vec<&'a (String, Vec<u8>)> {
        answer.iter().filter(|(name, _)| self.upstream_headers.contains(name)).collect()
    }
}

/// The values of a header that are text.
fn text_of<'a>(headers: &'a Headers, name: &str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(own, _)| own == name)
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_service_sees_where_the_request_goes_and_the_chosen_headers() {
        let configuration = Configuration::read(
            br#"{"cluster": "authz", "path_prefix": "/check", "request_headers": ["Authorization"]}"#,
        )
        .unwrap();
        let mut request = headers(&[
            (":method", "POST"),
            (":path", "/account?x=1"),
            (":authority", "example.test"),
            ("authorization", "Bearer 1"),
            ("cookie", "secret"),
        ]);
        request.push(("authorization".to_owned(), vec![0xff]));
        let question = configuration.question(&request);
        let expected = [
            (":method", "POST"),
            (":path", "/check/account?x=1"),
            (":authority", "example.test"),
            ("authorization", "Bearer 1"),
        ];
        assert_eq!(question, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn only_a_final_answer_of_a_service_that_works_is_a_verdict() {
        assert_eq!(Configuration::verdict(Some(200)), Verdict::Allow);
        for status in [201, 302, 401, 403, 429, 499] {
            assert_eq!(Configuration::verdict(Some(status)), Verdict::Deny(status));
        }
        for status in [None, Some(0), Some(100), Some(500), Some(503), Some(504), Some(999)] {
            assert_eq!(Configuration::verdict(status), Verdict::Unknown);
        }
    }

    #[test]
    fn only_the_chosen_headers_of_an_answer_are_copied() {
        let configuration =
            Configuration::read(br#"{"cluster": "authz", "upstream_headers": ["x-user"]}"#).unwrap();
        let answer =
            headers(&[("x-user", "ann"), ("server", "authz"), ("set-cookie", "a"), ("set-cookie", "b")]);
        assert_eq!(configuration.for_upstream(&answer), [&answer[0]]);
        assert_eq!(configuration.for_client(&answer), [("set-cookie", "a"), ("set-cookie", "b")]);
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        for wrong in [
            "",
            "{}",
            r#"{"cluster": ""}"#,
            r#"{"cluster": "authz", "path_prefix": "check"}"#,
            r#"{"cluster": "authz", "timeout_ms": 0}"#,
            r#"{"cluster": "authz", "upstream_headers": [":path"]}"#,
            r#"{"cluster": "authz", "on_error": "ask"}"#,
            r#"{"cluster": "authz", "typo": 1}"#,
        ] {
            assert!(Configuration::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let least = Configuration::read(br#"{"cluster": "authz"}"#).unwrap();
        assert_eq!((least.timeout_ms, least.on_error), (1000, OnError::Deny));
    }
}
