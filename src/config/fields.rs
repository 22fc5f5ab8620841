//! The fields of an object, as a protobuf message has them in JSON: known names alone, each in snake case or
//! in camel case, and `null` where a field is absent.

use super::error::ConfigError;
use super::nearest::nearest;
use super::node::Node;

/// The known fields that an object has. Those that are `null` are absent.
pub(super) struct Fields<'a> {
    parent: Node<'a>,
    fields: Vec<(&'static str, Node<'a>)>,
}

impl<'a> Fields<'a> {
    /// The fields of the object `parent`, which may have those of `known`.
    fn of(parent: &Node<'a>, known: &[&'static str]) -> Result<Self, ConfigError> {
        let mut fields: Vec<(&'static str, Node<'a>)> = Vec::new();
        for (key, node) in parent.entries()? {
            let Some(name) = known.iter().find(|name| is_spelling_of(key, name)) else {
                return Err(ConfigError::UnknownField {
                    at: node.location(),
                    nearest: nearest(key, known).map(|name| parent.location_of(name).path),
                    known: known.to_vec(),
                });
            };
            if let Some((_, other)) = fields.iter().find(|(other, _)| other == name) {
                return Err(node.conflict(other));
            }
            fields.push((name, node));
        }
        fields.retain(|(_, node)| !node.value().is_null());
        Ok(Self { parent: parent.clone(), fields })
    }

    /// The field called `name` in snake case.
    pub(super) fn get(&self, name: &str) -> Option<&Node<'a>> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, node)| node)
    }

    /// The field called `name`, which must be there.
    pub(super) fn require(&self, name: &str, expected: &str) -> Result<&Node<'a>, ConfigError> {
        self.get(name).ok_or_else(|| ConfigError::Missing {
            at: self.parent.location_of(name),
            expected: expected.to_owned(),
        })
    }

    /// The one field of `names`, a protobuf `oneof`, that is set: none is an error, and so are two.
    pub(super) fn one_of(&self, names: &[&'static str]) -> Result<(&'static str, &Node<'a>), ConfigError> {
        let mut set = self.fields.iter().filter(|(name, _)| names.contains(name));
        match (set.next(), set.next()) {
            (None, _) => Err(ConfigError::Missing {
                at: self.parent.location(),
                expected: format!("one of {}", names.join(", ")),
            }),
            (Some((name, node)), None) => Ok((name, node)),
            (Some((_, first)), Some((_, second))) => Err(second.conflict(first)),
        }
    }

    /// What `read` makes of the field called `name`, or `default` where it is absent.
    pub(super) fn read_or<T>(
        &self,
        name: &str,
        default: T,
        read: impl FnOnce(&Node<'a>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        self.get(name).map_or(Ok(default), read)
    }

    /// The string in the field called `name`, or the empty one.
    pub(super) fn string(&self, name: &str) -> Result<String, ConfigError> {
        self.read_or(name, String::new(), |node| node.string().map(str::to_owned))
    }

    /// The boolean in the field called `name`, or false.
    pub(super) fn boolean(&self, name: &str) -> Result<bool, ConfigError> {
        self.read_or(name, false, Node::boolean)
    }
}

impl<'a> Node<'a> {
    /// The fields of this object, which may have those of `known`; these are in snake case.
    pub(super) fn fields(&self, known: &[&'static str]) -> Result<Fields<'a>, ConfigError> {
        Fields::of(self, known)
    }
}

/// Is `key` the snake case name `name`, or its camel case?
fn is_spelling_of(key: &str, name: &str) -> bool {
    if key == name {
        return true;
    }
    let mut key = key.chars();
    let mut is_start = false;
    for letter in name.chars() {
        if letter == '_' {
            is_start = true;
            continue;
        }
        let letter = if is_start { letter.to_ascii_uppercase() } else { letter };
        is_start = false;
        if key.next() != Some(letter) {
            return false;
        }
    }
    key.next().is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Subject;
    use super::*;

    fn with<T>(value: &Value, read: impl FnOnce(Node<'_>) -> Result<T, ConfigError>) -> Result<T, String> {
        let subject = Subject::Plugin("p".to_owned());
        read(Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_have_two_spellings() {
        for (key, is_known) in [
            ("allow_on_headers", true),
            ("allowOnHeaders", true),
            ("allow_onHeaders", false),
            ("AllowOnHeaders", false),
            ("allowOnHeadersx", false),
            ("allowOnHeader", false),
            ("", false),
        ] {
            assert_eq!(is_spelling_of(key, "allow_on_headers"), is_known, "{key}");
        }
    }

    #[test]
    fn unknown_fields_say_their_path_and_the_nearest_name() {
        let read =
            |value: Value| with(&value, |node| node.fields(&["root_id", "name"]).map(|_| ())).unwrap_err();
        assert_eq!(
            read(json!({"rootid": 1})),
            "plugin \"p\": rootid: unknown field, did you mean root_id?, expected root_id, name"
        );
        assert_eq!(read(json!({"zebra": 1})), "plugin \"p\": zebra: unknown field, expected root_id, name");
        assert_eq!(
            read(json!({"a.b\n": 1})),
            "plugin \"p\": [\"a.b\\n\"]: unknown field, expected root_id, name"
        );
        assert_eq!(
            read(json!({"root_id": "x", "rootId": "x"})),
            "plugin \"p\": root_id: set beside rootId, expected only one of them"
        );
    }

    #[test]
    fn null_is_absence() {
        let value = json!({"root_id": null, "name": "n"});
        let names = with(&value, |node| {
            let fields = node.fields(&["root_id", "name"])?;
            Ok((fields.string("root_id")?, fields.string("name")?))
        });
        assert_eq!(names, Ok((String::new(), "n".to_owned())));
    }

    #[test]
    fn one_of_several_fields_must_be_set() {
        let read = |value: Value| {
            with(&value, |node| node.fields(&["a", "b", "c"])?.one_of(&["a", "b"]).map(|(name, _)| name))
        };
        assert_eq!(read(json!({"b": 1, "c": 1})), Ok("b"));
        assert_eq!(read(json!({"c": 1})), Err("plugin \"p\": missing, expected one of a, b".to_owned()));
        assert_eq!(
            read(json!({"a": 1, "b": 1})),
            Err("plugin \"p\": b: set beside a, expected only one of them".to_owned())
        );
    }

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        let value = json!({"a": [{"b.c": 5}]});
        let error = with(&value, |node| {
            let fields = node.fields(&["a"])?;
            let element = fields.require("a", "")?.elements()?.next().unwrap();
            let (_, leaf) = element.entries()?.next().unwrap();
            leaf.string().map(str::to_owned)
        });
        assert_eq!(error.unwrap_err(), "plugin \"p\": a[0][\"b.c\"]: the number 5, expected a string");
    }
}
