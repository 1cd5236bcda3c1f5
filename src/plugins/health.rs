//! # Description
//! `health` serves `/health` for liveness probes: `200 OK` as long as the process can answer at all. Its `lameduck`
//! keeps the process answering for a while after it has been asked to end, until nobody sends to it any more.
//!
//! # Syntax
//! ```text
//! health [ADDRESS] {
//!     lameduck DURATION
//!     lameduck auto [MAX]
//! }
//! ```
//! * **ADDRESS** is `HOST:PORT`, `:8080` where it is not given. An address that cannot be bound stops the start.
//! * `lameduck` is how long to go on answering after SIGTERM, as `5s`; 0 where it is not given. Meanwhile `/health` is
//!   `200` and `/ready` is `503`. Endpoints of a Service are withdrawn within a few seconds; `lameduck` should be longer.
//! * `lameduck auto` goes on answering until the traffic has really moved away: for five seconds at least, until three
//!   have passed without a query, at most for **MAX** (25s). Give the pod a `terminationGracePeriodSeconds` above it; 30
//!   is the cluster's default. CoreDNS has no such form.
//!
//! The endpoint is the process's, not the block's: once is enough.
//!
//! # Examples
//! ```corefile
//! . {
//!     health {
//!         lameduck 5s
//!     }
//!     whoami
//! }
//! ```
//! Until nobody asks any more:
//! ```corefile
//! . {
//!     health {
//!         lameduck auto
//!     }
//!     ready
//!     whoami
//! }
//! ```
//! On one address of a node, at another port:
//! ```corefile
//! . {
//!     health 169.254.20.10:9254
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! The process asks itself once a second, which shows when it is starved of CPU:
//! * `coredns_health_request_duration_seconds`: how long the answer took.
//! * `coredns_health_request_failures_total`: how often there was none.
//!
//! # See also
//! `ready`, for readiness probes.

use crate::corefile::values;
use crate::http::{Endpoint, Response};
use crate::metrics::{Descriptor, MetricKind};
use crate::plugin::{Arrivals, BoxFuture, Definition, Error, Lifecycle, Setup, Token};
use prometheus::{Histogram, IntCounter};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// `health`.
pub const DEFINITION: Definition =
    Definition { directive: "health", setup, metrics: &[&REQUEST_DURATION, &REQUEST_FAILURES] };

const REQUEST_DURATION: Descriptor = Descriptor {
    name: "coredns_health_request_duration_seconds",
    help: "How long the process's own request to /health took.",
    labels: &[],
    kind: MetricKind::Histogram(&[0.000_25, 0.002_5, 0.025, 0.25, 2.5]),
};
const REQUEST_FAILURES: Descriptor = Descriptor {
    name: "coredns_health_request_failures_total",
    help: "How often the process's own request to /health got no answer.",
    labels: &[],
    kind: MetricKind::Counter,
};

const ADDRESS: &str = ":8080";
/// How often the process asks itself.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How often a drain looks whether queries still come.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it waits for its own answer.
const POLL_TIMEOUT: Duration = Duration::from_secs(3);

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    let address = setup.endpoint_address(directive, ADDRESS)?;
    let mut lameduck = Lameduck::For(Duration::ZERO);
    for option in directive.options() {
        let duration = |word: &Token| values::duration(&word.text).map_err(|why| setup.error(word, why));
        lameduck = match (option.name.text.as_str(), option.args.as_slice()) {
            ("lameduck", [auto]) if auto.text == "auto" => Lameduck::UntilQuiet(Patience::default()),
            ("lameduck", [auto, most]) if auto.text == "auto" => {
                Lameduck::UntilQuiet(Patience { most: duration(most)?, ..Patience::default() })
            }
            ("lameduck", [word]) => Lameduck::For(duration(word)?),
            ("lameduck", _) => return Err(setup.arguments(option, "lameduck DURATION|auto [MAX]")),
            _ => return Err(setup.unknown(option, "lameduck")),
        };
    }

    let poll = Poll {
        address: poll_address(&address),
        duration: setup.metrics.histogram(&REQUEST_DURATION).with_label_values::<&str>(&[]),
        failures: setup.metrics.counter(&REQUEST_FAILURES).with_label_values::<&str>(&[]),
    };
    setup.process.add_endpoint(Endpoint {
        address,
        path: "/health",
        respond: Arc::new(|_| Response::text(200, "OK")),
        required: true,
        keys: None,
        admits: None,
    });
    let arrivals = setup.control.arrivals.clone();
    let health = Health { lameduck, arrivals, poll: Arc::new(poll), polling: Mutex::new(None) };
    setup.process.lifecycles.push(Arc::new(health));
    Ok(())
}

