//! The JSON Schema in `docs/` against what is written: all of it is described, and all that is
//! described is written.

use std::collections::BTreeSet;
use std::time::Duration;

use fdwatch::{Report, Target, WatchConfig, Watcher};
use serde_json::Value;

use super::fixture::{crowd, empty, leaking};
use super::json;

const SCHEMA: &str = include_str!("../../../../docs/fdwatch.schema.json");

/// The part of JSON Schema that the file uses; what it does not know is refused.
struct Checker {
    schema: Value,
    /// Properties that were met, as `object.property`.
    met: BTreeSet<String>,
}

impl Checker {
    fn new() -> Self {
        Self { schema: serde_json::from_str(SCHEMA).unwrap(), met: BTreeSet::new() }
    }

    fn check(&mut self, report: &Report, is_final: bool) {
        let mut line = Vec::new();
        json::write(&mut line, report, is_final).unwrap();
        let value: Value = serde_json::from_slice(&line).unwrap();
        self.value("watch", &self.schema.clone(), &value);
    }

    fn value(&mut self, name: &str, schema: &Value, value: &Value) {
        for (keyword, wanted) in schema.as_object().unwrap() {
            match keyword.as_str() {
                "$schema" | "$id" | "title" | "description" | "$defs" => {}
                "$ref" => {
                    let name =
                        wanted.as_str().unwrap().strip_prefix("#/$defs/").unwrap().to_owned();
                    let referred = self.schema["$defs"][&name].clone();
                    self.value(&name, &referred, value);
                }
                "type" => {
                    let types = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                    assert!(
                        types.iter().any(|wanted| is_of(wanted, value)),
                        "{name} is no {wanted}: {value}"
                    );
                }
                "anyOf" => {
                    let is_null = |schema: &&Value| schema["type"] == "null";
                    let [other, null] = &wanted.as_array().unwrap()[..] else {
                        panic!("two are known")
                    };
                    assert!(is_null(&null));
                    if !value.is_null() {
                        self.value(name, other, value);
                    }
                }
                "enum" => assert!(wanted.as_array().unwrap().contains(value), "{name}: {value}"),
                "const" => assert_eq!(wanted, value, "{name}"),
                "minimum" => {
                    assert!(
                        value.is_null() || value.as_f64() >= wanted.as_f64(),
                        "{name}: {value}"
                    );
                }
                "maximum" => assert!(value.as_f64() <= wanted.as_f64(), "{name}: {value}"),
                "required" => {
                    for property in wanted.as_array().unwrap() {
                        assert!(
                            value.get(property.as_str().unwrap()).is_some(),
                            "{name} has no {property}"
                        );
                    }
                }
                "properties" => {
                    for (property, value) in value.as_object().unwrap() {
                        let full = format!("{name}.{property}");
                        let schema = wanted
                            .get(property)
                            .unwrap_or_else(|| panic!("{full} is not described"));
                        self.value(&full, schema, value);
                        self.met.insert(full);
                    }
                }
                "items" => {
                    for item in value.as_array().unwrap() {
                        self.value(name, wanted, item);
                    }
                }
                other => panic!("{name}: the test does not know {other}"),
            }
        }
    }

    /// All that is described, in the same form.
    fn described(&self) -> BTreeSet<String> {
        let mut all = vec![("watch", &self.schema)];
        all.extend(
            self.schema["$defs"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, schema)| (name.as_str(), schema)),
        );
        let properties = all.into_iter().flat_map(|(name, schema)| {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(move |(property, _)| format!("{name}.{property}"))
        });
        properties.collect()
    }
}

fn is_of(wanted: &Value, value: &Value) -> bool {
    match wanted.as_str().unwrap() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("{other}?"),
    }
}

#[test]
fn what_is_written_is_what_is_described() {
    let mut checker = Checker::new();
    for is_final in [false, true] {
        for report in [leaking(), empty(), crowd()] {
            checker.check(&report, is_final);
        }
        let mut watcher =
            Watcher::new(WatchConfig::new(vec![Target::Pid(std::process::id())])).unwrap();
        for second in 0..3 {
            watcher.tick(Duration::from_secs(second)).unwrap();
            checker.check(&watcher.report(), is_final);
        }
    }
    assert_eq!(
        checker.described().difference(&checker.met).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
}

#[test]
fn every_kind_and_every_verdict_is_described() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let kinds: Vec<Value> = fdwatch::Kind::ALL.iter().map(|kind| kind.name().into()).collect();
    assert_eq!(schema["$defs"]["kind_name"]["enum"], Value::from(kinds));
    assert_eq!(schema["properties"]["schema"]["const"], Value::from(json::SCHEMA));
}

#[test]
fn the_page_about_it_names_every_field() {
    let page = include_str!("../../../../docs/fdwatch-json.md");
    for field in Checker::new().described() {
        let name = field.rsplit('.').next().unwrap();
        assert!(page.contains(&format!("`{name}`")), "{field}");
    }
}
