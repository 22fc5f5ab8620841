//! A plugin in its slot, whose code comes from a supply that a test changes: what most tests of slots begin with.

use std::sync::Arc;
use std::time::Duration;

use graft::config::PluginConfig;
use graft::host::testing::FakeStream;
use graft::lifecycle::slot::{Command, CommandError, Slot};

use crate::guest::Guest;
use crate::house::{House, Open, config};
use crate::supplier::Supplier;

/// A configuration's hold on a slot.
pub type Held = Arc<Slot<FakeStream>>;

/// How often the source of [`auth`] is looked at.
pub const POLL: Duration = Duration::from_secs(5);

/// See the module's text.
pub struct Served {
    pub house: House,
    pub supply: Arc<Supplier>,
    pub slot: Held,
}

/// Says a number at each request.
pub fn saying(number: u32) -> Guest {
    Guest::new().on("proxy_on_request_headers", &format!("(call $say (i32.const {number}))"))
}

/// Refuses its configuration.
pub fn refusing() -> Guest {
    Guest::new().answer("proxy_on_configure", 0, "")
}

/// Says at each request how many bytes its configuration has.
pub fn sizing() -> Guest {
    let size = |id: &str| format!("(i32.add (i32.const 80000) (i32.mul (i32.const 4) {id}))");
    let copy = format!("(i32.store {} (i32.load {}))", size("(local.get $0)"), size("(local.get $1)"));
    let say = format!("(call $say (i32.load {}))", size("(local.get $0)"));
    Guest::new()
        .on("proxy_on_configure", &format!("(i32.store {} (local.get $1))", size("(local.get $0)")))
        .on("proxy_on_context_create", &copy)
        .on("proxy_on_request_headers", &say)
}

/// The plugin `auth`, whose code comes from the supply, whatever this guest is.
pub fn auth() -> PluginConfig {
    let mut config = config("auth", &saying(0));
    config.graft.swap.poll_interval = Some(POLL);
    config
}

/// The same, changed.
pub fn auth_with(change: impl FnOnce(&mut PluginConfig)) -> PluginConfig {
    let mut config = auth();
    change(&mut config);
    config
}

/// Opens a stream on what a slot publishes now.
pub fn begin(slot: &Held) -> Open {
    let stream = FakeStream::default();
    Open(slot.current().unwrap_or_else(|error| panic!("{error}")).begin(0, stream).unwrap())
}

/// What the guest says to one request.
pub fn answer(house: &House, slot: &Held) -> String {
    let stream = begin(slot);
    stream.request().unwrap();
    stream.end();
    house.said().pop().unwrap()
}

/// What it says to some.
pub fn answers(house: &House, slot: &Held, number: usize) -> Vec<String> {
    (0..number).map(|_| answer(house, slot)).collect()
}

impl Served {
    /// With the first generation, which says 1.
    pub fn new() -> Self {
        Self::with(&auth(), &saying(1))
    }

    /// With another configuration or guest.
    pub fn with(config: &PluginConfig, guest: &Guest) -> Self {
        let supply = Supplier::far();
        supply.offer("1", guest);
        let house = House::supplied(1, &supply);
        let slot = house.open(config);
        house.registry.loader().work();
        Self { house, supply, slot }
    }

    /// The source has the guest that says a number, under that number.
    pub fn offer(&self, number: u32) {
        self.supply.offer(&number.to_string(), &saying(number));
    }

    /// The source is looked at.
    pub fn poll(&self) {
        self.house.after(POLL);
    }

    /// What the guest says to one request.
    pub fn answer(&self) -> String {
        answer(&self.house, &self.slot)
    }

    pub fn answers(&self, number: usize) -> Vec<String> {
        answers(&self.house, &self.slot, number)
    }

    /// A command is followed.
    pub fn command(&self, command: Command) -> Result<(), CommandError> {
        self.house.registry.command(&self.slot, command)?;
        self.house.registry.loader().work();
        Ok(())
    }

    /// A statistic of the plugin.
    pub fn stat(&self, name: &str) -> i64 {
        self.house.services.metric(&format!("graft_{name}.auth")).unwrap_or(0)
    }
}
