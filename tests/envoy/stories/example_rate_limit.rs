//! The example `rate-limit`: token buckets that all workers share.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::envoy::on_each_host;
use crate::harness::{
    Bootstrap, Client, Envoy, Host, Listener, Plugin, Request, Upstream, Version, eventually,
};

/// An Envoy of some workers with the plugin.
fn limited(version: Version, host: Host, workers: u32, configuration: &Value) -> Envoy {
    let plugin = Plugin::built("rate-limit")
        .set("vm_config.vm_id", "rate-limit")
        .configuration(&configuration.to_string());
    let upstream = Upstream::http1("upstream");
    let listener = Listener::new("main").plugin(host, &plugin);
    Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener).concurrency(workers))
}

fn status_of(client: &Client, key: &str) -> u16 {
    client.send(&Request::get("/").header("x-api-key", key)).status
}

on_each_host! {
    fn a_client_that_asks_too_often_is_told_when_to_come_back(version, host) {
        let configuration = json!({ "header": "x-api-key", "requests": 2, "seconds": 3600 });
        let envoy = limited(version, host, 1, &configuration);
        let client = envoy.client("main");
        let ann = Request::get("/").header("x-api-key", "ann");
        for left in ["1", "0"] {
            let response = client.send(&ann);
            assert_eq!((response.status, response.text().as_str()), (200, "from the upstream"));
            assert_eq!(response.header("x-ratelimit-limit"), Some("2"));
            assert_eq!(response.header("x-ratelimit-remaining"), Some(left));
        }
        let response = client.send(&ann);
        assert_eq!((response.status, response.text().as_str()), (429, "too many requests\n"));
        // Half an hour, less what has passed.
        let wait: u32 = response.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a number");
        assert!((1700..=1800).contains(&wait), "{wait}");
        // The next one has a bucket of its own, and so have those that do not say who they are.
        assert_eq!(status_of(&client, "bob"), 200);
        assert_eq!(client.get("/").status, 200);
    }

    fn a_bucket_fills_again(version, host) {
        let configuration = json!({ "requests": 1, "seconds": 4 });
        let envoy = limited(version, host, 1, &configuration);
        let client = envoy.client("main");
        assert_eq!(client.get("/").status, 200);
        let refused = client.get("/");
        let wait: u32 = refused.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a number");
        assert_eq!(refused.status, 429);
        assert!((1..=4).contains(&wait), "{wait}");
        eventually("the bucket to fill", || (client.get("/").status == 200).then_some(()));
    }

    fn workers_share_the_buckets_to_the_last_token(version, host) {
        let configuration = json!({ "header": "x-api-key", "requests": 50, "seconds": 36000 });
        let envoy = limited(version, host, 4, &configuration);
        let client = envoy.client("main");
        let passed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        match status_of(&client, "ann") {
                            200 => passed.fetch_add(1, Ordering::Relaxed),
                            429 => 0,
                            other => panic!("status {other}"),
                        };
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 50, "of 160 requests");
    }
}
