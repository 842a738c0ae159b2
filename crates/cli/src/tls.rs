//! The certificate of a server, which can be exchanged while it runs.
//!
//! An exchange takes effect with the next handshake. Connections that are open keep their
//! certificate.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use drystone_server::TlsAcceptor;
use drystone_sync::{Mutex, PlainArc};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::args::ServeArgs;
use crate::exit::Usage;

/// The files of the certificate and its key, and the last usable pair that they held.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    provider: PlainArc<CryptoProvider>,
    shown: PlainArc<Shown>,
}

/// What is shown to clients.
#[derive(Debug)]
struct Shown {
    /// A leaf, held while the pointer is copied.
    pair: Mutex<PlainArc<CertifiedKey>>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<PlainArc<CertifiedKey>> {
        Some(PlainArc::clone(&self.pair.lock()))
    }
}

impl Tls {
    /// Reads the certificate that the flags name; `None` without TLS.
    ///
    /// # Errors
    /// When only one of the two flags is given, or the files cannot be used.
    pub(crate) fn read(args: &ServeArgs) -> anyhow::Result<Option<Self>> {
        let (cert, key) = match (&args.tls_cert, &args.tls_key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (None, None) => return Ok(None),
            _ => bail!(Usage("--tls-cert and --tls-key go together".into())),
        };
        let provider = PlainArc::new(ring::default_provider());
        let pair = pair(&cert, &key, &provider)?;
        let shown = PlainArc::new(Shown { pair: Mutex::new(PlainArc::new(pair)) });
        Ok(Some(Self { cert, key, provider, shown }))
    }

    /// # Errors
    /// When the library refuses its own defaults.
    pub(crate) fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(PlainArc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .context("the TLS library refuses its own defaults")?
            .with_no_client_auth()
            .with_cert_resolver(PlainArc::<Shown>::clone(&self.shown));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(PlainArc::new(config)))
    }

    /// Reads both files again. If they cannot be used, the server keeps the pair that it has. The
    /// log tells which pair it uses. Blocks while the files are read.
    pub(crate) fn reload(&self) {
        let cert = self.cert.display().to_string();
        match pair(&self.cert, &self.key, &self.provider) {
            Ok(pair) => {
                let mut shown = self.shown.pair.lock();
                let is_other = shown.cert != pair.cert;
                *shown = PlainArc::new(pair);
                tracing::info!(cert, is_other, "certificate read again");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    cert,
                    error,
                    "certificate not read again: the one from before stays"
                );
            }
        }
    }
}

fn pair(cert: &PathBuf, key: &PathBuf, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)
        .with_context(|| format!("cannot read the certificate {}", cert.display()))?
        .collect();
    let chain =
        chain.with_context(|| format!("{} is not a PEM certificate chain", cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read the key {}", key.display()))?;
    let pair: Result<_, rustls::Error> = CertifiedKey::from_der(chain, key, provider);
    pair.context("the certificate and the key do not go together")
}
