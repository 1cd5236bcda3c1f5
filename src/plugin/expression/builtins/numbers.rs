//! Functions of numbers.

use super::super::value::Value;
use super::wrong;

pub(super) fn of_numbers(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let float = |value: &Value| value.number().ok_or_else(|| wrong(name));
    match (name, arguments) {
        ("int", [Value::Float(number)]) => Ok(Value::Integer(*number as i64)),
        ("int" | "abs", [Value::Integer(number)]) => {
            Ok(Value::Integer(if name == "abs" { number.wrapping_abs() } else { *number }))
        }
        ("float", [value]) => Ok(Value::Float(float(value)?)),
        ("abs", [value]) => Ok(Value::Float(float(value)?.abs())),
        ("ceil", [value]) => Ok(Value::Float(float(value)?.ceil())),
        ("floor", [value]) => Ok(Value::Float(float(value)?.floor())),
        ("round", [value]) => Ok(Value::Float(float(value)?.round())),
        ("bitand", [Value::Integer(a), Value::Integer(b)]) => Ok(Value::Integer(a & b)),
        ("bitor", [Value::Integer(a), Value::Integer(b)]) => Ok(Value::Integer(a | b)),
        ("bitxor", [Value::Integer(a), Value::Integer(b)]) => Ok(Value::Integer(a ^ b)),
        ("bitnand", [Value::Integer(a), Value::Integer(b)]) => Ok(Value::Integer(a & !b)),
        ("bitnot", [Value::Integer(number)]) => Ok(Value::Integer(!number)),
        ("bitushr", [Value::Integer(number), Value::Integer(by)]) => {
            let by = u32::try_from(*by).map_err(|_| format!("{name}: the count is negative"))?;
            Ok(Value::Integer((*number as u64).checked_shr(by).unwrap_or(0) as i64))
        }
        ("bitshl" | "bitshr", [Value::Integer(number), Value::Integer(by)]) => {
            let by = u32::try_from(*by).map_err(|_| format!("{name}: the count is negative"))?;
            let shifted = if name == "bitshl" { number.checked_shl(by) } else { number.checked_shr(by) };
            Ok(Value::Integer(shifted.unwrap_or(0)))
        }
        ("min" | "max", []) => Ok(Value::Nil),
        ("min" | "max", [first, others @ ..]) => {
            let mut best = first;
            for other in others {
                let order = other.order(best).ok_or_else(|| wrong(name))?;
                if (name == "min") == order.is_lt() && order.is_ne() {
                    best = other;
                }
            }
            let is_one = matches!(best, Value::Integer(_) | Value::Float(_) | Value::Duration(_));
            is_one.then(|| best.clone()).ok_or_else(|| wrong(name))
        }
        ("median", numbers) if !numbers.is_empty() => {
            let mut sorted = numbers.iter().map(float).collect::<Result<Vec<f64>, String>>()?;
            sorted.sort_by(f64::total_cmp);
            let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
            Ok(Value::Float((below + above) / 2.0))
        }
        ("mean", numbers) if !numbers.is_empty() => {
            let sum = numbers.iter().map(float).sum::<Result<f64, String>>()?;
            Ok(Value::Float(sum / numbers.len() as f64))
        }
        _ => Err(wrong(name)),
    }
}
