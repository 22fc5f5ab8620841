//! Header maps, read and written, in every phase.

use graft::host::testing::{FakeStream, pairs};
use graft::host::types::HeadersAction;

use crate::guest::{Guest, VALUE};

fn stream() -> FakeStream {
    FakeStream { request_headers: pairs(&[("x-a", "1"), ("x-a", "2"), ("x-b", "")]), ..FakeStream::default() }
}

#[test]
fn the_first_of_repeated_headers_is_given() {
    let mut vm = Guest::new()
        .on(
            "proxy_on_request_headers",
            r#"(call $say (call $proxy_get_header_map_value (i32.const 0) (text "X-A") (i32.const 8) (i32.const 12)))
               (call $show (i32.const 8))"#,
        )
        .start();
    let stream = vm.open(stream());
    assert_eq!(vm.request_headers(stream), Ok(HeadersAction::Continue));
    assert_eq!(vm.said(), ["0", "1"]);
    let _ = VALUE;
}
