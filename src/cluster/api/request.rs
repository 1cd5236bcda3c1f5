//! The requests that are made of an API server: a page of a list, a watch, and who starts with us.

use super::super::{Details, Kind};
use http::Request;
use http::header::{ACCEPT, USER_AGENT};
use kube::client::Body;
use std::fmt::Write;
use std::time::Duration;

/// Protobuf is about half the octets and a fraction of the time of JSON; not every server behind the API has it.
const ACCEPTED: &str = "application/vnd.kubernetes.protobuf, application/json";

/// What is listed and watched, in all namespaces.
pub(super) struct Target {
    pub(super) kind: Kind,
    /// The label selector; empty for all.
    pub(super) labels: String,
    pub(super) details: Details,
}

impl Target {
    /// A list, or the page of it behind the continue token `next`, which is empty for the first.
    pub(super) fn list(&self, extent: Extent, next: &str) -> Request<Body> {
        let mut query = Query::new(self);
        match extent {
            Extent::Cached if next.is_empty() => query.add("resourceVersion", "0"),
            Extent::Cached | Extent::Pages => query.add("limit", &self.page_size().to_string()),
            Extent::Whole => {}
        }
        if !next.is_empty() {
            query.add("continue", next);
        }
        query.request()
    }

    /// A watch from a resourceVersion, which the server ends after `lifetime`.
    pub(super) fn watch(&self, version: &str, lifetime: Duration) -> Request<Body> {
        let mut query = Query::new(self);
        query.add("watch", "true");
        query.add("allowWatchBookmarks", "true");
        query.add("resourceVersion", version);
        query.add("timeoutSeconds", &lifetime.as_secs().to_string());
        query.request()
    }

    /// The kind as client-go's log lines write it.
    pub(super) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Namespace => "*v1.Namespace",
            Kind::Service => "*v1.Service",
            Kind::EndpointSlice | Kind::ImportedSlice => "*v1.EndpointSlice",
            Kind::ServiceImport => "*v1alpha1.ServiceImport",
            Kind::Pod => "*v1.Pod",
        }
    }

    /// Whether it is a custom resource, which a cluster need not know.
    pub(super) fn is_custom(&self) -> bool {
        self.kind == Kind::ServiceImport
    }

    /// How many objects a page has: slices are up to a thousand endpoints each.
    fn page_size(&self) -> u32 {
        match self.kind {
            Kind::EndpointSlice | Kind::ImportedSlice | Kind::Pod => 250,
            Kind::Namespace | Kind::Service | Kind::ServiceImport => 500,
        }
    }

    fn path(&self) -> &'static str {
        match self.kind {
            Kind::Namespace => "/api/v1/namespaces",
            Kind::Service => "/api/v1/services",
            Kind::EndpointSlice | Kind::ImportedSlice => "/apis/discovery.k8s.io/v1/endpointslices",
            Kind::ServiceImport => "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports",
            Kind::Pod => "/api/v1/pods",
        }
    }
}

/// The EndpointSlices of a namespace that have these labels, from the API server's memory, in JSON.
pub(super) fn slices(namespace: &str, labels: &str) -> Request<Body> {
    let mut query = Query(format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"));
    query.add("resourceVersion", "0");
    query.add("labelSelector", labels);
    let mut request = query.request();
    request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("application/json"));
    request
}

/// How much of a list is asked for, and how fresh it has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    /// All of it at once from the API server's own memory, which may be a moment behind etcd: the quickest, and the least
    /// work for the server. For a start, where nothing newer is known yet, and a server that speaks protobuf.
    Cached,
    /// Page by page, as it is when asked.
    Pages,
    /// All of it at once, as it is when asked.
    Whole,
}

/// A path and query under construction.
struct Query(String);

impl Query {
    fn new(target: &Target) -> Query {
        let mut query = Query(target.path().to_owned());
        if !target.labels.trim().is_empty() {
            query.add("labelSelector", target.labels.trim());
        }
        if target.kind == Kind::Pod {
            query.add("fieldSelector", "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown");
        }
        query
    }

    fn add(&mut self, key: &str, value: &str) {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(key);
        self.0.push('=');
        for octet in value.bytes() {
            // RFC 3986 section 2.3: unreserved characters.
            if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
                self.0.push(char::from(octet));
            } else {
                let _ = write!(self.0, "%{octet:02X}");
            }
        }
    }

    fn request(self) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        // Made of a fixed path and escaped text, it always is a URI; if not, the server answers 404 to `/`.
        *request.uri_mut() = self.0.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, http::HeaderValue::from_static(ACCEPTED));
        headers.insert(USER_AGENT, http::HeaderValue::from_static(concat!("dunlin/", env!("CARGO_PKG_VERSION"))));
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: Kind, labels: &str) -> Target {
        Target { kind, labels: labels.into(), details: Details::ALL }
    }

    #[test]
    fn lists_go_page_by_page() {
        let services = target(Kind::Service, " app in (a, b) ");
        assert_eq!(
            services.list(Extent::Pages, "").uri(),
            "/api/v1/services?labelSelector=app%20in%20%28a%2C%20b%29&limit=500"
        );
        assert_eq!(
            target(Kind::EndpointSlice, "").list(Extent::Pages, "a+b/=").uri(),
            "/apis/discovery.k8s.io/v1/endpointslices?limit=250&continue=a%2Bb%2F%3D"
        );
        assert_eq!(target(Kind::Namespace, "").list(Extent::Whole, "").uri(), "/api/v1/namespaces");
        let cached = |next| target(Kind::Namespace, "").list(Extent::Cached, next).uri().to_string();
        assert_eq!(cached(""), "/api/v1/namespaces?resourceVersion=0");
        // A server that sends it in pages all the same takes no resourceVersion behind the first.
        assert_eq!(cached("token"), "/api/v1/namespaces?limit=500&continue=token");
    }

    #[test]
    fn pods_that_have_ended_are_not_asked_for() {
        let uri = target(Kind::Pod, "").list(Extent::Pages, "").uri().to_string();
        assert!(
            uri.starts_with("/api/v1/pods?fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed%2C")
        );
    }

    #[test]
    fn slices_are_asked_for_by_namespace_and_labels() {
        let request = slices("kube-system", "k8s-app in (a,b)");
        assert_eq!(
            request.uri(),
            "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices?resourceVersion=0&labelSelector=k8s-app%20in%20%28a%2Cb%29"
        );
        assert_eq!(request.headers()[ACCEPT], "application/json");
        // No URI at all: the answer to `/` is none that is understood.
        assert_eq!(slices("a b", "").uri(), "/");
    }

    #[test]
    fn watches_ask_for_bookmarks_and_an_end() {
        let request = target(Kind::Namespace, "").watch("42", Duration::from_secs(301));
        assert_eq!(
            request.uri(),
            "/api/v1/namespaces?watch=true&allowWatchBookmarks=true&resourceVersion=42&timeoutSeconds=301"
        );
        assert_eq!(request.headers()[ACCEPT], ACCEPTED);
        assert!(request.headers()[USER_AGENT].to_str().unwrap().starts_with("dunlin/"));
    }
}
