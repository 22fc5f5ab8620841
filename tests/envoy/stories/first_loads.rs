//! The first load of code that must be fetched: requests wait for it, Envoy's main thread does not, and who has waited long
//! enough gets the failure policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::origin::{House, Place, page};
use crate::harness::steady_upstream::REQUEST_GENERATION;
use crate::harness::watch::MainThreadWatch;
use crate::harness::{Plugin, Request, eventually};
use crate::support::hostile::{self, Answer};
use crate::support::wasm;

on_each_envoy! {
    fn the_first_requests_wait_for_their_image_and_the_main_thread_does_not(version) {
        // A layer that does not come before the requests are there, and then takes a second.
        let are_there = Arc::new(AtomicBool::new(false));
        let gate = Arc::clone(&are_there);
        let slow = hostile::registry(&wasm::generation(1), move |body| {
            eventually("the requests to be there", || gate.load(Ordering::Relaxed).then_some(()));
            Answer::Drip { bytes: body.len() / 10 + 1, pause: Duration::from_millis(100), body }
        });
        let plugin = |policy: &str| {
            Plugin::with_code(policy, &json!({"oci": format!("{}/plugins/a:1", slow.address())}))
                .set("graft.source.insecure_registries", json!(["127.0.0.1"]))
                .set("failure_policy", policy)
        };
        let policies = ["FAIL_CLOSED", "FAIL_OPEN"];
        let house = House::start(version, &Place::new(), &policies.map(plugin));
        let main_thread = MainThreadWatch::start(&house.envoy);
        std::thread::scope(|scope| {
            for policy in policies {
                let client = house.envoy.client(policy);
                for request in [Request::get("/"), Request::post("/", &[b"body"]).over_http2()] {
                    let client = client.clone();
                    scope.spawn(move || {
                        let response = client.send(&request);
                        let seen = (response.status, response.header(REQUEST_GENERATION));
                        assert_eq!(seen, (200, Some("1")), "{policy}: {response:?}");
                    });
                }
                let active = format!("http.{policy}.downstream_rq_active");
                eventually("both requests to be there", || {
                    (house.envoy.admin().stat(&active) == Some(2)).then_some(())
                });
            }
            are_there.store(true, Ordering::Relaxed);
        });
        main_thread.stop().assert_like(&MainThreadWatch::quiet(&house.envoy));
        assert_eq!(house.envoy.complaints(), []);
        for policy in policies {
            eventually("the waits to be counted", || {
                house.get(policy);
                (house.stat("graft_load_waits", policy) == Some(2)).then_some(())
            });
        }
        house.stop();
    }

    fn who_has_waited_long_enough_gets_the_policy_and_an_envoy_that_ends_waits_for_no_fetch(version) {
        let silent = hostile::always(Answer::Silence);
        let plugin =
            |policy: &str| page(policy, &silent.url("/a.wasm")).impatient().set("failure_policy", policy);
        let policies = ["FAIL_CLOSED", "FAIL_OPEN"];
        let house = House::start(version, &Place::new(), &policies.map(plugin));
        let began = Instant::now();
        assert_eq!(house.get("FAIL_CLOSED").status, 503);
        assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
        assert_eq!(house.upstream.served(), 0);
        assert_eq!((house.get("FAIL_OPEN").status, house.upstream.served()), (200, 1));
        house.await_complaint("FAIL_CLOSED", &["a stream could not begin", "the plugin is being loaded"]);
        let began = Instant::now();
        house.stop();
        assert!(began.elapsed() < Duration::from_secs(10), "a fetch held up the end for {:?}", began.elapsed());
    }
}
