//! No bytes make the parsers panic: right configurations are mutilated in many ways, the same ones on each
//! run, and whatever comes out is either a configuration or an error that is one line of a bounded length.

use serde_json::{Value, json};

use super::{parse_plugin, parse_route, wire};

/// Mutations of each seed.
const ROUNDS: usize = 4_000;

/// Pieces that a mutation puts in: what JSON, base64, durations and numbers are sensitive to.
const PIECES: [&[u8]; 20] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"null",
    b"-1",
    b"1e999",
    b"1e19",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"=",
    b"\"@type\":",
    b"99999999999999999999s",
    b"0.0000000001s",
    b"\n",
];

/// A small generator of numbers (xorshift) with a fixed start, so that a failure repeats.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0).unwrap().checked_rem(bound).unwrap_or(0)
    }
}

fn seeds() -> Vec<Value> {
    vec![
        json!({
            "name": "auth",
            "root_id": "r",
            "vm_config": {
                "vm_id": "v",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"inline_bytes": "AGFzbQEAAAA="}},
                "configuration": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"a": [1.5, null]}},
                "environment_variables": {"host_env_keys": ["A"], "key_values": {"B": "C"}},
                "capability_restriction_config": {"allowed_capabilities": {"proxy_log": {}}},
            },
            "configuration": {"@type": "type.googleapis.com/google.protobuf.Int64Value", "value": "-5"},
            "failure_policy": "FAIL_RELOAD",
            "reload_config": {"backoff": {"base_interval": "1.5s", "max_interval": "60s"}},
            "graft": {"limits": {"memory_bytes": 65536, "call_deadline": "0.5s"}},
        }),
        json!({
            "vm_config": {"code": {"remote": {
                "http_uri": {"uri": "https://u:p@a.example:1/x?y#z", "cluster": "c", "timeout": "5s"},
                "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "retry_policy": {"num_retries": 3, "retry_back_off": {"base_interval": "1s", "max_interval": "2s"}},
            }}},
            "graft": {"source": {
                "pull_policy": "Always",
                "pull_secret": {"inline": "{}"},
                "credential_helpers": ["ecr-login"],
                "insecure_registries": ["a.example:5000"],
                "allowed_addresses": ["fe80::/10"],
                "retries": {"attempts": 2},
            }},
        }),
        json!({"vm_config": {"code": {"oci": "oci://a.example:5000/b/c:d@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}}),
        json!({"config": {"vmConfig": {"code": {"local": {"filename": "/x"}}}, "failOpen": true}}),
        json!({"configuration": {"@type": "x/google.protobuf.BytesValue", "value": "aGk="}}),
        json!({"disabled": false}),
    ]
}

fn mutilate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let start = numbers.below(bytes.len());
        let end = start.saturating_add(numbers.below(12)).min(bytes.len());
        match numbers.below(6) {
            0 => bytes.truncate(start),
            1 => drop(bytes.drain(start..end)),
            2 => drop(bytes.splice(start..start, PIECES[numbers.below(PIECES.len())].to_vec())),
            3 => drop(bytes.splice(start..end, PIECES[numbers.below(PIECES.len())].to_vec())),
            4 => bytes.extend_from_within(start..end),
            _ => {
                if let Some(byte) = bytes.get_mut(start) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
    }
}

#[test]
fn arbitrary_bytes_are_a_configuration_or_one_line() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut refused) = (0, 0);
    for seed in seeds() {
        let text = seed.to_string().into_bytes();
        let encoded = wire::structure(seed.as_object().unwrap());
        for round in 0..ROUNDS {
            let mut bytes = if round % 2 == 0 { text.clone() } else { encoded.clone() };
            mutilate(&mut bytes, &mut numbers);
            for error in [parse_plugin("filter", &bytes).err(), parse_route(&bytes).err()] {
                let Some(error) = error else {
                    accepted += 1;
                    continue;
                };
                refused += 1;
                let line = error.to_string();
                assert!(!line.contains(['\n', '\r', '\0']), "{line:?}");
                assert!(line.len() < 1_000, "{line}");
            }
        }
    }
    assert!(accepted > 100 && refused > 1_000, "{accepted} {refused}");
}

/// Values of a wrong type, in the place of each value of a right configuration in turn.
#[test]
fn every_field_of_every_type_is_a_configuration_or_one_line() {
    fn replace(value: &Value, with: &Value, count: &mut usize) -> Value {
        if *count == 0 {
            // Far more than there are values, so only one is replaced.
            *count = usize::MAX;
            return with.clone();
        }
        *count = count.saturating_sub(1);
        match value {
            Value::Array(array) => array.iter().map(|item| replace(item, with, count)).collect(),
            Value::Object(object) => {
                object.iter().map(|(key, item)| (key.clone(), replace(item, with, count))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0.5),
        json!(u64::MAX),
        json!(""),
        json!("\0"),
        json!("é".repeat(1_000)),
        json!([[]]),
        json!({"": {}}),
    ];
    let mut refused = 0;
    for seed in seeds() {
        for other in &others {
            for place in 0..60 {
                let value = replace(&seed, other, &mut { place }).to_string();
                for error in
                    [parse_plugin("filter", value.as_bytes()).err(), parse_route(value.as_bytes()).err()]
                {
                    let line = error.map_or_else(String::new, |error| error.to_string());
                    assert!(!line.contains(['\n', '\r', '\0']), "{line:?}");
                    assert!(line.len() < 1_000, "{line}");
                    refused += usize::from(!line.is_empty());
                }
            }
        }
    }
    assert!(refused > 1_000, "{refused}");
}
