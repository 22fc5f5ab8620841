//! Headers.
use crate::harness::envoy::on_each_envoy;
use crate::harness::guests::Guests;
use crate::harness::{Answer, Bootstrap, Envoy, Host, Listener, Plugin, Request, Upstream};

on_each_envoy! {
    fn a_plugin_logs(version) {
        let guests = Guests::new();
        let guest = guests.add("log", r#"
          (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
          (data (i32.const 0) "hello")
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $log (i32.const 2) (i32.const 0) (i32.const 5)))
            (i32.const 0))
          (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
            (drop (call $log (i32.const 2) (i32.const 0) (i32.const 4)))
            (i32.const 0))
        "#);
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &Plugin::new("p", &guest));
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        let r = envoy.client("main").get("/");
        assert_eq!(r.status, 200);
        assert_eq!(r.text(), "from the upstream");
        upstream.answer(Answer::echo());
        let r = envoy.client("main").send(&Request::post("/", &[b"a", b"b"]).trailers(&[("x-t", "1")]));
        eprintln!("{r:?}");
        let r = envoy.client("main").send(&Request::post("/", &[b"a", b"b"]).trailers(&[("x-t", "1")]).over_http2());
        eprintln!("{r:?}");
        eprintln!("{:?}", upstream.take_seen());
        eprintln!("{:#?}", envoy.plugin_log());
        eprintln!("{:?}", envoy.await_access_log("main", 3));
        assert!(envoy.stop().status.success());
    }
}
