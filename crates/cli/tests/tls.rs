//! TLS: which certificate a server shows, and that it can be exchanged while it runs.
//!
//! The pairs in `tls/` are for this test alone, and good for a hundred years:
//! `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj
//! /CN=first -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE
//! -keyout first.key.pem -out first.cert.pem`.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod served;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::process::Signal;
use served::{PATIENCE, Served};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const FIRST: [&str; 2] = [include_str!("tls/first.cert.pem"), include_str!("tls/first.key.pem")];
const SECOND: [&str; 2] = [include_str!("tls/second.cert.pem"), include_str!("tls/second.key.pem")];

type Client = StreamOwned<ClientConnection, TcpStream>;

struct Secure {
    server: Served,
    cert: PathBuf,
    key: PathBuf,
    _folder: tempfile::TempDir,
}

impl Secure {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Self {
        Self::start_with_env(more, &[])
    }

    fn start_with_env(more: &[&str], envs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        fs::write(&cert, FIRST[0]).unwrap();
        fs::write(&key, FIRST[1]).unwrap();
        let args = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let server = Served::start(&folder.path().join("store"), &[&args, more].concat(), envs);
        Self { server, cert, key, _folder: folder }
    }

    /// A connection to a server that must show this certificate.
    fn connect(&self, expected: &str) -> Result<Client, std::io::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(expected.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = TcpStream::connect(&self.server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(client, socket))
    }

    #[track_caller]
    fn check_shows(&self, expected: &str, other: &str) {
        let mut client = self.connect(expected).unwrap();
        ask(&mut client);
        let refused = self.connect(other).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }

    /// What the log says of the certificate.
    fn reload(&self) -> (String, String) {
        self.server.signal(Signal::HUP);
        let message =
            |line: &serde_json::Value| line["message"].as_str().unwrap_or_default().to_owned();
        let log = self.server.log_until(|line| message(line).starts_with("reload done"));
        let line = log.iter().find(|line| message(line).starts_with("certificate")).unwrap();
        (message(line), line["error"].as_str().unwrap_or_default().to_owned())
    }
}

/// Asks on a connection that stays open.
fn ask(client: &mut Client) {
    client.write_all(b"GET /_/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let mut some = [0; 1000];
    while !said.ends_with(b"live\n") {
        let len = client.read(&mut some).unwrap();
        assert_ne!(len, 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&some[..len]);
    }
    assert!(said.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_certificate_is_exchanged_while_the_server_runs() {
    let secure = Secure::start();
    let [first, second] = [FIRST[0], SECOND[0]];
    secure.check_shows(first, second);
    let mut before = secure.connect(first).unwrap();
    ask(&mut before);
    fs::write(&secure.cert, second).unwrap();
    fs::write(&secure.key, SECOND[1]).unwrap();
    assert_eq!(secure.reload().0, "certificate read again");
    secure.check_shows(second, first);
    // A client that is connected already stays connected.
    ask(&mut before);
}

/// Each of these handshakes may take 10 s. A connection that waited for that would be served only
/// after all of them had taken too long. Then the log would report none of them as broken off.
#[test]
fn those_that_never_shake_hands_make_way() {
    let debug = [("DRYSTONE_LOG", "warn,drystone=debug,drystone_server=debug")];
    let secure = Secure::start_with_env(&["--connections", "16"], &debug);
    let silent: Vec<_> =
        (0..16).map(|_| TcpStream::connect(&secure.server.address).unwrap()).collect();
    ask(&mut secure.connect(FIRST[0]).unwrap());
    let says = |line: &serde_json::Value, what: &str| {
        line["message"].as_str().is_some_and(|said| said == what)
    };
    let log = secure.server.log_until(|line| says(line, "a TLS handshake is broken off"));
    let too_long = log.iter().find(|line| says(line, "a TLS handshake took too long"));
    assert!(too_long.is_none(), "it had to wait: {log:?}");
    drop(silent);
}

#[test]
fn a_pair_that_is_of_no_use_leaves_the_one_from_before() {
    let secure = Secure::start();
    let [first, second] = [FIRST[0], SECOND[0]];
    let kept = "certificate not read again: the one from before stays";
    for (cert, key, why) in [
        (Some(second), Some(FIRST[1]), "do not go together"),
        (Some("no certificate"), Some(FIRST[1]), "do not go together"),
        (
            Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            Some(FIRST[1]),
            "is not a PEM",
        ),
        (Some(first), Some("no key"), "cannot read the key"),
        (Some(first), None, "cannot read the key"),
        (None, Some(FIRST[1]), "cannot read the certificate"),
    ] {
        for (path, text) in [(&secure.cert, cert), (&secure.key, key)] {
            match text {
                Some(text) => fs::write(path, text).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
        let (said, error) = secure.reload();
        assert!(said == kept && error.contains(why), "{said}: {error}");
        assert!(!error.contains("BEGIN"), "what is in the files stays there: {error}");
        secure.check_shows(first, second);
    }
    fs::write(&secure.cert, second).unwrap();
    fs::write(&secure.key, SECOND[1]).unwrap();
    assert_eq!(secure.reload().0, "certificate read again");
    secure.check_shows(second, first);
}

#[test]
fn a_server_that_waits_for_its_certificate_stops_when_it_is_told_to() {
    let mut secure = Secure::start();
    fs::remove_file(&secure.cert).unwrap();
    // Like a disk that hangs: a process that reads this pipe waits for ever.
    mkfifoat(CWD, &secure.cert, Mode::RUSR | Mode::WUSR).unwrap();
    secure.server.signal(Signal::HUP);
    let begun = Instant::now();
    let _silent = loop {
        // The pipe can be opened for writing once the server has opened it.
        match fs::OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(&secure.cert)
        {
            Ok(file) => break file,
            Err(error) => {
                assert!(
                    begun.elapsed() < PATIENCE,
                    "the server does not read its certificate: {error}"
                );
            }
        }
        std::thread::yield_now();
    };
    ask(&mut secure.connect(FIRST[0]).unwrap());
    secure.server.signal(Signal::TERM);
    assert_eq!(secure.server.ends_in(PATIENCE), Some(0));
}
