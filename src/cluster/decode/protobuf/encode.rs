//! Writes protobuf for the tests.

/// A field of bytes: text or a message.
pub(in crate::cluster) fn bytes(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut field = varint(u64::from(number) << 3 | 2);
    field.extend(varint(content.len() as u64));
    field.extend(content);
    field
}

/// A field that is a number.
pub(in crate::cluster) fn number(number: u8, value: i64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value.cast_unsigned())].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut octets = Vec::new();
    while value > 0x7f {
        octets.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    octets.push(value as u8);
    octets
}

/// `k8s\0` and a `runtime.Unknown`.
pub(in crate::cluster) fn wrapped(message: impl AsRef<[u8]>) -> Vec<u8> {
    let type_meta = [bytes(1, "v1"), bytes(2, "Anything")].concat();
    let unknown = [bytes(1, type_meta), bytes(2, message), bytes(3, ""), bytes(4, "")].concat();
    [b"k8s\0".to_vec(), unknown].concat()
}

/// A watch event, without the length that frames it.
pub(in crate::cluster) fn watch_event(event_type: &str, object: impl AsRef<[u8]>) -> Vec<u8> {
    [bytes(1, event_type), bytes(2, bytes(1, wrapped(object)))].concat()
}

/// An event as it stands in a stream.
pub(in crate::cluster) fn frame(event: Vec<u8>) -> Vec<u8> {
    [u32::try_from(event.len()).unwrap().to_be_bytes().to_vec(), event].concat()
}

/// An ObjectMeta in the namespace `shop`.
pub(in crate::cluster) fn metadata(name: &str, version: &str) -> Vec<u8> {
    [bytes(1, name), bytes(3, "shop"), bytes(6, version)].concat()
}

/// A list: its resourceVersion, continue token and items.
pub(in crate::cluster) fn list(version: &str, next: &str, items: &[Vec<u8>]) -> Vec<u8> {
    let metadata = bytes(1, [bytes(2, version), bytes(3, next)].concat());
    let items = items.iter().map(|item| bytes(2, item));
    wrapped(std::iter::once(metadata).chain(items).collect::<Vec<_>>().concat())
}

/// A Service with one cluster IP.
pub(in crate::cluster) fn service(name: &str, version: &str, ip: &str) -> Vec<u8> {
    [bytes(1, metadata(name, version)), bytes(2, bytes(3, ip))].concat()
}
