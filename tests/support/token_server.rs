//! The token server of a registry, as docker's documentation describes it: it looks at user and password, and signs what
//! the user may do, as a JSON web token that the registry checks with the certificate that it was given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http_server::{Asked, HttpServer, Reply};
use super::tls::{self, Certificate};

/// Who signs, and for whom; the registry is told the same.
pub const ISSUER: &str = "the-issuer";
pub const SERVICE: &str = "the-registry";

/// A token that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Nobody if no user was named.
    pub user: Option<String>,
    /// What was asked for, such as `repository:plugins/a:pull`.
    pub scope: String,
    pub is_given: bool,
}

/// The server.
#[derive(Debug)]
pub struct TokenServer {
    server: HttpServer,
    certificate: Certificate,
    state: Arc<State>,
    _folder: TempDir,
}

#[derive(Debug)]
struct State {
    key: Vec<u8>,
    certificate: Vec<u8>,
    passwords: Mutex<BTreeMap<String, String>>,
    grants: Mutex<Vec<Grant>>,
}

impl TokenServer {
    /// A server that knows one user.
    pub fn start(user: &str, password: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let certificate = tls::self_signed(folder.path(), "tokens");
        let state = Arc::new(State {
            key: tls::der(&certificate.key),
            certificate: tls::der(&certificate.certificate),
            passwords: Mutex::new(BTreeMap::from([(user.to_owned(), password.to_owned())])),
            grants: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        let server = HttpServer::start(move |asked, reply| serving.answer(asked, reply));
        Self { server, certificate, state, _folder: folder }
    }

    /// Where tokens are asked for: the realm of the registry's challenge, at the host that the registry goes by.
    pub fn realm(&self) -> String {
        format!("http://localhost:{}/token", self.server.address().port())
    }

    /// What the registry checks tokens with.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Gives the user another password; tokens that were given stay good for their five minutes.
    pub fn set_password(&self, user: &str, password: &str) {
        self.state.passwords.lock().insert(user.to_owned(), password.to_owned());
    }

    /// The tokens that were asked for so far.
    pub fn grants(&self) -> Vec<Grant> {
        self.state.grants.lock().clone()
    }
}

impl State {
    fn answer(&self, asked: &Asked, reply: &mut Reply<'_>) {
        if asked.method != "GET" || !asked.path.starts_with("/token") {
            reply.answer(404, &[], b"");
            return;
        }
        let user = asked.basic_auth();
        let is_known = user.as_ref().is_some_and(|(user, password)| {
            self.passwords.lock().get(user).is_some_and(|right| right == password)
        });
        let is_given = is_known && asked.parameter("service").as_deref() == Some(SERVICE);
        let scope = asked.parameter("scope").unwrap_or_default();
        let user = user.map(|(user, _)| user);
        self.grants.lock().push(Grant { user: user.clone(), scope: scope.clone(), is_given });
        if !is_given {
            reply.answer(401, &[("content-type", "application/json")], br#"{"details": "no token for you"}"#);
            return;
        }
        let token = self.token(&user.unwrap_or_default(), &scope);
        let body = json!({ "token": token, "access_token": token, "expires_in": 300 }).to_string();
        reply.answer(200, &[("content-type", "application/json")], body.as_bytes());
    }

    /// A token for all that is asked.
    fn token(&self, user: &str, scope: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
        let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.certificate)] });
        let claims = json!({
            "iss": ISSUER, "sub": user, "aud": SERVICE,
            "nbf": now - 60, "iat": now, "exp": now + 300, "jti": now.to_string(),
            "access": scope.split(' ').filter_map(access).collect::<Vec<_>>(),
        });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.key).expect("a key");
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// `repository:plugins/a:pull,push`, as the registry reads it in a token.
fn access(scope: &str) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    Some(json!({ "type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>() }))
}
