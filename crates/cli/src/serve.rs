//! `serve`: the server over one store, until a signal.

use std::fs;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::panic::resume_unwind;
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

/// The filter of the log. It is a variable only; there is no flag for it.
const LOG_VARIABLE: &str = "DRYSTONE_LOG";
/// How long calls of the disk may take to return after the last client has left.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// The same after a second signal.
const CLOSE_MAX_AT_ONCE: Duration = Duration::from_secs(1);
/// Blocking threads of the runtime itself. Requests use threads of the server.
const BLOCKING_THREADS_MAX: usize = THREADS_HEARTBEAT_AND_RELOAD as usize;

pub(crate) fn run(settings: &Settings, args: &ServeArgs, output: &Output) -> Outcome {
    malloc::bound();
    // Read before anything is made or shown.
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
        // So the journal has the ceilings that this server never passes.
        plan.lines().iter().for_each(|line| output.note(line));
    }
    // The store's folder has a disk with room. If nothing can be written there, the spool is in the
    // system's folder for temporary files.
    let spool = tempfile::tempfile_in(&folder).or_else(|_| tempfile::tempfile());
    let spool = spool.context("cannot make the file in which bytes wait for slow clients")?;
    let config = ServerConfig {
        give_back: malloc::give_back,
        ..ServerConfig::new(plan.clone(), serving.deadlines, spool)
    };
    let threads = plan.workers;
    let store = open::open_planned(&settings, &folder, plan.clone())?.store;
    // A store that is new, or was made by `init`, gets a bucket, so that the first upload has
    // somewhere to go.
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
            "without TLS keys can be read on the way (Basic, bearer tokens): use --tls-cert and \
             --tls-key, or a proxy that speaks TLS"
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
        // Shown only when it is certain that there will be a server to use the key with.
        if let FirstKey::New(new) = &key {
            key::keep_and_show(&store, new, output)?;
        }
        let closing = server.closing();
        let limits = Reload::new(server.controls(), args, settings, chunking, plan);
        let close_max = serve(server, limits, tls, scheme, output).await?;
        anyhow::Ok(close(closing, store, close_max).await)
    });
    // Does not wait: a thread that still blocks would block this one, too.
    runtime.shutdown_background();
    exit
}

/// Ends what is left, if the disk allows it. When a call of the disk hangs, only the end of the
/// process can end the thread that made the call. That is as safe as any end: what was acknowledged
/// is on the disk.
async fn close(closing: Closing, store: Store, close_max: Duration) -> Exit {
    let watched = closing.clone();
    let closed = tokio::task::spawn_blocking(move || {
        closing.close();
        store.close();
    });
    match tokio::time::timeout(close_max, closed).await {
        Ok(Ok(())) => return Exit::Success,
        Ok(Err(died)) => resume_unwind(died.into_panic()),
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
    // Dropping the last owner would wait for the same threads.
    std::mem::forget(watched);
    Exit::DiskHangs
}

/// The first start makes the store. A folder that holds something else is left alone.
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

/// Whether there is a key with which a client can use the server.
enum FirstKey {
    /// There is a key already.
    Kept,
    /// There was none. This key is made now, and shown once.
    New(NewKey),
}

/// Makes sure that there is a key: the one from the environment, one that exists, or a new one.
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
             `drystone --store … key create --name me --admin`, or set DRYSTONE_ACCESS_KEY and \
             DRYSTONE_SECRET_KEY"
        ))
        .into());
    }
    Ok(FirstKey::New(key::generate("first start", key::everything())?))
}

/// The filter of the log. A text that is not understood is refused, and not taken for the default.
fn log_filter() -> Result<EnvFilter, Usage> {
    let text = std::env::var_os(LOG_VARIABLE).filter(|text| !text.is_empty());
    let text = text.unwrap_or_else(|| "warn,drystone=info".into());
    let refused = |why: String| {
        Usage(format!("{LOG_VARIABLE}: {why}; try `debug`, or `warn,drystone=debug`"))
    };
    let text = text.to_str().ok_or_else(|| refused("it is not UTF-8".into()))?;
    let filter = EnvFilter::builder().parse(text).map_err(|error| refused(error.to_string()))?;
    // Added to every filter: this target would log whole requests, with signatures that stay valid
    // for a while.
    Ok(filter.add_directive("s3s=off".parse().expect("a target and a level are a directive")))
}

fn log(format: LogFormat, filter: EnvFilter) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A line that cannot be written is lost. Otherwise the log would report that on standard error,
    // which is where it cannot write, and panic.
    let log = log.log_internal_errors(false);
    // Fails only if there is a subscriber already, and only this function sets one.
    let _ = match format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
}

/// Serves until a signal. Returns how long to wait for the disk after that.
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
                // The terminal was closed. This signal does not ask for a reload.
                break;
            }
            notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
            // The files are small, but their disk may hang. So another thread reads them, and this
            // task still notices a signal to stop.
            let read_again = tokio::task::spawn_blocking(move || {
                files.0.iter().for_each(Tls::reload);
                files.1.run();
                files
            });
            files = tokio::select! {
                read = read_again => read.unwrap_or_else(|died| resume_unwind(died.into_panic())),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            };
            notify("READY=1");
        }
        notify("STOPPING=1");
        tracing::info!("stopping: no more connections, requests under way may end");
        stop.send_replace(true);
        // After a second signal, the server does not wait for the requests under way.
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
