//! # Description
//! `prometheus` counts the block's queries and serves all metrics of the process at `/metrics`, in Prometheus' text
//! format, compressed for those who accept gzip. A block without it is not counted.
//!
//! # Syntax
//! ```text
//! prometheus [ADDRESS] {
//!     runtime_metrics
//!     tls FILE
//! }
//! ```
//! * **ADDRESS** is `HOST:PORT`, `localhost:9153` where it is not given. Blocks with the same address share a listener.
//!   An address that cannot be bound is said and does not stop the server.
//! * `runtime_metrics` is accepted: the metrics it adds in CoreDNS are about Go's runtime, which is not here.
//! * `tls` serves the metrics by HTTPS, as **FILE** says in the form of Prometheus' exporters (exporter-toolkit's web
//!   configuration): `tls_server_config` with `cert_file` and `key_file` (names relative to **FILE**),
//!   `client_auth_type` and `client_ca_file`, `min_version` and `max_version` (TLS12, TLS13). Ciphers and curves are
//!   not chosen, HTTP/2 is not spoken. A renewed certificate is taken without a reload, as by the plugin `tls`.
//!   `basic_auth_users` has those who may read the metrics, each with the bcrypt hash of a password; with it alone the
//!   metrics are served in the clear, by HTTP. Users are read again from the file without a reload.
//!
//! # Examples
//! ```corefile
//! . {
//!     prometheus :9153
//!     whoami
//! }
//! ```
//! For scrapers that have a certificate of ours:
//! ```corefile
//! . {
//!     prometheus :9153 {
//!         tls /etc/dunlin/web.yaml
//!     }
//!     whoami
//! }
//! ```
//! ```yaml
//! tls_server_config:
//!   cert_file: tls.crt
//!   key_file: tls.key
//!   client_auth_type: RequireAndVerifyClientCert
//!   client_ca_file: ca.crt
//! ```
//! For those who have a password (`htpasswd -nBC 10 ''` hashes one):
//! ```yaml
//! tls_server_config:
//!   cert_file: tls.crt
//!   key_file: tls.key
//! basic_auth_users:
//!   prometheus: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG
//! ```
//!
//! # Metrics
//! Labels `server` (`dns://:53`), `zone` (of the block; `dropped` where no block serves the name), `view`, and:
//! * `coredns_dns_requests_total{server, zone, view, proto, family, type}`: queries answered.
//! * `coredns_dns_request_duration_seconds{server, zone, view}`: from receipt to sending.
//! * `coredns_dns_request_size_bytes{server, zone, view, proto}` and `coredns_dns_response_size_bytes{…}`.
//! * `coredns_dns_do_requests_total{server, zone, view}`: queries with the DO bit.
//! * `coredns_dns_responses_total{server, zone, view, rcode, plugin}`.
//! * `dunlin_lane_queries_total{server, zone, view, lane}`: queries that the `fast` lane answered, from memory, and the
//!   `slow` one, through the plugins.
//! * `dunlin_tls_renewals_total{file,result}`, as of the plugin `tls`.
//! * `coredns_panics_total`, `coredns_build_info`, and what each plugin's manual lists.
//!
//! # See also
//! `health` and `ready`, the other HTTP endpoints.

mod users;
mod web;

use crate::http::{Admits, Endpoint, Response};
use crate::plugin::{Definition, Error, RENEWALS, Renewing, Setup};
use std::sync::Arc;

/// `prometheus`.
pub const DEFINITION: Definition = Definition { directive: "prometheus", setup, metrics: &[&RENEWALS] };

/// Where CoreDNS serves its metrics if nothing else is said.
const ADDRESS: &str = "localhost:9153";

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    let address = setup.endpoint_address(directive, ADDRESS)?;
    let (mut keys, mut users) = (None, None);
    for option in directive.options() {
        match option.name.text.as_str() {
            "runtime_metrics" if option.args.is_empty() => {}
            "runtime_metrics" => return Err(setup.arguments(option, "runtime_metrics")),
            "tls" => match option.args.as_slice() {
                [file] => {
                    let read = web::read(&setup.path(&file.text)).map_err(|why| setup.error(file, why))?;
                    read.unused.iter().for_each(|word| setup.warn(file, format!("'{word}' has no effect here")));
                    if let Some((config, certificate)) = read.tls {
                        let renewals = setup.metrics.counter(&RENEWALS);
                        setup.process.lifecycles.push(Arc::new(Renewing::new("prometheus", certificate, renewals)));
                        keys = Some(config);
                    }
                    users = read.users.map(Arc::new);
                }
                _ => return Err(setup.arguments(option, "tls FILE")),
            },
            _ => return Err(setup.unknown(option, "runtime_metrics, tls")),
        }
    }
    setup.plan.counted = true;
    let metrics = setup.metrics.clone();
    setup.process.add_endpoint(Endpoint {
        address,
        path: "/metrics",
        respond: Arc::new(move |_| Response {
            status: 200,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: metrics.render().into_bytes(),
        }),
        required: false,
        keys,
        admits: users.map(|users| -> Admits { Arc::new(move |header| Box::pin(users.clone().admit(header))) }),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    #[test]
    fn blocks_with_one_address_share_an_endpoint() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "prometheus").unwrap();
        bench.set_up(&DEFINITION, "prometheus {\nruntime_metrics\n}").unwrap();
        bench.set_up(&DEFINITION, "prometheus [::1]:9253").unwrap();
        let done = bench.done();
        let addresses: Vec<_> = done.process.endpoints.iter().map(|endpoint| endpoint.address.as_str()).collect();
        assert_eq!(addresses, ["localhost:9153", "[::1]:9253"]);
        assert!(done.plan.counted && !done.process.endpoints[0].required);
    }

    #[test]
    fn the_endpoint_answers_with_the_exposition() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "prometheus :9153").unwrap();
        let response = bench.get("/metrics");
        assert_eq!(response.status, 200);
        assert!(String::from_utf8(response.body).unwrap().contains("# TYPE process_"));
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("prometheus 9153", "expecting [HOST]:PORT"),
                ("prometheus :metrics", "expecting [HOST]:PORT"),
                ("prometheus ::1:9153", "expecting [HOST]:PORT"),
                ("prometheus :1 :2", "expected: prometheus [ADDRESS]"),
                ("prometheus {\ntls\n}", "expected: tls FILE"),
                ("prometheus {\ntls /no/such/web.yml\n}", "open /no/such/web.yml: No such file"),
                ("prometheus {\nruntime_metrics on\n}", "expected: runtime_metrics"),
                ("prometheus {\nnope\n}", "unknown property 'nope'"),
                ("prometheus\nprometheus", "once"),
            ],
        );
    }
}
