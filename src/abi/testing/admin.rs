//! The admin endpoint of the fake Envoy, and its start-up.

use std::ffi::c_void;

use super::super::raw;
use super::PROCESS;
use super::callbacks::{read, text};

type ModuleBuffer = raw::envoy_dynamic_module_type_module_buffer;

pub(super) unsafe extern "C" fn signal(_config: *mut c_void) {
    PROCESS.with_borrow_mut(|process| process.told.push("init complete".to_owned()));
}

pub(super) unsafe extern "C" fn add(
    _config: *mut c_void,
    path: ModuleBuffer,
    help: ModuleBuffer,
    _is_removable: bool,
    mutates: bool,
) -> bool {
    let page = (text(read(path)), text(read(help)), mutates);
    PROCESS.with_borrow_mut(|process| {
        let is_new = !process.pages.iter().any(|(path, ..)| *path == page.0);
        if is_new {
            process.pages.push(page);
        }
        is_new
    })
}

pub(super) unsafe extern "C" fn remove(_config: *mut c_void, path: ModuleBuffer) -> bool {
    let path = text(read(path));
    PROCESS.with_borrow_mut(|process| {
        let before = process.pages.len();
        process.pages.retain(|(other, ..)| *other != path);
        process.pages.len() < before
    })
}

pub(super) unsafe extern "C" fn respond(_config: *mut c_void, body: ModuleBuffer) {
    PROCESS.with_borrow_mut(|process| process.admin_response = text(read(body)));
}
