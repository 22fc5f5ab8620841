//! Hostcalls that this version does not have: they can be imported, and answer so from every phase.

use graft::host::types::Status;

use crate::guest::{Guest, hostcalls};
use crate::phases::unusual;

/// What is not there yet: name resolution.
const ABSENT: &[&str] = &["envoy_resolve_dns"];

#[test]
fn the_table_says_which_they_are() {
    let absent: Vec<&str> = hostcalls().filter(|row| !row.is_implemented).map(|row| row.name).collect();
    assert_eq!(absent, ABSENT);
}

#[test]
fn they_answer_unimplemented_from_every_phase() {
    for row in hostcalls().filter(|row| !row.is_implemented) {
        let arguments = vec![0xffff_ffff; row.parameters];
        assert_eq!(unusual(Guest::new(), Status::Unimplemented, row.name, &arguments), [], "{}", row.name);
    }
}
