//! `serve`: the server over one store, until a signal.

use std::fs;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use drystone_limits::constants::THREADS_HEARTBEAT_AND_RELOAD;
use drystone_local::LocalStore;
use drystone_server::{Closing, Server, ServerConfig, UnderWay};
use drystone_store::{BucketName, NewKey, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, ServeArgs};
use crate::exit::{Exit, Outcome, Usage};
use crate::key;
use crate::malloc;
use crate::open;
use crate::output::{self, Output};
use crate::serving::{self, Reload, Serving};
use crate::settings::Settings;
use crate::tls::Tls;
use crate::weak_key;

/// The filter of the log. It has no flag.
const LOG_VARIABLE: &str = "DRYSTONE_LOG";
/// How long calls of the disk may take to return once everybody is gone.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// The same after a second signal.
const CLOSE_MAX_AT_ONCE: Duration = Duration::from_secs(1);
/// Threads of the runtime's own on which something may block. Requests have threads of the
/// server's.
const BLOCKING_THREADS_MAX: usize = THREADS_HEARTBEAT_AND_RELOAD as usize;

pub(crate) fn run(settings: &Settings, args: &ServeArgs, output: &Output) -> Outcome {
    malloc::bound();
    // Before anything is made or shown.
    let tls = Tls::read(args)?;
    let filter = log_filter()?;
    let pair = key::pair(args.access_key.as_deref(), args.secret_key.as_ref())?;
    let listen = serving::listen(args, &settings.file);
    let may_be_guessed = !weak_key::is_reachable(listen) || args.allow_weak_keys;
    if let Some((access, secret)) = pair
        && !may_be_guessed
    {
        weak_key::check(access, secret, listen)?;
    }
    let settings = settings.with_store(args.folder.as_ref());
    let folder = settings.store()?.clone();
    open::check_folder(&folder)?;
    make_if_new(&settings, &folder)?;
    let serving = Serving::resolve(&args.serving, &settings.file);
    let chunking = LocalStore::chunking(&folder)?;
    let plan = open::plan_serving(&settings, chunking, &serving, tls.is_some())?;
    if !output.quiet && !output.json {
        // For the journal: what it will never pass.
        plan.lines().iter().for_each(|line| output.note(line));
    }
    // Where the store is, there is a disk; a store that is only read has the system's place for
    // such files.
    let spool = tempfile::tempfile_in(&folder).or_else(|_| tempfile::tempfile());
    let spool = spool.context("cannot make the file in which bytes wait for slow clients")?;
    let config = ServerConfig {
        give_back: malloc::give_back,
        ..ServerConfig::new(plan.clone(), serving.deadlines, spool)
    };
    let threads = plan.workers;
    let store = open::open_planned(&settings, &folder, plan.clone())?.store;
    // New, or made by `init`: so that the first upload has somewhere to go.
    if store.buckets(None, 1)?.is_empty() {
        let bucket =
            BucketName::new(crate::settings::BUCKET_DEFAULT).context("the first bucket's name")?;
        store.create_bucket(&bucket)?;
    }
    let key = first_key(&store, pair, listen)?;
    if !may_be_guessed {
        weak_key::check_all(&store, listen)?;
    }
    log(args.log, filter);
    if weak_key::is_reachable(listen) && tls.is_none() {
        tracing::warn!(
            address = %listen,
            "without TLS keys can be read on the way (Basic, bearer tokens): use --tls-cert and --tls-key, or a proxy \
             that speaks TLS"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("drystone-request")
        .enable_all()
        .build()
        .context("cannot start the event loops")?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let exit = runtime.block_on(async {
        let acceptor = tls.as_ref().map(Tls::acceptor).transpose()?;
        let server = Server::bind(listen, store.clone(), config, acceptor).await;
        let server = server.with_context(|| format!("cannot listen on {listen}"))?;
        // Not before it is certain that there will be a server to use it with.
        if let FirstKey::New(new) = &key {
            key::keep_and_show(&store, new, output)?;
        }
        let closing = server.closing();
        let limits = Reload::new(server.controls(), args, settings, chunking, plan);
        let close_max = serve(server, limits, tls, scheme, output).await?;
        anyhow::Ok(close(closing, store, close_max).await)
    });
    // Whatever still blocks would block here, too.
    runtime.shutdown_background();
    exit
}

/// Ends what is left, if the disk lets it. Where a call of it hangs, nobody can end the thread that
/// makes it but the end of the process, which is as safe as any: what was acknowledged is on the
/// disk.
async fn close(closing: Closing, store: Store, close_max: Duration) -> Exit {
    let watched = closing.clone();
    let closed = tokio::task::spawn_blocking(move || {
        closing.close();
        store.close();
    });
    match tokio::time::timeout(close_max, closed).await {
        Ok(Ok(())) => return Exit::Success,
        Ok(Err(died)) => std::panic::resume_unwind(died.into_panic()),
        Err(_) => {}
    }
    let UnderWay { transfers, uploads, calls } = watched.under_way();
    let waited_s = close_max.as_secs();
    tracing::error!(
        transfers,
        uploads,
        calls,
        waited_s,
        "stopped while calls of the disk do not return; what they belong to is given up"
    );
    // Its last owner would wait for the same threads.
    std::mem::forget(watched);
    Exit::DiskHangs
}

/// The first start makes the store; a folder with something else in it is left alone.
fn make_if_new(settings: &Settings, folder: &Path) -> anyhow::Result<()> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", folder.display()));
        }
    };
    if is_empty {
        LocalStore::init(folder, settings.chunk.unwrap_or_default())?;
    }
    Ok(())
}

