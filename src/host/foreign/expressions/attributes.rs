//! The attributes that an expression names, and their values.
//!
//! `request.headers['x-id']` is a path of three parts, and the parts of an expression that are such paths are found
//! when it is made. To evaluate it, each path is looked up and put into a tree of maps, which is what the language sees:
//! `has(request.headers.a)` is false if the header is not there, because the maps above it are.
//!
//! A property's wire form does not tell its type, so the types are here. Metadata is asked for with its types.

use std::collections::{BTreeMap, HashMap};

use cel::Value;
use cel::common::ast::{Expr, LiteralValue};
use cel::objects::Key;
use cel::parser::Expression;

use super::super::Scene;
use super::{bounds, values};
use crate::host::hostcalls::own_property;
use crate::host::pairs;
use crate::host::stream::{MetadataSource, MetadataValue, Stream};

/// What a property's bytes are.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Int,
    Uint,
    Boolean,
    Time,
    Duration,
}

/// Names of two parts that are not text.
const KINDS: &[(&str, &str, Kind)] = &[
    ("request", "size", Kind::Int),
    ("request", "total_size", Kind::Int),
    ("request", "headers_bytes", Kind::Int),
    ("request", "time", Kind::Time),
    ("request", "duration", Kind::Duration),
    ("response", "code", Kind::Int),
    ("response", "flags", Kind::Int),
    ("response", "grpc_status", Kind::Int),
    ("response", "size", Kind::Int),
    ("response", "total_size", Kind::Int),
    ("response", "headers_bytes", Kind::Int),
    ("response", "backend_latency", Kind::Duration),
    ("source", "port", Kind::Int),
    ("destination", "port", Kind::Int),
    ("upstream", "port", Kind::Int),
    ("upstream", "num_endpoints", Kind::Uint),
    ("upstream", "request_attempt_count", Kind::Uint),
    ("upstream", "cx_pool_ready_duration", Kind::Duration),
    ("connection", "id", Kind::Uint),
    ("connection", "mtls", Kind::Boolean),
    ("xds", "listener_direction", Kind::Int),
];

/// First parts that are maps of attributes.
const GROUPS: &[&str] =
    &["request", "response", "source", "destination", "connection", "upstream", "xds", "filter_state"];

/// Maps of headers.
const HEADERS: &[[&str; 2]] = &[["request", "headers"], ["response", "headers"], ["response", "trailers"]];

/// Metadata, by the path that `filter_metadata` is below.
const METADATA: &[(&[&str], MetadataSource)] = &[
    (&["metadata"], MetadataSource::Dynamic),
    (&["xds", "route_metadata"], MetadataSource::Route),
    (&["xds", "cluster_metadata"], MetadataSource::Cluster),
    (&["xds", "upstream_host_metadata"], MetadataSource::Host),
    (&["xds", "upstream_host_locality_metadata"], MetadataSource::HostLocality),
];

/// The paths that an expression names; short ones first, none twice.
#[derive(Debug)]
pub(super) struct Attributes(Vec<Vec<String>>);

impl Attributes {
    pub(super) fn of(expression: &Expression) -> Self {
        let mut paths = Vec::new();
        collect(&expression.expr, &mut paths);
        paths.sort_by(|left, right| left.len().cmp(&right.len()).then_with(|| left.cmp(right)));
        paths.dedup();
        Self(paths)
    }

    /// The variables of one evaluation. What has no value is not among them.
    pub(super) fn look_up<S: Stream>(&self, scene: &mut Scene<'_, S>) -> Vec<(String, Value)> {
        let mut variables = Node::default();
        for path in &self.0 {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            variables.look_up(scene, &path);
        }
        let Node::Map(variables) = variables else { return Vec::new() };
        variables.into_iter().filter_map(|(name, node)| Some((name, node.value()?))).collect()
    }
}

/// Finds the longest paths of an expression.
fn collect(expression: &Expr, paths: &mut Vec<Vec<String>>) {
    if let Some(path) = path(expression) {
        paths.push(path);
    } else if let Expr::Comprehension(comprehension) = expression {
        let parts = [
            &comprehension.iter_range,
            &comprehension.accu_init,
            &comprehension.loop_cond,
            &comprehension.loop_step,
            &comprehension.result,
        ];
        for part in parts {
            collect(&part.expr, paths);
        }
    } else {
        for part in bounds::parts(expression) {
            collect(part, paths);
        }
    }
}

