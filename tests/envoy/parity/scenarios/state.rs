//! What outlives a stream: shared data, shared queues, ticks.

use crate::parity::scenario::{Scenario, script, scripts};

pub fn shared_data() -> Scenario {
    script(
        "shared data: reads, writes, compare and swap, empty and large values",
        "
        request_headers: shared-get nothing
        request_headers: shared-set nothing later 77
        request_headers: shared-get nothing
        request_headers: shared-set one first
        request_headers: shared-get one
        request_headers: shared-set one second last
        request_headers: shared-set one third last
        request_headers: shared-get one
        request_headers: shared-set one fourth last
        request_headers: shared-set one fifth 0
        request_headers: shared-get one
        request_headers: shared-set one sixth 999999
        request_headers: shared-set \"\" nameless
        request_headers: shared-get \"\"
        request_headers: shared-set empty \"\"
        request_headers: shared-get empty
        request_headers: shared-set \"\\x00binary\\xff\" \"\\x00\\xff\"
        request_headers: shared-get \"\\x00binary\\xff\"
        request_headers: shared-set large \"0123456789\"**100000
        request_headers: shared-get large
        response_headers: shared-get one
        log: shared-get one
        log: shared-set one \"from the log\"
        delete: if-stream shared-get one
        ",
    )
    .get("/")
    .get("/")
}

/// Each case has its own VM, by its name as `vm_id`.
pub fn shared_data_of_other_vms() -> Scenario {
    scripts("shared data is kept by vm_id, and by nothing else")
        .isolated()
        .case("first", "request_headers: shared-set key of-first\nrequest_headers: shared-get key")
        .get("/")
        .case("second", "request_headers: shared-get key\nrequest_headers: shared-set key of-second")
        .get("/")
        .case("third", "request_headers: shared-get key")
        .get("/")
}

/// The request waits until it was told three times that there is something, so that nothing else mixes in.
pub fn queues() -> Scenario {
    scripts("shared queues: register, resolve, enqueue, dequeue, and their statuses")
        .case(
            "owner",
            "
            request_headers: dequeue
            request_headers: enqueue lost
            request_headers: queue-register work
            request_headers: dequeue
            request_headers: enqueue one
            request_headers: enqueue \"\"
            request_headers: enqueue \"\\x00\\xff\"
            request_headers: dequeue
            request_headers: dequeue
            request_headers: dequeue
            request_headers: dequeue
            request_headers: queue-register work
            request_headers: queue-register \"\"
            request_headers: queue-resolve \"\" work
            request_headers: queue-resolve \"\" nothing
            request_headers: queue-resolve other work
            request_headers: continue-later request
            request_headers: return 1
            queue_ready: if-nth 3 continue-parked
            log: queue-resolve \"\" work
            log: dequeue
            ",
        )
        .get("/")
}

/// The VM of the reader registers the queue as it starts; that of the writer finds it by the other's `vm_id`.
pub fn queues_between_vms() -> Scenario {
    let reader = "
        configure: queue-register work
        queue_ready: dequeue
        queue_ready: dequeue
    ";
    scripts("a queue that one VM writes and another one reads when it is told")
        .isolated()
        .by_place()
        .case("reader", reader)
        .get("/")
        .case(
            "writer",
            "
            request_headers: queue-resolve reader work
            request_headers: enqueue one
            ",
        )
        .get("/")
        .until("dequeue -> 7")
        .get("/")
        .until("dequeue -> 7")
        .case(
            "itself",
            "
            configure: queue-register own
            request_headers: queue-resolve itself own
            request_headers: enqueue mine
            queue_ready: dequeue
            queue_ready: log info \"had its own\"
            ",
        )
        .get("/")
        .until("had its own")
}

pub fn ticks() -> Scenario {
    scripts("ticks: of a root context, while it is asked for, with what a tick may ask")
        .case(
            "by-stream",
            "
            request_headers: tick-period 1000
            tick: property plugin_name
            tick: pairs request
            tick: reply 403 no
            tick: continue request
            tick: if-nth 1 tick-period 30
            tick: if-nth 3 tick-period 0
            tick: if-nth 3 log info \"ticked enough\"
            ",
        )
        .get("/")
        .until("ticked enough")
        .case("other-context", "tick: log info \"nobody asked for this\"")
        .get("/")
}

pub fn tick_periods_changed() -> Scenario {
    scripts("tick periods that change, from each kind of callback")
        .case(
            "stops",
            "
            request_headers: tick-period 1000
            request_headers: tick-period 0
            response_headers: log info stopped
            ",
        )
        .get("/")
        .case(
            "changes",
            "
            request_headers: tick-period 100000
            response_headers: tick-period 1000
            tick: if-nth 1 tick-period 20
            tick: if-nth 2 tick-period 0
            tick: if-nth 2 log info \"period over\"
            ",
        )
        .get("/")
        .until("period over")
        .case(
            "from-log",
            "
            log: if-stream tick-period 100
            tick: tick-period 0
            tick: log info \"tick after the log\"
            ",
        )
        .get("/")
        .until("tick after the log")
}
