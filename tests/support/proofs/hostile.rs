//! Servers that misbehave do so as they are told, and count.

use std::time::Duration;

use super::curl;
use crate::support::hostile::{self, Answer};

/// What curl calls the ways of an answer to be wrong.
const CUT_OFF: Result<String, i32> = Err(18);
const TOO_LATE: Result<String, i32> = Err(28);
const TOO_MANY_REDIRECTS: Result<String, i32> = Err(47);

fn body() -> Vec<u8> {
    b"0123456789".repeat(10)
}

#[test]
fn each_misbehaviour_is_met_by_a_real_client() {
    for (answer, expected) in [
        (Answer::Whole(body()), Ok(String::from_utf8(body()).unwrap())),
        (Answer::Status(503), Err(22)),
        (Answer::Drip { body: body(), bytes: 1, pause: Duration::from_millis(100) }, TOO_LATE),
        (Answer::Silence, TOO_LATE),
        (Answer::Truncated { body: body(), at: 50 }, CUT_OFF),
        (Answer::WrongLength { body: body(), said: 200 }, CUT_OFF),
        (Answer::WrongLength { body: body(), said: 10 }, Ok("0123456789".to_owned())),
        (Answer::RedirectLoop, TOO_MANY_REDIRECTS),
        (Answer::Nonsense, Err(1)),
    ] {
        let server = hostile::always(answer.clone());
        let patience = if expected == TOO_LATE { "3" } else { "30" };
        assert_eq!(curl(&["--max-time", patience, &server.url("/plugin.wasm")]), expected, "{answer:?}");
        let expected = if matches!(answer, Answer::RedirectLoop) { 51 } else { 1 };
        assert_eq!(server.count(), expected, "{answer:?}");
    }
}

#[test]
fn a_body_without_an_end_ends_with_the_client() {
    let server = hostile::always(Answer::Endless);
    let slowly = ["--limit-rate", "100k", "--max-time", "3", "--output", "/dev/null"];
    assert_eq!(curl(&[&slowly[..], &[&server.url("/")]].concat()), TOO_LATE);
    assert_eq!(server.count(), 1);
}

#[test]
fn a_redirect_leads_elsewhere() {
    let right = hostile::always(Answer::Whole(body()));
    let server = hostile::always(Answer::Redirect(right.url("/elsewhere")));
    assert_eq!(curl(&[&server.url("/")]).unwrap().len(), body().len());
    assert_eq!((server.count(), right.asked()[0].path.as_str()), (1, "/elsewhere"));
}

#[test]
fn a_server_fails_at_first() {
    let server = hostile::fails_at_first(502, 2, body());
    let url = server.url("/");
    assert_eq!([curl(&[&url]), curl(&[&url])], [Err(22), Err(22)]);
    assert!(curl(&[&url]).is_ok());
    assert_eq!(server.count(), 3);
}

#[test]
fn a_server_may_pass_for_a_registry() {
    let server = hostile::by_turns(|asked, _| match asked.path.as_str() {
        "/v2/" => Answer::Status(200),
        path if path.contains("/manifests/") => {
            let digest = format!("sha256:{}", "0".repeat(64));
            let headers = vec![("content-type", "text/plain".to_owned()), ("docker-content-digest", digest)];
            Answer::Full(200, headers, b"{}".to_vec())
        }
        _ => Answer::Status(404),
    });
    let head = curl(&["--head", &server.url("/v2/plugins/one/manifests/v1")]).unwrap();
    assert!(head.contains("content-type: text/plain") && head.contains("sha256:000"), "{head}");
    assert_eq!(curl(&[&server.url("/v2/plugins/one/blobs/x")]), Err(22));
}

#[test]
fn a_registry_of_one_image_gives_out_its_layer_as_it_is_told_and_speaks_no_tls() {
    let server = hostile::registry(&body(), |layer| Answer::Truncated { body: layer, at: 10 });
    for name in ["1", "sha256:0000"] {
        let manifest = curl(&[&server.url(&format!("/v2/a/manifests/{name}"))]).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let layer = &manifest["layers"][0];
        assert_eq!(layer["size"], body().len());
        let layer = format!("/v2/a/blobs/{}", layer["digest"].as_str().unwrap());
        assert_eq!(curl(&[&server.url(&layer)]), CUT_OFF);
    }
    let by_tls = curl(&[&server.url("/v2/").replace("http:", "https:")]);
    assert_eq!(by_tls, Err(35), "no TLS, said at once: not that it is too late");
}