/// `a`, `a.b`, `a['b']`, and so on.
fn path(expression: &Expr) -> Option<Vec<String>> {
    let (operand, part) = match expression {
        Expr::Ident(name) => return Some(vec![name.clone()]),
        Expr::Select(select) => (&select.operand.expr, select.field.clone()),
        Expr::Call(call) if call.func_name == "_[_]" => match call.args.as_slice() {
            [operand, index] => {
                let Expr::Literal(LiteralValue::String(part)) = &index.expr else { return None };
                (&operand.expr, part.inner().to_owned())
            }
            _ => return None,
        },
        _ => return None,
    };
    let mut path = path(operand)?;
    path.push(part);
    Some(path)
}

/// The tree of values.
enum Node {
    Map(BTreeMap<String, Node>),
    Value(Value),
    /// Asked for as a whole, which it cannot be.
    Nothing,
}

impl Default for Node {
    fn default() -> Self {
        Self::Map(BTreeMap::new())
    }
}

impl Node {
    fn value(self) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Value(value) => Some(value),
            Self::Map(map) => {
                let entries =
                    map.into_iter().filter_map(|(name, node)| Some((Key::from(name), node.value()?)));
                Some(Value::from(entries.collect::<HashMap<Key, Value>>()))
            }
        }
    }

    /// Puts what is at the end of a path; maps above it are made. What is there as a whole already stays.
    fn put(&mut self, path: &[&str], node: Option<Node>) {
        let Self::Map(map) = self else { return };
        match (path, node) {
            ([], _) | ([_], None) => {}
            ([last], Some(node)) => {
                map.entry((*last).to_owned()).or_insert(node);
            }
            ([first, rest @ ..], node) => map.entry((*first).to_owned()).or_default().put(rest, node),
        }
    }

    fn look_up<S: Stream>(&mut self, scene: &mut Scene<'_, S>, path: &[&str]) {
        let metadata =
            METADATA.iter().find_map(|(prefix, source)| Some((*source, path.strip_prefix(*prefix)?)));
        if let Some((source, below)) = metadata {
            let Some(stream) = scene.stream.as_mut().map(|context| &mut context.stream) else { return };
            let found = metadata_below(stream, source, below);
            let depth = path.len().saturating_sub(below.len()).saturating_add(below.len().min(3));
            self.put(path.get(..depth).unwrap_or(path), found);
            return;
        }
        let [first, below @ ..] = path else { return };
        if !GROUPS.contains(first) {
            self.put(&[first], single(scene, first).map(Node::Value));
            return;
        }
        let Some(stream) = scene.stream.as_mut().map(|context| &mut context.stream) else { return };
        match below {
            [] => self.put(&[first], Some(Node::Nothing)),
            [map, name @ ..] if HEADERS.contains(&[first, map]) => {
                let name = name.first();
                let found = match name {
                    None => headers(stream, first, map),
                    Some(name) => {
                        property(stream, &[first, map, name]).map(|bytes| Node::Value(values::text(&bytes)))
                    }
                };
                let path: Vec<&str> = [first, map].into_iter().chain(name).copied().collect();
                self.put(&path, found);
            }
            [name, ..] => {
                let bytes = property(stream, &[first, name]);
                let value = bytes.and_then(|bytes| typed(first, name, &bytes)).map(Node::Value);
                self.put(&[first, name], value);
            }
        }
    }
}

fn property<S: Stream>(stream: &mut S, path: &[&str]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.property(path.join("\0").as_bytes(), &mut bytes).ok()?;
    Some(bytes)
}

