use crate::cluster::recorder::Recorder;
use crate::cluster::{Details, Feed, First, Options, Source, start};
use crate::metrics::Metrics;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("dunlin-manifests-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn follow(paths: &[&Path], labels: &str) -> Result<(Feed, Arc<Recorder>), String> {
    let sink = Arc::new(Recorder::default());
    let options = Options {
        source: Source::Manifests(paths.iter().map(PathBuf::from).collect()),
        labels: labels.into(),
        namespace_labels: String::new(),
        endpoints: false,
        pods: false,
        imports: false,
        details: Details::ALL,
    };
    Ok((start(options, sink.clone(), First::AtOnce, &Metrics::new())?, sink))
}

fn service(name: &str, ip: &str) -> String {
    format!(
        "kind: Service\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\nspec: {{clusterIP: {ip}}}\n---\n"
    )
}

/// What is told when these services are all there are.
fn told(services: &[&str]) -> Vec<String> {
    let applied = services.iter().map(|service| format!("apply shop/{service}"));
    let begin = ["begin Namespace", "end Namespace", "begin Service"].map(str::to_owned);
    begin.into_iter().chain(applied).chain(["end Service".to_owned()]).collect()
}

async fn expect(sink: &Recorder, services: &[&str]) {
    let told = told(services);
    sink.told(&told.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

/// Long enough for the watches to be in place.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

#[tokio::test]
async fn a_directory_is_read_in_order_and_followed() {
    let directory = Directory::new();
    directory.write("b.yml", &service("b", "10.0.0.2"));
    directory.write("a.yaml", &(service("a", "10.0.0.1") + &service("b", "10.0.0.1")));
    directory.write("c.json", r#"{"kind":"Service","metadata":{"name":"c","namespace":"shop"}}"#);
    directory.write("notes.txt", "kind: [");
    fs::create_dir(directory.0.join("deeper.yaml")).unwrap();
    let (feed, sink) = follow(&[&directory.0], "").unwrap();
    assert!(feed.is_synced());
    // Of an object in two files the last one counts.
    expect(&sink, &["a 10.0.0.1", "b 10.0.0.2", "c"]).await;
    settle().await;
    directory.write("a.yaml", &service("a", "10.0.0.9"));
    expect(&sink, &["a 10.0.0.9", "b 10.0.0.2", "c"]).await;
    fs::remove_file(directory.0.join("b.yml")).unwrap();
    expect(&sink, &["a 10.0.0.9", "c"]).await;
    // The feed's end is the end.
    drop(feed);
    directory.write("a.yaml", &service("a", "10.0.0.8"));
    settle().await;
    assert!(sink.take().is_empty());
}

#[tokio::test]
async fn labels_select() {
    let directory = Directory::new();
    directory.write("a.yaml", &(service("a", "10.0.0.1") + &service("b", "10.0.0.2")));
    let (_feed, sink) = follow(&[&directory.0], "app in (b, c)").unwrap();
    expect(&sink, &["b 10.0.0.2"]).await;
}

#[tokio::test]
async fn a_file_by_itself_is_followed_through_replacement() {
    let directory = Directory::new();
    let file = directory.0.join("only.yaml");
    directory.write("only.yaml", &service("a", "10.0.0.1"));
    directory.write("other.yaml", &service("b", "10.0.0.2"));
    let (_feed, sink) = follow(&[&file], "").unwrap();
    expect(&sink, &["a 10.0.0.1"]).await;
    settle().await;
    directory.write("new", &service("a", "10.0.0.3"));
    fs::rename(directory.0.join("new"), &file).unwrap();
    expect(&sink, &["a 10.0.0.3"]).await;
    // Its disappearance takes nothing away.
    fs::remove_file(&file).unwrap();
    settle().await;
    assert!(sink.take().is_empty());
    directory.write("only.yaml", &service("a", "10.0.0.4"));
    expect(&sink, &["a 10.0.0.4"]).await;
}

#[tokio::test]
async fn a_config_map_is_followed_through_its_links() {
    let mount = Directory::new();
    for (version, ip) in [("..v1", "10.0.0.1"), ("..v2", "10.0.0.2"), ("..v3", "10.0.0.3")] {
        fs::create_dir(mount.0.join(version)).unwrap();
        mount.write(&format!("{version}/a.yaml"), &service("a", ip));
    }
    let swap = |version: &str| {
        symlink(version, mount.0.join("..data_tmp")).unwrap();
        fs::rename(mount.0.join("..data_tmp"), mount.0.join("..data")).unwrap();
    };
    swap("..v1");
    symlink("..data/a.yaml", mount.0.join("a.yaml")).unwrap();
    let (_feed, sink) = follow(&[&mount.0], "").unwrap();
    let (_file_feed, file_sink) = follow(&[&mount.0.join("a.yaml")], "").unwrap();
    expect(&sink, &["a 10.0.0.1"]).await;
    expect(&file_sink, &["a 10.0.0.1"]).await;
    for (version, told) in [("..v2", "a 10.0.0.2"), ("..v3", "a 10.0.0.3")] {
        settle().await;
        swap(version);
        expect(&sink, &[told]).await;
        expect(&file_sink, &[told]).await;
    }
}

#[tokio::test]
async fn a_broken_file_keeps_what_it_last_held() {
    let directory = Directory::new();
    directory.write("a.yaml", &service("a", "10.0.0.1"));
    directory.write("b.yaml", &service("b", "10.0.0.2"));
    let (_feed, sink) = follow(&[&directory.0], "").unwrap();
    expect(&sink, &["a 10.0.0.1", "b 10.0.0.2"]).await;
    settle().await;
    directory.write("a.yaml", "kind: Service\nmetadata: {name: [\n");
    settle().await;
    assert!(sink.take().is_empty());
    directory.write("b.yaml", &service("b", "10.0.0.9"));
    expect(&sink, &["a 10.0.0.1", "b 10.0.0.9"]).await;
    settle().await;
    directory.write("a.yaml", &service("a", "10.0.0.3"));
    expect(&sink, &["a 10.0.0.3", "b 10.0.0.9"]).await;
}

#[tokio::test]
async fn a_slow_writer_is_waited_for() {
    use std::io::Write;
    let directory = Directory::new();
    directory.write("a.yaml", &service("a", "10.0.0.1"));
    let (_feed, sink) = follow(&[&directory.0], "").unwrap();
    expect(&sink, &["a 10.0.0.1"]).await;
    settle().await;
    let mut file = fs::File::create(directory.0.join("a.yaml")).unwrap();
    for name in ["a", "b", "c"] {
        file.write_all(service(name, "10.0.0.2").as_bytes()).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(file);
    // On a busy machine a pause of the writer's may be longer than it wants to be; without waiting there would be more.
    let last = "apply shop/c 10.0.0.2";
    let mut told = Vec::new();
    while !told.iter().any(|line| line == last) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        told.extend(sink.take());
    }
    assert!(told.iter().filter(|line| *line == "begin Service").count() <= 2, "{told:?}");
}

#[tokio::test]
async fn a_first_start_with_a_broken_or_missing_file_is_an_error() {
    let directory = Directory::new();
    directory.write("a.yaml", "kind: Service\nmetadata:\n  name: web\nspec: 3\n");
    let file = directory.0.join("a.yaml").display().to_string();
    let said = follow(&[&directory.0], "").err().unwrap();
    assert!(said.starts_with(&format!("{file}:4: ")), "{said}");
    let said = follow(&[Path::new("/missing/manifests")], "").err().unwrap();
    assert!(said.starts_with("/missing/manifests: No such file"), "{said}");
    let link = Directory::new();
    symlink("/missing/a.yaml", link.0.join("a.yaml")).unwrap();
    let said = follow(&[&link.0], "").err().unwrap();
    assert!(said.contains("a.yaml: No such file"), "{said}");
}

#[tokio::test]
async fn a_text_is_told_once() {
    let sink = Arc::new(Recorder::default());
    let text =
        "kind: Namespace\nmetadata: {name: shop}\n---\nkind: Pod\nmetadata: {name: p}\nstatus: {podIP: 10.1.0.1}\n";
    let options = Options {
        source: Source::Text("sample", text),
        labels: String::new(),
        namespace_labels: String::new(),
        endpoints: true,
        pods: true,
        imports: false,
        details: Details::ALL,
    };
    let feed = start(options.clone(), sink.clone(), First::AtOnce, &Metrics::new()).unwrap();
    assert!(feed.is_synced());
    let slices = ["begin EndpointSlice", "end EndpointSlice"];
    let namespaces = ["begin Namespace", "apply shop", "end Namespace", "begin Service", "end Service"];
    let pods = ["begin Pod", "apply default/p 10.1.0.1", "end Pod"];
    assert_eq!(sink.take(), [&namespaces[..], &slices, &pods].concat());
    let broken = Options { source: Source::Text("sample", "kind: Pod\nstatus: []"), ..options };
    let said = start(broken, sink, First::AtOnce, &Metrics::new()).err().unwrap();
    assert!(said.starts_with("sample:2: "), "{said}");
}
