//! Plugins close streams, wherever they are. Envoy stays up, also where its own filter does not.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Answer, Bootstrap, End, Envoy, Host, Listener, Plugin, Request, Upstream, Version};

const CALLBACKS: [&str; 6] = [
    "request_headers",
    "request_body",
    "request_trailers",
    "response_headers",
    "response_body",
    "response_trailers",
];

on_each_envoy! {
    fn a_plugin_closes_the_stream(version) {
        let upstream = Upstream::http1("upstream");
        let bootstrap = CALLBACKS.iter().fold(Bootstrap::new().upstream(&upstream), |bootstrap, callback| {
            let plugin = Plugin::scripted(callback, &format!("{callback}: if-nth 1 close request"));
            bootstrap.listener(Listener::new(callback).plugin(Host::Graft, &plugin))
        });
        let envoy = Envoy::start(version, &bootstrap);
        upstream.answer(Answer::ok(&[b"one ", b"two"]).trailers(&[("x-trailer", "value")]));
        for callback in CALLBACKS {
            let request = Request::post("/", &[b"one ", b"two"]).trailers(&[("x-trailer", "value")]);
            for request in [request.clone(), request.over_http2()] {
                let response = envoy.client(callback).send(&request);
                if version < Version::V1_38 && response.status != 200 {
                    // Envoy 1.37 gives a module no way to reset a stream: it is answered instead.
                    assert_eq!(response.status, 503, "{callback}");
                } else {
                    assert_eq!(response.end, End::Broken, "{callback}: {response:?}");
                }
            }
            envoy.await_quiet(callback);
        }
        assert!(envoy.stop().status.success());
    }

    fn what_is_over_cannot_be_closed_or_answered(version) {
        let script: String = ["log", "done", "delete"]
            .iter()
            .flat_map(|callback| {
                ["close request", "close response", "reply 418 late", "continue request", "continue response"]
                    .map(|operation| format!("{callback}: {operation}\n"))
            })
            .collect();
        let (envoy, _upstream) = Envoy::with_plugins(version, &[Plugin::scripted("late", &script)]);
        for _ in 0..3 {
            let response = envoy.client("main").get("/");
            assert_eq!((response.status, response.text().as_str()), (200, "from the upstream"));
        }
        envoy.await_quiet("main");
        crate::harness::eventually("every context to be deleted", || {
            let deleted = envoy.plugin_log().iter().filter(|line| line.ends_with("on_delete stream")).count();
            (deleted == 3).then_some(())
        });
        assert!(envoy.stop().status.success());
    }

    fn a_client_that_goes_away_ends_its_context(version) {
        let plugin = Plugin::scripted("gone", "request_headers: return 1");
        let (envoy, upstream) = Envoy::with_plugins(version, &[plugin]);
        let address = envoy.address("main").expect("the listener");
        let mut stream = std::net::TcpStream::connect(address).expect("connecting");
        let request = b"GET / HTTP/1.1\r\nhost: example.test\r\n\r\n";
        std::io::Write::write_all(&mut stream, request).expect("writing");
        envoy.await_plugin_log("on_request_headers stream 5 eos=1");
        drop(stream);
        envoy.await_plugin_log("on_delete stream");
        assert!(upstream.take_seen().is_empty());
    }
}