/// How long to go on answering when the process has been asked to end.
enum Lameduck {
    For(Duration),
    UntilQuiet(Patience),
}

/// What "the traffic has moved away" means.
#[derive(Clone, Copy)]
struct Patience {
    /// Nobody may have been told yet: the probe must fail, the endpoint be withdrawn, each node's proxy follow.
    least: Duration,
    /// Whole seconds without a query.
    quiet: u64,
    most: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { least: Duration::from_secs(5), quiet: 3, most: Duration::from_secs(25) }
    }
}

impl Patience {
    /// Returns when the traffic has moved away, or when patience is at its end.
    async fn wait(self, arrivals: &Arrivals) {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let (waited, quiet) = (begun.elapsed(), arrivals.quiet_for(unix_seconds()));
            if waited >= self.most {
                tracing::warn!(target: "plugin/health", "Lameduck mode ends after {waited:.1?}; the last query came {quiet}s ago");
                return;
            }
            // A second in progress is none without a query.
            if waited >= self.least && quiet > self.quiet {
                tracing::info!(target: "plugin/health", "Lameduck mode ends after {waited:.1?}: no query for {}s", self.quiet);
                return;
            }
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// One `/health`.
struct Health {
    lameduck: Lameduck,
    arrivals: Arrivals,
    poll: Arc<Poll>,
    polling: Mutex<Option<JoinHandle<()>>>,
}

impl Lifecycle for Health {
    fn name(&self) -> &'static str {
        "health"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            let task = tokio::spawn(self.poll.clone().run());
            if let Ok(mut polling) = self.polling.lock() {
                *polling = Some(task);
            }
            Ok(())
        })
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            match self.lameduck {
                Lameduck::For(Duration::ZERO) => {}
                Lameduck::For(time) => {
                    tracing::info!(target: "plugin/health", "Going into lameduck mode for {time:?}");
                    tokio::time::sleep(time).await;
                }
                Lameduck::UntilQuiet(patience) => {
                    let most = patience.most;
                    tracing::info!(target: "plugin/health", "Going into lameduck mode until queries stop coming, at most {most:?}");
                    patience.wait(&self.arrivals).await;
                }
            }
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.end_polling();
        Box::pin(async {})
    }
}

impl Health {
    fn end_polling(&self) {
        if let Ok(mut polling) = self.polling.lock()
            && let Some(task) = polling.take()
        {
            task.abort();
        }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.end_polling();
    }
}

/// The process's own requests to its endpoint.
struct Poll {
    address: String,
    duration: Histogram,
    failures: IntCounter,
}

impl Poll {
    async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(POLL_EVERY).await;
            self.once().await;
        }
    }

    async fn once(&self) {
        let began = Instant::now();
        let answered = tokio::time::timeout(POLL_TIMEOUT, get(&self.address)).await;
        let took = began.elapsed();
        self.duration.observe(took.as_secs_f64());
        match answered {
            Ok(Ok(())) if took > POLL_EVERY => {
                tracing::warn!(target: "plugin/health", "Local health request to http://{}/health took more than 1s: {took:?}", self.address);
            }
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(_) => self.failed("no answer within 3s"),
        }
    }

    fn failed(&self, why: &str) {
        self.failures.inc();
        tracing::warn!(target: "plugin/health", "Local health request to http://{}/health failed: {why}", self.address);
    }
}

/// Sends a GET and reads the status line.
async fn get(address: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status).await?;
    if status.ends_with(b" 200") {
        Ok(())
    } else {
        Err(io::Error::other(format!("the answer begins with '{}'", status.escape_ascii())))
    }
}

