//! The stories, one file each.

mod headers;
