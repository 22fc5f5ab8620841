//! Plugins over time: loaded, shared, replaced, crashed and gone. Guests in WAT, streams and a process made of plain
//! data, a clock that stands still until a test moves it. No Envoy is needed.
//!
//! - [`house`]: a registry in its process, and plugins and streams in a few words. [`guest`] is that of `tests/host`.
//! - [`sharing`]: what is one, and what is apart. [`endings`]: that nothing is kept.
//! - [`errors`]: what an operator reads when a plugin does not load.
//! - [`cache`]: what is compiled once for several processes.
//! - [`generations`]: old and new side by side. [`canary`]: a plugin that does not start harms nobody.
//! - [`slots`]: new generations take over, while streams come. [`trials`]: on some of them first. [`returns`]: sources that
//!   go back to what they had. [`duties`]: generations that several slots or routes have. What they are made of comes from
//!   a [`supplier`]; most begin with a plugin that is [`served`]. [`loading`]: whom that holds up. [`tiers`]: the same code
//!   twice, compiled quickly and well.
//! - [`pool`]: home VMs and their replacement. [`crash_loops`]: how soon. [`spares`]: VMs made ahead.
//! - [`queues`]: who is told of messages meanwhile. [`services`]: without streams. [`isolation`]: a VM for each stream. [`waiting`]: streams that find none.
//! - [`statistics`]: what an operator sees of all that in numbers; [`status`]: what a slot tells of itself.
//! - [`threads`]: all of it at once. [`alone`]: what is left of a process, looked at in one that has no other test.
//!   [`memory`]: that streams and traps do not make it larger.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that meets the unexpected fails, and its items are nobody's interface"
)]

mod alone;
mod cache;
mod canary;
mod crash_loops;
mod duties;
mod endings;
mod errors;
mod generations;
#[allow(dead_code, reason = "shared with tests/host, which uses all of it")]
#[path = "../host/guest.rs"]
mod guest;
mod house;
mod isolation;
mod loading;
mod memory;
mod pool;
mod queues;
mod returns;
mod served;
mod services;
mod sharing;
mod slots;
mod spares;
mod statistics;
mod status;
mod supplier;
mod threads;
mod tiers;
mod trials;
mod waiting;
