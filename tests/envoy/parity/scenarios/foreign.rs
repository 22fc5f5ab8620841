//! Foreign functions that both hosts have.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};

use crate::harness::message::{Field, message, word};
use crate::parity::scenario::{Scenario, script};

fn call(callback: &str, name: &str, argument: &[u8]) -> String {
    format!("{callback}: foreign {name} {}\n", word(argument))
}

pub fn compression() -> Scenario {
    // zlib's stream of "some text".
    let stream = *b"x\x9c+\xce\xcfMU(I\xad(\x01\x00\x11\xe8\x03\x9a";
    let lines = [
        call("configure", "uncompress", &stream),
        call("request_headers", "uncompress", &stream),
        call("request_headers", "uncompress", &stream[..10]),
        call("request_headers", "uncompress", &stream[..16]),
        call("request_headers", "uncompress", &[&stream[..], b"more"].concat()),
        call("request_headers", "uncompress", b""),
        call("request_headers", "uncompress", b"no stream"),
        call("request_headers", "uncompress", &[120, 156, 3, 0, 0, 0, 0, 1]),
        call("request_headers", "compress", b"some text"),
        call("request_headers", "compress", b""),
        call("log", "uncompress", &stream),
    ];
    script("compress and uncompress, also of what is no stream", &lines.concat()).everything()
}

/// What is evaluated in each phase.
const EXPRESSIONS: &[&str] = &[
    "request.path",
    "request.url_path + '?' + request.query",
    "request.headers['x-request']",
    "request.headers['x-missing']",
    "has(request.headers.x_missing)",
    "'x-request' in request.headers",
    "request.method == 'POST' || request.unknown == 1",
    "request.size",
    "request.size > 10",
    "size(request.id)",
    "request.time > timestamp('2020-01-01T00:00:00Z')",
    "request.duration >= duration('0s')",
    "response.code",
    "response.code == 200",
    "source.port > 0",
    "connection.id >= 0u",
    "connection.mtls",
    "plugin_name",
    "plugin_root_id + plugin_vm_id",
    "own_property",
    "no_such_name",
    "1 + 2",
    "1.5 * 2.0",
    "7u",
    "'text'",
    "b'bytes'",
    "true",
    "null",
    "[1, 2]",
    "['a', 'b']",
    "[]",
    "{'a': 'b'}",
    "{}",
    "[1, 2, 3].exists(x, x > 2)",
    "['ab', 'c'].map(x, size(x))",
    "'abc'.matches('a.c')",
    "'abc'.startsWith('ab') && 'abc'.endsWith('c') && 'abc'.contains('b')",
    "1 / 0",
    "1 + 'a'",
    "9223372036854775807 + 1",
    "duration('1.5s')",
    "timestamp('2020-01-01T00:00:00Z')",
    "string(12) + string(true)",
    "int('12') + 1",
    "request.headers",
    "xds.route_name",
    "metadata.filter_metadata['none']['key']",
    "'ns' in metadata.filter_metadata",
];

pub fn expressions() -> Scenario {
    let mut lines = String::from("request_headers: set-property own_property mine\n");
    for expression in EXPRESSIONS {
        lines += &call("configure", "expr_create", expression.as_bytes());
    }
    for callback in ["request_headers", "response_headers", "log"] {
        for (token, expression) in EXPRESSIONS.iter().enumerate() {
            // Maps have no order, and the headers here are not the same in both.
            if *expression != "request.headers" {
                lines += &call(callback, "expr_evaluate", &u32::try_from(token).unwrap().to_le_bytes());
            }
        }
    }
    script("expressions of CEL over attributes and literals, in three phases", &lines)
        .set("root_id", "the-root")
        .everything()
}