/// Where the endpoint is reached from inside: an unspecified or empty host through the loopback interface.
fn poll_address(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "8080"));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => format!("[{}]:{port}", Ipv6Addr::LOCALHOST),
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        Err(_) if host.is_empty() => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;
    use tokio::net::TcpListener;

    #[test]
    fn the_endpoint_says_ok_and_must_be_bound() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "health").unwrap();
        let response = bench.get("/health");
        assert_eq!((response.status, response.body.as_slice()), (200, &b"OK"[..]));
        let done = bench.done();
        assert_eq!((done.process.endpoints[0].address.as_str(), done.process.endpoints[0].required), (":8080", true));
    }

    #[tokio::test]
    async fn the_drain_lasts_as_long_as_the_lameduck() {
        for (text, at_least, at_most) in [("health", 0, 50), ("health {\nlameduck 120ms\n}", 120, 1000)] {
            let bench = Bench::new();
            bench.set_up(&DEFINITION, text).unwrap();
            let began = Instant::now();
            bench.drain().await;
            let took = began.elapsed().as_millis();
            assert!(took >= at_least && took < at_most, "{text}: {took} ms");
        }
    }

    /// A drain with small figures, while queries come for `load`.
    async fn drained(patience: Patience, load: Duration) -> Duration {
        let arrivals = Arrivals::default();
        let noted = arrivals.clone();
        let queries = tokio::spawn(async move {
            let begun = Instant::now();
            while begun.elapsed() < load {
                noted.note(unix_seconds());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let begun = Instant::now();
        patience.wait(&arrivals).await;
        queries.abort();
        begun.elapsed()
    }

    #[tokio::test]
    async fn an_automatic_lameduck_lasts_until_queries_stop_coming() {
        let patience = Patience { least: Duration::from_millis(300), quiet: 1, most: Duration::from_secs(30) };
        let (idle, loaded, endless) = tokio::join!(
            drained(patience, Duration::ZERO),
            drained(patience, Duration::from_secs(2)),
            drained(Patience { most: Duration::from_secs(3), ..patience }, Duration::MAX),
        );
        assert!((0.3..1.0).contains(&idle.as_secs_f64()), "nobody asks: {idle:?}");
        assert!((3.0..5.0).contains(&loaded.as_secs_f64()), "2 s of load, then quiet: {loaded:?}");
        assert!((3.0..3.5).contains(&endless.as_secs_f64()), "bounded: {endless:?}");
    }

    #[test]
    fn automatic_is_a_word_of_lameduck() {
        for text in ["health {\nlameduck auto\n}", "health {\nlameduck auto 12s\n}"] {
            Bench::new().set_up(&DEFINITION, text).unwrap();
        }
    }

    #[test]
    fn the_poll_goes_through_the_loopback() {
        for (address, expected) in [
            (":8080", "127.0.0.1:8080"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("169.254.20.10:8080", "169.254.20.10:8080"),
            ("localhost:1", "localhost:1"),
        ] {
            assert_eq!(poll_address(address), expected);
        }
    }

    #[tokio::test]
    async fn the_poll_counts_answers_and_failures() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let metrics = crate::metrics::Metrics::new();
        let poll = Poll {
            address: listener.local_addr().unwrap().to_string(),
            duration: metrics.histogram(&REQUEST_DURATION).with_label_values::<&str>(&[]),
            failures: metrics.counter(&REQUEST_FAILURES).with_label_values::<&str>(&[]),
        };
        let answers = tokio::spawn(async move {
            for answer in ["HTTP/1.1 200 OK\r\n\r\nOK", "HTTP/1.1 500 No\r\n\r\n", ""] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 64];
                let _ = stream.read(&mut asked).await.unwrap();
                assert!(asked.starts_with(b"GET /health HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        for failures in [0, 1, 2] {
            poll.once().await;
            assert_eq!(poll.failures.get(), failures);
        }
        answers.await.unwrap();
        assert_eq!(poll.duration.get_sample_count(), 3);
        poll.once().await;
        assert_eq!(poll.failures.get(), 3, "nobody listens any more");
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("health 8080", "expecting [HOST]:PORT"),
                ("health :1 :2", "expected: health [ADDRESS]"),
                ("health {\nlameduck\n}", "expected: lameduck DURATION|auto [MAX]"),
                ("health {\nlameduck auto soon\n}", "soon"),
                ("health {\nlameduck auto 5s 6s\n}", "expected: lameduck DURATION|auto [MAX]"),
                ("health {\nlameduck 5\n}", "5"),
                ("health {\nlameduck 5s 6s\n}", "expected: lameduck DURATION"),
                ("health {\nnope\n}", "unknown property 'nope'; expected one of: lameduck"),
            ],
        );
    }
}
