//! Runs the lines that belong to a callback.

use std::rc::Rc;

use crate::abi;
use crate::language::{self, Condition, Step};
use crate::operations::{self, Body, Hostcall};
use crate::vm;

const INFO: u32 = 2;
const ERROR: u32 = 4;

/// A callback as the host made it.
pub struct Callback {
    /// Its name without `proxy_on_`.
    pub name: &'static str,
    /// The context that it is about.
    pub context: u32,
    /// What the host said about it, for the log.
    pub details: String,
    /// Whether this is the end of the stream direction.
    pub end_of_stream: bool,
    /// What to answer if no line says otherwise.
    pub default: u32,
}

impl Callback {
    /// Logs the callback, runs its lines in order, and gives the number to return.
    pub fn run(self) -> u32 {
        let (script, root, nth) = vm::with(|vm| {
            vm.current = self.context;
            (vm.script_of(self.context), vm.is_root(self.context), vm.count(self.context, self.name))
        });
        let kind = if root { "root" } else { "stream" };
        abi::log(INFO, format!("on_{} {kind} {}", self.name, self.details).trim_end());

        for step in script.iter().filter(|step| step.callback == self.name) {
            if !step.conditions.iter().all(|condition| self.holds(condition, root, nth)) {
                continue;
            }
            let outcome = match step.body {
                Body::Hostcall(hostcall) => answers(hostcall, step).map(|answers| {
                    abi::log(INFO, &format!("{} -> {answers}", step.source));
                    None
                }),
                Body::Flow(flow) => flow.run(&step.source, &step.arguments, self.end_of_stream),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(answer)) => return answer,
                Err(problem) => abi::log(ERROR, &format!("{} -> {problem}", step.source)),
            }
        }
        self.default
    }

    fn holds(&self, condition: &Condition, root: bool, nth: u32) -> bool {
        match condition {
            Condition::EndOfStream(wanted) => self.end_of_stream == *wanted,
            Condition::Nth(wanted) => nth == *wanted,
            Condition::Root(wanted) => root == *wanted,
            Condition::Header { map, name, value } => {
                operations::header(*map, name).is_some_and(|found| found == *value)
            }
        }
    }
}

/// Makes the hostcall of a line. One that is repeated gives how often it was answered how, in the order in which
/// the answers came first: `1000 times 0, 9000 times 10`.
fn answers(hostcall: Hostcall, step: &Step) -> Result<String, String> {
    let Some(repeat) = step.repeat else { return Ok(hostcall(&step.arguments)?.to_string()) };
    let mut counts: Vec<(String, u32)> = Vec::new();
    for _ in 0..repeat {
        let answer = hostcall(&step.arguments)?.to_string();
        match counts.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, count)) => *count += 1,
            None => counts.push((answer, 1)),
        }
    }
    let counts: Vec<_> = counts.iter().map(|(answer, count)| format!("{count} times {answer}")).collect();
    Ok(counts.join(", "))
}

/// Where a script comes from.
#[derive(Clone, Copy)]
pub enum Origin {
    /// The VM configuration: read in `proxy_on_vm_start`.
    Vm,
    /// The plugin's configuration: read in `proxy_on_configure`.
    Plugin,
}

/// Reads the script that the host holds for this callback. Answers whether it could be understood.
pub fn load(origin: Origin, root: u32) -> bool {
    const VM_CONFIGURATION: u32 = 6;
    const PLUGIN_CONFIGURATION: u32 = 7;
    let buffer = match origin {
        Origin::Vm => VM_CONFIGURATION,
        Origin::Plugin => PLUGIN_CONFIGURATION,
    };
    let text = operations::whole_buffer(buffer).unwrap_or_default();
    match language::parse(&String::from_utf8_lossy(&text)) {
        Err(problem) => {
            abi::log(ERROR, &format!("configuration refused: {problem}"));
            false
        }
        Ok(steps) => {
            let steps = steps.into_iter().map(Rc::new);
            vm::with(|vm| match origin {
                Origin::Vm => vm.common = steps.collect(),
                Origin::Plugin => {
                    let script = vm.common.iter().cloned().chain(steps).collect();
                    vm.scripts.insert(root, Rc::new(script));
                }
            });
            true
        }
    }
}
