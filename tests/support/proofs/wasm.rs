//! Plugins that differ as code are code.

use crate::support::wasm;

#[test]
fn generations_and_marked_copies_are_modules_that_differ() {
    let [one, two] = [1, 2].map(wasm::generation);
    let [marked, other] = [7, 8].map(|number| wasm::marked(&one, number));
    let all = [&one, &two, &marked, &other];
    for (place, code) in all.iter().enumerate() {
        wasmparser::validate(code).unwrap();
        assert!(all.iter().skip(place + 1).all(|another| another != code));
    }
    assert!(marked.starts_with(&one) && marked.len() == other.len());
}
