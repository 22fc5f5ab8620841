//! Data and queues that VMs share.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Request, Upstream, eventually};

/// An Envoy with a listener for each plugin.
fn start(version: crate::harness::Version, workers: u32, plugins: &[Plugin]) -> Envoy {
    let upstream = Upstream::http1("upstream");
    let bootstrap = plugins.iter().fold(Bootstrap::new().upstream(&upstream), |bootstrap, plugin| {
        bootstrap.listener(Listener::new(plugin.name()).plugin(Host::Graft, plugin))
    });
    Envoy::start(version, &bootstrap.concurrency(workers))
}

on_each_envoy! {
    fn data_is_shared_by_vm_id_and_no_further(version) {
        let reader = |name: &str, vm_id: &str| {
            Plugin::scripted(name, "request_headers: shared-get key").set("vm_config.vm_id", vm_id)
        };
        let writer = Plugin::scripted("writer", "request_headers: shared-set key value")
            .set("vm_config.vm_id", "one")
            .vm_configuration("# a VM of its own");
        let envoy = start(version, 2, &[writer, reader("near", "one"), reader("far", "two")]);
        for listener in ["writer", "near", "far"] {
            assert_eq!(envoy.client(listener).get("/").status, 200);
        }
        envoy.await_plugin_lines(2, "shared-get key");
        let answer = |plugin: &str| {
            let line = envoy.plugin_log().into_iter().find(|line| {
                line.contains(&format!("log {plugin} ")) && line.contains("shared-get key")
            });
            line.expect("an answer").rsplit(" -> ").next().map(str::to_owned).expect("a status")
        };
        assert_eq!(answer("near"), "0 \"value\"");
        assert_eq!(answer("far"), "1");
    }

    fn compare_and_swap_lets_one_of_two_win(version) {
        let script = "
            request_headers: shared-set key first
            request_headers: shared-get key
            request_headers: shared-set key second last
            request_headers: shared-set key third last
            request_headers: shared-get key
        ";
        let envoy = start(version, 1, &[Plugin::scripted("swaps", script)]);
        assert_eq!(envoy.client("swaps").get("/").status, 200);
        envoy.await_plugin_log("shared-set key second last -> 0");
        envoy.await_plugin_log("shared-set key third last -> 8");
        envoy.await_plugin_log("shared-get key -> 0 \"second\"");
    }

    /// As batches of telemetry are: many requests on all workers, one reader that is told.
    fn all_that_is_queued_is_read_once(version) {
        const REQUESTS: usize = 40;
        let reader = Plugin::scripted("reader", "
            configure: queue-register work
            configure: log info \"the queue is there\"
            queue_ready: dequeue
        ").set("vm_config.vm_id", "reader");
        let writer = Plugin::scripted("writer", "
            request_headers: queue-resolve reader work
            request_headers: enqueue message
        ").set("vm_config.vm_id", "writer");
        let envoy = start(version, 2, &[reader, writer]);
        envoy.await_plugin_log(": the queue is there");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let client = envoy.client("writer");
                scope.spawn(move || {
                    for _ in 0..REQUESTS / 4 {
                        assert_eq!(client.get("/").status, 200);
                    }
                });
            }
        });
        let read = || envoy.count_plugin_log("dequeue -> 0 \"message\"");
        eventually("all messages to be read", || (read() == REQUESTS).then_some(()));
        assert_eq!(envoy.count_plugin_log("enqueue message -> 0"), REQUESTS);
        assert!(envoy.stop().status.success());
    }

    fn a_queue_that_nobody_registered_is_not_found(version) {
        let envoy = start(version, 1, &[Plugin::scripted("looks", "
            request_headers: queue-resolve \"\" nothing
            request_headers: queue-resolve nobody work
            request_headers: dequeue
            request_headers: enqueue lost
        ")]);
        assert_eq!(envoy.client("looks").send(&Request::get("/")).status, 200);
        for line in ["\"\" nothing -> 1", "nobody work -> 1", ": dequeue -> 1", "enqueue lost -> 1"] {
            envoy.await_plugin_log(line);
        }
    }

    fn shared_data_outlives_a_new_configuration(version) {
        let upstream = Upstream::http1("upstream");
        let listener = |lines: &str| {
            let plugin = Plugin::scripted("keeps", lines).set("vm_config.vm_id", "kept");
            Listener::new("main").plugin(Host::Graft, &plugin)
        };
        let bootstrap = Bootstrap::new()
            .upstream(&upstream)
            .listener(listener("request_headers: shared-set key kept"))
            .listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        assert_eq!(envoy.client("main").get("/").status, 200);
        envoy.publish(&[listener("request_headers: shared-get key")]);
        eventually("the new configuration to serve", || {
            assert_eq!(envoy.client("main").get("/").status, 200);
            (envoy.count_plugin_log("shared-get key -> 0 \"kept\"") > 0).then_some(())
        });
    }

    /// 64 KiB of data and messages for each `vm_id`, instead of 16 MiB.
    fn what_a_vm_id_keeps_is_bounded(version) {
        let small = |name: &str, lines: &str| {
            Plugin::scripted(name, lines)
                .set("vm_config.vm_id", name)
                .set("graft.limits.shared_bytes", 65536)
        };
        let data: String =
            (0..20).map(|key| format!("request_headers: shared-set key{key} \"0123456789\"**1000\n")).collect::<Vec<_>>().concat();
        let plugins = [
            small("data", &data),
            small("queue", "
                request_headers: queue-register work
                request_headers: repeat 100 enqueue \"0123456789\"**100
                request_headers: repeat 10 dequeue
                request_headers: repeat 20 enqueue \"0123456789\"**100
            "),
            Plugin::scripted("other", "request_headers: shared-set key \"0123456789\"**10000")
                .set("vm_config.vm_id", "other"),
        ];
        let envoy = start(version, 1, &plugins);
        for listener in ["data", "queue", "other"] {
            assert_eq!(envoy.client(listener).get("/").status, 200);
        }
        let of = |plugin: &str, text: &str| {
            let of_plugin = format!(" {plugin}: ");
            let matching = |line: &String| line.contains(&of_plugin) && line.contains(text);
            envoy.plugin_log().into_iter().filter(matching).collect::<Vec<_>>()
        };
        envoy.await_plugin_lines(1, "shared-set key19");
        // Six of 10,000 bytes fit, each with its key; what is there stays, and more is refused.
        let kept = of("data", "shared-set").iter().filter(|line| line.ends_with(" -> 0")).count();
        let refused = of("data", "shared-set").iter().filter(|line| line.ends_with(" -> 10")).count();
        assert_eq!((kept + refused, kept), (20, 6));
        let counts = of("queue", "repeat");
        assert!(counts[0].contains(" times 0, ") && counts[0].ends_with(" times 10"), "{}", counts[0]);
        assert!(counts[2].contains(" times 0, ") && counts[2].ends_with(" times 10"), "{}", counts[2]);
        assert!(of("other", "shared-set")[0].ends_with(" -> 0"));
    }
}
