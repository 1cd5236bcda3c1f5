//! What a listener has of the blocks that are served on it.

use super::routes::Route;
use crate::corefile::Scheme;
use crate::engine::Limits;
use crate::plugin::{ByServerName, Certificate, ServerKeys};
use std::sync::Arc;

/// What a listener proves itself with: the `tls` of the first block there that has one, with the protocol's name for
/// ALPN, and the certificates of all of them.
pub(super) fn keys(scheme: Scheme, routes: &[Route]) -> Option<Arc<rustls::ServerConfig>> {
    let protocols: &[&[u8]] = match scheme {
        Scheme::Tls => &[b"dot"],
        Scheme::Https => &[b"h2", b"http/1.1"],
        Scheme::Quic => &[b"doq"],
        _ => return None,
    };
    let all = || routes.iter().filter_map(|route| route.block.plan.tls.as_ref());
    let mut config = (*all().next()?.config).clone();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let mut certificates: Vec<Arc<Certificate>> = Vec::new();
    for ServerKeys { certificate, .. } in all() {
        // A block stands here once for each of its zones.
        if !certificates.iter().any(|known| Arc::ptr_eq(known, certificate)) {
            certificates.push(certificate.clone());
        }
    }
    config.cert_resolver = Arc::new(ByServerName(certificates));
    Some(Arc::new(config))
}

/// What a listener's clients may have: of all of them together what the first block there says (`https`, `quic`), of each
/// connection what the last one says (`timeouts`), else the engine's defaults.
pub(super) fn limits(scheme: Scheme, routes: &[Route]) -> Limits {
    let plans = || routes.iter().map(|route| &route.block.plan);
    let mut limits = Limits::default();
    if scheme == Scheme::Https {
        limits.connections = plans().find_map(|plan| plan.https_connections).unwrap_or(limits.connections);
    }
    limits.streams = plans().find_map(|plan| plan.quic_streams.0).unwrap_or(limits.streams);
    limits.workers = plans().find_map(|plan| plan.quic_streams.1).unwrap_or(limits.workers);
    for said in plans().map(|plan| plan.connections) {
        limits.read = said.read.unwrap_or(limits.read);
        limits.write = said.write.unwrap_or(limits.write);
        limits.idle = said.idle.unwrap_or(limits.idle);
        limits.queries = said.queries.or(limits.queries);
    }
    limits
}
