//! Which numbers the fields of [`raw`](super::super::raw) have.
//!
//! From the `generated.proto` files of k8s.io/api and k8s.io/apimachinery, where they never change.

use super::super::Status;
use super::super::raw::{
    Annotations, IMPORT_NAME, Ingress, LAST_CHANGE, LoadBalancer, Metadata, Namespace, ObjectPort, Pod, PodStatus,
    SERVICE_NAME, SOURCE_CLUSTER, Service, ServiceImport, ServiceSpec, ServiceStatus,
};
use super::super::slice::{EndpointSlice, FQDN, ImportedSlice, Seen};
use super::fields::{Fields, Malformed, Message, NOT_UTF8, Value};
use serde::de::IgnoredAny;

/// Appends to a repeated field.
fn push<T>(list: &mut Option<Vec<T>>, item: T) {
    list.get_or_insert_default().push(item);
}

impl Message<'_> for Status {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            3 => self.message = value.owned()?,
            4 => self.reason = value.owned()?,
            6 => self.code = value.number()?,
            _ => {}
        }
        Ok(())
    }
}

impl Message<'_> for Metadata {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.name = Some(value.owned()?),
            3 => self.namespace = Some(value.owned()?),
            6 => self.resource_version = Some(value.owned()?),
            9 => self.deletion_timestamp = Some(IgnoredAny),
            // The API server applies selectors: of the labels and annotations only those that are read are copied.
            11 => {
                for label in [SERVICE_NAME, IMPORT_NAME, SOURCE_CLUSTER] {
                    if let Some(text) = map_entry(value, label)? {
                        self.labels.get_or_insert_default().insert(label.into(), text);
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
            (2, value) if is_wanted => text = value.owned()?,
            _ => {}
        }
    }
    Ok(is_wanted.then_some(text))
}

impl Message<'_> for Namespace {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        if number == 1 {
            self.metadata = value.message()?;
        }
        Ok(())
    }
}

impl Message<'_> for Service {
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

impl Message<'_> for ServiceSpec {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => push(&mut self.ports, value.message()?),
            3 => self.cluster_ip = Some(value.owned()?),
            4 => self.service_type = Some(value.owned()?),
            5 => push(&mut self.external_ips, value.owned()?),
            10 => self.external_name = Some(value.owned()?),
            18 => push(&mut self.cluster_ips, value.owned()?),
            _ => {}
        }
        Ok(())
    }
}

/// `core/v1.ServicePort` and `discovery/v1.EndpointPort` have the same numbers for what is read.
impl Message<'_> for ObjectPort {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.name = Some(value.owned()?),
            2 => self.protocol = Some(value.owned()?),
            3 => self.port = Some(value.number()?),
            _ => {}
        }
        Ok(())
    }
}

impl Message<'_> for ServiceStatus {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        if number == 1 {
            self.load_balancer = Some(value.message()?);
        }
        Ok(())
    }
}

impl Message<'_> for LoadBalancer {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        if number == 1 {
            push(&mut self.ingress, value.message()?);
        }
        Ok(())
    }
}

impl Message<'_> for Ingress {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.ip = Some(value.owned()?),
            2 => self.hostname = Some(value.owned()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for EndpointSlice {
    fn take(&mut self, number: u32, value: Value<'a>) -> Result<(), Malformed> {
        match number {
            1 => self.metadata = value.message()?,
            2 => {
                let mut endpoint = Seen { details: self.details, ..Seen::default() };
                endpoint.fill(value.bytes()?)?;
                self.endpoints.get_or_insert_default().add(&endpoint).map_err(|_| NOT_UTF8)?;
            }
            3 => push(&mut self.ports, value.message()?),
            4 => self.is_host_names = value.bytes()? == FQDN.as_bytes(),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Message<'a> for ImportedSlice {
    fn take(&mut self, number: u32, value: Value<'a>) -> Result<(), Malformed> {
        self.0.take(number, value)
    }
}

/// Custom resources have no protobuf: a server that sends one as such sends something else.
impl Message<'_> for ServiceImport {
    fn take(&mut self, _: u32, _: Value<'_>) -> Result<(), Malformed> {
        Err(Malformed("a custom resource has no protobuf"))
    }
}

/// `discovery/v1.Endpoint`.
impl<'a> Message<'a> for Seen<'a> {
    #[inline]
    fn take(&mut self, number: u32, value: Value<'a>) -> Result<(), Malformed> {
        match number {
            1 if self.address.is_none() => self.address = Some(value.bytes()?),
            1 => self.others.push(value.bytes()?),
            2 => {
                for field in Fields(value.bytes()?) {
                    if let (1, ready) = field? {
                        self.is_unready = ready.number()? == 0;
                    }
                }
            }
            3 => self.hostname = value.text()?,
            4 if self.details.pod_names => {
                for field in Fields(value.bytes()?) {
                    if let (3, name) = field? {
                        self.target = name.text()?;
                    }
                }
            }
            7 if self.details.zones => self.zone = value.text()?,
            _ => {}
        }
        Ok(())
    }
}

impl Message<'_> for Pod {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.metadata = value.message()?,
            3 => self.status = Some(value.message()?),
            _ => {}
        }
        Ok(())
    }
}

impl Message<'_> for PodStatus {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.phase = Some(value.owned()?),
            6 => self.pod_ip = Some(value.owned()?),
            _ => {}
        }
        Ok(())
    }
}
