//! The examples `telemetry-filter` and `telemetry-batcher`: records cross from one VM to another on a shared queue, and
//! reach a collector in batches.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::envoy::on_each_host;
use crate::harness::{
    Answer, Bootstrap, Envoy, Host, Listener, Plugin, Request, Seen, Upstream, Version, eventually, header,
};

fn filter() -> Plugin {
    let configuration =
        json!({ "queue_vm_id": "telemetry", "queue": "records", "headers": ["x-request-id"] });
    Plugin::built("telemetry-filter")
        .set("vm_config.vm_id", "telemetry-filter")
        .configuration(&configuration.to_string())
}

fn batcher(batch: u32) -> Plugin {
    let configuration = json!({ "cluster": "collector", "interval_ms": 100, "batch": batch });
    Plugin::built("telemetry-batcher")
        .set("vm_config.vm_id", "telemetry")
        .configuration(&configuration.to_string())
}

struct Scene {
    envoy: Envoy,
    collector: Arc<Upstream>,
    /// The records that have arrived, and how many posts it took.
    records: Vec<Value>,
    posts: usize,
}

impl Scene {
    fn new(version: Version, host: Host, workers: u32, batch: u32) -> Self {
        let (upstream, collector) = (Upstream::http1("upstream"), Upstream::http1("collector"));
        collector.answer(Answer::status(202));
        let listener = Listener::new("main").plugin(host, &batcher(batch)).plugin(host, &filter());
        let bootstrap =
            Bootstrap::new().upstream(&upstream).upstream(&collector).listener(listener).concurrency(workers);
        let envoy = Envoy::start(version, &bootstrap);
        Self { envoy, collector, records: Vec::new(), posts: 0 }
    }

    /// Waits until the batcher has said so often that it cannot send: the host says why, clients notice nothing, and nothing
    /// is sent.
    fn cannot_send(&self, times: usize) {
        self.envoy.await_plugin_lines(times, "collector cannot be asked: InternalFailure");
        let complaints = self.envoy.complaints();
        let says_why = |text: &str| text.contains("this Envoy lets only streams make calls before they end");
        assert!(complaints.iter().any(|line| says_why(&line.text)), "{complaints:?}");
        assert_eq!(self.envoy.client("main").get("/").status, 200);
        assert!(self.collector.take_seen().is_empty());
    }

    /// Waits until so many records have arrived in all.
    fn await_records(&mut self, count: usize) -> &[Value] {
        let collector = Arc::clone(&self.collector);
        eventually(&format!("{count} records"), || {
            self.take_posts(collector.take_seen());
            (self.records.len() >= count).then_some(())
        });
        assert_eq!(self.records.len(), count, "{:?}", self.records);
        &self.records
    }

    /// Reads what came to the collector.
    fn take_posts(&mut self, posts: Vec<Seen>) {
        for post in posts {
            assert_eq!((post.method.as_str(), post.path.as_str()), ("POST", "/records"));
            assert_eq!(header(&post.headers, "content-type"), Some("application/x-ndjson"));
            self.posts += 1;
            let text = String::from_utf8(post.body).expect("text");
            self.records.extend(text.lines().map(|line| serde_json::from_str(line).expect("JSON")));
        }
    }
}

/// The path of the request that a record is of.
fn path(record: &Value) -> String {
    record["path"].as_str().expect("a path").to_owned()
}

/// Where root contexts cannot make calls, records wait in the batcher and the log says why.
fn has_no_calls_of_root_contexts(version: Version, host: Host) -> bool {
    host == Host::Graft && version == Version::V1_37
}

on_each_host! {
    fn a_record_of_each_request_reaches_the_collector(version, host) {
        let mut scene = Scene::new(version, host, 1, 500);
        let client = scene.envoy.client("main");
        let request = Request::post("/shop?x=1", &[b"body"]).header("x-request-id", "7");
        assert_eq!(client.send(&request).status, 200);
        if has_no_calls_of_root_contexts(version, host) {
            scene.cannot_send(1);
            return;
        }
        let record = scene.await_records(1)[0].clone();
        assert_eq!(record["method"], "POST");
        assert_eq!(record["host"], "example.test");
        assert_eq!(record["path"], "/shop?x=1");
        assert_eq!(record["status"], 200);
        assert_eq!(record["response_bytes"], 17);
        assert_eq!(record["headers"], json!({ "x-request-id": "7" }));
        assert!(record["time_ms"].as_u64() > Some(1_600_000_000_000), "{record}");
        assert!(record["duration_us"].as_u64() > Some(0), "{record}");
    }

    fn many_records_of_many_workers_come_in_few_posts(version, host) {
        let mut scene = Scene::new(version, host, 3, 500);
        let client = scene.envoy.client("main");
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let client = &client;
                scope.spawn(move || {
                    for number in 0..20 {
                        assert_eq!(client.get(&format!("/{thread}/{number}")).status, 200);
                    }
                });
            }
        });
        if has_no_calls_of_root_contexts(version, host) {
            scene.cannot_send(3);
            return;
        }
        let mut paths: Vec<_> =
            scene.await_records(120).iter().map(path).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 120, "a record was sent twice");
        assert!(scene.posts < 100, "{} posts", scene.posts);
    }

    fn a_batch_that_the_collector_did_not_take_goes_again(version, host) {
        let mut scene = Scene::new(version, host, 1, 2);
        scene.collector.answer(Answer::status(503));
        let client = scene.envoy.client("main");
        for number in 0..3 {
            assert_eq!(client.get(&format!("/{number}")).status, 200);
        }
        if has_no_calls_of_root_contexts(version, host) {
            // The batch is kept, and tried again at each tick.
            scene.cannot_send(3);
            return;
        }
        // Three records in four posts: one went again.
        scene.envoy.await_plugin_lines(4, "a batch was not taken and goes again: 503");
        let refused = scene.collector.turn(Answer::status(200));
        scene.take_posts(refused);
        assert!(scene.posts >= 4, "{}", scene.posts);
        scene.records.clear();
        scene.posts = 0;
        // Each record is taken once, in whichever order: a worker that is in a hurry has a second VM of the batcher.
        let mut taken: Vec<_> = scene.await_records(3).iter().map(path).collect();
        taken.sort();
        assert_eq!(taken, ["/0", "/1", "/2"]);
        assert!(scene.posts >= 2, "a batch has two records at most");
    }
}
