//! Envoy ends while threads of Graft ask it for something, and are interrupted there. They hold counts of Envoy's objects then,
//! and must not be the last.

use std::time::Duration;

use crate::harness::Plugin;
use crate::harness::envoy::on_each_envoy;
use crate::harness::interrupted::Interrupted;
use crate::harness::origin::{House, Place, page};
use crate::support::hostile::{self, Answer};

/// As long as it takes at most on a busy machine, of which a second is spent by [`Interrupted`]. What hangs takes longer.
const LONGEST: Duration = Duration::from_secs(15);

fn end(house: House) {
    let began = std::time::Instant::now();
    house.stop();
    assert!(began.elapsed() < LONGEST, "{:?}", began.elapsed());
}

on_each_envoy! {
    fn a_thread_that_wakes_a_stream_does_not_outlive_it(version) {
        let silent = hostile::always(Answer::Silence);
        let plugin = page("late", &silent.url("/a.wasm")).impatient();
        let interrupted = Interrupted::build();
        let house = House::with(version, &Place::new(), &[plugin], |bootstrap| interrupted.disturb(bootstrap));
        assert_eq!(house.get("late").status, 503, "when the stream was woken, because it has waited for long enough");
        end(house);
    }

    fn a_thread_that_brings_the_main_thread_does_not_outlive_what_it_asks(version) {
        // Each failure is counted, and the main thread carries that to Envoy's statistics.
        let refused = |name: &&str| page(name, "http://169.254.169.254/latest/meta-data").impatient();
        let plugins: Vec<Plugin> = ["one", "two", "three", "four"].iter().map(refused).collect();
        let interrupted = Interrupted::build();
        let house = House::with(version, &Place::new(), &plugins, |bootstrap| interrupted.disturb(bootstrap));
        for plugin in ["one", "two", "three", "four"] {
            house.await_complaint(plugin, &["link-local or of a metadata service"]);
            // From the first stream on it is known when Envoy ends.
            assert_eq!(house.get(plugin).status, 503, "{plugin}");
        }
        end(house);
    }
}
