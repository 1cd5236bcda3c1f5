//! Values as JSON, in Go's form: two blanks a level, and `<`, `>`, `&` escaped.

use super::super::evaluate::Run;
use super::super::value::Value;
use serde_json::{Map, Number, Value as Json};
use std::sync::Arc;

pub(super) fn write(run: &Run<'_>, value: &Value) -> Result<Value, String> {
    let text = serde_json::to_string_pretty(&json_of(value)?).map_err(|why| why.to_string())?;
    let escaped = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    run.text(escaped)
}

fn json_of(value: &Value) -> Result<Json, String> {
    Ok(match value {
        Value::Nil => Json::Null,
        Value::Truth(truth) => Json::Bool(*truth),
        Value::Integer(number) => Json::Number((*number).into()),
        // Go has no point where nothing is behind it.
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => Json::Number((*number as i64).into()),
        Value::Float(number) => Json::Number(Number::from_f64(*number).ok_or("toJSON: what is no number")?),
        Value::Text(text) => Json::String(text.to_string()),
        Value::Time(time) => Json::String(time.json()),
        Value::Duration(nanoseconds) => Json::Number((*nanoseconds).into()),
        Value::Month(number) | Value::Weekday(number) => Json::Number((*number).into()),
        // Go shows nothing of it.
        Value::Zone(_) => Json::Object(Map::new()),
        Value::List(items) => Json::Array(items.iter().map(json_of).collect::<Result<_, _>>()?),
        Value::Map(map) => {
            let entry = |(key, value): (&Arc<str>, &Value)| Ok((key.to_string(), json_of(value)?));
            Json::Object(map.iter().map(entry).collect::<Result<Map<_, _>, String>>()?)
        }
    })
}

pub(super) fn read(run: &Run<'_>, text: &str) -> Result<Value, String> {
    run.pay(text.len())?;
    let json: Json = serde_json::from_str(text).map_err(|why| format!("fromJSON: {why}"))?;
    Ok(value_of(json))
}

/// All numbers of JSON are floats, as Go reads them.
fn value_of(json: Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Truth(truth),
        Json::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::List(items.into_iter().map(value_of).collect()),
        Json::Object(map) => {
            let entries = map.into_iter().map(|(key, value)| (Arc::from(key), value_of(value)));
            Value::Map(Arc::new(entries.collect()))
        }
    }
}