pub fn expressions_out_of_place() -> Scenario {
    let lines = [
        call("configure", "expr_evaluate", &[0; 4]),
        call("configure", "expr_create", b"1 +"),
        call("configure", "expr_create", b""),
        call("configure", "expr_create", b"\xff"),
        call("configure", "expr_create", b"f(1)"),
        call("configure", "expr_create", b"request.path"),
        call("configure", "expr_create", b"1 + 1"),
        call("configure", "expr_evaluate", &[0; 4]),
        call("configure", "expr_evaluate", &[1, 0, 0, 0]),
        call("configure", "expr_evaluate", b""),
        call("configure", "expr_evaluate", &[0; 5]),
        call("configure", "expr_delete", &[0; 3]),
        call("configure", "expr_delete", &[9, 0, 0, 0]),
        call("configure", "expr_delete", &[0; 4]),
        call("configure", "expr_evaluate", &[0; 4]),
        call("configure", "expr_create", b"'another'"),
        call("request_headers", "expr_create", b"request.path"),
        call("request_headers", "expr_evaluate", &[3, 0, 0, 0]),
        call("response_headers", "expr_evaluate", &[3, 0, 0, 0]),
        call("done", "expr_evaluate", &[3, 0, 0, 0]),
        call("delete", "expr_evaluate", &[3, 0, 0, 0]),
    ];
    script("expressions that are none, tokens that are none, and where a plugin makes them", &lines.concat()).get("/")
}

/// Keys of one run; both hosts get the same.
struct Keys {
    rsa: (Vec<u8>, Vec<u8>),
    curve: (Vec<u8>, Vec<u8>),
    rsa_signature: Vec<u8>,
    curve_signature: Vec<u8>,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut rsa_signature = vec![0; rsa.public_modulus_len()];
    rsa.sign(&RSA_PKCS1_SHA256, &random, b"text", &mut rsa_signature).unwrap();
    let rsa_private: Pkcs8V1Der = rsa.as_der().unwrap();
    let rsa_public: PublicKeyX509Der = rsa.public_key().as_der().unwrap();
    let curve = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let curve_signature = curve.sign(&random, b"text").unwrap().as_ref().to_vec();
    let curve_public: PublicKeyX509Der = curve.public_key().as_der().unwrap();
    Keys {
        rsa: (rsa_private.as_ref().to_vec(), rsa_public.as_ref().to_vec()),
        curve: (curve.to_pkcs8v1().unwrap().as_ref().to_vec(), curve_public.as_ref().to_vec()),
        rsa_signature,
        curve_signature,
    }
});

pub fn signatures() -> Scenario {
    let verify = |hash: &str, key: &[u8], signature: &[u8], text: &[u8]| {
        let fields = [
            (1, Field::Bytes(hash.as_bytes())),
            (2, Field::Bytes(key)),
            (3, Field::Bytes(signature)),
            (4, Field::Bytes(text)),
        ];
        call("request_headers", "verify_signature", &message(&fields))
    };
    let keys = &*KEYS;
    let (rsa, curve) = (&keys.rsa.1, &keys.curve.1);
    let lines = [
        verify("sha256", rsa, &keys.rsa_signature, b"text"),
        verify("SHA256", rsa, &keys.rsa_signature, b"text"),
        verify("sha256", rsa, &keys.rsa_signature, b"other"),
        verify("sha512", rsa, &keys.rsa_signature, b"text"),
        verify("md5", rsa, &keys.rsa_signature, b"text"),
        verify("", rsa, &keys.rsa_signature, b"text"),
        verify("sha256", rsa, b"", b"text"),
        verify("sha256", curve, &keys.curve_signature, b"text"),
        verify("sha256", curve, &keys.curve_signature, b"other"),
        verify("sha256", curve, &keys.rsa_signature, b"text"),
        verify("sha256", b"no key", &keys.curve_signature, b"text"),
        verify("sha256", b"", &keys.curve_signature, b"text"),
        verify("sha256", &keys.curve.0, &keys.curve_signature, b"text"),
        call("request_headers", "verify_signature", b"\x0a\xff"),
        call("request_headers", "verify_signature", b""),
    ];
    script("signatures of RSA and ECDSA, right and wrong", &lines.concat()).get("/")
}

