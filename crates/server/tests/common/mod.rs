//! A server in this process, over real files, and a client that says exactly what it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use drystone_chunker::Chunking;
use drystone_limits::{Ask, Budget, Limit, Plan};
use drystone_server::{Deadlines, Server, ServerConfig};
use drystone_store::{
    BucketName, Grant, NewKey, Records, Secret, SegmentStorage, Store, StoreConfig, SyncPolicy,
};
use drystone_sync::PlainArc;
use drystone_testkit::local::LocalFolder;
use tokio::sync::watch;

pub(crate) const ACCESS: &str = "admin";
pub(crate) const SECRET: &str = "a long enough secret";

/// A running server; stops when dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) store: Store,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: Option<LocalFolder>,
}

pub(crate) fn config() -> ServerConfig {
    let ask = Ask { workers: Some(2), connections: Some(16), ..Ask::new(64 << 10, "cdc") };
    let budget = Budget {
        cpus: Limit::new(2, "two"),
        memory_bytes: Limit::new(1 << 30, "a gibibyte"),
        descriptors: Limit::new(1024, "a thousand"),
    };
    let plan = Plan::new(&ask, &budget).unwrap();
    ServerConfig {
        ingests: 2,
        calls: 4,
        ..ServerConfig::new(plan, Deadlines::default(), tempfile::tempfile().unwrap())
    }
}

fn chunking() -> Chunking {
    "cdc:4KiB,16KiB,64KiB".parse().unwrap()
}

/// A store for that many uploads at a time.
pub(crate) fn store(
    records: PlainArc<dyn Records>,
    segments: PlainArc<dyn SegmentStorage>,
    config: &ServerConfig,
) -> Store {
    let store = StoreConfig {
        chunking: chunking(),
        workers: 2,
        buffers: 3 * config.ingests,
        ingests: config.ingests,
        buffer_bytes: 256 << 10,
        read_ahead_max: 2,
        commit_queue_bytes: 1 << 20,
    };
    Store::new(records, segments, store).unwrap()
}

impl Running {
    pub(crate) fn start(config: ServerConfig) -> Self {
        let folder = LocalFolder::new(chunking(), SyncPolicy::Never, 1 << 30);
        let local = folder.open_store();
        let store = store(local.records, local.segments, &config);
        Self::over(store, config, Some(folder))
    }

    /// Serves this store, which is in the folder.
    pub(crate) fn over(store: Store, config: ServerConfig, folder: Option<LocalFolder>) -> Self {
        store.create_bucket(&BucketName::new("files").unwrap()).unwrap();
        let grant = Grant { bucket: None, read: true, write: true, list: true, admin: true };
        put_key(&store, ACCESS, vec![grant]);
        let (stop, stopped) = watch::channel(false);
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let served = store.clone();
        let thread = std::thread::spawn(move || {
            let threads = config.transfers + 1;
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime
                .worker_threads(2)
                .max_blocking_threads(threads)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                let server = Server::bind(any, served, config, None).await.unwrap();
                tell.send(server.address().unwrap()).unwrap();
                let closing = server.closing();
                server.run(stopped).await;
                tokio::task::spawn_blocking(|| closing.close()).await.unwrap();
            });
        });
        let address = told.recv().unwrap();
        Self { address, store, stop, thread: Some(thread), _folder: folder }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        // A test that waits for ever says nothing.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket
    }

    /// Sends these bytes on a connection of their own and reads until the server closes it or the
    /// answer is complete.
    pub(crate) fn say(&self, bytes: &[u8]) -> Answer {
        let mut socket = self.connect();
        // The server may answer and close before it has read everything.
        let _ = socket.write_all(bytes);
        Answer::read(&mut socket)
    }

    /// A request with the key of all rights.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.request_as(Some((ACCESS, SECRET)), method, path, headers, body)
    }

    pub(crate) fn request_as(
        &self,
        key: Option<(&str, &str)>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.say(&[head(key, method, path, headers, Some(body.len())).as_bytes(), body].concat())
    }

    pub(crate) fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let joined = thread.join();
            if !std::thread::panicking() {
                joined.unwrap();
            }
        }
    }
}

pub(crate) fn put_key(store: &Store, access: &str, grants: Vec<Grant>) {
    let key = NewKey {
        access: access.into(),
        secret: Secret(SECRET.into()),
        name: access.into(),
        grants,
    };
    store.put_key(&key).unwrap();
}

pub(crate) fn head(
    key: Option<(&str, &str)>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    len: Option<usize>,
) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if let Some((access, secret)) = key {
        head.push_str(&format!(
            "Authorization: Basic {}\r\n",
            BASE64.encode(format!("{access}:{secret}"))
        ));
    }
    if let Some(len) = len {
        head.push_str(&format!("Content-Length: {len}\r\n"));
    }
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head.push_str("\r\n");
    head
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads one answer; status 0 when the connection was closed without one.
    pub(crate) fn read(socket: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let mut buffer = [0; 64 << 10];
        loop {
            if let Some(answer) = Self::parse(&bytes)
                && answer.is_complete()
            {
                return answer;
            }
            match socket.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(len) => bytes.extend_from_slice(&buffer[..len]),
            }
        }
        Self::parse(&bytes).unwrap_or(Self { status: 0, headers: Vec::new(), body: Vec::new() })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers = lines.filter_map(header).collect();
        Some(Self { status, headers, body: bytes[end + 4..].to_vec() })
    }

    fn is_complete(&self) -> bool {
        let len = self.header("content-length").and_then(|len| len.parse::<usize>().ok());
        len.is_some_and(|len| self.body.len() >= len)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What was sent in chunks; panics where the last one is missing.
pub(crate) fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").unwrap();
        let len = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if len == 0 {
            return bytes;
        }
        bytes.extend_from_slice(&body[end + 2..end + 2 + len]);
        body = &body[end + 4 + len..];
    }
}

/// Says that a test did nothing: also to `cargo xtask verify`, which counts it.
pub(crate) fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
    if let Some(list) = std::env::var_os("DRYSTONE_SKIPPED") {
        let list = std::fs::OpenOptions::new().append(true).open(list);
        // In one write: other tests append to it at the same time.
        list.unwrap().write_all(format!("{why}\n").as_bytes()).unwrap();
    }
}

/// Bytes that look random and are not.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Waits until nothing is under way, and checks that nothing was left behind.
pub(crate) fn assert_quiet(server: &Running) {
    // A minute, which no machine is too busy for.
    for _ in 0..3000 {
        let metrics = server.request("GET", "/_/metrics", &[], b"").text();
        let value = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} is not in the metrics")).trim().to_owned()
        };
        let quiet = value("drystone_resource_now{resource=\"transfers\"}") == "0"
            && value("drystone_resource_now{resource=\"uploads\"}") == "0";
        if quiet {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("a transfer never ended");
}