/// Whether somebody can use the server.
enum FirstKey {
    /// There is a key already.
    Kept,
    /// Nobody has one: this will be it, and it will be shown once.
    New(NewKey),
}

/// Sees to it that there is a key: the one from the environment, one that exists, or a new one.
fn first_key(
    store: &Store,
    pair: Option<(&str, &str)>,
    listen: SocketAddr,
) -> anyhow::Result<FirstKey> {
    if let Some((access, secret)) = pair {
        key::keep(store, access, secret)?;
        return Ok(FirstKey::Kept);
    }
    if !store.keys(None, 1)?.is_empty() {
        return Ok(FirstKey::Kept);
    }
    if weak_key::is_reachable(listen) {
        return Err(Usage(format!(
            "{listen} can be reached from elsewhere, and there is no key yet: make one first with \
             `drystone --store … key create --name me --admin`, or set DRYSTONE_ACCESS_KEY and DRYSTONE_SECRET_KEY"
        ))
        .into());
    }
    Ok(FirstKey::New(key::generate("first start", key::everything())?))
}

/// What the log says: a text that is not understood is refused, rather than taken for the default.
fn log_filter() -> Result<EnvFilter, Usage> {
    let text = std::env::var_os(LOG_VARIABLE).filter(|text| !text.is_empty());
    let text = text.unwrap_or_else(|| "warn,drystone=info".into());
    let refused = |why: String| {
        Usage(format!("{LOG_VARIABLE}: {why}; try `debug`, or `warn,drystone=debug`"))
    };
    let text = text.to_str().ok_or_else(|| refused("it is not UTF-8".into()))?;
    let filter = EnvFilter::builder().parse(text).map_err(|error| refused(error.to_string()))?;
    // Whatever somebody wants to see: it shows whole requests, and in them signatures that are good
    // for a while.
    Ok(filter.add_directive("s3s=off".parse().expect("a target and a level are a directive")))
}

fn log(format: LogFormat, filter: EnvFilter) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A line that cannot be written is lost. Telling so on standard error, which is where it cannot
    // be written, would be a panic.
    let log = log.log_internal_errors(false);
    // A second subscriber cannot be: this is the only place that sets one.
    let _ = match format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
}

/// Serves until a signal, and says how long is to be waited for the disk then.
async fn serve(
    server: Server,
    limits: Reload,
    tls: Option<Tls>,
    scheme: &str,
    output: &Output,
) -> anyhow::Result<Duration> {
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot catch SIGHUP")?;
    let has_terminal = std::io::stderr().is_terminal();
    let address = server.address()?;
    let said = if output.json {
        output.json(&serde_json::json!({ "address": format!("{scheme}://{address}") }))
    } else {
        output::print(format_args!("listening on {scheme}://{address}\n"))
    };
    match said {
        // A reader that has left does not end a server.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        said => said?,
    }
    notify("READY=1");
    let quit = async {
        let mut files = (tls, limits);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {}
            }
            if has_terminal && !std::io::stderr().is_terminal() {
                // A terminal that was closed, not somebody who wants a reload.
                break;
            }
            notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
            // A few lines; but whoever waits for a disk that hangs must still hear that it should
            // stop.
            let read_again = tokio::task::spawn_blocking(move || {
                files.0.iter().for_each(Tls::reload);
                files.1.run();
                files
            });
            files = tokio::select! {
                read = read_again => read.unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic())),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            };
            notify("READY=1");
        }
        notify("STOPPING=1");
        tracing::info!("stopping: no more connections, requests under way may end");
        stop.send_replace(true);
        // Who signals twice means it.
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    };
    tokio::select! {
        () = server.run(stopped) => Ok(CLOSE_MAX),
        () = quit => {
            tracing::warn!("stopped at the second signal");
            Ok(CLOSE_MAX_AT_ONCE)
        }
    }
}

/// The clock that service managers compare with.
fn monotonic_us() -> i128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000
}

/// Tells the service manager, if there is one, as `sd_notify` does.
fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() else { return };
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::SocketAddr;
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    if let Ok(address) = address {
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}
