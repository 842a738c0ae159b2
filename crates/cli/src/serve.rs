//! `serve`: the server over one store, until a signal.

use std::fs;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};
use drystone_local::LocalStore;
use drystone_server::{Server, ServerConfig, TlsAcceptor};
use drystone_store::{BucketName, Store};
use drystone_sync::PlainArc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::args::{LogFormat, ServeArgs};
use crate::exit::{Exit, Outcome, Usage};
use crate::key;
use crate::open;
use crate::output::Output;
use crate::settings::Settings;

pub(crate) fn run(settings: &Settings, args: &ServeArgs, output: &Output) -> Outcome {
    // Before anything is made or shown.
    let tls = tls(args)?;
    let mut settings = settings.clone();
    if let Some(folder) = &args.folder {
        settings.store = Some(folder.clone());
    }
    let folder = settings.store()?.clone();
    open::check_folder(&folder)?;
    let is_new = make_if_new(&settings, &folder)?;
    let plan = open::plan_serving(&settings, LocalStore::chunking(&folder)?, args.connections)?;
    if !output.quiet && !output.json {
        // For the journal: what it will never pass.
        plan.lines().iter().for_each(|line| output.note(line));
    }
    let config = ServerConfig {
        connections: plan.connections,
        transfers: plan.transfers,
        ingests: plan.ingests,
        calls: plan.blocking_threads - plan.transfers,
        documents: plan.documents,
        plan: plan.to_string(),
    };
    let (threads, blocking) = (plan.workers, plan.blocking_threads);
    let store = open::open_planned(&settings, &folder, plan)?.store;
    if is_new {
        let bucket = BucketName::new(crate::settings::BUCKET_DEFAULT).context("the first bucket's name")?;
        store.create_bucket(&bucket)?;
    }
    first_key(&store, args, output)?;
    log(args.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(blocking)
        .thread_name("drystone-request")
        .enable_all()
        .build()
        .context("cannot start the event loops")?;
    let served = runtime.block_on(serve(store.clone(), args.listen, config, tls, output));
    // Whatever still blocks is past saving: its client is gone.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    store.close();
    served?;
    Ok(Exit::Success)
}

/// The first start makes the store; a folder with something else in it is left alone.
fn make_if_new(settings: &Settings, folder: &Path) -> anyhow::Result<bool> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    if is_empty {
        LocalStore::init(folder, settings.chunk.unwrap_or_default())?;
    }
    Ok(is_empty)
}

/// Sees to it that there is a key: the one from the environment, one that exists, or a new one that is shown once.
fn first_key(store: &Store, args: &ServeArgs, output: &Output) -> anyhow::Result<()> {
    match (&args.access_key, &args.secret_key) {
        (Some(access), Some(secret)) => return key::keep(store, access, &secret.0),
        (None, None) => {}
        _ => return Err(Usage("DRYSTONE_ACCESS_KEY and DRYSTONE_SECRET_KEY go together".into()).into()),
    }
    if !store.keys(None, 1)?.is_empty() {
        return Ok(());
    }
    if !args.listen.ip().is_loopback() {
        return Err(Usage(format!(
            "{} can be reached from elsewhere, and there is no key yet: make one first with \
             `drystone --store … key create --name me --admin`, or set DRYSTONE_ACCESS_KEY and DRYSTONE_SECRET_KEY",
            args.listen
        ))
        .into());
    }
    let new = key::generate("first start", key::everything())?;
    store.put_key(&new)?;
    key::show(&new, output)
}

fn tls(args: &ServeArgs) -> anyhow::Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) else {
        if args.tls_cert.is_some() || args.tls_key.is_some() {
            bail!(Usage("--tls-cert and --tls-key go together".into()));
        }
        return Ok(None);
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)
        .with_context(|| format!("cannot read the certificate {}", cert.display()))?
        .collect();
    let chain = chain.with_context(|| format!("{} is not a PEM certificate chain", cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read the key {}", key.display()))?;
    let provider = PlainArc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("the TLS library refuses its own defaults")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and the key do not go together")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(PlainArc::new(config))))
}

fn log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("DRYSTONE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,s3s=off,drystone_server=info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber cannot be: this is the only place that sets one.
    let _ = match format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
}

async fn serve(
    store: Store,
    listen: SocketAddr,
    config: ServerConfig,
    tls: Option<TlsAcceptor>,
    output: &Output,
) -> anyhow::Result<()> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let server = Server::bind(listen, store, config, tls)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let address = server.address()?;
    if output.json {
        output.json(&serde_json::json!({ "address": format!("{scheme}://{address}") }))?;
    } else {
        let mut out = std::io::stdout().lock();
        writeln!(out, "listening on {scheme}://{address}")?;
        out.flush()?;
    }
    notify("READY=1");
    let quit = async {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        notify("STOPPING=1");
        tracing::info!("stopping: no more connections, requests under way may end");
        stop.send_replace(true);
        // Who signals twice means it.
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    };
    tokio::select! {
        () = server.run(stopped) => {}
        () = quit => tracing::warn!("stopped at the second signal"),
    }
    Ok(())
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