/// An attribute of a group.
fn typed(group: &str, name: &str, bytes: &[u8]) -> Option<Value> {
    if group == "filter_state" {
        return Some(values::bytes(bytes));
    }
    let row = KINDS.iter().find(|(own_group, own_name, _)| (*own_group, *own_name) == (group, name));
    match row.map_or(Kind::Text, |(_, _, kind)| *kind) {
        Kind::Text => Some(values::text(bytes)),
        Kind::Int => Some(Value::Int(i64::from_le_bytes(bytes.try_into().ok()?))),
        Kind::Uint => Some(Value::UInt(u64::from_le_bytes(bytes.try_into().ok()?))),
        Kind::Boolean => Some(Value::Bool(bytes.first().is_some_and(|byte| *byte != 0))),
        Kind::Time => Some(values::time(i64::from_le_bytes(bytes.try_into().ok()?))),
        Kind::Duration => Some(values::duration(i64::from_le_bytes(bytes.try_into().ok()?))),
    }
}

/// A name of one part: what the plugin is called, the connection's id, or a property of the plugin's own.
fn single<S: Stream>(scene: &mut Scene<'_, S>, name: &str) -> Option<Value> {
    let root = scene.stream.as_ref().map(|stream| stream.root);
    if let Some(own) = own_property(scene.state, root, name.as_bytes()) {
        return Some(values::text(own.as_bytes()));
    }
    let stream = scene.stream.as_mut()?;
    let bytes = property(&mut stream.stream, &[name])?;
    if name == "connection_id" {
        return Some(Value::UInt(u64::from_le_bytes(bytes.try_into().ok()?)));
    }
    let declared = scene.state.contexts.root(stream.root)?.declarations.find(name.as_bytes());
    let is_text = declared.is_some_and(|declared| declared.is_text);
    Some(if is_text { values::text(&bytes) } else { values::bytes(&bytes) })
}

/// A map of headers. Values of repeated ones are joined by commas, as in the attribute of one header.
fn headers<S: Stream>(stream: &mut S, group: &str, map: &str) -> Option<Node> {
    let bytes = property(stream, &[group, map])?;
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in pairs::decode(&bytes) {
        let value = String::from_utf8_lossy(value);
        let entry = joined.entry(String::from_utf8_lossy(name).into_owned());
        entry.and_modify(|all| *all += &format!(",{value}")).or_insert_with(|| value.into_owned());
    }
    Some(Node::Map(
        joined.into_iter().map(|(name, value)| (name, Node::Value(values::text(value.as_bytes())))).collect(),
    ))
}

/// Metadata below `metadata`: `filter_metadata`, a namespace, a key.
fn metadata_below<S: Stream>(stream: &mut S, source: MetadataSource, path: &[&str]) -> Option<Node> {
    match path {
        [] => {
            let all = metadata_below(stream, source, &["filter_metadata"])?;
            Some(Node::Map([("filter_metadata".to_owned(), all)].into()))
        }
        ["filter_metadata"] => {
            let namespaces = stream.metadata_keys(source, None);
            Some(Node::Map(named(namespaces, |name| {
                metadata_below(stream, source, &["filter_metadata", name])
            })))
        }
        ["filter_metadata", namespace] => {
            let keys = stream.metadata_keys(source, Some(namespace.as_bytes()));
            if keys.is_empty() {
                return None;
            }
            Some(Node::Map(named(keys, |key| {
                metadata_below(stream, source, &["filter_metadata", namespace, key])
            })))
        }
        ["filter_metadata", namespace, key, ..] => {
            let value = stream.metadata(source, namespace.as_bytes(), key.as_bytes())?;
            Some(Node::Value(metadata_value(value)))
        }
        [_, ..] => None,
    }
}

fn named(names: Vec<Vec<u8>>, mut node: impl FnMut(&str) -> Option<Node>) -> BTreeMap<String, Node> {
    names
        .into_iter()
        .filter_map(|name| {
            let name = String::from_utf8(name).ok()?;
            let node = node(&name)?;
            Some((name, node))
        })
        .collect()
}

fn metadata_value(value: MetadataValue) -> Value {
    match value {
        MetadataValue::Text(text) => values::text(&text),
        MetadataValue::Number(number) => Value::Float(number),
        MetadataValue::Boolean(boolean) => Value::Bool(boolean),
        MetadataValue::List(elements) => {
            Value::List(elements.into_iter().map(metadata_value).collect::<Vec<_>>().into())
        }
    }
}
