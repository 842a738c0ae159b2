//! The dates of answers.

use std::time::{SystemTime, UNIX_EPOCH};

use drystone_limits::{Ask, Budget, Limit};
use drystone_store::{StoreConfig, SyncPolicy};
use drystone_sync::atomic::{AtomicU64, Ordering};
use drystone_testkit::memory::{Memory, MemoryConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// What the clock of the test says, in seconds since 1970.
static NOW_S: AtomicU64 = AtomicU64::new(0);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW_S.load(Ordering::Relaxed))
}

fn small() -> (Store, ServerConfig) {
    let ask = Ask { workers: Some(1), connections: Some(4), ..Ask::new(64 << 10, "cdc") };
    let limit = |value, source: &str| Limit::new(value, source);
    let budget = Budget {
        cpus: Limit::new(1, "one"),
        memory_bytes: limit(1 << 30, "a gibibyte"),
        descriptors: limit(1024, "a thousand"),
    };
    let plan = Plan::new(&ask, &budget).unwrap();
    let config = ServerConfig {
        ingests: 1,
        calls: 1,
        ..ServerConfig::new(plan, Deadlines::default(), tempfile::tempfile().unwrap())
    };
    let memory = Memory::new(MemoryConfig { sync: SyncPolicy::Never, segment_bytes_max: 1 << 20 });
    let (records, segments) = memory.open();
    let store = StoreConfig {
        chunking: "cdc:4KiB,16KiB,64KiB".parse().unwrap(),
        workers: 1,
        buffers: 2,
        ingests: 1,
        buffer_bytes: 256 << 10,
        read_ahead_max: 1,
        commit_queue_bytes: 1 << 20,
    };
    (Store::new(records, segments, store).unwrap(), config)
}

#[tokio::test]
async fn answers_are_dated_by_the_clock_when_it_is_set_back_too() {
    let (store, config) = small();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut server = Server::bind(any, store, config, None).await.unwrap();
    PlainArc::get_mut(&mut server.router).unwrap().clock = now;
    let (address, closing) = (server.address().unwrap(), server.closing());
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(server.run(stopped));
    let mut socket = TcpStream::connect(address).await.unwrap();
    for (second, expected) in [
        (1_000_000_000, "Sun, 09 Sep 2001 01:46:40 GMT"),
        (999_996_400, "Sun, 09 Sep 2001 00:46:40 GMT"),
        (999_996_401, "Sun, 09 Sep 2001 00:46:41 GMT"),
        (5, "Thu, 01 Jan 1970 00:00:05 GMT"),
    ] {
        NOW_S.store(second, Ordering::Relaxed);
        // Of either face, and one that goes to none.
        for request in [
            "GET /_/health/live HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /files HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /_/health/live HTTP/1.1\r\nHost: x y\r\n\r\n",
        ] {
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut said = String::new();
            while !said.contains("\r\n\r\n") {
                let mut some = [0; 4096];
                let len = socket.read(&mut some).await.unwrap();
                assert!(len > 0, "it was closed: {said}");
                said.push_str(std::str::from_utf8(&some[..len]).unwrap());
            }
            let dates: Vec<_> =
                said.lines().filter_map(|line| line.strip_prefix("date: ")).collect();
            assert_eq!(dates, [expected], "{request}");
        }
    }
    stop.send_replace(true);
    running.await.unwrap();
    tokio::task::spawn_blocking(|| closing.close()).await.unwrap();
}
