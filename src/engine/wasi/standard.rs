//! What the standard says of each function, and what this host answers: for the tests alone.
//!
//! Written from the standard and from what the built-in filter was seen to answer, not from the table in
//! the code, so that a slip there does not repeat itself here.

/// Memory is one page; an address of four bytes at its last byte is bad.
pub(super) const BAD: u64 = 0xffff;

/// A case of a function: its arguments, and the error number it answers with.
pub(super) type Case = (&'static [u64], i32);

/// Each function of preview 1: its parameters as compilers emit them, and cases that between them show
/// every answer.
pub(super) const TYPES: &[(&str, &str, &[Case])] = &[
    ("args_get", "i32 i32", &[(&[0, 0], 0), (&[BAD, BAD], 0)]),
    ("args_sizes_get", "i32 i32", &[(&[0, 4], 0), (&[BAD, 4], 21), (&[0, BAD], 21)]),
    (
        "clock_res_get",
        "i32 i32",
        &[(&[0, 8], 0), (&[1, 8], 0), (&[2, 8], 58), (&[3, BAD], 58), (&[0, BAD], 21)],
    ),
    (
        "clock_time_get",
        "i32 i64 i32",
        &[
            (&[0, u64::MAX, 8], 0),
            (&[1, 0, 8], 0),
            (&[2, 0, 8], 58),
            (&[4, 0, BAD], 58),
            (&[1, 0, 0xfff9], 21),
            (&[0, 0, 0xffff_ffff], 21),
        ],
    ),
    ("environ_get", "i32 i32", &[(&[0, 0], 0), (&[BAD, BAD], 0)]),
    ("environ_sizes_get", "i32 i32", &[(&[0, 4], 0), (&[BAD, 4], 21), (&[0, BAD], 21)]),
    ("fd_advise", "i32 i64 i64 i32", &[(&[1, 0, 0, 0], 0), (&[9, u64::MAX, u64::MAX, 9], 0)]),
    ("fd_allocate", "i32 i64 i64", &[(&[1, 0, 0], 0), (&[2, 0, 0], 0), (&[0, 0, 0], 8), (&[3, 0, 0], 8)]),
    ("fd_close", "i32", &[(&[1], 0), (&[77], 0)]),
    ("fd_datasync", "i32", &[(&[1], 0), (&[2], 0), (&[0], 8), (&[3], 8)]),
    (
        "fd_fdstat_get",
        "i32 i32",
        &[
            (&[1, 8], 0),
            (&[2, 8], 0),
            (&[0, 8], 8),
            (&[3, BAD], 8),
            (&[1, BAD], 21),
            (&[1, 0xffe9], 21),
            (&[1, 0xffe8], 0),
        ],
    ),
    ("fd_fdstat_set_flags", "i32 i32", &[(&[1, 0], 52)]),
    ("fd_fdstat_set_rights", "i32 i64 i64", &[(&[1, 64, 0], 0), (&[2, 64, 0], 0), (&[0, 0, 0], 8)]),
    ("fd_filestat_get", "i32 i32", &[(&[1, 8], 8), (&[3, BAD], 8)]),
    ("fd_filestat_set_size", "i32 i64", &[(&[1, u64::MAX], 0), (&[2, 0], 0), (&[3, 0], 8)]),
    (
        "fd_filestat_set_times",
        "i32 i64 i64 i32",
        &[(&[1, 0, 0, 0], 0), (&[2, 0, 0, 0], 0), (&[3, 0, 0, 0], 8)],
    ),
    ("fd_pread", "i32 i32 i32 i64 i32", &[(&[1, 0, 0, 0, 0], 52), (&[1, BAD, 1, 0, BAD], 52)]),
    ("fd_prestat_dir_name", "i32 i32 i32", &[(&[3, 0, 0], 52), (&[3, BAD, BAD], 52)]),
    ("fd_prestat_get", "i32 i32", &[(&[1, 0], 8), (&[3, BAD], 8)]),
    (
        "fd_pwrite",
        "i32 i32 i32 i64 i32",
        &[
            (&[1, 0, 1, 5, 8], 0),
            (&[0, 0, 1, 5, 8], 8),
            (&[2, BAD, 1, 5, 8], 21),
            (&[1, 0, 1, 5, BAD], 21),
            (&[1, 0, 1025, 5, 8], 28),
        ],
    ),
    ("fd_read", "i32 i32 i32 i32", &[(&[0, 0, 0, 0], 52), (&[0, BAD, 1, BAD], 52)]),
    ("fd_readdir", "i32 i32 i32 i64 i32", &[(&[3, 0, 0, 0, 8], 20), (&[3, 0, 0, 0, BAD], 21)]),
    ("fd_renumber", "i32 i32", &[(&[1, 2], 58), (&[1, 3], 8), (&[0, 2], 8), (&[2, 2], 58)]),
    ("fd_seek", "i32 i64 i32 i32", &[(&[1, 0, 0, 8], 0), (&[9, u64::MAX, 9, BAD], 0)]),
    ("fd_sync", "i32", &[(&[1], 0), (&[2], 0), (&[0], 8)]),
    ("fd_tell", "i32 i32", &[(&[1, 8], 0), (&[2, 8], 0), (&[0, 8], 8), (&[1, 0xfff9], 21), (&[5, BAD], 8)]),
    (
        "fd_write",
        "i32 i32 i32 i32",
        &[
            (&[1, 0, 1, 8], 0),
            (&[0, 0, 1, 8], 8),
            (&[2, BAD, 1, 8], 21),
            (&[1, 0, 1, BAD], 21),
            (&[1, 0, 1025, 8], 28),
        ],
    ),
    ("path_create_directory", "i32 i32 i32", &[(&[3, 0, 0], 58)]),
    ("path_filestat_get", "i32 i32 i32 i32 i32", &[(&[3, 0, 0, 0, 0], 58)]),
    ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32", &[(&[3, 0, 0, 0, 0, 0, 0], 58)]),
    ("path_link", "i32 i32 i32 i32 i32 i32 i32", &[(&[3, 0, 0, 0, 3, 0, 0], 58)]),
    (
        "path_open",
        "i32 i32 i32 i32 i32 i64 i64 i32 i32",
        &[(&[3, 0, 0, 0, 0, 0, 0, 0, 0], 44), (&[3, 0, BAD, BAD, 0, 0, 0, 0, BAD], 44)],
    ),
    ("path_readlink", "i32 i32 i32 i32 i32 i32", &[(&[3, 0, 0, 0, 0, 8], 58), (&[3, 0, 0, 0, 0, BAD], 21)]),
    ("path_remove_directory", "i32 i32 i32", &[(&[3, 0, 0], 58)]),
    ("path_rename", "i32 i32 i32 i32 i32 i32", &[(&[3, 0, 0, 3, 0, 0], 58)]),
    ("path_symlink", "i32 i32 i32 i32 i32", &[(&[0, 0, 3, 0, 0], 58)]),
    ("path_unlink_file", "i32 i32 i32", &[(&[3, 0, 0], 58)]),
    (
        "poll_oneoff",
        "i32 i32 i32 i32",
        &[(&[0, 0, 1, 8], 0), (&[BAD, BAD, u32::MAX as u64, 8], 0), (&[0, 0, 1, BAD], 21)],
    ),
    ("proc_exit", "i32", &[(&[3], 0)]),
    ("proc_raise", "i32", &[(&[9], 58)]),
    (
        "random_get",
        "i32 i32",
        &[
            (&[0, 16], 0),
            (&[0, 65_536], 0),
            (&[0, 65_537], 28),
            (&[BAD, 2], 21),
            (&[1, 65_536], 21),
            (&[u32::MAX as u64, 0], 0),
            (&[u32::MAX as u64, u32::MAX as u64], 28),
        ],
    ),
    ("sched_yield", "", &[(&[], 0)]),
    ("sock_accept", "i32 i32 i32", &[(&[3, 0, 8], 58), (&[3, 0, BAD], 21)]),
    (
        "sock_recv",
        "i32 i32 i32 i32 i32 i32",
        &[(&[3, 0, 0, 0, 8, 12], 58), (&[3, 0, 0, 0, BAD, 12], 21), (&[3, 0, 0, 0, 8, BAD], 21)],
    ),
    ("sock_send", "i32 i32 i32 i32 i32", &[(&[3, 0, 0, 0, 8], 58), (&[3, 0, 0, 0, BAD], 21)]),
    ("sock_shutdown", "i32 i32", &[(&[3, 0], 58)]),
];