pub fn signing() -> Scenario {
    let sign = |hash: &str, key: &[u8]| {
        let fields =
            [(1, Field::Bytes(hash.as_bytes())), (2, Field::Bytes(key)), (3, Field::Bytes(b"text"))];
        call("request_headers", "sign", &message(&fields))
    };
    let keys = &*KEYS;
    // A signature of ECDSA is another each time.
    let lines = [
        sign("sha256", &keys.rsa.0),
        sign("Sha384", &keys.rsa.0),
        sign("sha512", &keys.rsa.0),
        sign("md5", &keys.rsa.0),
        sign("md5", &keys.curve.0),
        sign("sha256", &keys.rsa.1),
        sign("sha256", b""),
        call("request_headers", "sign", b"\x0a\xff"),
    ];
    script("signing with RSA", &lines.concat()).get("/")
}

pub fn declared_properties() -> Scenario {
    let declare = |callback: &str, name: &str, read_only: u8, kind: u8| {
        let fields =
            [(1, Field::Bytes(name.as_bytes())), (2, Field::Number(read_only)), (3, Field::Number(kind))];
        call(callback, "declare_property", &message(&fields))
    };
    let lines = [
        declare("configure", "once", 1, 0),
        declare("configure", "once", 0, 0),
        declare("configure", "text", 0, 1),
        call("configure", "declare_property", b"\x0a\xff"),
        call("configure", "expr_create", b"text == 'one'"),
        call("configure", "expr_create", b"once == b'one'"),
        declare("request_headers", "from-a-stream", 1, 0),
        declare("request_headers", "from-a-stream", 1, 0),
        declare("request_headers", "once", 0, 0),
        "request_headers: set-property once one
        request_headers: property once
        request_headers: set-property once two
        request_headers: property once
        request_headers: set-property text one
        request_headers: set-property from-a-stream one
        request_headers: set-property from-a-stream two
        request_headers: property from-a-stream
        "
        .to_owned(),
        call("request_headers", "expr_evaluate", &[0; 4]),
        call("request_headers", "expr_evaluate", &[1, 0, 0, 0]),
    ];
    script("properties that were declared: read only, text", &lines.concat()).get("/").get("/")
}

pub fn filter_state_objects() -> Scenario {
    let set = |callback: &str, name: &str, text: &[u8]| {
        let fields = [(1, Field::Bytes(name.as_bytes())), (2, Field::Bytes(text))];
        call(callback, "set_envoy_filter_state", &message(&fields))
    };
    let lines = [
        set("configure", "nobody.knows", b"x"),
        set("configure", "envoy.tcp_proxy.cluster", b"x"),
        set("request_headers", "envoy.tcp_proxy.cluster", b"the-cluster"),
        "request_headers: property filter_state envoy.tcp_proxy.cluster\n".to_owned(),
        set("request_headers", "envoy.tcp_proxy.cluster", b""),
        set("request_headers", "nobody.knows", b"x"),
        set("request_headers", "envoy.upstream.dynamic_port", b"no number"),
        set("request_headers", "envoy.upstream.dynamic_port", b"80"),
        set("request_headers", "", b"x"),
        set("request_headers", "envoy.tcp_proxy.cluster", b"\xff"),
        call("request_headers", "set_envoy_filter_state", b"\x0a\xff"),
        set("log", "envoy.tcp_proxy.cluster", b"late"),
    ];
    script("filter state that Envoy makes", &lines.concat()).get("/")
}

pub fn foreign_calls_that_fail() -> Scenario {
    let lines = [
        call("configure", "clear_route_cache", b""),
        call("request_headers", "clear_route_cache", b"anything"),
        call("request_headers", "", b""),
        call("request_headers", "Compress", b""),
        call("log", "clear_route_cache", b""),
    ];
    script("names that nobody has, and calls without a stream", &lines.concat().replace("foreign  ", "foreign \"\" "))
        .get("/")
}
