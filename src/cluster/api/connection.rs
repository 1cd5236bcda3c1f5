//! The way to an API server: where it is, who we are, and a transport that notices when it is gone.
//!
//! Not kube's default stack: that one finds a dead peer only after minutes and repeats requests inside a call.

use super::super::Source;
use super::super::counters::RequestCounters;
use super::super::decode::{Format, status};
use super::buffered::Buffered;
use super::direct::Direct;
use super::frames::{format_of, read_whole};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

/// The most that is read of an error's body, in octets.
const LONGEST_ERROR: usize = 64 << 10;

/// An API server that can be asked. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connection {
    clients: Arc<ArcSwap<Clients>>,
    config: Arc<Config>,
    host: Arc<str>,
    counters: Arc<RequestCounters>,
}

/// Two ways to the same server, with the same credentials.
struct Clients {
    /// For answers that come at once: connections are kept for the next ones.
    pooled: Client,
    /// For watches, each with a connection of its own.
    direct: Client,
}

/// A request or stream that failed.
#[derive(Debug, Default)]
pub(super) struct Failure {
    pub(super) reason: String,
    /// The HTTP status, where one came.
    pub(super) code: Option<u16>,
    pub(super) retry_after: Option<Duration>,
}

impl Connection {
    /// # Errors
    /// What the operator has to mend. Whether the server can be reached is not tried.
    pub(super) fn new(source: &Source, counters: Arc<RequestCounters>) -> Result<Connection, String> {
        let config = match source {
            Source::InCluster => in_cluster()?,
            Source::Kubeconfig(file, context) => kubeconfig(file, context.clone())?,
            Source::Endpoint(url, files) => endpoint(url, files.as_ref())?,
            Source::Manifests(_) | Source::Text(..) => return Err("manifests have no API server".into()),
        };
        let host = config.cluster_url.authority().map_or("", |authority| authority.as_str()).into();
        let clients = clients(&config).map_err(|error| sentence(&error))?;
        Ok(Connection { clients: Arc::new(ArcSwap::from_pointee(clients)), config: Arc::new(config), host, counters })
    }

    /// The namespace of the service account, or that of the kubeconfig's context.
    pub(super) fn namespace(&self) -> &str {
        self.config.default_namespace.trim()
    }

    /// Sends a request and waits for the answer to begin.
    ///
    /// # Errors
    /// No answer within the time, or one that is no success.
    pub(super) async fn get(&self, request: Request<Body>, within: Duration) -> Result<Response<Body>, Failure> {
        let client = self.clients.load().pooled.clone();
        self.ask(client, request, within).await
    }

    /// The same for a watch.
    ///
    /// # Errors
    /// No answer within the time, or one that is no success.
    pub(super) async fn watch(&self, request: Request<Body>, within: Duration) -> Result<Response<Body>, Failure> {
        let client = self.clients.load().direct.clone();
        self.ask(client, request, within).await
    }

    async fn ask(&self, client: Client, request: Request<Body>, within: Duration) -> Result<Response<Body>, Failure> {
        let began = Instant::now();
        let answer = timeout(within, client.send(request)).await;
        let code = answer.as_ref().ok().and_then(|answer| answer.as_ref().ok()).map(|answer| answer.status().as_u16());
        self.counters.answered(&self.host, code, began.elapsed());
        match answer {
            Ok(Ok(answer)) if answer.status().is_success() => Ok(answer),
            Ok(Ok(answer)) => {
                if answer.status() == StatusCode::UNAUTHORIZED {
                    self.read_credentials();
                }
                Err(refusal(answer, within).await)
            }
            Ok(Err(error)) => Err(Failure::from(sentence(&error))),
            Err(_) => Err(Failure::from(format!("no answer within {} s", within.as_secs()))),
        }
    }

