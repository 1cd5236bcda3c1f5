//! Which numbers the fields of [`raw`](super::super::raw) have.
//!
//! From the `generated.proto` files of k8s.io/api and k8s.io/apimachinery, where they never change.

use super::super::Status;
use super::super::raw::{
    Annotations, Conditions, Endpoint, EndpointSlice, IMPORT_NAME, ImportedSlice, Ingress, LAST_CHANGE, LoadBalancer,
    Metadata, Namespace, ObjectPort, Pod, PodStatus, SERVICE_NAME, SOURCE_CLUSTER, Service, ServiceImport, ServiceSpec,
    ServiceStatus, TargetRef,
};
use super::fields::{Fields, Malformed, Message, Value};
use serde::de::IgnoredAny;

/// Appends to a repeated field.
fn push<T>(list: &mut Option<Vec<T>>, item: T) {
    list.get_or_insert_default().push(item);
}

impl Message for Status {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            3 => self.message = value.text()?,
            4 => self.reason = value.text()?,
            6 => self.code = value.number()?,
            _ => {}
        }
        Ok(())
    }
}

impl Message for Metadata {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.name = Some(value.text()?),
            3 => self.namespace = Some(value.text()?),
            6 => self.resource_version = Some(value.text()?),
            9 => self.deletion_timestamp = Some(IgnoredAny),
            // The API server applies selectors: of the labels and annotations only those that are read are copied.
            11 => {
                for label in [SERVICE_NAME, IMPORT_NAME, SOURCE_CLUSTER] {
                    if let Some(text) = map_entry(value, label)? {
                        self.labels.get_or_insert_default().insert(label.to_owned(), text);
                        break;
                    }
                }
            }
            12 => {
                if let Some(last_change) = map_entry(value, LAST_CHANGE)? {
                    self.annotations = Some(Annotations { last_change: Some(last_change) });
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The value of a map's entry (`key = 1`, `value = 2`) if its key is the wanted one.
fn map_entry(entry: Value<'_>, wanted: &str) -> Result<Option<String>, Malformed> {
    let (mut is_wanted, mut text) = (false, String::new());
    for field in Fields(entry.bytes()?) {
        match field? {
            (1, key) => is_wanted = key.bytes()? == wanted.as_bytes(),
            (2, value) if is_wanted => text = value.text()?,
            _ => {}
        }
    }
    Ok(is_wanted.then_some(text))
}

impl Message for Namespace {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        if number == 1 {
            self.metadata = value.message()?;
        }
        Ok(())
    }
}

impl Message for Service {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.metadata = value.message()?,
            2 => self.spec = Some(value.message()?),
            3 => self.status = Some(value.message()?),
            _ => {}
        }
        Ok(())
    }
}

impl Message for ServiceSpec {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => push(&mut self.ports, value.message()?),
            3 => self.cluster_ip = Some(value.text()?),
            4 => self.service_type = Some(value.text()?),
            5 => push(&mut self.external_ips, value.text()?),
            10 => self.external_name = Some(value.text()?),
            18 => push(&mut self.cluster_ips, value.text()?),
            _ => {}
        }
        Ok(())
    }
}

/// `core/v1.ServicePort` and `discovery/v1.EndpointPort` have the same numbers for what is read.
impl Message for ObjectPort {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.name = Some(value.text()?),
            2 => self.protocol = Some(value.text()?),
            3 => self.port = Some(value.number()?),
            _ => {}
        }
        Ok(())
    }
}

impl Message for ServiceStatus {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        if number == 1 {
            self.load_balancer = Some(value.message()?);
        }
        Ok(())
    }
}

impl Message for LoadBalancer {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        if number == 1 {
            push(&mut self.ingress, value.message()?);
        }
        Ok(())
    }
}

impl Message for Ingress {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.ip = Some(value.text()?),
            2 => self.hostname = Some(value.text()?),
            _ => {}
        }
        Ok(())
    }
}

impl Message for EndpointSlice {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.metadata = value.message()?,
            2 => push(&mut self.endpoints, value.message()?),
            3 => push(&mut self.ports, value.message()?),
            4 => self.address_type = Some(value.text()?),
            _ => {}
        }
        Ok(())
    }
}

impl Message for ImportedSlice {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        self.0.take(number, value)
    }
}

/// Custom resources have no protobuf: a server that sends one as such sends something else.
impl Message for ServiceImport {
    fn take(&mut self, _: u32, _: Value<'_>) -> Result<(), Malformed> {
        Err(Malformed("a custom resource has no protobuf"))
    }
}

impl Message for Endpoint {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => push(&mut self.addresses, value.text()?),
            2 => self.conditions = Some(value.message()?),
            3 => self.hostname = Some(value.text()?),
            4 => self.target_ref = Some(value.message()?),
            7 => self.zone = Some(value.text()?),
            _ => {}
        }
        Ok(())
    }
}

impl Message for Conditions {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        if number == 1 {
            self.ready = Some(value.number()? != 0);
        }
        Ok(())
    }
}

impl Message for TargetRef {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        if number == 3 {
            self.name = Some(value.text()?);
        }
        Ok(())
    }
}

impl Message for Pod {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.metadata = value.message()?,
            3 => self.status = Some(value.message()?),
            _ => {}
        }
        Ok(())
    }
}

impl Message for PodStatus {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.phase = Some(value.text()?),
            6 => self.pod_ip = Some(value.text()?),
            _ => {}
        }
        Ok(())
    }
}
