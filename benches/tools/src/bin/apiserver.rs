//! An API server that costs next to nothing: the cluster of `fill.py` at any size, in pages of protobuf, and watches that
//! bring updates of slices at a rate. For what a real API server is too slow for, or takes the processor for.
//!
//! An update makes one endpoint of a slice not ready, or ready again. `GET /relist` ends every watch with a 410.

use dunlin_bench_tools::arguments::Arguments;
use dunlin_bench_tools::protobuf::{self, Kind, Shape};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "apiserver PORT [--shape NAMESPACESxSERVICESxENDPOINTS] [--pods COUNT] [--rate UPDATES_A_SECOND]";
/// How often a watch looks up; also the longest that updates wait for one another.
const TICK: Duration = Duration::from_millis(5);
/// How often a watch without events brings a bookmark.
const BOOKMARKS: Duration = Duration::from_secs(10);

struct Server {
    shape: Shape,
    rate: f64,
    version: AtomicU64,
    /// Every watch from before the last is ended.
    generation: AtomicU64,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::read(USAGE, &[]);
    let shape: String = arguments.option("shape").unwrap_or_else(|| "100x100x10".to_owned());
    let [namespaces, services, endpoints] = shape
        .split('x')
        .filter_map(|part| part.parse().ok())
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| io::Error::other(USAGE))?;
    let server = Arc::new(Server {
        shape: Shape { namespaces, services, endpoints, pods: arguments.option("pods").unwrap_or(0) },
        rate: arguments.option("rate").unwrap_or(0.0),
        version: AtomicU64::new(1000),
        generation: AtomicU64::new(0),
    });
    let listener = TcpListener::bind(("127.0.0.1", arguments.word(0)))?;
    for stream in listener.incoming() {
        let (server, stream) = (Arc::clone(&server), stream?);
        thread::spawn(move || server.serve(stream));
    }
    Ok(())
}

impl Server {
    /// One connection, request after request, to its end.
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        while let Some(request) = lines.next() {
            let request = request?;
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let target = request.split(' ').nth(1).unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let parameter = |name: &str| {
                query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
            };
            match Kind::of_path(path) {
                Some(kind) if parameter("watch") == "true" => self.watch(&stream, kind)?,
                Some(kind) => {
                    let limit = parameter("limit").parse().unwrap_or(usize::MAX);
                    answer(&stream, "200 OK", &self.page(kind, parameter("continue").parse().unwrap_or(0), limit))?;
                }
                None if path == "/relist" => {
                    self.generation.fetch_add(1, Ordering::Relaxed);
                    answer(&stream, "200 OK", b"")?;
                }
                None => answer(&stream, "404 Not Found", b"")?,
            }
        }
        Ok(())
    }

    fn page(&self, kind: Kind, from: usize, limit: usize) -> Vec<u8> {
        let count = self.shape.count(kind);
        let until = count.min(from.saturating_add(limit));
        let next = if until < count { until.to_string() } else { String::new() };
        let version = self.version.load(Ordering::Relaxed);
        let objects = (from..until).filter_map(|place| self.shape.object(kind, place, version, None));
        protobuf::page(version, &next, objects)
    }

    fn watch(&self, mut stream: &TcpStream, kind: Kind) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.kubernetes.protobuf;stream=watch\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        let generation = self.generation.load(Ordering::Relaxed);
        let (begun, mut sent, mut unready, mut marked) = (Instant::now(), 0_u64, None, Instant::now());
        let rate = if kind == Kind::EndpointSlice { self.rate } else { 0.0 };
        loop {
            thread::sleep(TICK);
            if self.generation.load(Ordering::Relaxed) != generation {
                chunk(stream, &protobuf::gone())?;
                return stream.write_all(b"0\r\n\r\n");
            }
            while (sent as f64) < begun.elapsed().as_secs_f64() * rate {
                sent += 1;
                self.update(stream, &mut unready, sent)?;
            }
            if marked.elapsed() >= BOOKMARKS {
                marked = Instant::now();
                chunk(stream, &protobuf::bookmark(self.version.load(Ordering::Relaxed)))?;
            }
        }
    }

    /// Each second update takes back what the one before has done.
    fn update(&self, stream: &TcpStream, unready: &mut Option<(usize, usize)>, number: u64) -> io::Result<()> {
        let version = self.version.fetch_add(1, Ordering::Relaxed) + 1;
        let chosen = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
        let mut place = chosen as usize % self.shape.count(Kind::EndpointSlice);
        place -= usize::from(place % 100 == 99);
        let (place, endpoint) = match unready.take() {
            Some((place, _)) => (place, None),
            None => {
                let endpoint = chosen as usize % self.shape.endpoints;
                *unready = Some((place, endpoint));
                (place, Some(endpoint))
            }
        };
        match self.shape.object(Kind::EndpointSlice, place, version, endpoint) {
            Some(slice) => chunk(stream, &protobuf::event("MODIFIED", &slice)),
            None => Ok(()),
        }
    }
}

fn answer(mut stream: &TcpStream, status: &str, body: &[u8]) -> io::Result<()> {
    let kind = "application/vnd.kubernetes.protobuf";
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat())
}

fn chunk(mut stream: &TcpStream, octets: &[u8]) -> io::Result<()> {
    stream.write_all(&[format!("{:x}\r\n", octets.len()).as_bytes(), octets, b"\r\n"].concat())
}