    /// Reads token and certificate files now: they may have been rotated, and kube looks at a token's file only once a
    /// minute. What cannot be read leaves everything as it is.
    fn read_credentials(&self) {
        let proof = &self.config.auth_info;
        if (proof.token_file.is_some() || proof.client_certificate.is_some())
            && let Ok(clients) = clients(&self.config)
        {
            self.clients.store(Arc::new(clients));
        }
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Failure {
        Failure { reason, ..Failure::default() }
    }
}

/// What an answer that is no success says.
async fn refusal(answer: Response<Body>, within: Duration) -> Failure {
    let code = answer.status();
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let format = format_of(answer.headers());
    let body = read_whole(answer.into_body(), LONGEST_ERROR, within).await.unwrap_or_default();
    let message = status(format, &body).or_else(|| status(Format::Json, &body)).map(|status| status.message);
    let reason = match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{code}: {message}"),
        None => code.to_string(),
    };
    Failure { reason, code: Some(code.as_u16()), retry_after: retry_after.map(Duration::from_secs) }
}

/// An error with its causes, which the outermost one often leaves out.
pub(super) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}

fn in_cluster() -> Result<Config, String> {
    Config::incluster().map_err(|error| {
        format!(
            "not in a pod with a service account, and neither kubeconfig nor endpoint is given: {}",
            sentence(&error)
        )
    })
}

fn kubeconfig(file: &Path, context: Option<String>) -> Result<Config, String> {
    let fault = |error: kube::config::KubeconfigError| format!("{}: {}", file.display(), sentence(&error));
    let kubeconfig = Kubeconfig::read_from(file).map_err(fault)?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    // Asynchronous in name only: everything has been read from the file.
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).now_or_never();
    let config = config.ok_or_else(|| format!("{}: the credentials cannot be had at once", file.display()))?;
    let config = config.map_err(fault)?;
    if config.proxy_url.is_some() {
        tracing::warn!(
            target: "plugin/kubernetes",
            "The API server is asked directly: the proxy of {} or of HTTPS_PROXY is not used",
            file.display()
        );
    }
    Ok(config)
}

fn endpoint(url: &str, files: Option<&[PathBuf; 3]>) -> Result<Config, String> {
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = full.parse().map_err(|error| format!("endpoint {url:?} is no URL: {error}"))?;
    if uri.host().is_none_or(str::is_empty) || !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("endpoint {url:?} is no http or https URL"));
    }
    let mut config = Config::new(uri);
    if let Some([certificate, key, authority]) = files {
        for file in [certificate, key, authority] {
            std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let authorities: Result<Vec<_>, _> = CertificateDer::pem_file_iter(authority)
            .and_then(|certificates| certificates.map(|one| one.map(|der| der.to_vec())).collect());
        let authorities = authorities.map_err(|error| format!("{}: {error}", authority.display()))?;
        if authorities.is_empty() {
            return Err(format!("{}: it holds no certificate", authority.display()));
        }
        config.root_cert = Some(authorities);
        config.root_cert_file = Some(authority.clone());
        config.auth_info.client_certificate = Some(certificate.display().to_string());
        config.auth_info.client_key = Some(key.display().to_string());
    } else if config.cluster_url.scheme_str() == Some("http") {
        // There is no certificate to check, and the system's take four milliseconds to read, for which a start would
        // wait.
        config.root_cert = Some(Vec::new());
    }
    Ok(config)
}

/// kube's client over a connector of our own: unanswered keepalives and unacknowledged data end a connection within about
/// half a minute, where the default waits for the watch's end.
fn clients(config: &Config) -> Result<Clients, kube::Error> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(Duration::from_secs(10)));
    http.set_keepalive(Some(Duration::from_secs(15)));
    http.set_keepalive_interval(Some(Duration::from_secs(5)));
    http.set_keepalive_retries(Some(3));
    http.set_tcp_user_timeout(Some(Duration::from_secs(20)));
    let https = config.rustls_https_connector_with_connector(http.map_response(Buffered::new))?;
    let pooled: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(https.clone());
    Ok(Clients { pooled: client(config, pooled)?, direct: client(config, Direct(https))? })
}

/// kube's client over a transport.
fn client<T, B>(config: &Config, transport: T) -> Result<Client, kube::Error>
where
    T: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(|error: T::Error| -> BoxError { error.into() })
        .service(transport);
    Ok(Client::new(service, config.default_namespace.clone()))
}
